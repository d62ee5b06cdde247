//! The pace that an endpoint keeps us to: how long it is left alone after a refusal for pace, and how fast it is asked afterwards. Pure:
//! the caller passes times and the jitter in.
//!
//! ```text
//!  round: requests are taken … one is refused ──> hold: nothing is begun ──> next round, at the pace at which the last one was taken
//! ```
//!
//! An example: a receiver takes 5 requests in 2 s and answers all others with 429 and `Retry-After`. The first round is cut short and
//! teaches nothing. The second begins with one request, then two, then four: five are taken, and its hold ends 2 s after it began. So
//! the third round starts a request every 440 ms. It becomes faster until one is refused, and so on.

#[cfg(test)]
mod tests;

use tokio::time::{Duration, Instant};

/// The first hold, if the endpoint does not say how long.
const HOLD_FIRST: Duration = Duration::from_millis(500);
/// The longest hold that the endpoint did not ask for.
const HOLD_MAX: Duration = Duration::from_mins(2);
/// Each round in which nothing is taken makes the next hold of our own longer by this factor.
const HOLD_GROWTH: f64 = 1.5;
/// A round is slower by this factor than the one before was taken.
const SLOWER: f64 = 1.1;
/// One refusal makes the pace slower by this factor at most.
const SLOWER_MAX: f64 = 1.5;
/// A round that shows a pace faster than this factor has not met the limit yet.
const FOUND_MORE: f64 = 1.3;
/// The slowest pace.
const INTERVAL_MAX: Duration = Duration::from_mins(2);
/// A pace is forgotten after so long without a refusal.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(5);
/// How far ahead of its start a delivery may be claimed.
const HORIZON: Duration = Duration::from_secs(1);

/// The pace of one endpoint that has limited it.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Nothing is begun before. The round begins then.
    held_until: Instant,
    /// How long the last hold was.
    hold: Duration,
    /// Whether a request of this round was refused, so that the next one has not begun.
    is_over: bool,
    /// How many requests of this round were taken.
    taken: u32,
    /// When the rounds began from which the next pace follows, and how many requests they took before this round.
    since: (Instant, u32),
    /// Rounds in a row in which nothing was taken.
    fruitless: u32,
    /// How many requests may be under way before an interval is known. It grows with every request that is taken.
    ramp: usize,
    /// Time between two starts. `None` before a round has shown it.
    interval: Option<Duration>,
    /// The interval with which the round began, while each round still finds a faster pace.
    seeks_from: Option<Duration>,
    /// The next start.
    next: Instant,
}

impl Pace {
    /// The pace of an endpoint that has refused nothing yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            held_until: now,
            hold: HOLD_FIRST,
            is_over: false,
            taken: 0,
            since: (now, 0),
            fruitless: 0,
            ramp: 1,
            interval: None,
            seeks_from: Some(INTERVAL_MAX),
            next: now,
        }
    }

    /// How long nothing may be begun. `None` if something may.
    pub(crate) fn held_for(&self, now: Instant) -> Option<Duration> {
        let held = self.held_until.saturating_duration_since(now);
        (!held.is_zero()).then_some(held)
    }

    /// Nothing is begun before then, whatever was said before: somebody knows better.
    pub(crate) fn set_hold(&mut self, until: Instant) {
        self.held_until = until;
    }

    /// The endpoint took a request.
    pub(crate) fn take(&mut self) {
        self.taken = self.taken.saturating_add(1);
        self.ramp = self.ramp.saturating_add(1);
        if self.seeks_from.is_some() {
            self.interval = self.interval.map(|interval| interval.div_f64(SLOWER));
        }
    }

    /// A request that began then was refused for pace. `asked` is how long the endpoint wants us to wait; `jitter`, a random number in
    /// `0.0..=1.0`, spreads a hold of our own over ±20 %.
    pub(crate) fn refuse(&mut self, begun: Instant, now: Instant, asked: Option<Duration>, jitter: f64) {
        let asked = asked.unwrap_or_default();
        if self.is_over || begun < self.held_until {
            // The round of this request is over. It may ask for a longer wait.
            self.held_until = self.held_until.max(now + asked);
            return;
        }
        self.fruitless = if self.taken == 0 { self.fruitless.saturating_add(1) } else { 0 };
        self.hold =
            if self.fruitless == 0 && !asked.is_zero() { asked } else { asked.max(self.own_hold(jitter)) };
        if self.taken > 0 {
            self.since = (self.held_until, 0);
        }
        self.held_until = now + self.hold;
        self.is_over = true;
    }

    fn own_hold(&self, jitter: f64) -> Duration {
        let rounds = i32::try_from(self.fruitless.min(64)).unwrap_or(64);
        let grown = (HOLD_FIRST.as_secs_f64() * HOLD_GROWTH.powi(rounds)).min(HOLD_MAX.as_secs_f64());
        Duration::from_secs_f64(grown * (0.8 + 0.4 * jitter.clamp(0.0, 1.0)))
    }

    /// How many requests may be under way.
    pub(crate) fn slots(&self, now: Instant) -> usize {
        match self.interval {
            _ if self.held_for(now).is_some() => 0,
            _ if self.is_over => 1,
            Some(_) => usize::MAX,
            None => self.ramp,
        }
    }

    /// How many starts lie within the next second.
    pub(crate) fn room(&self, now: Instant) -> usize {
        let Some(interval) = self.interval else { return usize::MAX };
        let Some(left) = (now + HORIZON).checked_duration_since(self.next.max(now)) else { return 0 };
        let more = left.as_nanos() / interval.as_nanos().max(1);
        usize::try_from(more).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// How long until something may be claimed. `None` if it may now.
    pub(crate) fn claim_delay(&self, now: Instant) -> Option<Duration> {
        let ahead = self.interval.map(|_| self.next.saturating_duration_since(now + HORIZON));
        self.held_for(now).max(ahead.filter(|delay| !delay.is_zero()))
    }

    /// A request is about to begin; returns when it may.
    pub(crate) fn begin(&mut self, now: Instant) -> Instant {
        let now = now.max(self.held_until);
        if self.is_over {
            self.begin_round();
        } else if now.saturating_duration_since(self.held_until) > FORGOTTEN_AFTER {
            (self.interval, self.ramp) = (None, self.ramp.max(1));
        }
        let Some(interval) = self.interval else { return now };
        let start = self.next.max(now);
        let is_waited_for = start == self.next && self.seeks_from.is_none();
        let interval = if is_waited_for { self.faster(interval, start) } else { interval };
        self.interval = Some(interval);
        self.next = start + interval;
        start
    }

    /// The hold is over: the pace at which the last round was taken, hold included, and a little slower.
    fn begin_round(&mut self) {
        let (since, counted) = self.since;
        let counted = counted.saturating_add(self.taken);
        let took = self.held_until.saturating_duration_since(since);
        let shown = took.checked_div(counted).map(|interval| interval.mul_f64(SLOWER).min(INTERVAL_MAX));
        self.interval = match (self.interval, shown) {
            (known, None) => known,
            (None, Some(shown)) => Some(shown),
            (Some(known), Some(shown)) => {
                let from = self.seeks_from.filter(|from| shown.mul_f64(FOUND_MORE) < *from);
                self.seeks_from = from.map(|_| shown);
                Some(shown.clamp(known, known.mul_f64(SLOWER_MAX)).min(INTERVAL_MAX))
            }
        };
        self.seeks_from = self.seeks_from.and(self.interval);
        self.since = (since, counted);
        (self.taken, self.ramp, self.is_over) = (0, 1, false);
        self.next = self.held_until;
    }

    /// A faster pace than this one, because requests wait for it. The longer nothing is refused, compared with the last hold, the faster
    /// it grows.
    fn faster(&self, interval: Duration, start: Instant) -> Duration {
        let hold = self.hold.clamp(HOLD_FIRST, HOLD_MAX).as_secs_f64();
        let holds = start.saturating_duration_since(self.held_until).as_secs_f64() / hold;
        let growth = interval.as_secs_f64() / (8.0 * hold) * (holds / 3.0).min(20.0).exp2();
        interval.div_f64(1.0 + (SLOWER - 1.0) * growth.min(1.0))
    }
}
