//! `postrider publish`.

use std::io::Read;
use std::time::Duration;

use super::{Failure, headers_json, open, output};
use crate::cli;
use crate::config::{Settings, parse_duration};
use crate::registration::Publication;

/// Inserts one event and prints its id.
pub(super) async fn run(
    mut settings: Settings,
    url: Option<String>,
    typed: cli::Publish,
) -> Result<(), Failure> {
    let year = Duration::from_hours(365 * 24);
    let delay = typed
        .delay
        .and_then(|text| parse_duration("delay", &text, (Duration::ZERO, year), &mut settings.problems));
    let publication = Publication {
        topic: typed.topic,
        payload: typed.payload,
        key: typed.key,
        headers: headers_json(&typed.headers, &mut settings.problems),
        idempotency_key: typed.idempotency_key,
        destination: typed.destination,
        delay,
        deliver_after: None,
    };
    let mut event = publication.check(&mut settings.problems);
    let (store, _) = open(settings, url)?;
    if event.payload == "-" {
        event.payload.clear();
        std::io::stdin().read_to_string(&mut event.payload)?;
    }
    let id = store.insert_event(&event).await?.map(crate::event::EventId::get);
    if typed.json {
        return Ok(output::json(&serde_json::json!({ "id": id }))?);
    }
    let known = || "known: an event with this idempotency key was inserted before".to_owned();
    Ok(output::line(&id.map_or_else(known, |id| id.to_string()))?)
}
