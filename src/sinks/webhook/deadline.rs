//! The end of an attempt. While a request waits for a stream, the receiver was not asked, so its time stands still.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::select;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// How long a request waits for a stream at most, before it is sent over a connection of its own.
const STREAM_WAIT_MAX: Duration = Duration::from_secs(1);
/// Most attempts are over after this. Nobody looks more closely at one before.
const SLOW_AFTER: Duration = Duration::from_millis(10);

/// The deadline of one attempt. It moves back by as long as the request waited for a stream.
#[derive(Debug)]
pub(super) struct Deadline {
    begun: Instant,
    timeout: Duration,
    /// Microseconds by which it has moved back.
    moved_us: AtomicU64,
    stands_still: AtomicBool,
    wait_max: Duration,
    is_slow: AtomicBool,
    slow: Notify,
}

/// The time of a receiver, at a standstill until this is dropped.
pub(super) struct Standstill<'a> {
    deadline: &'a Deadline,
    begun: Instant,
}

impl Deadline {
    /// A deadline so far from `begun`. A wait adds half of it at most: together they are shorter than a lease.
    pub(super) fn new(begun: Instant, timeout: Duration) -> Self {
        Self {
            begun,
            timeout,
            moved_us: AtomicU64::new(0),
            stands_still: AtomicBool::new(false),
            wait_max: STREAM_WAIT_MAX.min(timeout / 2),
            is_slow: AtomicBool::new(false),
            slow: Notify::new(),
        }
    }

    /// When it is, if nothing waits any more.
    pub(super) fn at(&self) -> Instant {
        self.begun + self.timeout + Duration::from_micros(self.moved_us.load(Ordering::Relaxed))
    }

    /// How long a request may wait for a stream.
    pub(super) fn wait_max(&self) -> Duration {
        self.wait_max
    }

    /// Does something until the deadline. `None` if it takes longer. (A future that is taken by value would stand in this one twice.)
    ///
    /// # Cancel safety
    /// As safe as `doing`.
    pub(super) async fn within<F: Future>(&self, doing: Pin<&mut F>) -> Option<F::Output> {
        select! {
            biased;
            done = doing => Some(done),
            () = self.passed() => None,
        }
    }

    /// Waits until the attempt takes longer than most do. Something must be under way [within](Self::within) the deadline.
    pub(super) async fn until_slow(&self) {
        let mut slow = pin!(self.slow.notified());
        slow.as_mut().enable();
        if !self.is_slow.load(Ordering::Acquire) {
            slow.await;
        }
    }

    async fn passed(&self) {
        // One timer serves both: a second one would cost every attempt, and most are over before the first rings.
        let mut timer = pin!(sleep_until(self.at().min(self.begun + SLOW_AFTER)));
        timer.as_mut().await;
        self.is_slow.store(true, Ordering::Release);
        self.slow.notify_waiters();
        loop {
            let (now, stands_still) = (Instant::now(), self.stands_still.load(Ordering::Acquire));
            let at = self.at();
            if at <= now && !stands_still {
                return;
            }
            timer.as_mut().reset(if stands_still { at.max(now + SLOW_AFTER) } else { at });
            timer.as_mut().await;
        }
    }

    /// Stops the receiver's time, for as long as a wait may take.
    pub(super) fn stand_still(&self) -> Standstill<'_> {
        self.stands_still.store(true, Ordering::Release);
        Standstill { deadline: self, begun: Instant::now() }
    }
}

impl Drop for Standstill<'_> {
    fn drop(&mut self) {
        let stood = self.begun.elapsed().min(self.deadline.wait_max).as_micros();
        self.deadline.moved_us.fetch_add(u64::try_from(stood).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.deadline.stands_still.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_for_a_stream_is_no_part_of_the_receivers_time() {
        let begun = Instant::now();
        let deadline = Deadline::new(begun, Duration::from_millis(200));

        let standing = Instant::now();
        let waiting = pin!(async {
            let _standstill = deadline.stand_still();
            tokio::time::sleep(Duration::from_millis(300)).await;
            standing.elapsed()
        });
        let done = deadline.within(waiting).await;
        let later = deadline.within(pin!(std::future::pending::<()>())).await;

        // It may wait beyond the deadline, and a tenth of a second of that is added.
        assert!(done.is_some_and(|stood| stood >= Duration::from_millis(300)), "{done:?}");
        assert_eq!((later, deadline.at() - begun), (None, Duration::from_millis(300)));
    }

    #[test]
    fn a_wait_adds_half_of_a_short_deadline_at_most() {
        for (timeout_ms, wait_ms) in [(100, 50), (2_000, 1_000), (300_000, 1_000)] {
            let deadline = Deadline::new(Instant::now(), Duration::from_millis(timeout_ms));

            assert_eq!(deadline.wait_max(), Duration::from_millis(wait_ms));
        }
    }
}
