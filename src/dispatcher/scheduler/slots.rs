//! The requests of one endpoint: how many may be under way, how many are, and how fast they end.

use tokio::time::{Duration, Instant};

/// How long the queued part of an endpoint's deliveries lasts: long enough to outlast a claim and a settle, short enough
/// that an endpoint which stops answering holds little.
const PREFETCH: Duration = Duration::from_millis(500);
/// Over how long the drain is measured.
const DRAIN_WINDOW: Duration = Duration::from_millis(250);
/// How many attempts per second and slot an endpoint is believed to take until it has shown it: 50 ms an attempt.
const DRAIN_ASSUMED: u32 = 20;
/// An endpoint that gave no answer for this long has to leave requests to others.
const ANSWER_WINDOW: Duration = Duration::from_secs(1);

/// One endpoint's slots.
#[derive(Debug)]
pub(super) struct Slots {
    count: usize,
    in_flight: usize,
    drain: Drain,
    /// Since when no request has ended, while some are under way.
    quiet_since: Instant,
    /// When an attempt last ended with an answer.
    answered: Option<Instant>,
    /// None of its requests ended for a while, and no answer has come since.
    is_silent: bool,
}

/// How fast attempts end while slots are the limit.
#[derive(Debug)]
struct Drain {
    since: Instant,
    ended: u32,
    per_second: f64,
    /// Whether all slots were taken at some time of this window.
    is_saturated: bool,
}

impl Slots {
    pub(super) fn new(count: u32) -> Self {
        let mut slots = Self {
            count: 0,
            in_flight: 0,
            drain: Drain::new(count),
            quiet_since: Instant::now(),
            answered: None,
            is_silent: false,
        };
        slots.set_count(count);
        slots
    }

    pub(super) fn set_count(&mut self, count: u32) {
        self.count = usize::try_from(count).unwrap_or(usize::MAX);
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// A request begins.
    pub(super) fn take(&mut self) {
        if self.in_flight == 0 {
            self.quiet_since = Instant::now();
        }
        self.in_flight += 1;
        self.note_saturation();
    }

    /// A request ended.
    pub(super) fn free(&mut self) {
        self.note_saturation();
        self.in_flight = self.in_flight.saturating_sub(1);
        self.drain.ended += 1;
        self.quiet_since = Instant::now();
    }

    /// A request ended with an answer.
    pub(super) fn note_answer(&mut self) {
        self.answered = Some(Instant::now());
        self.is_silent = false;
    }

    /// How many more deliveries than slots are worth having in the queue.
    pub(super) fn prefetch(&mut self) -> usize {
        self.note_saturation();
        self.drain.roll();
        self.drain.prefetch()
    }

    /// Whether the endpoint answers, so that its slots will soon be free again. One that was not heard of yet does not.
    pub(super) fn is_answering(&self, now: Instant) -> bool {
        self.answered.is_some_and(|at| now.saturating_duration_since(at) < ANSWER_WINDOW)
    }

    /// Whether it was marked silent, and has not answered since.
    pub(super) fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// Whether requests are under way, and none of them ended for a window.
    pub(super) fn are_stuck(&self) -> bool {
        // Not the drain's window, which begins anew with each look for room.
        self.in_flight > 0 && self.quiet_since.elapsed() >= DRAIN_WINDOW
    }

    /// The endpoint is stuck: it counts as silent and slow until the next answer.
    pub(super) fn mark_silent(&mut self) {
        self.is_silent = true;
        self.drain.is_saturated = true;
        self.drain.roll();
    }

    fn note_saturation(&mut self) {
        self.drain.is_saturated |= self.in_flight >= self.count;
    }
}

impl Drain {
    fn new(slots: u32) -> Self {
        let per_second = f64::from(slots.saturating_mul(DRAIN_ASSUMED));
        Self { since: Instant::now(), ended: 0, per_second, is_saturated: false }
    }

    /// Closes a window. If slots were free all the time, demand was the limit: the endpoint may be able to take more.
    fn roll(&mut self) {
        let elapsed = self.since.elapsed();
        if elapsed < DRAIN_WINDOW {
            return;
        }
        let measured = f64::from(self.ended) / elapsed.as_secs_f64();
        self.per_second = if self.is_saturated { measured } else { self.per_second.max(measured) };
        self.since = Instant::now();
        self.ended = 0;
        self.is_saturated = false;
    }

    fn prefetch(&self) -> usize {
        #[expect(
            clippy::as_conversions,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates"
        )]
        let prefetch = (self.per_second * PREFETCH.as_secs_f64()) as usize;
        prefetch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_whose_requests_do_not_end_is_worth_no_prefetch_until_it_answers() {
        let mut slots = Slots::new(4);
        slots.take();
        let before = (slots.are_stuck(), slots.prefetch());

        slots.quiet_since -= DRAIN_WINDOW;
        slots.drain.since -= DRAIN_WINDOW;
        let is_stuck = slots.are_stuck();
        slots.mark_silent();

        assert_eq!(before, (false, 40));
        assert_eq!((is_stuck, slots.is_silent(), slots.prefetch()), (true, true, 0));
        slots.note_answer();
        assert_eq!((slots.is_silent(), slots.is_answering(Instant::now())), (false, true));
    }
}
