//! Rules: what follows an attempt. Pure: jitter is passed in, delays are durations.

use std::time::Duration;

use crate::model::outcome::{Answer, Outcome};

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

/// The longest `Retry-After` that is respected in full; a longer one waits this long.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// What an attempt makes of its delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Delivered.
    Complete,
    /// Pending again, due after this time.
    RetryIn(Duration),
    /// All attempts are used up.
    Failed,
    /// 410: the endpoint does not want events any more; the delivery waits while it is disabled.
    Gone(Duration),
}

/// Judges attempt number `attempt` (from 1) by the endpoint's schedule.
///
/// `jitter` is a random number in `0.0..=1.0`; the scheduled delay is spread over ±20 %. `Retry-After` is never
/// undercut, and respected up to [`RETRY_AFTER_MAX`].
pub fn judge(outcome: &Outcome, attempt: u32, schedule: &[Duration], jitter: f64) -> Verdict {
    let (status_code, retry_after) = match outcome.answer {
        Answer::Success { .. } => return Verdict::Complete,
        Answer::Refused { status_code, retry_after } => (Some(status_code), retry_after),
        Answer::NoAnswer { .. } => (None, None),
    };
    let scheduled = scheduled_delay(attempt, schedule).map(|delay| spread(delay, jitter));
    match (status_code, scheduled) {
        (Some(410), delay) => Verdict::Gone(delay.unwrap_or_default()),
        (_, None) => Verdict::Failed,
        (_, Some(delay)) => Verdict::RetryIn(delay.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX))),
    }
}

fn scheduled_delay(attempt: u32, schedule: &[Duration]) -> Option<Duration> {
    let index = usize::try_from(attempt.checked_sub(1)?).ok()?;
    schedule.get(index).copied()
}

fn spread(delay: Duration, jitter: f64) -> Duration {
    delay.mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0))
}

/// Reads a `Retry-After` header (RFC 9110 section 10.2.3): seconds, or a date, which is compared with the answer's
/// own `Date` so that nobody's clock matters. Whatever is neither is ignored.
pub fn parse_retry_after(value: &str, date: Option<&str>) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are simply "very long".
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)).min(RETRY_AFTER_MAX));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let now = httpdate::parse_http_date(date?.trim()).ok()?;
    Some(until.duration_since(now).unwrap_or_default().min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(status_code: u16, retry_after: Option<Duration>) -> Outcome {
        Outcome {
            answer: Answer::Refused { status_code, retry_after },
            duration: Duration::ZERO,
            response_excerpt: None,
        }
    }

    #[test]
    fn the_default_schedule_ends_after_75_h_35_min_5_s() {
        assert_eq!(DEFAULT_SCHEDULE.iter().sum::<Duration>(), Duration::from_secs(75 * 3600 + 35 * 60 + 5));
    }

    #[test]
    fn the_attempt_after_the_last_delay_is_the_last() {
        let schedule = [Duration::from_secs(5), Duration::from_mins(5)];

        assert_eq!(judge(&refused(500, None), 2, &schedule, 0.5), Verdict::RetryIn(Duration::from_mins(5)));
        assert_eq!(judge(&refused(500, None), 3, &schedule, 0.5), Verdict::Failed);
    }

    #[test]
    fn gone_is_gone_even_after_the_last_attempt() {
        assert_eq!(judge(&refused(410, None), 9, &[], 0.5), Verdict::Gone(Duration::ZERO));
    }

    #[test]
    fn retry_after_takes_seconds_and_dates_and_ignores_the_rest() {
        let date = Some("Wed, 21 Oct 2015 07:28:00 GMT");

        assert_eq!(parse_retry_after("120", None), Some(Duration::from_mins(2)));
        assert_eq!(parse_retry_after("99999999999999999999999", None), Some(RETRY_AFTER_MAX));
        assert_eq!(parse_retry_after("Wed, 21 Oct 2015 07:29:30 GMT", date), Some(Duration::from_secs(90)));
        assert_eq!(parse_retry_after("Wed, 21 Oct 2015 07:00:00 GMT", date), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("Fri, 31 Dec 9999 23:59:59 GMT", date), Some(RETRY_AFTER_MAX));
        for garbage in ["", "-5", "NaN", "1e400", "1.5", "soon"] {
            assert_eq!(parse_retry_after(garbage, date), None, "{garbage}");
        }
    }

    proptest! {
        #[test]
        fn a_delay_stays_within_a_fifth_of_its_schedule(ms in 1_u64..604_800_000, jitter in 0.0_f64..=1.0) {
            let delay = Duration::from_millis(ms);

            let Verdict::RetryIn(wait) = judge(&refused(503, None), 1, &[delay], jitter) else {
                panic!("one delay is left");
            };

            prop_assert!(delay.mul_f64(0.8) <= wait && wait <= delay.mul_f64(1.2));
        }

        #[test]
        fn retry_after_is_never_undercut_and_capped(asked_s in 0_u64..1_000_000, jitter in 0.0_f64..=1.0) {
            let asked = Duration::from_secs(asked_s);

            let Verdict::RetryIn(wait) = judge(&refused(429, Some(asked)), 1, &[Duration::from_secs(5)], jitter) else {
                panic!("one delay is left");
            };

            prop_assert!(wait >= asked.min(RETRY_AFTER_MAX));
            prop_assert!(wait <= RETRY_AFTER_MAX);
        }

        #[test]
        fn no_header_panics(value in ".{0,60}", date in ".{0,60}") {
            parse_retry_after(&value, Some(&date));
        }
    }
}
