//! Circuit breakers: an endpoint that fails ten times in a row gets no deliveries until one of them, the probe, succeeds.
//!
//! ```text
//!  settler ──outcome──> breakers ──────────────> scheduler: how many slots are open
//!                        │    ▲
//!             unrecorded │    │ what is on record
//!                        ▼    │
//!                       recorder ──> postrider.circuit, for all dispatchers
//! ```
//!
//! - `state`: one endpoint's breaker, and what it allows; also the pace, if the endpoint limits it.
//! - `observation`: what one attempt says.
//! - `breakers`: the breakers of all endpoints; a part of the scheduler, behind its lock.
//! - `unrecorded`: what a breaker has learnt since it was last recorded.
//! - `recorder`: the stage that writes it to the database. It is the only one here that knows the scheduler.
//! - `health_log`: what the log tells of it, within bounds.
//!
//! The limits and delays themselves are rules: [`crate::rules::circuit_breaker`].

mod breakers;
mod health_log;
mod observation;
mod recorder;
mod state;
mod unrecorded;

pub(crate) use self::breakers::CircuitBreakers;
pub(super) use self::health_log::HealthLog;
pub(crate) use self::observation::Observation;
pub(super) use self::recorder::CircuitRecorder;
pub(crate) use self::state::CircuitBreaker;
pub(crate) use self::unrecorded::Unrecorded;
