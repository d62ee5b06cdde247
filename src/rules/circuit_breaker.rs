//! Rules: what an attempt says of its endpoint's health, when a circuit opens, and how long until the next probe. Pure.

use std::time::Duration;

use crate::model::outcome::Answer;

/// So many attempts in a row that say that the endpoint is unwell open its circuit. As many as the default schedule has:
/// one delivery that is never taken opens none before it is given up.
pub const OPEN_AFTER: u32 = 10;
/// Until the first probe: a restart of the receiver costs no more than this.
const PROBE_FIRST: Duration = Duration::from_secs(1);
/// The longest: how late a recovery is noticed.
const PROBE_MAX: Duration = Duration::from_mins(2);

/// What an attempt says of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It took the delivery.
    Well,
    /// It refused this delivery, and would maybe take another.
    Answers,
    /// It takes nothing at the moment.
    Unwell,
}

impl Health {
    /// A 4xx is about the request, and a redirect about the URL: somebody is there. 408 and 429 ask for a pause.
    pub fn of(answer: &Answer) -> Self {
        match answer {
            Answer::Success { .. } => Self::Well,
            Answer::Refused { status_code: 408 | 429 | 500.., .. } | Answer::NoAnswer { .. } => Self::Unwell,
            Answer::Refused { .. } => Self::Answers,
        }
    }
}

/// How long to wait with the next probe after so many failed ones: doubled by each, spread over ±20 % by `jitter` (a random
/// number in `0.0..=1.0`), and not less than what the endpoint asked for, within reason.
pub fn probe_delay(failed_probes: u32, retry_after: Option<Duration>, jitter: f64) -> Duration {
    let doubled = PROBE_FIRST.saturating_mul(1 << failed_probes.min(20)).min(PROBE_MAX);
    let asked = retry_after.unwrap_or_default().min(PROBE_MAX);
    doubled.mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0)).max(asked)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::outcome::NoAnswer;

    fn refused(status_code: u16) -> Answer {
        Answer::Refused { status_code, retry_after: None }
    }

    #[test]
    fn an_answer_about_the_request_says_nothing_against_the_endpoint() {
        for status_code in [301, 400, 401, 404, 410, 413, 422] {
            assert_eq!(Health::of(&refused(status_code)), Health::Answers, "{status_code}");
        }
    }

    #[test]
    fn an_endpoint_that_fails_asks_for_a_pause_or_is_silent_is_unwell() {
        let silent = Answer::NoAnswer { why: NoAnswer::Timeout, error: String::new() };

        for answer in [refused(408), refused(429), refused(500), refused(503), refused(999), silent] {
            assert_eq!(Health::of(&answer), Health::Unwell, "{answer:?}");
        }
    }

    #[test]
    fn a_retry_after_is_waited_for_within_reason() {
        assert_eq!(probe_delay(0, Some(Duration::from_secs(30)), 0.5), Duration::from_secs(30));
        assert_eq!(probe_delay(0, Some(Duration::from_hours(24)), 0.5), PROBE_MAX);
    }

    proptest! {
        #[test]
        fn probes_become_rarer_up_to_a_limit(failed in 0_u32..40, jitter in 0.0..=1.0_f64) {
            let delay = probe_delay(failed, None, jitter);

            let middle = PROBE_MAX.as_secs_f64().min(2_f64.powi(failed.try_into().unwrap()));
            prop_assert!((middle * 0.799..=middle * 1.201).contains(&delay.as_secs_f64()));
        }
    }
}
