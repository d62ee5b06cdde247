//! `postrider endpoint test`: one event for one endpoint, through everything that real events go through.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::super::{Failure, open, output};
use super::read;
use crate::cli::signals::Signals;
use crate::config::Settings;
use crate::config::args;
use crate::model::event::EventId;
use crate::store::{AttemptRow, DeliveryDetail, EndpointRow, NewEvent, Status, Store};
use crate::validation::parse_duration;

const TOPIC: &str = "postrider.test";
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// What it came to.
#[derive(Serialize)]
struct Tested<'a> {
    endpoint_id: &'a str,
    event_id: i64,
    delivery_id: Option<i64>,
    is_delivered: bool,
    status_code: Option<i16>,
    duration_ms: Option<i32>,
    error: Option<String>,
    response_excerpt: Option<String>,
}

/// How the wait for the first attempt ended.
enum Waited {
    Attempted(Box<DeliveryDetail>),
    InVain,
    Interrupted,
}

/// Sends it, waits for its first attempt, and shows what came back.
pub(super) async fn run(
    mut settings: Settings,
    url: Option<String>,
    typed: &args::EndpointTest,
) -> Result<(), Failure> {
    let range = (Duration::from_millis(100), Duration::from_hours(1));
    let wait = parse_duration("wait", &typed.wait, range, &mut settings.problems);
    let (store, _) = open(settings, url)?;
    let Some(wait) = wait else { return Ok(()) };
    let endpoint = read(&store, &typed.id).await?;
    refuse_unless_enabled(&endpoint)?;
    let mut signals = Signals::install()?;
    let id = insert(&store, &endpoint.id).await?;
    let waited = tokio::select! {
        attempted = first_attempt(&store, id) => Waited::Attempted(Box::new(attempted?)),
        () = tokio::time::sleep(wait) => Waited::InVain,
        _ = signals.next() => Waited::Interrupted,
    };
    let (tested, why_failed) = match waited {
        Waited::Attempted(detail) => {
            let tested = tested(&endpoint.id, id, Some(&detail));
            if tested.is_delivered {
                return report(typed.json, &tested, None);
            }
            (tested, format!("endpoint \"{}\" did not accept the test", endpoint.id))
        }
        Waited::InVain => (tested(&endpoint.id, id, None), why_nothing_came(&store, &endpoint, id).await?),
        Waited::Interrupted => {
            (tested(&endpoint.id, id, None), "interrupted before there was an answer".to_owned())
        }
    };
    // It would be retried for days.
    store.cancel(id).await?;
    report(typed.json, &tested, Some(why_failed))
}

fn refuse_unless_enabled(endpoint: &EndpointRow) -> Result<(), Failure> {
    if endpoint.state == "enabled" {
        return Ok(());
    }
    let reason =
        endpoint.reason.as_ref().map(|why| format!(" ({})", output::printable(why))).unwrap_or_default();
    let EndpointRow { id, state, .. } = endpoint;
    Err(Failure::Failed(format!(
        "endpoint \"{id}\" is {state}{reason}: nothing is sent to it; to enable it: postrider endpoint resume {id}"
    )))
}

async fn insert(store: &Store, endpoint_id: &str) -> Result<EventId, Failure> {
    let event = NewEvent {
        topic: TOPIC.to_owned(),
        payload: json!({ "test": true, "endpoint_id": endpoint_id }).to_string(),
        destination: Some(endpoint_id.to_owned()),
        ..NewEvent::default()
    };
    store.hasten_probe(endpoint_id).await?;
    let id = store.insert_event(&event).await?;
    id.ok_or_else(|| Failure::Failed("the test event was not inserted".to_owned()))
}

/// Waits until there is an attempt.
async fn first_attempt(store: &Store, id: EventId) -> Result<DeliveryDetail, Failure> {
    loop {
        let event = store.read_event(id).await?;
        let delivery = event.and_then(|event| event.delivery_list.into_iter().next());
        // Claimed again already, if the endpoint's first delay is short: the first attempt is all that is asked for.
        if let Some(row) = delivery.filter(|row| row.attempts > 0)
            && let Some(detail) = store.read_delivery(crate::model::delivery::DeliveryId::new(row.id)).await?
            && !detail.attempt_log.is_empty()
        {
            return Ok(detail);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn why_nothing_came(store: &Store, endpoint: &EndpointRow, id: EventId) -> Result<String, Failure> {
    let is_anyone_there = store.read_dispatchers().await?.iter().any(|dispatcher| dispatcher.is_live);
    if !is_anyone_there {
        return Ok("no dispatcher runs: start postrider run".to_owned());
    }
    let event = store.read_event(id).await?;
    let delivery = event.and_then(|event| event.delivery_list.into_iter().next());
    Ok(match delivery {
        None => "no dispatcher took the event in time; see postrider doctor".to_owned(),
        Some(row) if row.status == Status::InProgress => {
            format!("the attempt is still under way: endpoint \"{}\" does not answer", endpoint.id)
        }
        Some(_) => format!(
            "endpoint \"{}\" had no room for the attempt: {} under way, {} waiting",
            endpoint.id, endpoint.in_progress, endpoint.pending
        ),
    })
}

fn tested<'a>(endpoint_id: &'a str, id: EventId, detail: Option<&DeliveryDetail>) -> Tested<'a> {
    let attempt: Option<&AttemptRow> = detail.and_then(|detail| detail.attempt_log.first());
    Tested {
        endpoint_id,
        event_id: id.get(),
        delivery_id: detail.map(|detail| detail.delivery.id),
        is_delivered: attempt.is_some_and(|attempt| attempt.error.is_none()),
        status_code: attempt.and_then(|attempt| attempt.status_code),
        duration_ms: attempt.map(|attempt| attempt.duration_ms),
        error: attempt.and_then(|attempt| attempt.error.clone()),
        response_excerpt: attempt.and_then(|attempt| attempt.response_excerpt.clone()),
    }
}

fn report(json: bool, tested: &Tested<'_>, why_failed: Option<String>) -> Result<(), Failure> {
    if json {
        output::json(tested)?;
    } else if tested.delivery_id.is_some() {
        output::details(&[
            ("status", if tested.is_delivered { "complete" } else { "failed" }.to_owned()),
            ("event", tested.event_id.to_string()),
            ("status code", output::or_dash(tested.status_code.as_ref())),
            ("duration", tested.duration_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms}ms"))),
            ("error", output::or_dash(tested.error.as_ref())),
            ("response", output::or_dash(tested.response_excerpt.as_ref())),
        ])?;
    }
    why_failed.map_or(Ok(()), |why| Err(Failure::Failed(why)))
}
