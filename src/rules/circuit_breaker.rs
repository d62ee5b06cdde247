//! Rules of the circuit breaker: how an attempt shows the health of its endpoint, when a circuit opens, and how long until
//! the next probe. Pure.

use std::time::Duration;

use crate::model::outcome::{AttemptResult, Refusal};

/// A circuit opens after this many unwell attempts in a row. The default schedule has as many attempts, so a single delivery
/// that is never taken opens no circuit before it is given up. That of an ordered endpoint has more: there a probe is the next attempt.
pub(crate) const OPEN_AFTER: u32 = 10;
/// Time until the first probe. A restart of the receiver costs no more than this.
const PROBE_FIRST: Duration = Duration::from_secs(1);
/// The longest time between probes. A recovery is noticed no later than this.
const PROBE_MAX: Duration = Duration::from_mins(2);

/// Health of an endpoint, as one attempt shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// The endpoint took the delivery.
    Well,
    /// The endpoint refused this delivery, and may take another. That says nothing against it.
    Picks,
    /// The endpoint answers, and would take no other delivery either: it refuses us, moved, or asks us to wait.
    Answers,
    /// The endpoint takes nothing at the moment.
    Unwell,
}

impl Health {
    /// Judges an attempt. A refusal that is about the delivery, the place or the pace proves that somebody is there.
    pub(crate) fn of(result: &AttemptResult) -> Self {
        match result {
            AttemptResult::Delivered => Self::Well,
            AttemptResult::Refused { why, .. } => match why {
                Refusal::Rejected => Self::Picks,
                Refusal::Denied | Refusal::Gone | Refusal::Moved | Refusal::Paced | Refusal::Unclear => {
                    Self::Answers
                }
                Refusal::Overloaded | Refusal::Failing => Self::Unwell,
            },
            AttemptResult::NoAnswer { .. } => Self::Unwell,
        }
    }
}

/// A gap between two failures that no waiting of ours explains: if it is longer than this, nothing was attempted in it, and it says
/// nothing about the endpoint. A tenth of the time after which an endpoint is disabled; with a short one a minute or half of it.
pub(crate) fn quiet_after(disable_after: Duration) -> Duration {
    (disable_after / 10).max((disable_after / 2).min(Duration::from_mins(1)))
}

/// The time until the next probe. Each failed probe doubles it, up to two minutes; `jitter` (a random number in `0.0..=1.0`)
/// spreads it over ±20 %. It is not shorter than the wait that the endpoint asked for, of which two minutes count at most.
pub(crate) fn probe_delay(failed_probes: u32, retry_after: Option<Duration>, jitter: f64) -> Duration {
    let doubled = PROBE_FIRST.saturating_mul(1 << failed_probes.min(20)).min(PROBE_MAX);
    let asked = retry_after.unwrap_or_default().min(PROBE_MAX);
    doubled.mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0)).max(asked)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::outcome::NoAnswer;

    fn refused(why: Refusal) -> AttemptResult {
        AttemptResult::Refused { why, retry_after: None, error: String::new() }
    }

    #[test]
    fn an_answer_about_the_delivery_says_nothing_against_the_endpoint() {
        assert_eq!(Health::of(&refused(Refusal::Rejected)), Health::Picks);
    }

    #[test]
    fn an_answer_about_the_sender_the_place_or_the_pace_proves_that_somebody_is_there() {
        for why in [Refusal::Denied, Refusal::Gone, Refusal::Moved, Refusal::Paced, Refusal::Unclear] {
            assert_eq!(Health::of(&refused(why)), Health::Answers, "{why:?}");
        }
    }

    #[test]
    fn an_endpoint_that_fails_or_is_silent_is_unwell() {
        let silent = AttemptResult::NoAnswer { why: NoAnswer::Timeout, error: String::new() };

        for result in [refused(Refusal::Overloaded), refused(Refusal::Failing), silent] {
            assert_eq!(Health::of(&result), Health::Unwell, "{result:?}");
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
