//! Follows the rows that were there before: dispatchers send them, and this only watches. Whoever interrupts it stops nothing.

use std::time::Duration;

use super::super::progress::StepProgress;
use super::super::{Failure, count, output};
use super::read;
use crate::cli::signals::Signals;
use crate::store::{AttachedTableRow, BackfillState, DispatcherState, Store};

const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Shows a bar on a terminal until all rows were looked at, or somebody interrupts it. Elsewhere it says where to look.
///
/// # Errors
/// [`Failure`] of the database.
pub(super) async fn follow(store: &Store, relation: &str) -> Result<(), Failure> {
    let where_to_look = format!("postrider table show {relation}");
    let dispatchers = store.read_dispatchers().await?;
    if dispatchers.iter().all(|row| row.state != DispatcherState::Live) {
        return Ok(output::line("no dispatcher runs: postrider run sends the rows that are there")?);
    }
    if !output::is_aside_watched() {
        return Ok(output::line(&format!(
            "the rows that are there are sent in the background: {where_to_look}"
        ))?);
    }
    match watch(store, relation).await? {
        Some(row) => {
            let rows = count(row.backfill_rows, "row that was there", "rows that were there");
            Ok(output::line(&format!("looked at {rows}; sent: {}", row.backfill_rows_sent))?)
        }
        None => Ok(output::line(&format!("goes on in the background: {where_to_look}"))?),
    }
}

/// Waits until all rows were looked at. `None` if it was interrupted.
async fn watch(store: &Store, relation: &str) -> Result<Option<AttachedTableRow>, Failure> {
    let mut signals = Signals::install()?;
    let total =
        read(store, relation).await?.backfill_rows_estimated.and_then(|rows| u64::try_from(rows).ok());
    let progress = StepProgress::begin("backfill", total.filter(|total| *total > 0));
    loop {
        let row = read(store, relation).await?;
        progress.reach(row.backfill_rows);
        if row.backfill_state != Some(BackfillState::Running) {
            return Ok(Some(row));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            _ = signals.next() => return Ok(None),
        }
    }
}

/// How far it is, for people.
pub(super) fn progress(row: &AttachedTableRow, state: BackfillState) -> String {
    let AttachedTableRow { backfill_rows: read, backfill_rows_sent: sent, .. } = row;
    let refused = match row.backfill_rows_refused {
        0 => String::new(),
        some => format!(", refused {some}"),
    };
    match (state, row.backfill_rows_estimated) {
        (BackfillState::Running, Some(all)) => {
            format!("running, looked at {read} of about {all} rows, sent {sent}{refused}")
        }
        (BackfillState::Running, None) => format!("running, looked at {read}, sent {sent}{refused}"),
        (BackfillState::Done, _) => format!("done, looked at {read}, sent {sent}{refused}"),
    }
}
