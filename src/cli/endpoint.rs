//! `postrider endpoint put|set|list|show|pause|resume|delete|rotate-secret|test|skip-key`.

mod delete;
mod put;
mod rotate_secret;
mod skip_key;
mod test;

use super::ago::Now;
use super::{Failure, open, output};
use crate::config::Settings;
use crate::config::args;
use crate::model::endpoint::{EndpointHealth, EndpointState, template_of};
use crate::operations::endpoint_spec::check_reason;
use crate::operations::lookup::{existing_endpoint, known};
use crate::rules::retry::{DEFAULT_SCHEDULE, ORDERED_SCHEDULE};
use crate::store::{EndpointRow, Listed, Span, Store};

/// Runs one of them.
pub(super) async fn run(
    settings: Settings,
    url: Option<String>,
    typed: args::EndpointArgs,
) -> Result<(), Failure> {
    match typed {
        args::EndpointArgs::Put(typed) => put::put(settings, url, *typed).await,
        args::EndpointArgs::Set(typed) => put::set(settings, url, *typed).await,
        args::EndpointArgs::List(typed) => list(settings, url, &typed).await,
        args::EndpointArgs::Show(typed) => show(settings, url, &typed).await,
        args::EndpointArgs::Pause(typed) => {
            let mut settings = settings;
            check_reason(typed.reason.as_deref(), &mut settings.problems);
            let (store, _) = open(settings, url)?;
            let paused = store.pause_endpoint(&typed.id, typed.reason.as_deref()).await;
            known(&store, &typed.id, paused).await?;
            changed(&store, &typed.id, typed.json, "is paused; its deliveries wait").await
        }
        args::EndpointArgs::Resume(typed) => {
            let (store, _) = open(settings, url)?;
            known(&store, &typed.id, store.resume_endpoint(&typed.id).await).await?;
            let is = resumed(&store, &typed.id).await?;
            changed(&store, &typed.id, typed.json, &is).await
        }
        args::EndpointArgs::Delete(typed) => delete::run(settings, url, &typed).await,
        args::EndpointArgs::RotateSecret(typed) => rotate_secret::run(settings, url, &typed).await,
        args::EndpointArgs::Test(typed) => test::run(settings, url, &typed).await,
        args::EndpointArgs::SkipKey(typed) => skip_key::run(settings, url, typed).await,
    }
}

/// Prints the endpoint after a change: a sentence for people, or the endpoint as `show` has it for programs.
async fn changed(store: &Store, id: &str, json: bool, is: &str) -> Result<(), Failure> {
    if json {
        return Ok(output::json(&existing_endpoint(store, id).await?)?);
    }
    Ok(output::line(&format!("{id} {is}"))?)
}

/// What a resumed endpoint is. One of a template stays paused with the template.
async fn resumed(store: &Store, id: &str) -> Result<String, Failure> {
    let is = "is enabled".to_owned();
    let Some(template) = template_of(id) else { return Ok(is) };
    let state = existing_endpoint(store, id).await?.state;
    Ok(if state == EndpointState::Enabled {
        is
    } else {
        format!("{is}, but its template {template} is {state}; its deliveries wait")
    })
}

async fn list(settings: Settings, url: Option<String>, typed: &args::EndpointList) -> Result<(), Failure> {
    let (store, _) = open(settings, url)?;
    let listed = Listed::new(typed.template.as_deref(), typed.all);
    let rows = store.list_endpoints(listed, None, ENDPOINTS_MAX).await?;
    if let Some(template) = typed.template.as_ref().filter(|_| rows.is_empty()) {
        // An unknown name is told from a template without endpoints.
        existing_endpoint(&store, template).await?;
    }
    if typed.json {
        return Ok(output::json(&rows)?);
    }
    let now = Now::read(&store).await?;
    Ok(output::table(HEADINGS, rows.iter().map(|row| summary(row, &now)))?)
}

/// The columns that fit on one screen.
pub(super) const ENDPOINTS_MAX: i64 = 10_000;

pub(super) const HEADINGS: [&str; 8] =
    ["ENDPOINT", "HEALTH", "SINCE", "PENDING", "FAILED ATTEMPTS 24H", "COMPLETE 24H", "CAUSE", "URL"];

pub(super) fn summary(row: &EndpointRow, now: &Now) -> [String; 8] {
    [
        row.id.clone(),
        row.health.to_string(),
        now.relative(row.health_since.as_ref()),
        (row.pending + row.children.map_or(0, |children| children.pending)).to_string(),
        row.failed_attempts_24h.to_string(),
        row.complete_24h.to_string(),
        cause(row, now),
        row.url.clone(),
    ]
}

/// Why it is not healthy, and when it is tried again. Of a template, how its endpoints are.
fn cause(row: &EndpointRow, now: &Now) -> String {
    let cause = match (&row.children, &row.cause) {
        (Some(children), Some(cause)) => format!("{cause}; {children}"),
        (Some(children), None) => children.to_string(),
        (None, cause) => output::or_dash(cause.as_ref()),
    };
    match row.health {
        EndpointHealth::Down => format!("{cause}; next probe {}", now.relative(row.next_probe_at.as_ref())),
        EndpointHealth::Healthy
        | EndpointHealth::Failing
        | EndpointHealth::Paused
        | EndpointHealth::Disabled => cause,
    }
}

async fn show(settings: Settings, url: Option<String>, typed: &args::EndpointId) -> Result<(), Failure> {
    let (store, _) = open(settings, url)?;
    let row = existing_endpoint(&store, &typed.id).await?;
    if typed.json {
        return Ok(output::json(&row)?);
    }
    let now = Now::read(&store).await?;
    Ok(output::details(&details(&row, &now))?)
}

/// The delays that count for it.
fn schedule(row: &EndpointRow) -> String {
    let list = |delays: &[Span]| delays.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    match (&row.retry_schedule, &ORDERED_SCHEDULE) {
        (Some(own), _) => list(own),
        (None, [first, second, rest @ ..]) if row.ordered => {
            format!("{}, then {} times {}", Span(*first), rest.len() + 1, Span(*second))
        }
        (None, _) => list(&DEFAULT_SCHEDULE.map(Span)),
    }
}

fn details(row: &EndpointRow, now: &Now) -> Vec<(&'static str, String)> {
    let text = |value: &Option<String>| output::or_dash(value.as_ref());
    let time = |value: &Option<String>| match value {
        Some(text) => format!("{} ({})", output::time(text), now.relative(value.as_ref())),
        None => output::or_dash(None::<&String>),
    };
    vec![
        ("endpoint", row.id.clone()),
        ("description", text(&row.description)),
        ("url", row.url.clone()),
        ("health", row.health.to_string()),
        ("cause", text(&row.cause)),
        ("since", time(&row.health_since)),
        ("next probe", time(&row.next_probe_at)),
        ("held until", time(&row.held_until)),
        ("state", row.state.to_string()),
        ("reason", text(&row.reason)),
        ("topics", row.topics.join(",")),
        ("max in flight", row.max_in_flight.to_string()),
        ("rate limit", text(&row.rate_limit)),
        (
            "timeout",
            row.timeout.map_or_else(|| "of the dispatcher".to_owned(), |timeout| timeout.to_string()),
        ),
        ("retry schedule", schedule(row)),
        ("ordered", yes_or_dash(row.ordered)),
        ("on failed", output::or_dash(row.ordered.then_some(row.on_failed).as_ref())),
        ("format", row.format.to_string()),
        ("public key", text(&row.public_key)),
        ("login", yes_or_dash(row.has_auth)),
        ("authorities of its own", yes_or_dash(row.ca_certificates.is_some())),
        ("client certificate", yes_or_dash(row.has_client_certificate)),
        ("template", text(&row.template_id)),
        ("allow http", output::or_dash(row.allow_http.as_ref())),
        ("allow cidr", output::or_dash(row.allow_cidr.as_ref().map(|ranges| ranges.join(",")).as_ref())),
        ("endpoints of it", output::or_dash(row.children.as_ref())),
        ("pending", row.pending.to_string()),
        ("in progress", row.in_progress.to_string()),
        ("failed attempts 24h", row.failed_attempts_24h.to_string()),
        ("failed 24h", row.failed_24h.to_string()),
        ("complete 24h", row.complete_24h.to_string()),
        ("oldest pending", time(&row.oldest_pending_at)),
        ("last success", time(&row.last_success_at)),
        ("last failure", time(&row.last_failure_at)),
        ("consecutive failures", row.consecutive_failures.to_string()),
        ("circuit", row.circuit.to_string()),
        ("failing since", time(&row.failing_since)),
        ("disabled", time(&row.disabled_at)),
    ]
}

fn yes_or_dash(is_so: bool) -> String {
    output::or_dash(is_so.then(|| "yes".to_owned()).as_ref())
}
