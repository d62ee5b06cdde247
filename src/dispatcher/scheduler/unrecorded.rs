//! What attempts said of an endpoint since its circuit was last put on record.

use tokio::time::{Duration, Instant};

use crate::store::Failures;

/// What is not on record yet.
#[derive(Debug, Default)]
pub struct Unrecorded {
    /// It took a delivery, before all that follows.
    pub has_succeeded: bool,
    pub(super) has_answered: bool,
    pub(super) failures: u32,
    pub(super) failing_since: Option<Instant>,
    pub(super) opening: Option<OpenReason>,
    pub(super) delay: Duration,
}

/// Why nothing more is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenReason {
    TooManyFailures,
    FailedProbe,
}

impl Unrecorded {
    /// Failures that came after the last success.
    pub fn failures(&self) -> Option<Failures> {
        Some(Failures {
            answered: self.has_answered,
            count: self.failures,
            failing_for: self.failing_since?.elapsed(),
            probe_failed: self.opening == Some(OpenReason::FailedProbe),
            delay: self.delay,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.has_succeeded && self.failing_since.is_none()
    }

    /// These could not be written, and newer ones have come.
    pub(super) fn before(self, newer: Self) -> Self {
        if newer.has_succeeded {
            return newer;
        }
        Self {
            has_succeeded: self.has_succeeded,
            has_answered: self.has_answered || newer.has_answered,
            failures: newer.failures + if newer.has_answered { 0 } else { self.failures },
            failing_since: self.failing_since.or(newer.failing_since),
            opening: newer.opening.or(self.opening),
            delay: self.delay.max(newer.delay),
        }
    }
}
