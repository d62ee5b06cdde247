//! Outcomes that could not be written with their batch: somebody has locked the row, which mostly ends soon, or the database
//! refuses it, which mostly lasts. They wait in memory, and their claims stay known.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::outgoing::Outgoing;
use crate::model::delivery::DeliveryId;

/// A locked row is tried again after this, and then each time after twice as long.
const LOCKED_PAUSE: Duration = Duration::from_millis(50);
const LOCKED_PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often the database is asked which refused outcomes are to be tried again: its clock says when.
const REFUSED_PAUSE: Duration = Duration::from_secs(2);

/// The outcomes of one kind that wait.
#[derive(Debug)]
pub(super) struct Late<T> {
    waiting: Vec<Waiting<T>>,
    /// When the database is asked next for refused outcomes.
    ask_at: Instant,
}

#[derive(Debug)]
struct Waiting<T> {
    outcome: T,
    why: Why,
}

#[derive(Clone, Copy, Debug)]
enum Why {
    Locked { try_at: Instant, pause: Duration },
    Refused,
}

impl<T: Outgoing> Late<T> {
    pub(super) fn new() -> Self {
        Self { waiting: Vec::new(), ask_at: Instant::now() }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// When something is to be done. `None` if nothing waits.
    pub(super) fn next(&self) -> Option<Instant> {
        let next = |waiting: &Waiting<T>| match waiting.why {
            Why::Locked { try_at, .. } => try_at,
            Why::Refused => self.ask_at,
        };
        self.waiting.iter().map(next).min()
    }

    /// Adds an outcome whose row is locked. `pause` is how long it waited before, if it did.
    pub(super) fn add_locked(&mut self, outcome: T, pause: Option<Duration>) {
        let pause = pause.map_or(LOCKED_PAUSE, |pause| (pause * 2).min(LOCKED_PAUSE_MAX));
        self.waiting.push(Waiting { outcome, why: Why::Locked { try_at: Instant::now() + pause, pause } });
    }

    /// Adds an outcome that the database refused alone, and has recorded as refused.
    pub(super) fn add_refused(&mut self, outcome: T) {
        if self.ask_at <= Instant::now() {
            self.ask_at = Instant::now() + REFUSED_PAUSE;
        }
        self.waiting.push(Waiting { outcome, why: Why::Refused });
    }

    /// Takes at most `count_max` of the locked ones whose time has come, each with how long it waited.
    pub(super) fn take_locked(&mut self, now: Instant, count_max: usize) -> Vec<(T, Duration)> {
        let is_due =
            |waiting: &mut Waiting<T>| matches!(waiting.why, Why::Locked { try_at, .. } if try_at <= now);
        let due = self.waiting.extract_if(.., is_due).take(count_max);
        let timed = |waiting: Waiting<T>| match waiting.why {
            Why::Locked { pause, .. } => (waiting.outcome, pause),
            Why::Refused => (waiting.outcome, LOCKED_PAUSE),
        };
        due.map(timed).collect()
    }

    /// The refused ones, if it is time to ask for them.
    pub(super) fn refused_to_ask_for(&mut self, now: Instant) -> Vec<DeliveryId> {
        if self.ask_at > now {
            return Vec::new();
        }
        self.ask_at = now + REFUSED_PAUSE;
        let refused = self.waiting.iter().filter(|waiting| matches!(waiting.why, Why::Refused));
        refused.map(|waiting| waiting.outcome.delivery_id()).collect()
    }

    /// Takes these refused ones.
    pub(super) fn take_refused(&mut self, ids: &[DeliveryId]) -> Vec<T> {
        let ids: HashSet<DeliveryId> = ids.iter().copied().collect();
        let is_one = |waiting: &mut Waiting<T>| {
            matches!(waiting.why, Why::Refused) && ids.contains(&waiting.outcome.delivery_id())
        };
        self.waiting.extract_if(.., is_one).map(|waiting| waiting.outcome).collect()
    }
}
