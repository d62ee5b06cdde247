//! The words that all sinks share: an attempt, the limits of attempts, and the reasons why one was not made.

use std::time::Duration;

use thiserror::Error;

use crate::model::event::Event;
use crate::rules::descriptors::Shortage;
use crate::sinks::egress::NotPassed;

/// One attempt, as a sink is asked to make it.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The event to send.
    pub event: &'a Event,
    /// Number of this attempt, from 1.
    pub number: u32,
    /// Time from now until the attempt must have ended.
    pub timeout: Duration,
}

/// How long an attempt may take, how much it may send, and over which connections.
#[derive(Clone, Copy, Debug)]
pub struct AttemptLimits {
    /// The deadline where the endpoint names none.
    pub timeout_default: Duration,
    /// The deadline at most, whatever the endpoint names: half of a lease. A lease could never cover a longer one.
    pub timeout_max: Duration,
    /// Bytes of a payload.
    pub payload_max: u64,
    /// Age of a connection, above which it is used no more.
    pub connection_age_max: Duration,
}

/// Why no attempt was made. The endpoint is not at fault, and the attempt is not counted.
#[derive(Debug, Error)]
pub enum NotAttempted {
    /// The egress proxy does not pass requests on.
    #[error(transparent)]
    Proxy(#[from] NotPassed),
    /// This process, or this machine, has nothing left for another connection.
    #[error(transparent)]
    Shortage(#[from] Shortage),
}
