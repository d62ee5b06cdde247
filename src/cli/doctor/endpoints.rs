//! Endpoints that get nothing, or refuse it, or may not be called.

use super::Finding;
use crate::cli::endpoint::ENDPOINTS_MAX;
use crate::config::RunConfig;
use crate::model::endpoint::EndpointState;
use crate::store::{EndpointRow, Store};

/// A receiver that restarts fails a few times in a row.
const FAILURES_MAX: i64 = 5;
const SHOWN: usize = 5;
const NAME: &str = "endpoints";

/// One check for each thing that is wrong with some; one if all is well.
pub(super) async fn check(config: &RunConfig, store: &Store) -> Vec<Finding> {
    let rows = match store.list_endpoints(None, ENDPOINTS_MAX).await {
        Ok(rows) => rows,
        Err(fault) => return vec![Finding::broken(NAME, &fault)],
    };
    if rows.is_empty() {
        return vec![Finding::warn(NAME, "there are none", "postrider endpoint put ID --url URL")];
    }
    let found = [
        refused(config, &rows),
        in_state(EndpointState::Disabled, &rows),
        in_state(EndpointState::Paused, &rows),
        failing(&rows),
    ];
    let found: Vec<Finding> = found.into_iter().flatten().collect();
    if found.is_empty() {
        vec![Finding::ok(NAME, format!("{} enabled, none failing", rows.len()))]
    } else {
        found
    }
}

/// Checks whether a dispatcher with these keys could read every secret.
pub(super) async fn secrets(store: &Store) -> Finding {
    const NAME: &str = "secrets";
    let set = match store.load_endpoints().await {
        Ok(set) => set,
        Err(fault) => return Finding::broken(NAME, &fault),
    };
    let unreadable: Vec<String> =
        set.endpoints.iter().filter_map(|e| Some(format!("{} ({})", e.id, e.unreadable()?))).collect();
    match some(&unreadable) {
        None => Finding::ok(NAME, "of all endpoints can be read"),
        Some(names) => Finding::fail(
            NAME,
            format!("cannot be read, deliveries wait: {names}"),
            "give run and doctor the --encryption-key-file with that key",
        ),
    }
}

fn refused(config: &RunConfig, rows: &[EndpointRow]) -> Option<Finding> {
    let refused: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let refused = config.dispatcher.egress.judge_text(&row.url).err()?;
            Some(format!("{} ({refused})", row.id))
        })
        .collect();
    let first = some(&refused)?;
    Some(Finding::fail(
        NAME,
        format!("run with these settings may not call {first}"),
        "give run and doctor the same --allow-http and --allow-cidr, or put the endpoint with another --url",
    ))
}

fn in_state(state: EndpointState, rows: &[EndpointRow]) -> Option<Finding> {
    let found: Vec<&EndpointRow> = rows.iter().filter(|row| row.state == state).collect();
    let described: Vec<String> = found
        .iter()
        .map(|row| {
            let reason = row.reason.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            format!("{}{reason}", row.id)
        })
        .collect();
    let names = some(&described)?;
    let id = &found.first()?.id;
    Some(Finding::warn(
        NAME,
        format!("{state}, deliveries wait: {names}"),
        format!("postrider endpoint resume {id}"),
    ))
}

fn failing(rows: &[EndpointRow]) -> Option<Finding> {
    let is_failing =
        |row: &&EndpointRow| row.state == EndpointState::Enabled && row.consecutive_failures >= FAILURES_MAX;
    let found: Vec<&EndpointRow> = rows.iter().filter(is_failing).collect();
    let described: Vec<String> =
        found.iter().map(|row| format!("{} ({} in a row)", row.id, row.consecutive_failures)).collect();
    let names = some(&described)?;
    let id = &found.first()?.id;
    Some(Finding::warn(
        NAME,
        format!("requests fail: {names}"),
        format!("postrider endpoint test {id}; postrider delivery list --endpoint {id}"),
    ))
}

/// Names the first ones, and the number of the others. `None` if the list is empty.
pub(super) fn some(names: &[String]) -> Option<String> {
    some_by(names, ", ")
}

/// The same, with something else between them.
pub(super) fn some_by(names: &[String], separator: &str) -> Option<String> {
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(separator);
    match names.len().checked_sub(SHOWN) {
        _ if names.is_empty() => None,
        None | Some(0) => Some(shown),
        Some(more) => Some(format!("{shown} and {more} more")),
    }
}
