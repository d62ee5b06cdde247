//! The end of an attempt. While a request waits for a stream, the receiver was not asked, so its time stands still.

use std::future::Future;
use std::time::Duration;

use tokio::select;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How long a request waits for a stream at most, before it is sent over a connection of its own.
const STREAM_WAIT_MAX: Duration = Duration::from_secs(1);

/// The deadline of one attempt. It moves back by as long as the request waited for a stream.
#[derive(Debug)]
pub(super) struct Deadline {
    at: watch::Sender<Instant>,
    wait_max: Duration,
}

/// The time of a receiver, at a standstill until this is dropped.
pub(super) struct Standstill<'a> {
    deadline: &'a Deadline,
    begun: Instant,
}

impl Deadline {
    /// A deadline so far from `begun`. A wait adds half of it at most: together they are shorter than a lease.
    pub(super) fn new(begun: Instant, timeout: Duration) -> Self {
        Self { at: watch::Sender::new(begun + timeout), wait_max: STREAM_WAIT_MAX.min(timeout / 2) }
    }

    /// When it is, if nothing waits any more.
    pub(super) fn at(&self) -> Instant {
        *self.at.borrow()
    }

    /// How long a request may wait for a stream.
    pub(super) fn wait_max(&self) -> Duration {
        self.wait_max
    }

    /// Does something until the deadline. `None` if it takes longer.
    ///
    /// # Cancel safety
    /// As safe as `doing`.
    pub(super) async fn within<F: Future>(&self, doing: F) -> Option<F::Output> {
        select! {
            biased;
            done = doing => Some(done),
            () = self.passed() => None,
        }
    }

    async fn passed(&self) {
        let mut moved = self.at.subscribe();
        loop {
            let at = *moved.borrow_and_update();
            select! {
                () = sleep_until(at) => return,
                Ok(()) = moved.changed() => {}
            }
        }
    }

    /// Stops the receiver's time, for as long as a wait may take.
    pub(super) fn stand_still(&self) -> Standstill<'_> {
        self.at.send_modify(|at| *at += self.wait_max);
        Standstill { deadline: self, begun: Instant::now() }
    }
}

impl Drop for Standstill<'_> {
    fn drop(&mut self) {
        let unused = self.deadline.wait_max.saturating_sub(self.begun.elapsed());
        self.deadline.at.send_modify(|at| *at -= unused);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_for_a_stream_is_no_part_of_the_receivers_time() {
        let begun = Instant::now();
        let deadline = Deadline::new(begun, Duration::from_millis(200));

        let standstill = deadline.stand_still();
        let (wait, while_waiting) = (begun.elapsed(), deadline.at());
        drop(standstill);
        let done = deadline.within(std::future::pending::<()>()).await;

        assert_eq!((done, while_waiting - begun), (None, Duration::from_millis(300)));
        assert!(deadline.at() - begun >= Duration::from_millis(200), "{wait:?}");
        assert!(begun.elapsed() >= deadline.at() - begun);
    }

    #[test]
    fn a_wait_adds_half_of_a_short_deadline_at_most() {
        for (timeout_ms, wait_ms) in [(100, 50), (2_000, 1_000), (300_000, 1_000)] {
            let deadline = Deadline::new(Instant::now(), Duration::from_millis(timeout_ms));

            assert_eq!(deadline.wait_max(), Duration::from_millis(wait_ms));
        }
    }
}
