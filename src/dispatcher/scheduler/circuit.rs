//! What this dispatcher knows of one endpoint's circuit, and what it has learnt that is not on record yet. The record in
//! the database is what holds; `breaker` writes it, the sweep of `dispatch` reads it.
//!
//! ```text
//!  Closed ──too many failures in a row──> Open ──time has come, right taken──> Probing
//!    ▲ slots: 1, 2, 4 … as answers come    ▲ no slot                              │ one slot
//!    └────────────── an answer ────────────┴────────── no answer ────────────────┘
//! ```

use tokio::time::{Duration, Instant};

use super::unrecorded::{OpenReason, Unrecorded};
use crate::model::delivery::{DeliveryId, DispatcherId};
use crate::model::endpoint::CircuitState;
use crate::rules::circuit_breaker::{Health, OPEN_AFTER, probe_delay};
use crate::store::Circuit as OnRecord;

/// Failures that open nothing are written at most this often, and so is a success that closes nothing: an endpoint that
/// takes every other delivery would be written at the rate of batches.
const WRITE_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Circuit {
    state: State,
    /// In a row: those on record, and our own since.
    failures: u32,
    is_on_record: bool,
    news: Unrecorded,
    is_being_written: bool,
    /// When it was last written, or changed by us.
    changed: Option<Instant>,
}

#[derive(Debug)]
enum State {
    /// So many requests at once, at most: grows with every success after a recovery.
    Closed { ramp: usize },
    /// Nothing is claimed or begun. Half open by another dispatcher looks the same: its right ends then.
    Open { probe_at: Instant, failed_probes: u32 },
    /// We may try one delivery until then.
    Probing { until: Instant, failed_probes: u32, probe: Option<DeliveryId> },
}

impl Circuit {
    pub(super) fn new() -> Self {
        Self {
            state: State::Closed { ramp: usize::MAX },
            failures: 0,
            is_on_record: false,
            news: Unrecorded::default(),
            is_being_written: false,
            changed: None,
        }
    }

    /// How many requests may be under way, with so many slots of which so many are taken.
    pub(super) fn slots(&self, slots: usize, in_flight: usize) -> usize {
        match &self.state {
            State::Closed { ramp } => slots.min(*ramp),
            State::Open { .. } => 0,
            State::Probing { until, probe, .. } => {
                slots.min(in_flight + usize::from(probe.is_none() && Instant::now() < *until))
            }
        }
    }

    /// Whether more may be claimed than can be begun.
    pub(super) fn may_prefetch(&self, slots: usize) -> bool {
        matches!(self.state, State::Closed { ramp } if ramp >= slots)
    }

    /// Whether what is queued will not be begun soon.
    pub(super) fn is_open(&self) -> bool {
        match self.state {
            State::Closed { .. } => false,
            State::Open { .. } => true,
            State::Probing { probe, .. } => probe.is_some(),
        }
    }

    /// In how long something may be claimed; none: now.
    pub(super) fn delay(&self) -> Option<Duration> {
        let at = match self.state {
            State::Closed { .. } | State::Probing { probe: None, .. } => return None,
            State::Open { probe_at, .. } => probe_at,
            State::Probing { until, .. } => until,
        };
        let delay = at.saturating_duration_since(Instant::now());
        (!delay.is_zero()).then_some(delay)
    }

    /// Whether it is time to ask for the right to probe.
    pub(super) fn is_probe_due(&self) -> bool {
        match self.state {
            State::Closed { .. } => false,
            State::Open { probe_at: at, .. } | State::Probing { until: at, .. } => at <= Instant::now(),
        }
    }

    pub(super) fn probe(&mut self, failed_probes: u32, until: Instant) {
        self.state = State::Probing { until, failed_probes, probe: None };
        self.changed = Some(Instant::now());
    }

    /// Another dispatcher was faster, or knows better: the sweep will tell.
    pub(super) fn wait(&mut self, delay: Duration) {
        if let State::Open { probe_at: at, .. } | State::Probing { until: at, .. } = &mut self.state {
            *at = Instant::now() + delay;
        }
    }

    /// An attempt begins.
    pub(super) fn begin(&mut self, delivery: DeliveryId) {
        if let State::Probing { probe, .. } = &mut self.state {
            *probe = Some(delivery);
        }
    }

    /// An attempt was not made after all.
    pub(super) fn forget(&mut self, delivery: DeliveryId) {
        self.take_probe(delivery);
    }

    /// An attempt ended that began then.
    pub(super) fn note(
        &mut self,
        delivery: DeliveryId,
        begun: Instant,
        health: Health,
        retry_after: Option<Duration>,
    ) {
        let is_probe = self.take_probe(delivery);
        match health {
            Health::Well => self.note_success(),
            Health::Answers => {
                self.failures = 0;
                self.news.failures = 0;
                self.news.has_answered = true;
                self.news.failing_since.get_or_insert(begun);
            }
            Health::Unwell => {
                self.failures = self.failures.saturating_add(1);
                self.news.failures += 1;
                self.news.failing_since.get_or_insert(begun);
                self.news.delay = probe_delay(self.failed_probes(is_probe), retry_after, fastrand::f64());
                self.open_if_due(is_probe);
            }
        }
    }

    fn note_success(&mut self) {
        self.failures = 0;
        let is_closed = match &mut self.state {
            State::Closed { ramp } => {
                *ramp = ramp.saturating_add(1);
                true
            }
            State::Open { .. } | State::Probing { .. } => false,
        };
        let has_succeeded = self.is_on_record || self.is_being_written || !is_closed;
        self.news = Unrecorded { has_succeeded, ..Unrecorded::default() };
    }

    /// Nothing more is begun while that is being written.
    fn open_if_due(&mut self, is_probe: bool) {
        let opening = match self.state {
            State::Closed { .. } if self.failures >= OPEN_AFTER => OpenReason::TooManyFailures,
            State::Probing { .. } if is_probe => OpenReason::FailedProbe,
            State::Closed { .. } | State::Open { .. } | State::Probing { .. } => return,
        };
        let failed_probes = self.failed_probes(is_probe);
        self.state = State::Open { probe_at: Instant::now() + self.news.delay, failed_probes };
        self.news.opening = Some(opening);
    }

    fn failed_probes(&self, is_probe: bool) -> u32 {
        match self.state {
            State::Closed { .. } => 0,
            State::Open { failed_probes, .. } | State::Probing { failed_probes, .. } => {
                failed_probes + u32::from(is_probe)
            }
        }
    }

    fn take_probe(&mut self, delivery: DeliveryId) -> bool {
        match &mut self.state {
            State::Probing { probe, .. } => probe.take_if(|probe| *probe == delivery).is_some(),
            State::Closed { .. } | State::Open { .. } => false,
        }
    }

    /// Whether something is on record, or will be soon.
    pub(super) fn is_failing(&self) -> bool {
        self.is_on_record || !matches!(self.state, State::Closed { .. })
    }

    pub(super) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// What is to be written now.
    pub(super) fn take_news(&mut self) -> Option<Unrecorded> {
        let is_closed = matches!(self.state, State::Closed { .. });
        let is_urgent = self.news.opening.is_some()
            || (!is_closed && (self.news.has_succeeded || self.news.has_answered));
        let is_time = self.changed.is_none_or(|at| at.elapsed() >= WRITE_PAUSE);
        if self.is_being_written || self.news.is_empty() || !(is_urgent || is_time) {
            return None;
        }
        self.is_being_written = true;
        Some(std::mem::take(&mut self.news))
    }

    /// They could not be written.
    pub(super) fn restore(&mut self, news: Unrecorded) {
        self.is_being_written = false;
        let newer = std::mem::take(&mut self.news);
        self.news = news.before(newer);
    }

    /// They are written, and this is what is on record now; none: nothing.
    pub(super) fn written(&mut self, on_record: Option<&OnRecord>, own: DispatcherId) {
        self.is_being_written = false;
        self.changed = Some(Instant::now());
        self.take_over(on_record, own);
        if self.news.has_succeeded || self.news.has_answered {
            self.failures = 0;
        }
        self.failures += self.news.failures;
    }

    /// What the sweep found, unless we know better.
    pub(super) fn found(&mut self, on_record: Option<&OnRecord>, own: DispatcherId, as_of: Instant) {
        if self.is_being_written || self.has_news() || self.changed.is_some_and(|at| at >= as_of) {
            return;
        }
        self.take_over(on_record, own);
    }

    fn take_over(&mut self, on_record: Option<&OnRecord>, own: DispatcherId) {
        self.is_on_record = on_record.is_some();
        self.failures = on_record.map_or(0, |circuit| circuit.failures);
        let Some(circuit) = on_record.filter(|circuit| circuit.state != CircuitState::Closed) else {
            return self.close();
        };
        let until = Instant::now() + circuit.probe_in;
        let failed_probes = circuit.failed_probes;
        let is_prober = circuit.probe_by == Some(own);
        self.state = match (&self.state, circuit.state) {
            (State::Probing { probe, .. }, CircuitState::HalfOpen) if is_prober => {
                State::Probing { until, failed_probes, probe: *probe }
            }
            // The answer to our taking it was lost.
            (_, CircuitState::HalfOpen) if is_prober => State::Probing { until, failed_probes, probe: None },
            _ => State::Open { probe_at: until, failed_probes },
        };
    }

    fn close(&mut self) {
        if !matches!(self.state, State::Closed { .. }) && self.news.opening.is_none() {
            self.state = State::Closed { ramp: 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: DeliveryId = DeliveryId::new(1);

    fn fail(circuit: &mut Circuit, times: u32) {
        for _ in 0..times {
            circuit.note(ONE, Instant::now(), Health::Unwell, None);
        }
    }

    #[test]
    fn ten_failures_in_a_row_leave_no_slot() {
        let mut circuit = Circuit::new();

        fail(&mut circuit, OPEN_AFTER - 1);
        let before = circuit.slots(64, 0);
        fail(&mut circuit, 1);

        assert_eq!((before, circuit.slots(64, 0)), (64, 0));
    }

    #[test]
    fn an_answer_or_a_success_between_failures_begins_the_count_anew() {
        for between in [Health::Answers, Health::Well] {
            let mut circuit = Circuit::new();

            fail(&mut circuit, OPEN_AFTER - 1);
            circuit.note(ONE, Instant::now(), between, None);
            fail(&mut circuit, OPEN_AFTER - 1);

            assert_eq!(circuit.slots(64, 0), 64, "{between:?}");
        }
    }

    #[test]
    fn a_probe_has_one_slot_until_it_begins() {
        let mut circuit = Circuit::new();
        fail(&mut circuit, OPEN_AFTER);

        circuit.probe(0, Instant::now() + Duration::from_mins(1));
        // Sender from before it opened are still under way.
        let before = circuit.slots(64, 5);
        circuit.begin(ONE);

        assert_eq!((before, circuit.slots(64, 6)), (6, 6));
    }

    #[test]
    fn slots_double_with_every_round_of_successes_after_a_recovery() {
        let mut circuit = Circuit::new();
        fail(&mut circuit, OPEN_AFTER);
        circuit.probe(0, Instant::now() + Duration::from_mins(1));
        circuit.note(ONE, Instant::now(), Health::Well, None);
        assert!(circuit.take_news().unwrap().has_succeeded);
        circuit.written(None, DispatcherId::new(1));

        let mut slots = Vec::new();
        for _ in 0..4 {
            slots.push(circuit.slots(6, 0));
            for _ in 0..circuit.slots(6, 0) {
                circuit.note(ONE, Instant::now(), Health::Well, None);
            }
        }

        assert_eq!(slots, [1, 2, 4, 6]);
    }

    #[test]
    fn successes_of_an_endpoint_that_is_well_are_no_news() {
        let mut circuit = Circuit::new();

        circuit.note(ONE, Instant::now(), Health::Well, None);

        assert!(circuit.take_news().is_none());
    }

    #[test]
    fn an_endpoint_that_takes_every_other_delivery_is_written_now_and_then() {
        let mut circuit = Circuit::new();
        let on_record = OnRecord {
            state: CircuitState::Closed,
            failures: 1,
            failed_probes: 0,
            probe_in: Duration::ZERO,
            probe_by: None,
        };

        let mut writes = 0;
        for _ in 0..100 {
            fail(&mut circuit, 1);
            circuit.note(ONE, Instant::now(), Health::Well, None);
            fail(&mut circuit, 1);
            if circuit.take_news().is_some() {
                writes += 1;
                circuit.written(Some(&on_record), DispatcherId::new(1));
            }
        }

        assert_eq!(writes, 1);
    }

    #[test]
    fn news_that_could_not_be_written_are_not_lost_to_newer_ones() {
        let mut circuit = Circuit::new();
        fail(&mut circuit, 3);
        let news = circuit.take_news().unwrap();
        fail(&mut circuit, 4);

        circuit.restore(news);

        assert_eq!(circuit.take_news().unwrap().failures().unwrap().count, 7);
    }
}
