//! The throttle that every attempt to connect passes: one at a time, and in trouble at most one a second with a growing,
//! jittered pause. A caller that came while another tried in vain shares that failure, so that however many
//! stages and requests want one, a server that is down or full sees one knock at a time.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::ConnectError;

/// Between two attempts in trouble, for each host that an attempt may try. There are two gates, because who tries for the
/// others may stand still with the common runtime, and the lease must not wait for it; so all of a process stays within
/// two attempts a second. (A listening connection with another URL has a third, to another server as a rule.)
const PAUSE: Duration = Duration::from_secs(1);
/// After the second failure in a row it is twice as long; then a server that is back is noticed within three seconds.
const LONGER: u32 = 2;

/// See the module.
pub(super) struct ConnectThrottle {
    pause: Duration,
    /// Counts failures. An attempt that waits for its turn sees by it that another one failed meanwhile.
    failures: AtomicU64,
    /// Held during an attempt.
    last: Mutex<Last>,
}

/// How the last attempt ended.
struct Last {
    fault: Option<ConnectError>,
    not_before: Instant,
}

impl ConnectThrottle {
    /// Open.
    pub(super) fn new() -> Self {
        Self { pause: PAUSE, failures: AtomicU64::new(0), last: Mutex::new(Last::good()) }
    }

    /// Makes an attempt when it is its turn, or fails as the one did that was made meanwhile. `hosts_max`: how many hosts
    /// one attempt may try.
    ///
    /// # Errors
    /// [`ConnectError`].
    ///
    /// # Cancel safety
    /// An attempt that is dropped counts as one; the next waits for the pause after it.
    pub(super) async fn pass<T>(
        &self,
        hosts_max: u32,
        attempt: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        let failures = self.failures.load(Ordering::Acquire);
        let mut last = self.last.lock().await;
        if let Some(fault) = &last.fault
            && self.failures.load(Ordering::Acquire) != failures
        {
            return Err(fault.clone());
        }
        if Instant::now() < last.not_before {
            sleep_until(last.not_before).await;
        }
        let times = if last.fault.is_some() { LONGER * hosts_max } else { hosts_max };
        last.not_before = Instant::now() + (self.pause * times).mul_f64(1.0 + 0.5 * fastrand::f64());
        let done = attempt.await;
        match &done {
            Ok(_) => *last = Last::good(),
            Err(fault) => {
                self.failures.fetch_add(1, Ordering::AcqRel);
                last.fault = Some(fault.clone());
            }
        }
        done
    }
}

impl Last {
    fn good() -> Self {
        Self { fault: None, not_before: Instant::now() }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::FutureExt;
    use futures_util::future::join_all;

    use super::*;

    const DOWN: ConnectError = ConnectError::Deadline(Duration::ZERO);
    const SHORT: Duration = Duration::from_millis(20);

    fn gate() -> ConnectThrottle {
        ConnectThrottle { pause: SHORT, ..ConnectThrottle::new() }
    }

    #[tokio::test]
    async fn in_trouble_attempts_are_apart_and_further_for_more_hosts() {
        for hosts_max in [1, 3] {
            let gate = gate();
            let begun = Instant::now();

            for _ in 0..4 {
                gate.pass(hosts_max, async { Err::<(), _>(DOWN) }).await.unwrap_err();
            }

            // One pause, and two longer ones.
            assert!(begun.elapsed() >= SHORT * hosts_max * 5, "{:?}", begun.elapsed());
        }
    }

    #[tokio::test]
    async fn those_who_wait_share_the_failure_of_the_one_who_tries() {
        let gate = gate();
        let attempts = Cell::new(0);
        let attempt = async || {
            let try_in_vain = async {
                attempts.set(attempts.get() + 1);
                tokio::task::yield_now().await;
                Err::<(), _>(DOWN)
            };
            gate.pass(1, try_in_vain).await
        };

        let done = join_all((0..100).map(|_| attempt())).await;

        assert!(done.iter().all(Result::is_err));
        assert_eq!(attempts.get(), 1);
    }

    #[tokio::test]
    async fn after_a_success_nobody_waits() {
        let gate = gate();
        gate.pass(1, async { Err::<(), _>(DOWN) }).await.unwrap_err();
        gate.pass(1, async { Ok(()) }).await.unwrap();
        let begun = Instant::now();

        for _ in 0..100 {
            gate.pass(1, async { Ok(()) }).await.unwrap();
        }

        assert!(begun.elapsed() < SHORT * 50, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn an_attempt_that_is_dropped_counts() {
        let gate = gate();
        let begun = Instant::now();
        let dropped = gate.pass(1, std::future::pending::<Result<(), _>>()).now_or_never();
        assert!(dropped.is_none());

        gate.pass(1, async { Ok(()) }).await.unwrap();

        assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
    }
}
