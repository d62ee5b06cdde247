//! One attempt as a sign of its endpoint's health.

use tokio::time::{Duration, Instant};

use crate::model::delivery::{Claimed, DeliveryId};
use crate::model::outcome::Outcome;
use crate::rules::circuit_breaker::Health;

/// The health of an endpoint by one attempt.
#[derive(Clone, Debug)]
pub(crate) struct Observation {
    pub(super) delivery_id: DeliveryId,
    pub(super) begun: Instant,
    /// How the endpoint is, by its answer.
    pub(crate) health: Health,
    /// Whether there was an answer, good or bad.
    pub(crate) is_answer: bool,
    /// Whether it was refused for pace.
    pub(super) is_paced: bool,
    /// How long the endpoint asks us to wait.
    pub(super) retry_after: Option<Duration>,
    /// Why the attempt failed. `None` after a success.
    pub(super) error: Option<String>,
}

impl Observation {
    /// Reads an outcome of an attempt that began then.
    pub(crate) fn new(claimed: &Claimed, outcome: &Outcome, begun: Instant) -> Self {
        let health = Health::of(&outcome.result);
        Self {
            delivery_id: claimed.delivery_id,
            begun,
            health,
            is_answer: outcome.is_answer(),
            is_paced: outcome.is_paced(),
            retry_after: outcome.retry_after(),
            error: outcome.error().map(str::to_owned),
        }
    }
}
