//! What a seed means: when events are inserted, and how the receiver behaves.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;

/// Events per second outside of bursts and quiet times, on average.
const EVENTS_PER_S: f64 = 11.0;

/// A run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Everything else follows from it.
    pub(crate) seed: u64,
    /// How long events are inserted.
    pub(crate) lasts: Duration,
    /// How many dispatchers share the work.
    pub(crate) dispatchers: usize,
    /// Requests that the receiver takes in each window. Others are answered 429.
    pub(crate) limit: usize,
    /// How long one is.
    pub(crate) window: Duration,
    /// How long events come one by one, in milliseconds. Then a burst comes, and then nothing for a while.
    pub(crate) calm_ms: Range<u64>,
    /// How many come in it.
    pub(crate) burst: Range<usize>,
    /// When the name moves for the first time.
    pub(crate) first_move: Duration,
    /// And how long after each move it moves again.
    pub(crate) moves_each: Duration,
    /// How long the old address serves, too.
    pub(crate) both_for: Duration,
    /// The setting of the dispatchers, in whole seconds.
    pub(crate) connection_age_max: Duration,
    /// Whether lateness is judged, which takes a machine that is not busy with something else.
    pub(crate) is_timed: bool,
}

/// How the receiver treats connections, by the seed.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    /// Of HTTP/2: it says GOAWAY after so many requests.
    pub(crate) requests_each: usize,
    /// Of HTTP/2: it refuses every so many-th stream of a connection.
    pub(crate) refuses_each: usize,
    /// Of HTTP/2: streams at once on a connection.
    pub(crate) streams_max: u32,
    /// How long an answer takes.
    pub(crate) takes: Duration,
    /// It closes a connection that was idle for so long.
    pub(crate) idle_max: Duration,
    /// Of HTTP/1.1: it closes a connection right after one of so many answers.
    pub(crate) closes_each: usize,
    /// Of HTTP/1.1: it takes one of so many requests, and closes the connection without an answer.
    pub(crate) loses_each: usize,
}

impl Plan {
    /// A run of minutes: 25 requests a second are taken, and the name moves every minute.
    pub(crate) fn long(seed: u64, lasts: Duration) -> Self {
        Self {
            seed,
            lasts,
            dispatchers: 2,
            limit: 25,
            window: Duration::from_secs(1),
            calm_ms: 12_000..24_000,
            burst: 100..200,
            first_move: Duration::from_secs(20),
            moves_each: Duration::from_mins(1),
            both_for: Duration::from_secs(25),
            connection_age_max: Duration::from_secs(10),
            is_timed: true,
        }
    }

    /// When events are inserted, and how many at once.
    pub(crate) fn arrivals(&self) -> impl Iterator<Item = (Duration, usize)> + use<> {
        let (calm_ms, burst, lasts) = (self.calm_ms.clone(), self.burst.clone(), self.lasts);
        let mut rng = Rng::with_seed(self.seed);
        let mut at = Duration::ZERO;
        let mut calm_until = Duration::from_millis(rng.u64(calm_ms.clone()));
        let arrivals = std::iter::from_fn(move || {
            // The times between those that nothing connects are distributed so.
            at += Duration::from_secs_f64(-(1.0 - rng.f64()).ln() / EVENTS_PER_S);
            if at < calm_until {
                return Some((at, 1));
            }
            let at_once = (at, rng.usize(burst.clone()));
            at += Duration::from_millis(rng.u64(2_000..5_000));
            calm_until = at + Duration::from_millis(rng.u64(calm_ms.clone()));
            Some(at_once)
        });
        arrivals.take_while(move |(at, _)| *at < lasts)
    }

    /// How the receiver behaves.
    pub(crate) fn habits(&self) -> Habits {
        let mut rng = Rng::with_seed(self.seed ^ 1);
        Habits {
            requests_each: rng.usize(15..40),
            refuses_each: rng.usize(12..25),
            streams_max: rng.u32(8..32),
            takes: Duration::from_millis(rng.u64(10..40)),
            idle_max: Duration::from_millis(rng.u64(700..1_200)),
            closes_each: rng.usize(10..30),
            loses_each: rng.usize(60..120),
        }
    }
}
