//! `postrider table detach`: asks first, because changes are not heard any more, and events under way have no row to report to.

use super::super::{Failure, count, open, output, question};
use super::refused;
use crate::config::Settings;
use crate::config::args;
use crate::operations::find_table::find_attached_table;

/// Detaches the table, if the user confirms it.
pub(super) async fn run(
    mut settings: Settings,
    url: Option<String>,
    typed: &args::TableDetach,
) -> Result<(), Failure> {
    let is_asked = !typed.yes;
    if is_asked && !question::can_be_asked() {
        settings.problems.add("yes", "is missing: stdin is no terminal, so nobody can be asked", None);
    }
    let (store, _) = open(settings, url)?;
    let row = find_attached_table(&store, &typed.table.relation).await?;
    let relation = &row.relation;
    if is_asked {
        let open_events = count(row.lag_events, "event", "events");
        let asked = format!(
            "Detach {relation}? Its changes become no events any more, and {open_events} under way report no status."
        );
        if !question::is_confirmed(&asked)? {
            return Err(Failure::Failed(format!("table {relation} was not detached")));
        }
    }
    store.detach_table(relation).await.map_err(|fault| refused(&fault))?;
    if typed.table.json {
        return Ok(output::json(&row)?);
    }
    Ok(output::line(&format!("{relation} is detached; its events are delivered, its rows stay"))?)
}
