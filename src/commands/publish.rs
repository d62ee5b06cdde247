//! `postrider publish`.

use std::io::Read;
use std::time::Duration;

use super::{Failure, headers_json, open, output};
use crate::cli;
use crate::config::{Settings, parse_duration};
use crate::store::NewEvent;
use crate::topics::check_topic;

/// Inserts one event and prints its id.
pub(super) async fn run(
    mut settings: Settings,
    url: Option<String>,
    typed: cli::Publish,
) -> Result<(), Failure> {
    if let Err(fault) = check_topic(&typed.topic) {
        settings.problems.add("topic", &fault.to_string(), None);
    }
    for (name, value, bytes_max) in [
        ("key", &typed.key, 256),
        ("idempotency_key", &typed.idempotency_key, 256),
        ("destination", &typed.destination, 64),
    ] {
        if value.as_ref().is_some_and(|text| !(1..=bytes_max).contains(&text.len())) {
            settings.problems.add(name, &format!("needs 1 to {bytes_max} bytes"), None);
        }
    }
    let year = Duration::from_hours(365 * 24);
    let delay = typed
        .delay
        .and_then(|text| parse_duration("delay", &text, (Duration::ZERO, year), &mut settings.problems));
    let headers = headers_json(&typed.headers, &mut settings.problems);
    let (store, _) = open(settings, url)?;
    let mut payload = typed.payload;
    if payload == "-" {
        payload.clear();
        std::io::stdin().read_to_string(&mut payload)?;
    }
    let event = NewEvent {
        topic: typed.topic,
        payload,
        key: typed.key,
        headers: (!headers.is_empty()).then(|| serde_json::Value::Object(headers).to_string()),
        idempotency_key: typed.idempotency_key,
        destination: typed.destination,
        delay,
    };
    let id = store.insert_event(&event).await?.map(crate::event::EventId::get);
    if typed.json {
        return Ok(output::json(&serde_json::json!({ "id": id }))?);
    }
    let known = || "known: an event with this idempotency key was inserted before".to_owned();
    Ok(output::line(&id.map_or_else(known, |id| id.to_string()))?)
}
