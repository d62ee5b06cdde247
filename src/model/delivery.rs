//! A delivery (one event for one endpoint) and the claim that entitles to an attempt.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::endpoint::EndpointNo;
use crate::model::event::EventId;
use crate::model::id::id;

id! {
    /// Id of a delivery.
    DeliveryId(i64)
}

id! {
    /// The token that every write of an outcome names; one per batch of claimed deliveries.
    ClaimId(i64)
}

id! {
    /// A running dispatcher; new at every start and after a lapsed lease.
    DispatcherId(i64)
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
    /// Attempts before the last retry or replay. The schedule begins anew after them.
    pub attempts_before: u32,
    /// Attempts since then that the endpoint refused for pace. The schedule does not count them.
    pub paced: u32,
    /// Whether the statement that routed its event claimed it at once.
    pub is_newborn: bool,
    /// Whether it is in a lane: its endpoint is ordered, and its event has a key.
    pub in_lane: bool,
}

impl Claimed {
    /// Number of this attempt, from 1, since the last retry or replay.
    pub fn attempt_of_schedule(&self) -> u32 {
        self.attempt.saturating_sub(self.attempts_before)
    }
}

/// What a pending delivery waits for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// Nothing: a dispatcher takes it next.
    Due,
    /// The time of its next attempt, after a failure.
    Retry,
    /// A probe: its endpoint is down.
    Circuit,
    /// Somebody who resumes its endpoint, which is paused or disabled.
    Pause,
    /// Its endpoint's `max_in_flight` or `rate_limit`.
    Slot,
    /// The time before which its event is not to be delivered.
    Later,
    /// Those of the same key before it: its endpoint is ordered.
    Key,
}

impl fmt::Display for WaitsFor {
    /// As it stands in `postrider.delivery_status`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
