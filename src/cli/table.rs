//! `postrider table attach|list|show|pause|resume|detach`.

mod attach;
mod backfill;
mod detach;

use super::ago::Now;
use super::{Failure, open, output};
use crate::config::Settings;
use crate::config::args;
use crate::operations::endpoint_spec::check_reason;
use crate::operations::find_table::{TableError, find_attached_table};
use crate::store::{AttachedTableRow, DatabaseRefusal, Store, StoreError, one_line, refusal};

impl From<TableError> for Failure {
    fn from(fault: TableError) -> Self {
        match fault {
            TableError::Store(fault) => refused(&fault),
            TableError::Unknown { .. } | TableError::Several { .. } | TableError::NotAttached(_) => {
                Self::Failed(fault.to_string())
            }
        }
    }
}

/// An argument that the database refuses is wrong usage, like one that we refuse.
fn refused(fault: &StoreError) -> Failure {
    match refusal(fault) {
        Some(DatabaseRefusal::Invalid) => Failure::Usage(one_line(fault)),
        Some(DatabaseRefusal::Unknown | DatabaseRefusal::WrongState | DatabaseRefusal::TooMany) | None => {
            Failure::Failed(one_line(fault))
        }
    }
}

/// Runs one of them.
pub(super) async fn run(
    settings: Settings,
    url: Option<String>,
    typed: args::TableArgs,
) -> Result<(), Failure> {
    match typed {
        args::TableArgs::Attach(typed) => attach::run(settings, url, *typed).await,
        args::TableArgs::List(typed) => list(settings, url, typed.json).await,
        args::TableArgs::Show(typed) => show(settings, url, &typed).await,
        args::TableArgs::Pause(typed) => pause(settings, url, &typed).await,
        args::TableArgs::Resume(typed) => resume(settings, url, &typed).await,
        args::TableArgs::Detach(typed) => detach::run(settings, url, &typed).await,
    }
}

async fn pause(mut settings: Settings, url: Option<String>, typed: &args::TablePause) -> Result<(), Failure> {
    check_reason(typed.reason.as_deref(), &mut settings.problems);
    let (store, _) = open(settings, url)?;
    let args::TablePause { table, reason } = typed;
    let relation = find_attached_table(&store, &table.relation).await?.relation;
    store.pause_table(&relation, reason.as_deref()).await.map_err(|fault| refused(&fault))?;
    let says = format!("{relation} is paused: changes are not heard until it is resumed");
    changed(&store, &relation, table.json, &says).await
}

async fn resume(settings: Settings, url: Option<String>, typed: &args::TableResume) -> Result<(), Failure> {
    let (store, _) = open(settings, url)?;
    let args::TableResume { table, backfill } = typed;
    let relation = find_attached_table(&store, &table.relation).await?.relation;
    store.resume_table(&relation, *backfill).await.map_err(|fault| refused(&fault))?;
    changed(&store, &relation, table.json, &format!("{relation} is active")).await?;
    if *backfill && !table.json {
        backfill::follow(&store, &relation).await?;
    }
    Ok(())
}

/// Prints the table after a change: a sentence for people, or the table as `show` has it for programs.
async fn changed(store: &Store, relation: &str, json: bool, says: &str) -> Result<(), Failure> {
    if json {
        return Ok(output::json(&read(store, relation).await?)?);
    }
    Ok(output::line(says)?)
}

async fn read(store: &Store, relation: &str) -> Result<AttachedTableRow, TableError> {
    let row = store.read_attached_table(relation).await?;
    row.ok_or_else(|| TableError::NotAttached(relation.to_owned()))
}

async fn list(settings: Settings, url: Option<String>, json: bool) -> Result<(), Failure> {
    let (store, _) = open(settings, url)?;
    let rows = store.list_attached_tables().await?;
    if json {
        return Ok(output::json(&rows)?);
    }
    Ok(output::table(HEADINGS, rows.iter().map(summary))?)
}

const HEADINGS: [&str; 7] = ["TABLE", "STATE", "TOPIC", "EVENTS", "OPEN", "STATUS COLUMN", "ERROR"];

fn summary(row: &AttachedTableRow) -> [String; 7] {
    [
        row.relation.clone(),
        row.state.as_str().to_owned(),
        row.topic.clone(),
        row.events.to_string(),
        row.lag_events.to_string(),
        output::or_dash(row.status.as_ref()),
        output::or_dash(row.last_error.as_ref()),
    ]
}

async fn show(settings: Settings, url: Option<String>, typed: &args::TableName) -> Result<(), Failure> {
    let (store, _) = open(settings, url)?;
    let row = find_attached_table(&store, &typed.relation).await?;
    if typed.json {
        return Ok(output::json(&row)?);
    }
    let now = Now::read(&store).await?;
    Ok(output::details(&details(&row, &now))?)
}

fn details(row: &AttachedTableRow, now: &Now) -> Vec<(&'static str, String)> {
    let text = |value: &Option<String>| output::or_dash(value.as_ref());
    let or = |value: &Option<String>, default: &str| value.clone().unwrap_or_else(|| default.to_owned());
    let words = row.status_map.as_ref().map(|map| serde_json::Value::Object(map.clone()).to_string());
    let attached = format!("{} ({})", output::time(&row.attached_at), now.relative(Some(&row.attached_at)));
    vec![
        ("table", row.relation.clone()),
        ("state", row.state.as_str().to_owned()),
        ("reason", text(&row.reason)),
        ("error", text(&row.last_error)),
        ("topic", row.topic.clone()),
        ("payload", row.payload.clone()),
        ("key", or(&row.key, "the primary key")),
        ("destination", or(&row.destination, "whoever subscribes")),
        ("on", row.on.join(",")),
        ("when", or(&row.when, "every row")),
        ("columns", row.columns.as_ref().map_or_else(|| "all".to_owned(), |columns| columns.join(","))),
        ("on error", row.on_error.clone()),
        ("status column", text(&row.status)),
        ("status map", text(&words)),
        ("write back", row.write_back.clone()),
        ("events", row.events.to_string()),
        ("open events", row.lag_events.to_string()),
        ("rows skipped", row.rows_skipped.to_string()),
        (
            "backfill",
            row.backfill_state.map_or_else(|| "-".to_owned(), |state| backfill::progress(row, state)),
        ),
        ("attached", attached),
    ]
}
