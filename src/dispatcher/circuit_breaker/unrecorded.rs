//! News of an endpoint since its circuit was last recorded.

use tokio::time::{Duration, Instant};

use crate::store::Failures;

/// The outcomes that are not in the database yet, summed up.
#[derive(Debug, Default)]
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
    /// The failures that came after the last success. `None` if there were none.
    pub(super) fn failures(&self) -> Option<Failures> {
        Some(Failures {
            answered: self.has_answered,
            count: self.failures,
            failing_for: self.failing_since?.elapsed(),
            probe_failed: self.open_reason == Some(OpenReason::FailedProbe),
            delay: self.delay,
            attempts: self.attempts,
        })
    }

    /// Counts a failed attempt, whatever the answer, and keeps why it failed.
    pub(super) fn count_failure(&mut self, error: Option<&String>) {
        self.attempts = self.attempts.saturating_add(1);
        self.error = error.cloned();
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.has_succeeded && self.failing_since.is_none()
    }

    /// Adds later outcomes. A success makes everything before it void.
    pub(super) fn followed_by(self, newer: Self) -> Self {
        if newer.has_succeeded {
            return newer;
        }
        Self {
            has_succeeded: self.has_succeeded,
            has_answered: self.has_answered || newer.has_answered,
            failures: newer.failures + if newer.has_answered { 0 } else { self.failures },
            attempts: self.attempts.saturating_add(newer.attempts),
            error: newer.error.or(self.error),
            failing_since: self.failing_since.or(newer.failing_since),
            open_reason: newer.open_reason.or(self.open_reason),
            delay: self.delay.max(newer.delay),
        }
    }
}
