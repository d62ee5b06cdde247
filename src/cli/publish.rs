//! `postrider publish`.

use std::io::Read;
use std::time::Duration;

use super::{Failure, headers_json, open, output};
use crate::config::Settings;
use crate::config::args;
use crate::operations::destination::{DestinationError, check_destination};
use crate::operations::event_spec::EventSpec;
use crate::validation::parse_duration;

/// PostgreSQL holds no longer text.
const PAYLOAD_BYTES_MAX: u64 = 1_000_000_000;

/// Inserts one event and prints its id.
pub(super) async fn run(
    mut settings: Settings,
    url: Option<String>,
    typed: args::Publish,
) -> Result<(), Failure> {
    let year = Duration::from_hours(365 * 24);
    let delay = typed
        .delay
        .and_then(|text| parse_duration("delay", &text, (Duration::ZERO, year), &mut settings.problems));
    let publication = EventSpec {
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
        event.payload = read_payload()?;
    }
    check_destination(&store, &event).await?;
    let id = store.insert_event(&event).await?.map(crate::model::event::EventId::get);
    if typed.json {
        return Ok(output::json(&serde_json::json!({ "id": id }))?);
    }
    let known = || "known: an event with this idempotency key was inserted before".to_owned();
    Ok(output::line(&id.map_or_else(known, |id| id.to_string()))?)
}

impl From<DestinationError> for Failure {
    fn from(fault: DestinationError) -> Self {
        match fault {
            DestinationError::Unknown { .. } => Self::Failed(format!("destination: {fault}")),
            DestinationError::Store(fault) => fault.into(),
        }
    }
}

/// The payload, from stdin.
fn read_payload() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin().take(PAYLOAD_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > PAYLOAD_BYTES_MAX) {
        return Err(Failure::Failed(format!("payload: needs at most {PAYLOAD_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).or(Err(Failure::Failed("payload: stdin needs JSON in UTF-8".to_owned())))
}
