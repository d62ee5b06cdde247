//! How long to wait before something that failed is tried again: doubling, with jitter.

use std::time::Duration;

/// Pauses that double from one failure to the next.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses of `first`, twice that, and so on up to `max`.
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, next: first }
    }

    /// The next pause, from half to one and a half of its length: those who failed together do not come back together.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next.mul_f64(0.5 + fastrand::f64());
        self.next = (self.next * 2).min(self.max);
        pause
    }

    /// It worked: the next failure is a first one.
    pub const fn reset(&mut self) {
        self.next = self.first;
    }
}
