//! `postrider event show|cancel`.

use super::ago::Now;
use super::{Failure, count, delivery, open, output, parse_id};
use crate::config::Settings;
use crate::config::args;
use crate::model::event::EventId;
use crate::store::{Cancelled, EventRow};

/// Runs one of them.
pub(super) async fn run(
    settings: Settings,
    url: Option<String>,
    typed: args::EventArgs,
) -> Result<(), Failure> {
    match typed {
        args::EventArgs::Show(typed) => show(settings, url, &typed).await,
        args::EventArgs::Cancel(typed) => cancel(settings, url, &typed).await,
    }
}

async fn show(mut settings: Settings, url: Option<String>, typed: &args::EventIdArgs) -> Result<(), Failure> {
    let id = parse_id("id", &typed.id, &mut settings.problems);
    let (store, _) = open(settings, url)?;
    let Some(id) = id else { return Ok(()) };
    let Some(row) = store.read_event(EventId::new(id)).await? else {
        return Err(Failure::Failed(format!("event {id} does not exist")));
    };
    if typed.json {
        return Ok(output::json(&row)?);
    }
    output::details(&details(&row))?;
    output::line("")?;
    let now = Now::read(&store).await?;
    let deliveries = row.delivery_list.iter().map(|row| delivery::summary(row, &now));
    Ok(output::table(delivery::HEADINGS, deliveries)?)
}

fn details(row: &EventRow) -> Vec<(&'static str, String)> {
    let too_large = || format!("({} bytes)", row.payload_bytes);
    vec![
        ("event", row.id.to_string()),
        ("webhook id", row.webhook_id.clone()),
        ("topic", row.topic.clone()),
        ("status", row.status.to_string()),
        ("deliveries", output::or_dash(row.deliveries.as_ref())),
        ("open deliveries", output::or_dash(row.open_deliveries.as_ref())),
        ("failed", output::or_dash(row.failed.as_ref())),
        ("reached nobody", output::or_dash(row.reached_nobody.as_ref())),
        ("key", output::or_dash(row.key.as_ref())),
        ("idempotency key", output::or_dash(row.idempotency_key.as_ref())),
        ("destination", output::or_dash(row.destination.as_ref())),
        ("row", output::or_dash(table_row(row).as_ref())),
        ("deliver after", output::time_or_dash(row.deliver_after.as_ref())),
        ("created", output::time(&row.created_at)),
        ("completed", output::time_or_dash(row.completed_at.as_ref())),
        ("cancelled", output::time_or_dash(row.cancelled_at.as_ref())),
        ("payload", row.payload.as_ref().map_or_else(too_large, |payload| payload.get().to_owned())),
    ]
}

/// The row of an attached table that the event tells of, as `public.device 42`.
fn table_row(row: &EventRow) -> Option<String> {
    let key = row.row.as_ref()?.join(", ");
    Some(format!("{} {key}", row.table.as_deref().unwrap_or("a table that is not attached any more,")))
}

async fn cancel(
    mut settings: Settings,
    url: Option<String>,
    typed: &args::EventIdArgs,
) -> Result<(), Failure> {
    let id = parse_id("id", &typed.id, &mut settings.problems);
    let (store, _) = open(settings, url)?;
    let Some(id) = id else { return Ok(()) };
    let cancelled = store.cancel(EventId::new(id)).await?;
    if typed.json {
        return Ok(output::json(&cancelled)?);
    }
    Ok(output::line(&sentence(&cancelled))?)
}

fn sentence(done: &Cancelled) -> String {
    let Cancelled { id, status, cancelled, under_way } = done;
    let given_up = count(i64::from(*cancelled), "delivery", "deliveries");
    let under_way = if *under_way > 0 {
        format!(", {under_way} under way: it may still arrive, and is not retried")
    } else {
        String::new()
    };
    format!("event {id} is {status}; given up: {given_up}{under_way}")
}
