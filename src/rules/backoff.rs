//! Pauses before new tries: they double, with jitter.

use std::time::Duration;

/// Pauses that double from one failure to the next.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses of `first`, twice that, and so on up to `max`.
    pub(crate) const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, next: first }
    }

    /// Returns the next pause, randomised from half to one and a half of its length, so that clients that failed together do not
    /// come back together.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next.mul_f64(0.5 + fastrand::f64());
        self.next = (self.next * 2).min(self.max);
        pause
    }

    /// Starts again from the first pause, after a success.
    pub(crate) const fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pauses_double_up_to_the_longest_give_or_take_half(failures in 1_u32..20) {
            let (first, max) = (Duration::from_millis(100), Duration::from_secs(2));
            let mut backoff = Backoff::new(first, max);

            let pause = (0..failures).map(|_| backoff.pause()).last().unwrap();

            let expected = (first * 2_u32.pow(failures - 1)).min(max);
            prop_assert!((expected / 2..=expected * 3 / 2).contains(&pause), "{pause:?}");
        }
    }

    #[test]
    fn after_a_success_the_next_failure_is_a_first_one() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        for _ in 0..5 {
            backoff.pause();
        }

        backoff.reset();

        assert!(backoff.pause() <= Duration::from_millis(150));
    }
}
