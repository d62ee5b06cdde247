//! A breaker's knowledge of the pace that its endpoint allows: the hold, which all dispatchers share, and the pace that this one learnt.

use tokio::time::{Duration, Instant};

use super::CircuitBreaker;
use crate::dispatcher::circuit_breaker::Observation;
use crate::rules::circuit_breaker::Health;
use crate::rules::pace::Pace;
use crate::rules::retry::RETRY_AFTER_MAX;

impl CircuitBreaker {
    /// Whether the endpoint is left alone, because it asked for that.
    pub(crate) fn is_held(&self) -> bool {
        self.held_for().is_some()
    }

    /// How long the endpoint is still held. `None` if it is not.
    pub(crate) fn held_for(&self) -> Option<Duration> {
        self.pace.as_ref()?.held_for(Instant::now())
    }

    /// How many starts lie within the next second.
    pub(crate) fn paced_room(&self) -> usize {
        self.pace.as_ref().map_or(usize::MAX, |pace| pace.room(Instant::now()))
    }

    pub(super) fn paced_slots(&self) -> usize {
        self.pace.as_ref().map_or(usize::MAX, |pace| pace.slots(Instant::now()))
    }

    pub(super) fn pace_delay(&self) -> Option<Duration> {
        self.pace.as_ref()?.claim_delay(Instant::now())
    }

    /// A refusal for pace holds the endpoint. So does a wait that an endpoint asks for because of a fault of its own. A wait in any other
    /// refusal is about that delivery alone.
    pub(super) fn note_pace(&mut self, seen: &Observation) {
        let now = Instant::now();
        let asked = seen.retry_after.map(|asked| asked.min(RETRY_AFTER_MAX));
        match (seen.health, asked) {
            (Health::Well, _) => {
                if let Some(pace) = &mut self.pace {
                    pace.take();
                }
                return;
            }
            (Health::Answers, asked) if seen.is_paced => {
                let pace = self.pace.get_or_insert_with(|| Pace::new(seen.begun));
                pace.refuse(seen.begun, now, asked, fastrand::f64());
            }
            (Health::Unwell, Some(asked)) if !asked.is_zero() => {
                let pace = self.pace.get_or_insert_with(|| Pace::new(seen.begun));
                pace.set_hold(now + asked.max(pace.held_for(now).unwrap_or_default()));
            }
            (Health::Picks | Health::Answers | Health::Unwell, _) => return,
        }
        self.unrecorded.held_until = self.held_for().map(|held| now + held);
    }

    /// The record says how long the endpoint is held.
    pub(super) fn adopt_hold(&mut self, held_for: Duration) {
        let now = Instant::now();
        if self.unrecorded.held_until.is_some() || (held_for.is_zero() && !self.is_held()) {
            return;
        }
        self.pace.get_or_insert_with(|| Pace::new(now)).set_hold(now + held_for);
    }
}
