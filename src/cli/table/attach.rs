//! `postrider table attach`.

use serde_json::{Map, Value};

use super::super::{Failure, count, open, output, question};
use super::{backfill, refused};
use crate::config::Settings;
use crate::config::args;
use crate::operations::find_table::find_table;
use crate::operations::put_table::{PutTable, put_table};
use crate::operations::table_spec::TableSpec;
use crate::store::{AttachedTableRow, CheckedTable, PutResult, RowsToSend, Store};
use crate::validation::Problems;

/// Rows that are looked at before somebody is asked: a tenth of a second.
const ROWS_COUNTED_MAX: i64 = 100_000;

/// Attaches the table, asks about the rows that are there, and shows how far they are.
pub(super) async fn run(
    mut settings: Settings,
    url: Option<String>,
    typed: args::TableAttach,
) -> Result<(), Failure> {
    let args::TableAttach { relation, spec, status_map, no_backfill, dry_run, json } = typed;
    let status_map = status_map.and_then(|text| read_map(&text, &mut settings.problems));
    let table = TableSpec { status_map, ..spec }.check(&mut settings.problems);
    // Faults of the arguments and of the database's URL are reported together.
    let (store, _) = open(settings, url)?;
    let Some(table) = table else { return Ok(()) };
    let relation = find_table(&store, &relation).await?;
    if dry_run {
        return print_statements(&store, &relation, &table, json).await;
    }
    let is_asked = !table.has_backfill() && !no_backfill && !json && question::can_be_asked();
    let table = if is_asked { ask(&store, &relation, table).await? } else { table };
    let put = put_table(&store, &relation, &table).await?;
    if json {
        return Ok(output::json(&put)?);
    }
    print(&put)?;
    if table.has_backfill() { backfill::follow(&store, &relation).await } else { Ok(()) }
}

fn print(put: &PutTable) -> std::io::Result<()> {
    let AttachedTableRow { relation, topic, on, .. } = &put.table;
    match put.result {
        PutResult::Created => {
            let on = on.join(", ");
            output::line(&format!("{relation} is attached: {on} of a row becomes an event {topic}"))?;
        }
        PutResult::Changed | PutResult::Unchanged => output::line(&format!("{relation} {}", put.result))?,
    }
    for change in &put.changes {
        output::line(change)?;
    }
    for granted in &put.granted {
        output::line(&format!("granted: {granted}"))?;
    }
    for note in &put.notes {
        output::line(&format!("note: {note}"))?;
    }
    match &put.table.last_error {
        Some(fault) => output::line(&format!("still needed: {fault}")),
        None => Ok(()),
    }
}

async fn print_statements(
    store: &Store,
    relation: &str,
    table: &CheckedTable,
    json: bool,
) -> Result<(), Failure> {
    let statements = store.describe_attachment(relation, table).await.map_err(|fault| refused(&fault))?;
    if json {
        return Ok(output::json(&serde_json::json!({ "relation": relation, "statements": statements }))?);
    }
    Ok(output::line(statements.trim_end())?)
}

/// Asks whether rows are sent that are there, if some would be.
async fn ask(store: &Store, relation: &str, table: CheckedTable) -> Result<CheckedTable, Failure> {
    // Nobody is asked about a table that is refused.
    store.describe_attachment(relation, &table).await.map_err(|fault| refused(&fault))?;
    // The condition may fail for one of the rows, or the role may not read them.
    let rows = store.count_rows_to_send(relation, table.when(), ROWS_COUNTED_MAX).await.ok();
    let Some(question) = ask_about(relation, rows) else { return Ok(table) };
    let backfill = question::is_confirmed(&question)?;
    Ok(table.with_backfill(backfill))
}

/// The question. `None` if no row would be sent.
fn ask_about(relation: &str, rows: Option<RowsToSend>) -> Option<String> {
    let Some(RowsToSend { found, looked_at }) = rows else {
        return Some(format!(
            "Rows of {relation} may meet the condition. Send the rows that are there, too?"
        ));
    };
    let is_all = looked_at < ROWS_COUNTED_MAX;
    let what = match (found, is_all) {
        (0, true) => return None,
        (_, true) => {
            format!("{relation} has {} the condition", count(found, "row that meets", "rows that meet"))
        }
        (_, false) => format!("{found} of the first {looked_at} rows of {relation} meet the condition"),
    };
    Some(format!("{what}. Send the rows that are there, too?"))
}

/// Words for statuses, a JSON object.
fn read_map(text: &str, problems: &mut Problems) -> Option<Map<String, Value>> {
    let map = serde_json::from_str(text).ok();
    if map.is_none() {
        problems.add("status_map", "needs a JSON object, as {\"complete\": \"done\"}", Some(text));
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_only_if_a_row_would_be_sent() {
        for (found, looked_at, asked) in [
            (0, 50, None),
            (1, 50, Some("a.b has 1 row that meets the condition. Send the rows that are there, too?")),
            (
                0,
                ROWS_COUNTED_MAX,
                Some(
                    "0 of the first 100000 rows of a.b meet the condition. Send the rows that are there, too?",
                ),
            ),
        ] {
            assert_eq!(ask_about("a.b", Some(RowsToSend { found, looked_at })).as_deref(), asked);
        }
    }
}
