//! The one door through which the dispatcher makes attempts. Each sink behind it speaks one protocol.
//!
//! ```text
//!  Sender ── endpoint, event, number ──> Sinks ──┬─ Destination::Webhook ──> webhook ──┐
//!                                                └─ (Destination::Kafka ──> kafka …)   │
//!  Settler, circuit breaker, metrics <── Outcome, in words of delivery ────────────────┘
//! ```
//!
//! A sink translates the answers of its protocol into an [`Outcome`], once. Nothing behind the sender knows a protocol: the
//! retry rule, the circuit breaker, the metrics and the settler judge the words of [`crate::model::outcome`]. A sink never sees
//! the database.
//!
//! A new sink, here for Kafka, adds this:
//!
//! 1. `model/endpoint/kafka.rs`: `KafkaDestination` with all that a delivery needs. `model/endpoint.rs`: the variant `Kafka` of
//!    [`Destination`], and how such an endpoint says that it wants no events any more.
//! 2. `store/endpoints.rs`: the row of an endpoint becomes that variant, by the scheme of its URL. The CHECK of `endpoint.url`
//!    lets the scheme in, and `operations/endpoint_spec.rs` checks the settings.
//! 3. `sinks/egress.rs`: the policy judges the URL. Scheme and port of Kafka are allowed for Kafka alone; a webhook still may
//!    not call port 9092. The same policy judges the address of a broker right before it is dialled.
//! 4. `sinks/kafka.rs`, and `sinks/kafka/` for its parts: a type `Kafka` with
//!    `attempt(&self, &Attempt<'_>, &KafkaDestination) -> Result<Outcome, NotAttempted>`. It keeps the deadline of the attempt.
//!    It opens connections only while [`Descriptors`] are left. It hides secrets in the excerpt of an answer. It turns each no
//!    into a [`Refusal`](crate::model::outcome::Refusal), and silence into [`NoAnswer`].
//! 5. Here: a field of [`Sinks`], and an arm of the `match` in [`Sinks::attempt`].
//!
//! The compiler names both places where the new variant is missing: the one in step 1, and the one in step 5. Nothing changes
//! in the dispatcher and in the rules.

use std::sync::Arc;
use std::time::Duration;

use crate::model::endpoint::{Destination, Endpoint};
use crate::model::event::Event;
use crate::model::outcome::{NoAnswer, Outcome, Unsendable};
use crate::rules::clock::Clock;
use crate::rules::descriptors::Descriptors;
use crate::sinks::attempt::{Attempt, AttemptLimits, NotAttempted};
use crate::sinks::egress::EgressPolicy;
use crate::sinks::webhook::{ClientError, Webhook};

/// All sinks, one of each protocol.
#[derive(Clone, Debug)]
pub struct Sinks {
    webhook: Webhook,
    limits: AttemptLimits,
}

impl Sinks {
    /// Sets up all sinks. They dial only addresses that the policy allows, and only while descriptors are left. `source` is the
    /// attribute of that name in CloudEvents.
    ///
    /// # Errors
    /// [`ClientError`] when the TLS roots of this machine cannot be read.
    pub fn new(
        policy: EgressPolicy,
        descriptors: Descriptors,
        clock: Arc<Clock>,
        limits: AttemptLimits,
        source: &str,
    ) -> Result<Self, ClientError> {
        let webhook = Webhook::new(policy, descriptors, clock, source, limits.connection_age_max)?;
        Ok(Self { webhook, limits })
    }

    /// How long an attempt on this endpoint may take.
    pub fn timeout(&self, endpoint: &Endpoint) -> Duration {
        endpoint.timeout.unwrap_or(self.limits.timeout_default).min(self.limits.timeout_max)
    }

    /// Checks that a payload of this size may be sent.
    ///
    /// # Errors
    /// [`Unsendable::TooLarge`].
    pub fn check_size(&self, bytes: u64) -> Result<(), Unsendable> {
        let bytes_max = self.limits.payload_max;
        if bytes <= bytes_max { Ok(()) } else { Err(Unsendable::TooLarge { bytes, bytes_max }) }
    }

    /// Makes attempt number `number`, by the sink of the endpoint's destination.
    ///
    /// # Errors
    /// [`NotAttempted`]: the endpoint is not at fault.
    ///
    /// # Cancel safety
    /// Dropping the future cuts the attempt off. The endpoint may have received the event all the same.
    pub async fn attempt(
        &self,
        endpoint: &Endpoint,
        event: &Event,
        number: u32,
    ) -> Result<Outcome, NotAttempted> {
        let attempt = Attempt { event, number, timeout: self.timeout(endpoint) };
        match &endpoint.destination {
            Ok(Destination::Webhook(to)) => self.webhook.attempt(&attempt, to).await,
            // Nothing is begun for such an endpoint; but it may have been read again since this attempt was begun.
            Err(unreadable) => {
                Ok(Outcome::unanswered(NoAnswer::Broken, unreadable.to_string(), Duration::ZERO))
            }
        }
    }
}
