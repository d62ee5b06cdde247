//! A delivery (one event for one endpoint) and the claim that entitles to an attempt.

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
}
