//! The outcome of one attempt, in words of delivery. A refusal is a value, never an `Err`.
//!
//! The sink that made the attempt translates the answer of its protocol into these words, once. The retry rule, the circuit
//! breaker and the metrics judge the words; the protocol's own code goes along for the record.

use std::time::Duration;

use thiserror::Error;

/// The outcome of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the endpoint took the delivery, and if not, why.
    pub result: AttemptResult,
    /// The code of the answer, for the record. Nothing is decided by it. `None` without an answer.
    pub code: Option<ResponseCode>,
    /// Time from the begin of the attempt until the last byte was read.
    pub duration: Duration,
    /// At most 2 KiB of the answer, as text. Bytes that are no text are replaced.
    pub response_excerpt: Option<String>,
}

/// Whether an endpoint took a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    /// The endpoint took it.
    Delivered,
    /// The endpoint answered, and did not take it.
    Refused {
        /// The kind of refusal.
        why: Refusal,
        /// How long the endpoint asks us to wait.
        retry_after: Option<Duration>,
        /// The refusal in one line, without a secret.
        error: String,
    },
    /// The endpoint did not answer.
    NoAnswer {
        /// The kind of failure.
        why: NoAnswer,
        /// The failure in one line, without a secret.
        error: String,
    },
}

/// Why an endpoint refused a delivery. An example of each kind, from HTTP, in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The endpoint does not want this delivery, and may take another (400).
    Rejected,
    /// The endpoint takes nothing from this sender, or nothing at this place (403, 404).
    Denied,
    /// The endpoint wants no events any more (410).
    Gone,
    /// The endpoint names another place, which is not followed (301).
    Moved,
    /// The endpoint asks us to wait, or to be slower (429). It takes other deliveries, or will take this one later.
    Paced,
    /// The endpoint takes nothing at the moment: it could not keep up with the request (408).
    Overloaded,
    /// The endpoint takes nothing at the moment: it has a fault of its own (500).
    Failing,
    /// The endpoint said neither yes nor no (101).
    Unclear,
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The deadline passed first.
    Timeout,
    /// The address may not be called; nothing was sent.
    RefusedAddress,
    /// There was no connection, or it broke, or the request could not be made.
    Broken,
}

/// The number that an endpoint answered with. For webhooks it is the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseCode(u16);

impl ResponseCode {
    /// Wraps a number that a sink has read.
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// The bare number, for the record and the log.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Why an event cannot be sent at all. Its deliveries are given up without an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unsendable {
    /// Somebody deleted it.
    #[error("the event was deleted")]
    Deleted,
    /// It is a test, and had its one attempt, whose outcome was lost.
    #[error("a test is attempted once, and the outcome of that attempt was lost")]
    Tested,
    /// Its payload is larger than the operator allows.
    #[error("the payload is too large: {bytes} bytes, --max-payload allows {bytes_max}")]
    TooLarge {
        /// Bytes it has.
        bytes: u64,
        /// Bytes it may have.
        bytes_max: u64,
    },
}

impl Unsendable {
    /// Whether nothing is left that could be sent.
    pub fn is_nothing_to_send(self) -> bool {
        match self {
            Self::Deleted | Self::Tested => true,
            Self::TooLarge { .. } => false,
        }
    }
}

impl Outcome {
    /// An attempt without an answer.
    pub fn unanswered(why: NoAnswer, error: String, duration: Duration) -> Self {
        let result = AttemptResult::NoAnswer { why, error };
        Self { result, code: None, duration, response_excerpt: None }
    }

    /// Whether the endpoint answered, be it a yes or a no.
    pub fn is_answer(&self) -> bool {
        match self.result {
            AttemptResult::Delivered | AttemptResult::Refused { .. } => true,
            AttemptResult::NoAnswer { .. } => false,
        }
    }

    /// Whether the endpoint refused it for pace.
    pub fn is_paced(&self) -> bool {
        matches!(self.result, AttemptResult::Refused { why: Refusal::Paced, .. })
    }

    /// How long the endpoint asks us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.result {
            AttemptResult::Refused { retry_after, .. } => retry_after,
            AttemptResult::Delivered | AttemptResult::NoAnswer { .. } => None,
        }
    }

    /// Why the attempt failed. `None` after a success.
    pub fn error(&self) -> Option<&str> {
        match &self.result {
            AttemptResult::Delivered => None,
            AttemptResult::Refused { error, .. } | AttemptResult::NoAnswer { error, .. } => Some(error),
        }
    }
}
