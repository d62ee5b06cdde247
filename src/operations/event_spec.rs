//! An event as the command line and the API are asked for it, checked before a database sees it. Every fault is named.

use std::time::Duration;

use serde_json::{Map, Value};

use super::addresses::check_destination_id;
use super::endpoint_spec::check_header_set;
use crate::model::topic::check_topic;
use crate::store::NewEvent;
use crate::validation::Problems;

/// Longest `key` and `idempotency_key`.
const KEY_BYTES_MAX: usize = 256;

/// An event as somebody asks for it.
#[derive(Clone, Default)]
pub(crate) struct EventSpec {
    pub topic: String,
    /// JSON, kept byte for byte.
    pub payload: String,
    pub key: Option<String>,
    pub headers: Map<String, Value>,
    pub idempotency_key: Option<String>,
    pub destination: Option<String>,
    pub delay: Option<Duration>,
    pub deliver_after: Option<String>,
}

impl EventSpec {
    /// Checks the same as the outbox, except for the payload, which PostgreSQL alone reads.
    pub(crate) fn check(self, problems: &mut Problems) -> NewEvent {
        if let Err(fault) = check_topic(&self.topic) {
            problems.add("topic", &fault.to_string(), None);
        }
        for (name, value) in [("key", &self.key), ("idempotency_key", &self.idempotency_key)] {
            let is_wrong = |text: &String| !(1..=KEY_BYTES_MAX).contains(&text.len()) || text.contains('\0');
            if value.as_ref().is_some_and(is_wrong) {
                problems.add(name, &format!("needs 1 to {KEY_BYTES_MAX} bytes, none of them NUL"), None);
            }
        }
        // No endpoint can have such an id: the event would be delivered to nobody, and count as complete.
        if let Some(id) = &self.destination {
            check_destination_id("destination", id, problems);
        }
        check_header_set(&self.headers, problems);
        NewEvent {
            topic: self.topic,
            payload: self.payload,
            key: self.key,
            headers: (!self.headers.is_empty()).then(|| Value::Object(self.headers).to_string()),
            idempotency_key: self.idempotency_key,
            destination: self.destination,
            delay: self.delay,
            deliver_after: self.deliver_after,
        }
    }
}
