//! The pace against simulated receivers, in model time.

use super::*;

const SLOTS: usize = 64;
const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A receiver's limit: judges a request that arrives at some time of its clock. `Err` is the rest of the time until it would take one.
type Limit = Box<dyn FnMut(Duration) -> Result<(), Duration>>;

/// A limit, how many requests are sent to it, and in how many seconds it would take them.
type Case = (&'static str, u32, u64, fn() -> Limit);

/// The wait that the endpoint asks for.
#[derive(Clone, Copy, Debug)]
enum Says {
    /// All of it.
    Exactly,
    /// In whole seconds, rounded up.
    InSeconds,
    /// Always so many seconds, true or not.
    Always(u64),
    Nothing,
}

impl Says {
    fn asked(self, rest: Duration) -> Option<Duration> {
        match self {
            Self::Exactly => Some(rest),
            Self::InSeconds => Some(Duration::from_secs(rest.as_millis().div_ceil(1000).try_into().unwrap())),
            Self::Always(seconds) => Some(Duration::from_secs(seconds)),
            Self::Nothing => None,
        }
    }
}

/// So many requests in each window; the clock begins within one.
fn fixed_window(count: u32, window: Duration) -> Limit {
    let (mut number, mut taken) = (0, 0);
    Box::new(move |at| {
        let at = at + window.mul_f64(0.3);
        let now = at.as_nanos() / window.as_nanos();
        if now > number {
            (number, taken) = (now, 0);
        }
        taken += 1;
        let end = window * u32::try_from(number + 1).unwrap();
        if taken <= count { Ok(()) } else { Err(end.saturating_sub(at)) }
    })
}

/// So many requests in the time before each request.
fn sliding_window(count: usize, window: Duration) -> Limit {
    let mut log: Vec<Duration> = Vec::new();
    Box::new(move |at| {
        log.retain(|taken| *taken + window > at);
        if log.len() >= count {
            return Err(log.first().map_or(window, |first| (*first + window).saturating_sub(at)));
        }
        log.push(at);
        Ok(())
    })
}

/// A bucket of so many tokens, with a new one each interval.
fn token_bucket(size: u32, interval: Duration) -> Limit {
    let mut full_at = Duration::ZERO;
    Box::new(move |at| {
        let next = full_at.max(at) + interval;
        if next > at + interval * size {
            return Err(next.saturating_sub(at + interval * size));
        }
        full_at = next;
        Ok(())
    })
}

/// Sends `count` requests that take `trip` both ways. Returns how long it took and how many were refused.
fn send(count: u32, trip: Duration, mut limit: Limit, says: Says) -> (Duration, u32) {
    let begin = Instant::now();
    let (mut pace, mut waiting, mut taken, mut refused) = (None::<Pace>, count, 0, 0);
    // Starts to come, and answers to come.
    let (mut starts, mut answers) = (Vec::new(), Vec::new());
    let mut at = Duration::ZERO;
    while taken < count {
        let now = begin + at;
        assert!(at < 1000 * SECOND, "{taken} taken, {refused} refused");
        for (begun, answer) in answers.extract_if(.., |(begun, _)| *begun + trip <= now) {
            match answer {
                Ok(()) => {
                    taken += 1;
                    if let Some(pace) = &mut pace {
                        pace.take();
                    }
                }
                Err(rest) => {
                    (refused, waiting) = (refused + 1, waiting + 1);
                    let pace = pace.get_or_insert_with(|| Pace::new(begun));
                    pace.refuse(begun, now, says.asked(rest), 0.5);
                }
            }
        }
        for start in starts.extract_if(.., |start| *start <= now) {
            if pace.as_ref().is_some_and(|pace| pace.held_for(now).is_some()) {
                waiting += 1;
            } else {
                answers.push((start, limit(at + trip / 2)));
            }
        }
        let slots = |pace: &Option<Pace>| pace.as_ref().map_or(SLOTS, |pace| pace.slots(now).min(SLOTS));
        while waiting > 0
            && starts.len() + answers.len() < slots(&pace)
            && pace.as_ref().is_none_or(|pace| pace.room(now) > 0)
        {
            waiting -= 1;
            starts.push(pace.as_mut().map_or(now, |pace| pace.begin(now)));
        }
        at += MS;
    }
    (at, refused)
}

#[test]
fn everything_is_taken_within_one_and_a_half_times_of_what_the_limit_allows() {
    for says in
        [Says::Exactly, Says::InSeconds, Says::Always(0), Says::Always(1), Says::Always(2), Says::Nothing]
    {
        for trip in [2 * MS, 100 * MS] {
            let (took, refused) = send(200, trip, fixed_window(5, 2 * SECOND), says);

            assert!(took <= 120 * SECOND, "{says:?}, {trip:?}: {took:?}, {refused} refused");
            assert!(refused <= 150, "{says:?}, {trip:?}: {refused} refused");
        }
    }
}

#[test]
fn so_it_is_with_limits_of_other_kinds() {
    let limits: [Case; 6] = [
        ("1 in 1 s", 60, 60, || fixed_window(1, SECOND)),
        ("10 in 1 s", 300, 30, || fixed_window(10, SECOND)),
        ("100 in 10 s", 1000, 100, || fixed_window(100, 10 * SECOND)),
        ("5 in any 2 s", 200, 80, || sliding_window(5, 2 * SECOND)),
        ("1 in 200 ms, up to 20 at once", 200, 40, || token_bucket(20, 200 * MS)),
        ("1 in 1 s, one at once", 60, 60, || token_bucket(1, SECOND)),
    ];
    for (name, count, allowed_s, limit) in limits {
        for trip in [2 * MS, 50 * MS] {
            let (took, refused) = send(count, trip, limit(), Says::InSeconds);

            assert!(
                took <= Duration::from_secs(allowed_s).mul_f64(1.5),
                "{name}, {trip:?}: {took:?}, {refused} refused"
            );
        }
    }
}

#[test]
fn a_wait_that_is_asked_for_is_never_undercut_and_of_several_the_longest_counts() {
    let now = Instant::now();
    let mut pace = Pace::new(now);

    pace.refuse(now, now, Some(20 * SECOND), 0.0);
    pace.refuse(now, now + SECOND, Some(30 * SECOND), 0.0);
    pace.refuse(now, now + SECOND, Some(SECOND), 0.0);

    assert_eq!(pace.held_for(now), Some(31 * SECOND));
    assert_eq!((pace.slots(now + 30 * SECOND), pace.slots(now + 31 * SECOND)), (0, 1));
    assert_eq!(pace.begin(now), now + 31 * SECOND);
}

#[test]
fn an_endpoint_that_takes_nothing_is_asked_ever_more_rarely_up_to_a_limit() {
    let mut now = Instant::now();
    let mut pace = Pace::new(now);

    let mut holds = Vec::new();
    for _ in 0..40 {
        let begun = pace.begin(now);
        pace.refuse(begun, begun, None, 0.5);
        let held = pace.held_for(begun).unwrap();
        holds.push(held);
        now = begun + held;
    }

    assert!(holds.is_sorted(), "{holds:?}");
    assert_eq!((holds.first(), holds.last()), (Some(&(750 * MS)), Some(&HOLD_MAX)));
}

#[test]
fn a_pace_is_forgotten_when_nothing_is_refused_any_more() {
    let now = Instant::now();
    let mut pace = Pace::new(now);
    pace.refuse(now, now, Some(SECOND), 0.5);
    let begun = pace.begin(now);
    pace.take();
    pace.refuse(begun, begun, Some(SECOND), 0.5);
    pace.begin(begun + SECOND);
    let before = pace.room(begun + SECOND);

    pace.begin(begun + FORGOTTEN_AFTER + 3 * SECOND);

    assert_eq!((before, pace.room(now)), (0, usize::MAX));
}
