//! News of an endpoint since its circuit was last recorded.

use tokio::time::{Duration, Instant};

use crate::store::Failures;

/// The outcomes that are not in the database yet, summed up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unrecorded {
    /// The endpoint took a delivery; everything else here came after that.
    pub(super) has_succeeded: bool,
    /// It refused a delivery, so it answers.
    pub(super) has_answered: bool,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Attempts that failed, whatever the answer.
    pub(super) attempts: u32,
    /// Why the last of them failed.
    pub(super) error: Option<String>,
    /// When the first of these attempts began.
    pub(super) failing_since: Option<Instant>,
    /// Whether one of them says something against the endpoint.
    pub(super) has_failed: bool,
    /// When the last of their deliveries is due again.
    pub(super) retry_at: Option<Instant>,
    /// The endpoint asked to be left alone until then, before or after a success.
    pub(super) held_until: Option<Instant>,
    /// Why this dispatcher opened the circuit, if it did.
    pub(super) open_reason: Option<OpenReason>,
    /// How long until the next probe.
    pub(super) delay: Duration,
}

/// Why the circuit was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenReason {
    TooManyFailures,
    FailedProbe,
}

impl Unrecorded {
    /// The failures that came after the last success, and the hold. `None` if there is neither.
    pub(super) fn failures(&self, quiet_after: Duration) -> Option<Failures> {
        let until = |at: Instant| at.saturating_duration_since(Instant::now());
        (self.failing_since.is_some() || self.held_until.is_some()).then(|| Failures {
            answered: self.has_answered,
            count: self.failures,
            failing_for: self.failing_since.map(|since| since.elapsed()),
            probe_failed: self.open_reason == Some(OpenReason::FailedProbe),
            delay: self.delay,
            attempts: self.attempts,
            against_endpoint: self.has_failed,
            retry_in: self.retry_at.map(until),
            held_for: self.held_until.map(until),
            quiet_after,
        })
    }

    /// Counts a failed attempt, whatever the answer, and keeps why it failed.
    pub(super) fn count_failure(&mut self, error: Option<&String>) {
        self.attempts = self.attempts.saturating_add(1);
        self.error = error.cloned();
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.has_succeeded && self.failing_since.is_none() && self.held_until.is_none()
    }

    /// Adds later outcomes. A success makes everything before it void.
    pub(super) fn followed_by(self, newer: Self) -> Self {
        let held_until = newer.held_until.max(self.held_until);
        if newer.has_succeeded {
            return Self { held_until, ..newer };
        }
        Self {
            has_succeeded: self.has_succeeded,
            has_answered: self.has_answered || newer.has_answered,
            failures: newer.failures + if newer.has_answered { 0 } else { self.failures },
            attempts: self.attempts.saturating_add(newer.attempts),
            error: newer.error.or(self.error),
            failing_since: self.failing_since.or(newer.failing_since),
            has_failed: self.has_failed || newer.has_failed,
            retry_at: newer.retry_at.max(self.retry_at),
            held_until,
            open_reason: newer.open_reason.or(self.open_reason),
            delay: self.delay.max(newer.delay),
        }
    }
}
