//! `postrider delivery list|show|retry|skip`.

use serde_json::{Value, json};

use super::ago::Now;
use super::progress::{Repeated, STEP, interrupted, repeat};
use super::{Failure, count, open, output, parse_id};
use crate::config::Settings;
use crate::config::args;
use crate::model::delivery::{DeliveryId, WaitsFor};
use crate::operations::lookup::{known, list_deliveries};
use crate::operations::replay::resolve;
use crate::operations::skip::check_skip_reason;
use crate::store::{
    AttemptRow, DeliveryDetail, DeliveryFilter, DeliveryPage, DeliveryRow, Status, Store, one_line,
};
use crate::validation::{Problems, TimeArgument, parse_number};

const LIMIT_MAX: usize = 10_000;
/// The statement's own limit.
const PAGE_MAX: usize = 1_000;

pub(super) const HEADINGS: [&str; 10] = [
    "DELIVERY",
    "EVENT",
    "ENDPOINT",
    "TOPIC",
    "STATUS",
    "ATTEMPTS",
    "WAITS FOR",
    "NEXT ATTEMPT",
    "CODE",
    "ERROR",
];

/// Runs one of them.
pub(super) async fn run(
    settings: Settings,
    url: Option<String>,
    typed: args::Delivery,
) -> Result<(), Failure> {
    match typed {
        args::Delivery::List(typed) => list(settings, url, typed).await,
        args::Delivery::Show(typed) => show(settings, url, &typed).await,
        args::Delivery::Retry(typed) => match typed.endpoint.clone() {
            Some(endpoint) => retry_failed(settings, url, &endpoint, &typed).await,
            None => retry(settings, url, &typed).await,
        },
        args::Delivery::Skip(typed) => skip(settings, url, &typed).await,
    }
}

async fn list(mut settings: Settings, url: Option<String>, typed: args::DeliveryList) -> Result<(), Failure> {
    let json = typed.json;
    let checked = check_list(typed, &mut settings.problems);
    let (store, _) = open(settings, url)?;
    let Some((filter, limit)) = checked else { return Ok(()) };
    let page = read_pages(&store, filter, limit).await?;
    if json {
        return Ok(output::json(&page)?);
    }
    let now = Now::read(&store).await?;
    output::table(HEADINGS, page.deliveries.iter().map(|row| summary(row, &now)))?;
    if let Some(before) = page.next_before
        && output::is_aside_watched()
    {
        output::aside(&format!("There are more: --before {before}\n"))?;
    }
    Ok(())
}

fn check_list(typed: args::DeliveryList, problems: &mut Problems) -> Option<(DeliveryFilter, usize)> {
    let status = typed.status.map(|text| {
        let status = [Status::Pending, Status::InProgress, Status::Complete, Status::Failed]
            .into_iter()
            .find(|status| status.as_str() == text);
        if status.is_none() {
            problems.add("status", "needs pending, in_progress, complete or failed", Some(&text));
        }
        status
    });
    let event_id = typed.event.map(|text| parse_id("event", &text, problems));
    let before = typed.before.map(|text| parse_id("before", &text, problems));
    let limit = parse_number("limit", &typed.limit, LIMIT_MAX, problems)?;
    let filter = DeliveryFilter {
        endpoint_id: typed.endpoint,
        status: status.flatten(),
        event_id: event_id.flatten(),
        topic: typed.topic,
        before: before.flatten(),
    };
    Some((filter, limit))
}

/// A page of the store may be empty although there is more: goes on until there are enough.
async fn read_pages(
    store: &Store,
    mut filter: DeliveryFilter,
    limit: usize,
) -> Result<DeliveryPage, Failure> {
    let mut all = Vec::new();
    loop {
        let missing = limit.saturating_sub(all.len());
        let rows_max = i64::try_from(missing.min(PAGE_MAX)).unwrap_or(1);
        let mut page = list_deliveries(store, &filter, rows_max).await?;
        all.append(&mut page.deliveries);
        if page.next_before.is_none() || all.len() >= limit {
            page.deliveries = all;
            return Ok(page);
        }
        filter.before = page.next_before;
    }
}

pub(super) fn summary(row: &DeliveryRow, now: &Now) -> [String; 10] {
    [
        row.id.to_string(),
        row.event_id.to_string(),
        output::or_dash(row.endpoint_id.as_ref()),
        output::or_dash(row.topic.as_ref()),
        row.status.to_string(),
        row.attempts.to_string(),
        output::or_dash(row.waits_for.as_ref()),
        now.relative(next_attempt(row)),
        output::or_dash(row.last_status_code.as_ref()),
        output::or_dash(row.last_error.as_ref()),
    ]
}

/// When the next attempt may come. `None` if that depends on something else than time.
fn next_attempt(row: &DeliveryRow) -> Option<&String> {
    match row.waits_for? {
        WaitsFor::Circuit => row.next_probe_at.as_ref(),
        WaitsFor::Pause | WaitsFor::Key => None,
        WaitsFor::Due | WaitsFor::Retry | WaitsFor::Slot | WaitsFor::Later => row.next_attempt_at.as_ref(),
    }
}

async fn show(
    mut settings: Settings,
    url: Option<String>,
    typed: &args::DeliveryShow,
) -> Result<(), Failure> {
    let id = parse_id("id", &typed.id, &mut settings.problems);
    let (store, _) = open(settings, url)?;
    let Some(id) = id else { return Ok(()) };
    let Some(detail) = store.read_delivery(DeliveryId::new(id)).await? else {
        return Err(Failure::Failed(format!("delivery {id} does not exist")));
    };
    if typed.json {
        return Ok(output::json(&detail)?);
    }
    print(&detail)
}

fn print(detail: &DeliveryDetail) -> Result<(), Failure> {
    let DeliveryDetail { delivery: row, attempt_log } = detail;
    output::details(&[
        ("delivery", row.id.to_string()),
        ("event", row.event_id.to_string()),
        ("webhook id", output::or_dash(row.webhook_id.as_ref())),
        ("endpoint", output::or_dash(row.endpoint_id.as_ref())),
        ("topic", output::or_dash(row.topic.as_ref())),
        ("key", output::or_dash(row.key.as_ref())),
        ("status", row.status.to_string()),
        ("attempts", row.attempts.to_string()),
        ("waits for", output::or_dash(row.waits_for.as_ref())),
        ("next attempt", output::time_or_dash(next_attempt(row))),
        ("last error", output::or_dash(row.last_error.as_ref())),
        ("created", output::time(&row.created_at)),
        ("completed", output::time_or_dash(row.completed_at.as_ref())),
        ("failed", output::time_or_dash(row.failed_at.as_ref())),
        ("cancelled", output::time_or_dash(row.cancelled_at.as_ref())),
    ])?;
    output::line("")?;
    let headings = ["ATTEMPT", "STARTED", "MS", "CODE", "ERROR", "RESPONSE"];
    Ok(output::table(headings, attempt_log.iter().map(attempt))?)
}

fn attempt(row: &AttemptRow) -> [String; 6] {
    [
        row.attempt.to_string(),
        output::time(&row.started_at),
        row.duration_ms.to_string(),
        output::or_dash(row.status_code.as_ref()),
        output::or_dash(row.error.as_ref()),
        output::or_dash(row.response_excerpt.as_ref()),
    ]
}

/// Each of them, whatever becomes of the others.
async fn retry(
    mut settings: Settings,
    url: Option<String>,
    typed: &args::DeliveryRetry,
) -> Result<(), Failure> {
    let ids: Vec<Option<i64>> =
        typed.ids.iter().map(|text| parse_id("id", text, &mut settings.problems)).collect();
    let (store, _) = open(settings, url)?;
    let (mut retried, mut refused) = (Vec::new(), Vec::new());
    for id in ids.into_iter().flatten() {
        match store.retry(DeliveryId::new(id)).await {
            Ok(done) => retried.push((id, done)),
            Err(fault) => refused.push((id, one_line(&fault))),
        }
    }
    if typed.json {
        let ids: Vec<i64> = retried.iter().map(|(id, _)| *id).collect();
        let behind: Vec<i64> = retried.iter().filter(|(_, done)| done.is_behind).map(|(id, _)| *id).collect();
        output::json(&json!({ "retried": ids, "behind": behind, "refused": refused_json(&refused) }))?;
    } else {
        for (id, done) in &retried {
            let is = if done.is_behind {
                "waits for its turn: others of its key come first"
            } else {
                "is due now"
            };
            output::line(&format!("delivery {id} {is}"))?;
        }
    }
    all_done(refused)
}

/// Each of them, whatever becomes of the others.
async fn skip(
    mut settings: Settings,
    url: Option<String>,
    typed: &args::DeliverySkip,
) -> Result<(), Failure> {
    let ids: Vec<Option<i64>> =
        typed.ids.iter().map(|text| parse_id("id", text, &mut settings.problems)).collect();
    check_skip_reason(&typed.reason, &mut settings.problems);
    let (store, _) = open(settings, url)?;
    let (mut skipped, mut refused) = (Vec::new(), Vec::new());
    for id in ids.into_iter().flatten() {
        match store.skip(DeliveryId::new(id), &typed.reason).await {
            Ok(()) => skipped.push(id),
            Err(fault) => refused.push((id, one_line(&fault))),
        }
    }
    if typed.json {
        output::json(&json!({ "skipped": skipped, "refused": refused_json(&refused) }))?;
    } else {
        for id in &skipped {
            output::line(&format!("delivery {id} is skipped"))?;
        }
    }
    all_done(refused)
}

fn refused_json(refused: &[(i64, String)]) -> Vec<Value> {
    refused.iter().map(|(id, error)| json!({ "id": id, "error": error })).collect()
}

/// A failure if any was refused.
fn all_done(refused: Vec<(i64, String)>) -> Result<(), Failure> {
    if refused.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = refused.into_iter().map(|(_, error)| error).collect();
    Err(Failure::Failed(lines.join("\n")))
}

/// All that was given up for an endpoint, a step at a time.
async fn retry_failed(
    mut settings: Settings,
    url: Option<String>,
    endpoint_id: &str,
    typed: &args::DeliveryRetry,
) -> Result<(), Failure> {
    let since = typed.since.as_ref().map(|text| TimeArgument::parse("since", text, &mut settings.problems));
    let (store, _) = open(settings, url)?;
    let since = match since.flatten() {
        Some(moment) => Some(resolve(&store, moment).await?),
        None => None,
    };
    let step = async || {
        known(&store, endpoint_id, store.retry_failed(endpoint_id, since.as_deref(), STEP).await).await
    };
    let Repeated { rows: retried, is_interrupted } = repeat("retrying", step).await?;
    if typed.json {
        output::json(&json!({ "endpoint_id": endpoint_id, "since": since, "retried": retried }))?;
    } else {
        output::line(&format!("due now: {}", count(retried, "delivery", "deliveries")))?;
    }
    if is_interrupted { Err(interrupted()) } else { Ok(()) }
}
