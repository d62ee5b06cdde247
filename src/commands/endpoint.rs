//! `postrider endpoint put|list|show|pause|resume`.

use std::time::Duration;

use super::{Failure, headers_json, open, output};
use crate::cli;
use crate::config::{Problems, Settings, parse_duration, parse_number};
use crate::endpoint::{RateLimit, SigningSecret};
use crate::retry::DEFAULT_SCHEDULE;
use crate::store::{EndpointPut, EndpointRow};
use crate::topics::TopicPattern;

/// Runs one of them.
pub(super) async fn run(
    settings: Settings,
    url: Option<String>,
    typed: cli::Endpoint,
) -> Result<(), Failure> {
    match typed {
        cli::Endpoint::Put(typed) => put(settings, url, *typed).await,
        cli::Endpoint::List(typed) => list(settings, url, typed.json).await,
        cli::Endpoint::Show(typed) => show(settings, url, &typed).await,
        cli::Endpoint::Pause(typed) => {
            let (store, _) = open(settings, url)?;
            store.pause_endpoint(&typed.id, typed.reason.as_deref()).await?;
            Ok(output::line(&format!("{} is paused; its deliveries wait", typed.id))?)
        }
        cli::Endpoint::Resume(typed) => {
            let (store, _) = open(settings, url)?;
            store.resume_endpoint(&typed.id).await?;
            Ok(output::line(&format!("{} is enabled", typed.id))?)
        }
    }
}

async fn put(mut settings: Settings, url: Option<String>, typed: cli::EndpointPut) -> Result<(), Failure> {
    let policy = settings.egress(&typed.egress);
    if let Err(refused) = policy.judge_text(&typed.url) {
        settings.problems.add("url", &refused.to_string(), None);
    }
    let json = typed.json;
    let put = check_put(typed, &mut settings.problems);
    // Reports what is wrong with the arguments and with the database's URL together.
    let (store, _) = open(settings, url)?;
    let Some(put) = put else { return Ok(()) };
    let result = store.put_endpoint(&put).await?;
    if json {
        return Ok(output::json(&result)?);
    }
    output::line(&format!("{} {}", result.endpoint_id, result.result))?;
    if let Some(secret) = result.secret {
        output::line(&format!("signing secret, shown this once: {secret}"))?;
    }
    Ok(())
}

/// Reads every argument before it gives up, so that all faults are reported.
fn check_put(typed: cli::EndpointPut, problems: &mut Problems) -> Option<EndpointPut> {
    check_id(&typed.id, problems);
    check_texts(&typed, problems);
    let headers = headers_json(&typed.headers, problems);
    let range = (Duration::from_millis(100), Duration::from_mins(5));
    let timeout = typed.timeout.map(|text| parse_duration("timeout", &text, range, problems));
    let retry_schedule = typed.retry_schedule.map(|texts| check_schedule(&texts, problems));
    let max_in_flight = parse_number("max_in_flight", &typed.max_in_flight, 10_000, problems);
    Some(EndpointPut {
        id: typed.id,
        url: typed.url,
        topics: typed.topics,
        headers: serde_json::Value::Object(headers).to_string(),
        secret: typed.secret,
        max_in_flight: i32::try_from(max_in_flight?).unwrap_or(i32::MAX),
        rate_limit: typed.rate_limit,
        timeout: match timeout {
            Some(timeout) => Some(timeout?),
            None => None,
        },
        retry_schedule: match retry_schedule {
            Some(schedule) => Some(schedule?),
            None => None,
        },
        ordered: typed.ordered,
    })
}

fn check_id(id: &str, problems: &mut Problems) {
    let is_valid = (1..=64).contains(&id.len())
        && !id.starts_with('.')
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !is_valid {
        problems.add("id", "needs 1 to 64 of A-Z a-z 0-9 . _ -, not starting with a full stop", Some(id));
    }
}

fn check_texts(typed: &cli::EndpointPut, problems: &mut Problems) {
    if typed.topics.len() > 100 {
        problems.add("topics", "needs at most 100 patterns", None);
    }
    for topic in &typed.topics {
        if let Err(fault) = topic.parse::<TopicPattern>() {
            problems.add("topics", &format!("pattern {fault}"), Some(topic));
        }
    }
    if let Some(Err(fault)) = typed.secret.as_deref().map(str::parse::<SigningSecret>) {
        problems.add("secret", &fault.to_string(), None);
    }
    if let Some(text) = &typed.rate_limit
        && let Err(fault) = text.parse::<RateLimit>()
    {
        problems.add("rate_limit", &fault.to_string(), Some(text));
    }
    if typed.ordered {
        problems.add("ordered", "is not available yet", None);
    }
}

fn check_schedule(texts: &[String], problems: &mut Problems) -> Option<Vec<Duration>> {
    if texts.len() > 50 {
        problems.add("retry_schedule", "needs 1 to 50 delays", None);
    }
    let range = (Duration::from_millis(1), Duration::from_hours(7 * 24));
    let delays: Vec<Option<Duration>> =
        texts.iter().map(|text| parse_duration("retry_schedule", text, range, problems)).collect();
    delays.into_iter().collect()
}

async fn list(settings: Settings, url: Option<String>, json: bool) -> Result<(), Failure> {
    let (store, _) = open(settings, url)?;
    let rows = store.list_endpoints(None).await?;
    if json {
        return Ok(output::json(&rows)?);
    }
    Ok(output::table(HEADINGS, rows.iter().map(summary))?)
}

pub(super) const HEADINGS: [&str; 7] =
    ["ENDPOINT", "STATE", "PENDING", "IN PROGRESS", "FAILED 24H", "COMPLETE 24H", "URL"];

pub(super) fn summary(row: &EndpointRow) -> [String; 7] {
    [
        row.endpoint_id.clone(),
        row.state.clone(),
        row.pending.to_string(),
        row.in_progress.to_string(),
        row.failed_24h.to_string(),
        row.complete_24h.to_string(),
        row.url.clone(),
    ]
}

async fn show(settings: Settings, url: Option<String>, typed: &cli::EndpointShow) -> Result<(), Failure> {
    let (store, _) = open(settings, url)?;
    let rows = store.list_endpoints(Some(&typed.id)).await?;
    let Some(row) = rows.first() else {
        return Err(Failure::Failed(format!("endpoint \"{}\" does not exist", typed.id)));
    };
    if typed.json {
        return Ok(output::json(row)?);
    }
    Ok(output::table(["", ""], details(row))?)
}

fn details(row: &EndpointRow) -> Vec<[String; 2]> {
    let ms = |ms: i64| {
        humantime::format_duration(Duration::from_millis(u64::try_from(ms).unwrap_or_default())).to_string()
    };
    let default =
        || DEFAULT_SCHEDULE.iter().map(|d| humantime::format_duration(*d).to_string()).collect::<Vec<_>>();
    let schedule = row
        .retry_schedule_ms
        .as_ref()
        .map_or_else(default, |delays| delays.iter().copied().map(ms).collect());
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let pairs = [
        ("endpoint", row.endpoint_id.clone()),
        ("url", row.url.clone()),
        ("state", row.state.clone()),
        ("reason", text(&row.reason)),
        ("topics", row.topics.join(",")),
        ("max in flight", row.max_in_flight.to_string()),
        ("rate limit", text(&row.rate_limit)),
        ("timeout", row.timeout_ms.map_or_else(|| "of the dispatcher".to_owned(), ms)),
        ("retry schedule", schedule.join(",")),
        ("pending", row.pending.to_string()),
        ("in progress", row.in_progress.to_string()),
        ("failed 24h", row.failed_24h.to_string()),
        ("complete 24h", row.complete_24h.to_string()),
        ("oldest pending", text(&row.oldest_pending_at)),
        ("last success", text(&row.last_success_at)),
        ("last failure", text(&row.last_failure_at)),
        ("consecutive failures", row.consecutive_failures.to_string()),
    ];
    pairs.into_iter().map(|(name, value)| [name.to_owned(), value]).collect()
}
