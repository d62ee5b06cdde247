//! `postrider publish`.

use std::io::Read;
use std::time::Duration;

use super::{Failure, headers_json, open, output};
use crate::config::Settings;
use crate::config::args;
use crate::operations::destination::{DestinationError, check_destination};
use crate::operations::event_spec::EventSpec;
use crate::store::{DatabaseRefusal, Published, StoreError, one_line, refusal};
use crate::validation::parse_duration;

/// PostgreSQL holds no longer text.
const PAYLOAD_BYTES_MAX: u64 = 1_000_000_000;

/// Inserts one event and prints its id. If its idempotency key is known, prints the id of the first event.
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
    let Published { event_id, webhook_id, is_repeat } = store.publish(&event).await.map_err(refused)?;
    let id = event_id.get();
    if typed.json {
        let published = serde_json::json!({ "id": id, "webhook_id": webhook_id, "is_repeat": is_repeat });
        return Ok(output::json(&published)?);
    }
    // A script reads the id from stdout, repeat or not.
    if is_repeat {
        output::aside(&format!("repeat: event {id} has this idempotency key; nothing was inserted\n"))?;
    }
    Ok(output::line(&id.to_string())?)
}

/// A value that the database refuses is wrong usage, like one that we refuse.
fn refused(fault: StoreError) -> Failure {
    match refusal(&fault) {
        Some(DatabaseRefusal::Invalid) => Failure::Usage(one_line(&fault)),
        _ => fault.into(),
    }
}

impl From<DestinationError> for Failure {
    fn from(fault: DestinationError) -> Self {
        match fault {
            DestinationError::Unknown(_)
            | DestinationError::Template(_)
            | DestinationError::Misfit { .. } => Self::Failed(format!("destination: {fault}")),
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
