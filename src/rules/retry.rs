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

/// The longest wait that an endpoint may ask for. Where it asks for more, it gets this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// The fate of a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryVerdict {
    /// It is delivered.
    Complete,
    /// It is pending again, and due after this time.
    RetryIn(Duration),
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
            Self::RetryIn(_) | Self::Gone(_) | Self::Failed => Self::Failed,
        }
    }
}

/// Judges attempt number `attempt` (from 1) by the endpoint's schedule.
///
/// `jitter` is a random number in `0.0..=1.0`; it spreads the scheduled delay over ±20 %. A wait that the endpoint asks for is
/// never undercut, and is respected up to [`RETRY_AFTER_MAX`].
pub fn judge(outcome: &Outcome, attempt: u32, schedule: &[Duration], jitter: f64) -> DeliveryVerdict {
    let scheduled = scheduled_delay(attempt, schedule).map(|delay| spread(delay, jitter));
    match (&outcome.result, scheduled) {
        (AttemptResult::Delivered, _) => DeliveryVerdict::Complete,
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

    #[test]
    fn the_default_schedule_ends_after_75_h_35_min_5_s() {
        assert_eq!(DEFAULT_SCHEDULE.iter().sum::<Duration>(), Duration::from_secs(75 * 3600 + 35 * 60 + 5));
    }

    #[test]
    fn the_attempt_after_the_last_delay_is_the_last() {
        let schedule = [Duration::from_secs(5), Duration::from_mins(5)];

        assert_eq!(
            judge(&refused(Refusal::Failing, None), 2, &schedule, 0.5),
            DeliveryVerdict::RetryIn(Duration::from_mins(5))
        );
        assert_eq!(judge(&refused(Refusal::Failing, None), 3, &schedule, 0.5), DeliveryVerdict::Failed);
    }

    #[test]
    fn gone_is_gone_even_after_the_last_attempt() {
        assert_eq!(judge(&refused(Refusal::Gone, None), 9, &[], 0.5), DeliveryVerdict::Gone(Duration::ZERO));
    }

    proptest! {
        #[test]
        fn a_delay_stays_within_a_fifth_of_its_schedule(ms in 1_u64..604_800_000, jitter in 0.0_f64..=1.0) {
            let delay = Duration::from_millis(ms);

            let DeliveryVerdict::RetryIn(wait) = judge(&refused(Refusal::Failing, None), 1, &[delay], jitter) else {
                panic!("one delay is left");
            };

            prop_assert!(delay.mul_f64(0.8) <= wait && wait <= delay.mul_f64(1.2));
        }

        #[test]
        fn retry_after_is_never_undercut_and_capped(asked_s in 0_u64..1_000_000, jitter in 0.0_f64..=1.0) {
            let asked = Duration::from_secs(asked_s);

            let DeliveryVerdict::RetryIn(wait) = judge(&refused(Refusal::Overloaded, Some(asked)), 1, &[Duration::from_secs(5)], jitter) else {
                panic!("one delay is left");
            };

            prop_assert!(wait >= asked.min(RETRY_AFTER_MAX));
            prop_assert!(wait <= RETRY_AFTER_MAX);
        }
    }
}
