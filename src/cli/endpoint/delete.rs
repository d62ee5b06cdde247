//! `postrider endpoint delete`: asks first, because the waiting deliveries of the endpoint are given up.

use super::super::{Failure, count, open, output, question};
use crate::config::Settings;
use crate::config::args;
use crate::operations::lookup::{existing_endpoint, known};

/// Deletes the endpoint, if the user confirms it.
pub(super) async fn run(
    mut settings: Settings,
    url: Option<String>,
    typed: &args::EndpointDelete,
) -> Result<(), Failure> {
    let is_asked = !typed.yes;
    if is_asked && !question::can_be_asked() {
        settings.problems.add("yes", "is missing: stdin is no terminal, so nobody can be asked", None);
    }
    let (store, _) = open(settings, url)?;
    if is_asked {
        let row = existing_endpoint(&store, &typed.id).await?;
        let (pending, with) = match row.children {
            Some(children) => (children.pending, format!(" with its {} endpoints", children.all())),
            None => (row.pending, String::new()),
        };
        if !is_meant(&format!("{}{with}", typed.id), pending)? {
            return Err(Failure::Failed(format!("endpoint \"{}\" was not deleted", typed.id)));
        }
    }
    let deleted = known(&store, &typed.id, store.delete_endpoint(&typed.id).await).await?;
    if typed.json {
        return Ok(output::json(&deleted)?);
    }
    let pending = count(deleted.pending, "delivery", "deliveries");
    Ok(output::line(&format!("{} is deleted; given up: {pending}", deleted.id))?)
}

fn is_meant(id: &str, pending: i64) -> std::io::Result<bool> {
    let waiting = count(pending, "delivery that waits", "deliveries that wait");
    question::is_confirmed(&format!("Delete {id}, and give up {waiting} for it?"))
}
