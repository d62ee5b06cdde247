//! Words: a delivery (one event for one endpoint) and the claim that entitles to an attempt.

use std::fmt;

use crate::model::endpoint::EndpointNo;
use crate::model::event::EventId;

/// Id of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId(i64);

impl DeliveryId {
    /// Wraps an id that came from the database.
    pub const fn new(id: i64) -> Self {
        Self(id)
    }

    /// The bare number, for the database.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The token that every write of an outcome names; one per batch of claimed deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimId(i64);

impl ClaimId {
    /// Wraps an id that came from the database.
    pub const fn new(id: i64) -> Self {
        Self(id)
    }

    /// The bare number, for the database.
    pub const fn get(self) -> i64 {
        self.0
    }
}

/// A running dispatcher; new at every start and after a lapsed lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DispatcherId(i64);

impl DispatcherId {
    /// Wraps an id that came from the database.
    pub const fn new(id: i64) -> Self {
        Self(id)
    }

    /// The bare number, for the database and the log.
    pub const fn get(self) -> i64 {
        self.0
    }
}

/// The right to make one attempt, while the dispatcher's lease lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The delivery that may be attempted.
    pub delivery_id: DeliveryId,
    /// The token.
    pub claim_id: ClaimId,
    /// The dispatcher whose lease covers the claim.
    pub held_by: DispatcherId,
    /// The event to send.
    pub event_id: EventId,
    /// The endpoint to send it to.
    pub endpoint_no: EndpointNo,
    /// Number of this attempt, from 1.
    pub attempt: u32,
    /// Attempts before the last retry or replay. The schedule begins after them.
    pub attempts_before: u32,
    /// Whether the statement that routed its event also claimed it.
    pub is_newborn: bool,
}
