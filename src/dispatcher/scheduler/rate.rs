//! A rate limit as the earliest time of the next start (the generic cell rate algorithm).

use tokio::time::{Duration, Instant};

use crate::model::endpoint::RateLimit;

/// How far ahead of its start a rate-limited delivery may be claimed.
const HORIZON: Duration = Duration::from_secs(1);

/// One endpoint's rate in this dispatcher.
#[derive(Debug)]
pub(super) struct Rate {
    interval: Duration,
    next: Instant,
}

impl Rate {
    /// An equal part of the limit for each of `dispatchers`. `before` is the rate so far, if there was one: its next start
    /// stays.
    pub(super) fn new(limit: RateLimit, dispatchers: u32, before: Option<&Self>) -> Self {
        let next = before.map_or_else(Instant::now, |rate| rate.next);
        Self { interval: limit.interval() * dispatchers, next }
    }

    /// Takes the next start.
    pub(super) fn take(&mut self) -> Instant {
        let start_at = self.next.max(Instant::now());
        self.next = start_at + self.interval;
        start_at
    }

    /// How many starts lie within the horizon.
    pub(super) fn room(&self) -> usize {
        let horizon = Instant::now() + HORIZON;
        let first = self.next.max(Instant::now());
        let Some(left) = horizon.checked_duration_since(first) else {
            return 0;
        };
        let more = left.as_nanos() / self.interval.as_nanos().max(1);
        usize::try_from(more).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// How long until the next start lies within the horizon. `None` if it does already.
    pub(super) fn delay(&self) -> Option<Duration> {
        let delay = self.next.saturating_duration_since(Instant::now() + HORIZON);
        (!delay.is_zero()).then_some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_an_interval_apart_and_claimed_a_second_ahead() {
        let mut rate = Rate::new("2/m".parse().unwrap(), 2, None);
        let before = (rate.room(), rate.delay());

        let first = rate.take();
        let second = rate.take();

        assert_eq!(before, (1, None));
        assert_eq!(second - first, Duration::from_mins(1));
        assert_eq!(rate.room(), 0);
        assert!(rate.delay() > Some(Duration::from_secs(110)));
    }
}
