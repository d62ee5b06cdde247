//! An event, as an attempt sends it. No SQL, no HTTP.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::model::id::id;

id! {
    /// Id of an event: `postrider.outbox.id`, in order of insertion.
    EventId(i64)
}

/// The topic of tests of an endpoint. An event of this topic is attempted once, and never retried by a schedule.
pub const TEST_TOPIC: &str = "postrider.test";

/// The parts of an event that every attempt sends, whatever the endpoint.
pub struct Event {
    /// The event.
    pub id: EventId,
    /// `webhook-id`: the same on every attempt, without a full stop.
    pub webhook_id: String,
    /// Event type, dotted words.
    pub topic: String,
    /// Headers that the producer asked for. If the stored value is invalid, why: every attempt fails with that.
    pub headers: Result<Vec<(String, String)>, String>,
    /// The payload, byte for byte as inserted.
    pub payload: Bytes,
    /// When its transaction began.
    pub created_at: SystemTime,
    /// How old it was by the database's clock when it was loaded.
    pub age_at_load: Duration,
    /// Time of this machine when it was loaded.
    pub loaded: Instant,
    /// Its part of the memory for payloads, given back when the last attempt of this event ends.
    pub memory: Option<OwnedSemaphorePermit>,
}

impl Event {
    /// Whether it tests an endpoint: then its first attempt is its last.
    pub fn is_test(&self) -> bool {
        self.topic == TEST_TOPIC
    }

    /// How long ago it was inserted, or was to be delivered at the earliest.
    pub fn age(&self) -> Duration {
        self.age_at_load + self.loaded.elapsed()
    }
}

impl fmt::Debug for Event {
    /// Leaves out payload and headers: they belong to the producer and to no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("id", &self.id).field("topic", &self.topic).finish_non_exhaustive()
    }
}
