//! Tables of the user's own: attachments that are broken, changes that no trigger hears, statuses that are not written.

use std::time::Duration;

use super::Finding;
use super::endpoints::{some, some_by};
use crate::store::{AttachedTableRow, LateRows, Store, StoreError, TableState, UnheardChanges};

const NAME: &str = "attached tables";
/// A status is written within a second, unless somebody holds the row.
const LATE: Duration = Duration::from_mins(1);

/// One check for each thing that is wrong with some; one if all is well. No table is attached: no check.
pub(super) async fn check(store: &Store) -> Vec<Finding> {
    let (rows, unheard, late) = match read(store).await {
        Ok(read) => read,
        Err(fault) => return vec![Finding::broken(NAME, &fault)],
    };
    let found = [broken(&rows), troubled(&rows), skipped(&rows), judge_late(&late), paused(&rows)];
    let found: Vec<Finding> = found.into_iter().flatten().chain(unheard.iter().map(judge_unheard)).collect();
    if found.is_empty() && !rows.is_empty() {
        return vec![Finding::ok(NAME, format!("{} heard", rows.len()))];
    }
    found
}

async fn read(
    store: &Store,
) -> Result<(Vec<AttachedTableRow>, Vec<UnheardChanges>, Vec<LateRows>), StoreError> {
    let rows = store.list_attached_tables().await?;
    Ok((rows, store.list_unheard_changes().await?, store.list_late_rows().await?))
}

/// Names those of a state, with what is wrong.
fn named(rows: &[AttachedTableRow], state: TableState) -> Vec<String> {
    let those = rows.iter().filter(|row| row.state == state);
    those
        .map(|row| match &row.last_error {
            Some(fault) => format!("{} ({fault})", row.relation),
            None => row.relation.clone(),
        })
        .collect()
}

fn broken(rows: &[AttachedTableRow]) -> Option<Finding> {
    let names = some_by(&named(rows, TableState::Broken), "; ")?;
    Some(Finding::fail(
        NAME,
        format!("broken, so changes may not be sent, or without a column: {names}"),
        "mend what is named, or: postrider table detach TABLE, and attach it again",
    ))
}

/// It works, but something was refused: a grant is missing, or an event could not be written.
fn troubled(rows: &[AttachedTableRow]) -> Option<Finding> {
    let active: Vec<AttachedTableRow> = rows
        .iter()
        .filter(|row| row.state == TableState::Active && row.last_error.is_some())
        .cloned()
        .collect();
    let names = some_by(&named(&active, TableState::Active), "; ")?;
    Some(Finding::warn(
        NAME,
        format!("something was refused: {names}"),
        "do what is named there; nothing is lost",
    ))
}

/// Events that were not sent, because the table was attached so that no statement fails for them.
fn skipped(rows: &[AttachedTableRow]) -> Option<Finding> {
    let those = rows.iter().filter(|row| row.rows_skipped > 0);
    let counts: Vec<String> = those.map(|row| format!("{} ({})", row.relation, row.rows_skipped)).collect();
    Some(Finding::warn(
        NAME,
        format!("rows were skipped, because their events could not be written: {}", some(&counts)?),
        "the log of postrider run and last_error of postrider.attached_table have the SQLSTATE of the last one; postrider table attach again begins anew",
    ))
}

fn paused(rows: &[AttachedTableRow]) -> Option<Finding> {
    let names: Vec<String> =
        rows.iter().filter(|row| row.state == TableState::Paused).map(|row| row.relation.clone()).collect();
    Some(Finding::warn(
        NAME,
        format!("paused, so changes are not heard: {}", some(&names)?),
        format!("postrider table resume {} --backfill", names.first()?),
    ))
}

fn judge_late(late: &[LateRows]) -> Option<Finding> {
    let late: Vec<String> = late
        .iter()
        .filter(|rows| rows.refused > 0 || rows.late > LATE)
        .map(|LateRows { relation, due, late, refused }| {
            let age = humantime::format_duration(Duration::from_secs(late.as_secs()));
            format!("{relation} ({due} due, the first for {age}, {refused} refused)")
        })
        .collect();
    Some(Finding::warn(
        NAME,
        format!("statuses of rows are written late: {}", some(&late)?),
        "see dispatchers above; somebody may hold the rows: select * from pg_locks where not granted",
    ))
}

fn judge_unheard(unheard: &UnheardChanges) -> Finding {
    let UnheardChanges { relation, reason, role } = unheard;
    let table = relation.as_deref().unwrap_or("every table");
    let owner = role.as_deref().unwrap_or("public");
    match reason.as_str() {
        "subscription" => Finding::warn(
            NAME,
            format!(
                "{table} is filled by logical replication, which fires no statement trigger: its changes are not heard"
            ),
            "attach the table in the database where the changes are made",
        ),
        "not_attached" => Finding::warn(
            NAME,
            format!(
                "{table} has triggers of Postrider and is not attached: its changes are heard, its statuses are not written: was it restored?"
            ),
            format!(
                "postrider table attach {table} ...; or drop what its triggers call: drop function postrider_capture_... cascade"
            ),
        ),
        "replica_role" => {
            let whose = role.as_ref().map_or_else(|| "every role".to_owned(), |role| format!("role {role}"));
            Finding::warn(
                NAME,
                format!(
                    "session_replication_role is replica for {whose}: changes of its sessions are not heard"
                ),
                "alter role or alter database ... reset session_replication_role, unless it is meant",
            )
        }
        "superuser" => Finding::warn(
            NAME,
            format!(
                "{table} belongs to {owner}, and this role is a superuser: {owner} may find a way to run code with all rights \
                 when a status is written"
            ),
            "run as a role with postrider_dispatcher alone",
        ),
        _ => Finding::warn(
            NAME,
            format!(
                "row-level security of {table} is forced on its owner, {owner}: rows that it hides get no status, and no backfill sends them"
            ),
            format!(
                "create policy postrider on {table} to {owner} using (true) with check (true); or: alter table {table} no force row level security"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn a_status_is_late_after_a_minute_or_when_it_was_refused() {
        let rows = |secs, refused| LateRows {
            relation: "public.a".to_owned(),
            due: 3,
            late: Duration::from_secs(secs),
            refused,
        };

        assert!(judge_late(&[rows(60, 0)]).is_none());
        for late in [rows(61, 0), rows(0, 1)] {
            assert_eq!(judge_late(&[late]).unwrap().result, Severity::Warn);
        }
    }
}
