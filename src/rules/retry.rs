//! Decides what follows an attempt: complete, due later, or failed. Pure: the caller passes the jitter in, and delays are durations.

use std::time::Duration;

use crate::model::outcome::{AttemptResult, Outcome, Refusal};

/// Standard Webhooks 1.0.0, "Deliverability and reliability": ten attempts in 75 h 35 min.
pub const DEFAULT_SCHEDULE: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];

/// An ordered endpoint is tried again after this time at the latest: all that follows in the key waits for the one delivery. An
/// endpoint that asks for more gets more, and so does one with a schedule of its own.
pub const ORDERED_DELAY_MAX: Duration = Duration::from_mins(5);
/// The first delay of the default schedule, then delays that are not longer than [`ORDERED_DELAY_MAX`] when they are spread. Shorter
/// delays are no reason to give up earlier, so there are as many of them as the default schedule has time for.
pub static ORDERED_SCHEDULE: [Duration; 1089] = {
    let mut delays = [Duration::from_secs(250); 1089];
    delays[0] = DEFAULT_SCHEDULE[0];
    delays
};

/// The longest wait that an endpoint may ask for. Where it asks for more, it gets this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// So many refusals for pace cost one delivery no attempt. Any further one counts: perhaps it is about this delivery alone.
pub const UNCOUNTED_MAX: u32 = 100;
/// An endpoint that takes nothing for so long is still believed to limit its pace, however short its retry schedule is.
const PATIENCE: Duration = Duration::from_secs(10);
/// From the fourth refusal for pace on, a delivery waits twice as long each time: others may be taken meanwhile.
const UNSPREAD_MAX: u32 = 3;
const SPREAD_MAX: Duration = Duration::from_mins(10);

/// Where a delivery stands in its retry schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Number of the attempt, from 1, without those that do not count.
    pub attempt: u32,
    /// Attempts that do not count, because the endpoint refused them for pace.
    pub uncounted: u32,
    /// How long the endpoint has taken nothing at all, from its first failure on.
    pub failing_for: Duration,
    /// How long the endpoint is left alone from now on, because it asked for that.
    pub held_for: Duration,
    /// Whether the endpoint is ordered, so that others may wait for this delivery.
    pub is_ordered: bool,
}

/// The fate of a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryVerdict {
    /// It is delivered.
    Complete,
    /// It is pending again, and due after this time.
    RetryIn(Duration),
    /// The same, and the attempt does not count: the endpoint limits the pace.
    PacedFor(Duration),
    /// It failed: all attempts are used up.
    Failed,
    /// It waits: its endpoint wants no events any more and is disabled. Once the endpoint is resumed, it is due after this
    /// time.
    Gone(Duration),
}

impl DeliveryVerdict {
    /// The same where no further attempt is allowed.
    #[must_use]
    pub fn without_retry(self) -> Self {
        match self {
            Self::Complete => Self::Complete,
            Self::RetryIn(_) | Self::PacedFor(_) | Self::Gone(_) | Self::Failed => Self::Failed,
        }
    }
}

/// The delays that count for an endpoint: its own, or the default ones.
pub fn schedule_of(own: Option<&[Duration]>, is_ordered: bool) -> &[Duration] {
    own.unwrap_or(if is_ordered { &ORDERED_SCHEDULE } else { &DEFAULT_SCHEDULE })
}

/// Judges an attempt by the endpoint's schedule.
///
/// `jitter` is a random number in `0.0..=1.0`; it spreads the scheduled delay over ±20 %. A wait that the endpoint asks for is
/// never undercut, and is respected up to [`RETRY_AFTER_MAX`].
pub fn judge(outcome: &Outcome, progress: &Progress, schedule: &[Duration], jitter: f64) -> DeliveryVerdict {
    let scheduled = scheduled_delay(progress.attempt, schedule).map(|delay| spread(delay, jitter));
    match (&outcome.result, scheduled) {
        (AttemptResult::Delivered, _) => DeliveryVerdict::Complete,
        (AttemptResult::Refused { why: Refusal::Paced, .. }, _) if !counts(progress, schedule) => {
            let asked = outcome.retry_after().unwrap_or_default().min(RETRY_AFTER_MAX);
            DeliveryVerdict::PacedFor(paced_delay(progress).max(asked))
        }
        (AttemptResult::Refused { why: Refusal::Gone, .. }, delay) => {
            DeliveryVerdict::Gone(delay.unwrap_or_default())
        }
        (AttemptResult::Refused { .. } | AttemptResult::NoAnswer { .. }, None) => DeliveryVerdict::Failed,
        (AttemptResult::Refused { .. } | AttemptResult::NoAnswer { .. }, Some(delay)) => {
            let asked = outcome.retry_after().unwrap_or_default().min(RETRY_AFTER_MAX);
            DeliveryVerdict::RetryIn(delay.max(asked))
        }
    }
}

/// Whether a refusal for pace counts as an attempt.
///
/// It does not while the endpoint takes other deliveries. An endpoint that takes nothing fails, whatever it answers: then the
/// attempt counts when the schedule would have made the next one by now. So a delivery that meets nothing but 429 fails about when
/// the schedule ends.
fn counts(progress: &Progress, schedule: &[Duration]) -> bool {
    let made = usize::try_from(progress.attempt).unwrap_or(usize::MAX);
    let until_next: Duration =
        schedule.iter().take(made).fold(Duration::ZERO, |sum, delay| sum.saturating_add(*delay));
    progress.uncounted >= UNCOUNTED_MAX || progress.failing_for >= until_next.max(PATIENCE)
}

/// How long a delivery waits that was refused for pace.
fn paced_delay(progress: &Progress) -> Duration {
    let doublings = progress.uncounted.saturating_sub(UNSPREAD_MAX).min(16);
    let most = if progress.is_ordered { ORDERED_DELAY_MAX } else { SPREAD_MAX };
    let spread = progress.held_for.saturating_mul(1 << doublings).min(most);
    spread.max(progress.held_for)
}

fn scheduled_delay(attempt: u32, schedule: &[Duration]) -> Option<Duration> {
    let index = usize::try_from(attempt.checked_sub(1)?).ok()?;
    schedule.get(index).copied()
}

fn spread(delay: Duration, jitter: f64) -> Duration {
    delay.mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(why: Refusal, retry_after: Option<Duration>) -> Outcome {
        let result = AttemptResult::Refused { why, retry_after, error: String::new() };
        Outcome { result, code: None, duration: Duration::ZERO, response_excerpt: None }
    }

    /// The attempt of that number, to an endpoint that took another delivery just now.
    fn attempt(attempt: u32) -> Progress {
        Progress {
            attempt,
            uncounted: 0,
            failing_for: Duration::ZERO,
            held_for: Duration::ZERO,
            is_ordered: false,
        }
    }

    #[test]
    fn the_default_schedule_ends_after_75_h_35_min_5_s() {
        assert_eq!(DEFAULT_SCHEDULE.iter().sum::<Duration>(), Duration::from_secs(75 * 3600 + 35 * 60 + 5));
    }

    #[test]
    fn an_ordered_endpoint_is_tried_as_long_as_any_other() {
        let [ordered, default] = [true, false].map(|is| schedule_of(None, is).iter().sum::<Duration>());

        assert!(ordered.abs_diff(default) < ORDERED_DELAY_MAX, "{ordered:?} instead of {default:?}");
        assert_eq!(ORDERED_SCHEDULE[0], DEFAULT_SCHEDULE[0]);
    }

    #[test]
    fn a_refusal_for_pace_puts_off_an_ordered_delivery_by_five_minutes_at_most_unless_the_endpoint_asks_for_more()
     {
        let wait = |is_ordered, held_s, asked_s| {
            let held_for = Duration::from_secs(held_s);
            let progress = Progress { uncounted: 50, held_for, is_ordered, ..attempt(1) };
            let asked = Some(Duration::from_secs(asked_s));
            let schedule = schedule_of(None, is_ordered);
            match judge(&refused(Refusal::Paced, asked), &progress, schedule, 0.5) {
                DeliveryVerdict::PacedFor(wait) => wait.as_secs(),
                DeliveryVerdict::Complete
                | DeliveryVerdict::RetryIn(_)
                | DeliveryVerdict::Failed
                | DeliveryVerdict::Gone(_) => panic!("it is not a refusal for pace"),
            }
        };

        assert_eq!([wait(false, 1, 1), wait(true, 1, 1)], [600, 300]);
        assert_eq!([wait(true, 400, 1), wait(true, 1, 400)], [400, 400]);
    }

    #[test]
    fn a_schedule_of_its_own_counts_for_an_ordered_endpoint() {
        let own = [Duration::from_hours(3)];

        assert_eq!(schedule_of(Some(&own), true), own);
    }

    #[test]
    fn the_attempt_after_the_last_delay_is_the_last() {
        let schedule = [Duration::from_secs(5), Duration::from_mins(5)];

        assert_eq!(
            judge(&refused(Refusal::Failing, None), &attempt(2), &schedule, 0.5),
            DeliveryVerdict::RetryIn(Duration::from_mins(5))
        );
        assert_eq!(
            judge(&refused(Refusal::Failing, None), &attempt(3), &schedule, 0.5),
            DeliveryVerdict::Failed
        );
    }

    #[test]
    fn gone_is_gone_even_after_the_last_attempt() {
        assert_eq!(
            judge(&refused(Refusal::Gone, None), &attempt(9), &[], 0.5),
            DeliveryVerdict::Gone(Duration::ZERO)
        );
    }

    #[test]
    fn a_refusal_for_pace_is_no_attempt_while_others_are_taken() {
        for schedule in [&DEFAULT_SCHEDULE[..], &[Duration::from_millis(1)], &[]] {
            for number in 1..=10 {
                let verdict = judge(
                    &refused(Refusal::Paced, Some(Duration::from_secs(2))),
                    &attempt(number),
                    schedule,
                    0.5,
                );

                assert_eq!(
                    verdict,
                    DeliveryVerdict::PacedFor(Duration::from_secs(2)),
                    "{number} of {schedule:?}"
                );
            }
        }
    }

    #[test]
    fn a_delivery_that_is_always_refused_for_pace_fails_all_the_same() {
        let paced = refused(Refusal::Paced, None);
        let schedule = [Duration::from_secs(5)];
        let verdicts = |uncounted, failing_s| {
            let progress = |number| Progress {
                uncounted,
                failing_for: Duration::from_secs(failing_s),
                ..attempt(number)
            };
            [1, 2].map(|number| judge(&paced, &progress(number), &schedule, 0.5))
        };

        let counted = [DeliveryVerdict::RetryIn(Duration::from_secs(5)), DeliveryVerdict::Failed];
        assert_eq!(verdicts(UNCOUNTED_MAX, 0), counted);
        assert_eq!(verdicts(0, 10), counted);
        assert!(verdicts(UNCOUNTED_MAX - 1, 9).iter().all(|v| matches!(v, DeliveryVerdict::PacedFor(_))));
    }

    #[test]
    fn nothing_but_429_ends_with_the_schedule() {
        let paced = refused(Refusal::Paced, None);
        let (mut progress, mut at) = (attempt(1), Duration::ZERO);

        while let Some(delay) = match judge(&paced, &progress, &DEFAULT_SCHEDULE, 0.5) {
            DeliveryVerdict::PacedFor(delay) => {
                progress.uncounted += 1;
                Some(delay)
            }
            DeliveryVerdict::RetryIn(delay) => {
                progress.attempt += 1;
                Some(delay)
            }
            DeliveryVerdict::Complete | DeliveryVerdict::Failed | DeliveryVerdict::Gone(_) => None,
        } {
            at += delay.max(Duration::from_mins(2));
            progress = Progress { failing_for: at, held_for: Duration::from_mins(2), ..progress };
        }

        let span: Duration = DEFAULT_SCHEDULE.iter().sum();
        assert!((span..span * 2).contains(&at), "{at:?}");
        assert_eq!(progress.attempt, 10);
        assert!(progress.uncounted <= UNCOUNTED_MAX);
    }

    proptest! {
        #[test]
        fn a_delay_stays_within_a_fifth_of_its_schedule(ms in 1_u64..604_800_000, jitter in 0.0_f64..=1.0) {
            let delay = Duration::from_millis(ms);

            let DeliveryVerdict::RetryIn(wait) = judge(&refused(Refusal::Failing, None), &attempt(1), &[delay], jitter) else {
                panic!("one delay is left");
            };

            prop_assert!(delay.mul_f64(0.8) <= wait && wait <= delay.mul_f64(1.2));
        }

        #[test]
        fn an_ordered_endpoint_waits_five_minutes_at_most(number in 1_u32..=1089, jitter in 0.0_f64..=1.0) {
            let schedule = schedule_of(None, true);

            let DeliveryVerdict::RetryIn(wait) = judge(&refused(Refusal::Failing, None), &attempt(number), schedule, jitter) else {
                panic!("{number} attempts are not all");
            };

            prop_assert!(wait <= ORDERED_DELAY_MAX, "{:?} after attempt {}", wait, number);
        }

        #[test]
        fn retry_after_is_never_undercut_and_capped(asked_s in 0_u64..1_000_000, jitter in 0.0_f64..=1.0) {
            let asked = Duration::from_secs(asked_s);

            let DeliveryVerdict::RetryIn(wait) = judge(&refused(Refusal::Failing, Some(asked)), &attempt(1), &[Duration::from_secs(5)], jitter) else {
                panic!("one delay is left");
            };

            prop_assert!(wait >= asked.min(RETRY_AFTER_MAX));
            prop_assert!(wait <= RETRY_AFTER_MAX);
        }
    }
}
