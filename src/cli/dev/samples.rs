//! The sample events of `dev`. They name its endpoint, so that they reach no other.

use std::time::Duration;

use super::ENDPOINT;
use crate::cli::Failure;
use crate::model::event::EventId;
use crate::model::random::random;
use crate::store::{NewEvent, Samples, Status, Store};

/// These mark the samples in any database.
pub(super) const SAMPLES: Samples<'static> =
    Samples { endpoint_id: ENDPOINT, topic: "dev.sample", key_prefix: "postrider-dev-" };
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Inserts samples, one after the other; without end, unless `events` says how many: then it waits until these are settled.
pub(super) async fn publish(store: &Store, every: Duration, events: Option<u32>) -> Result<(), Failure> {
    // Each run has keys of its own.
    let run = u64::from_le_bytes(random::<8>().map_err(anyhow::Error::from)?);
    let mut open: Vec<EventId> = Vec::new();
    for number in 1..=events.unwrap_or(u32::MAX) {
        let event = NewEvent {
            topic: SAMPLES.topic.to_owned(),
            payload: payload(number),
            idempotency_key: Some(format!("{}{run:016x}-{number}", SAMPLES.key_prefix)),
            destination: Some(ENDPOINT.to_owned()),
            ..NewEvent::default()
        };
        let published = store.publish(&event).await?;
        open.extend(events.map(|_| published.event_id));
        tokio::time::sleep(every).await;
    }
    // A stop finishes only the requests under way. The other deliveries would wait for the next start.
    while let Some(id) = open.last() {
        match store.read_event_status(*id).await? {
            Some(Status::Pending | Status::InProgress) => tokio::time::sleep(LOOK_PAUSE).await,
            Some(Status::Complete | Status::Failed) | None => drop(open.pop()),
        }
    }
    Ok(())
}

/// The payload of a sample.
fn payload(number: u32) -> String {
    format!("{{\"sample\": {number}}}")
}

/// Whether a body is the payload of a sample.
pub(super) fn is_sample(body: &[u8]) -> bool {
    let number = body.strip_prefix(b"{\"sample\": ").and_then(|rest| rest.strip_suffix(b"}"));
    number.is_some_and(|digits| digits.len() <= 10 && digits.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_known_by_its_payload_and_nothing_else_is_one() {
        assert!(is_sample(payload(u32::MAX).as_bytes()));
        for other in [
            "",
            "{}",
            "{\"sample\": 1, \"card\": 4}",
            "{\"sample\": \"secret\"}",
            "{\"sample\": 12345678901}",
        ] {
            assert!(!is_sample(other.as_bytes()), "{other}");
        }
    }
}
