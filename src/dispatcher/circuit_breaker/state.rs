//! One endpoint's circuit breaker, as this dispatcher knows it, and what it has learnt that is not recorded yet. The record in
//! the database decides: the recorder writes it, the claimer's sweep reads it.
//!
//! ```text
//!  Closed ──too many failures in a row──> Open ──time has come, right taken──> Probing
//!    ▲ slots: 1, 2, 4 … as answers come    ▲ no slot                              │ one slot
//!    └────────────── an answer ────────────┴────────── no answer ────────────────┘
//! ```

use tokio::time::{Duration, Instant};

use super::observation::Observation;
use super::unrecorded::{OpenReason, Unrecorded};
use crate::model::delivery::{DeliveryId, DispatcherId};
use crate::model::endpoint::CircuitState;
use crate::rules::circuit_breaker::{Health, OPEN_AFTER, probe_delay};
use crate::store::Circuit as OnRecord;

/// Failures that do not open the circuit are written at most this often, and so is a success that does not close it.
/// Otherwise an endpoint that takes every other delivery would cause a write per batch.
const WRITE_PAUSE: Duration = Duration::from_secs(1);

/// The circuit breaker of one endpoint.
#[derive(Debug)]
pub(crate) struct CircuitBreaker {
    state: BreakerState,
    /// Failures in a row: those on record and this dispatcher's own since then.
    failures: u32,
    is_on_record: bool,
    unrecorded: Unrecorded,
    is_being_written: bool,
    /// When it was last written, or this dispatcher became the prober.
    changed: Option<Instant>,
}

#[derive(Debug)]
enum BreakerState {
    /// At most `ramp` requests at once. It grows with every success after a recovery.
    Closed { ramp: usize },
    /// Nothing is claimed or begun. While another dispatcher probes, the state is this one too, until its right ends.
    Open { probe_at: Instant, failed_probes: u32 },
    /// This dispatcher may try one delivery until then.
    Probing { until: Instant, failed_probes: u32, probe: Option<DeliveryId> },
}

impl CircuitBreaker {
    /// A closed breaker without a record.
    pub(super) fn new() -> Self {
        Self {
            state: BreakerState::Closed { ramp: usize::MAX },
            failures: 0,
            is_on_record: false,
            unrecorded: Unrecorded::default(),
            is_being_written: false,
            changed: None,
        }
    }

    /// How many requests may be under way, if the endpoint has `slots` and `in_flight` of them are taken.
    pub(crate) fn open_slots(&self, slots: usize, in_flight: usize) -> usize {
        match &self.state {
            BreakerState::Closed { ramp } => slots.min(*ramp),
            BreakerState::Open { .. } => 0,
            BreakerState::Probing { until, probe, .. } => {
                slots.min(in_flight + usize::from(probe.is_none() && Instant::now() < *until))
            }
        }
    }

    /// Whether more may be claimed than can be begun at once.
    pub(crate) fn may_prefetch(&self, slots: usize) -> bool {
        matches!(self.state, BreakerState::Closed { ramp } if ramp >= slots)
    }

    /// Whether queued deliveries will not be begun soon.
    pub(crate) fn is_open(&self) -> bool {
        match self.state {
            BreakerState::Closed { .. } => false,
            BreakerState::Open { .. } => true,
            BreakerState::Probing { probe, .. } => probe.is_some(),
        }
    }

    /// How long nothing may be claimed. `None` if something may be claimed now.
    pub(crate) fn claim_delay(&self) -> Option<Duration> {
        let at = match self.state {
            BreakerState::Closed { .. } | BreakerState::Probing { probe: None, .. } => return None,
            BreakerState::Open { probe_at, .. } => probe_at,
            BreakerState::Probing { until, .. } => until,
        };
        let delay = at.saturating_duration_since(Instant::now());
        (!delay.is_zero()).then_some(delay)
    }

    /// Whether it is time to ask for the right to probe.
    pub(crate) fn is_probe_due(&self) -> bool {
        match self.state {
            BreakerState::Closed { .. } => false,
            BreakerState::Open { probe_at: at, .. } | BreakerState::Probing { until: at, .. } => {
                at <= Instant::now()
            }
        }
    }

    /// This dispatcher has the right to probe until then.
    pub(super) fn start_probing(&mut self, failed_probes: u32, until: Instant) {
        self.state = BreakerState::Probing { until, failed_probes, probe: None };
        self.changed = Some(Instant::now());
    }

    /// Another dispatcher probes, or the circuit is closed already: the next sweep tells.
    pub(super) fn postpone_probe(&mut self, delay: Duration) {
        if let BreakerState::Open { probe_at: at, .. } | BreakerState::Probing { until: at, .. } =
            &mut self.state
        {
            *at = Instant::now() + delay;
        }
    }

    /// An attempt begins. While probing, it is the probe.
    pub(super) fn begin(&mut self, delivery: DeliveryId) {
        if let BreakerState::Probing { probe, .. } = &mut self.state {
            *probe = Some(delivery);
        }
    }

    /// An attempt was not made after all: if it was to be the probe, another may be.
    pub(super) fn forget(&mut self, delivery: DeliveryId) {
        self.take_probe(delivery);
    }

    /// An attempt ended.
    pub(super) fn note(&mut self, seen: &Observation) {
        let is_probe = self.take_probe(seen.delivery_id);
        if seen.health != Health::Well {
            self.unrecorded.count_failure(seen.error.as_ref());
        }
        match seen.health {
            Health::Well => self.note_success(),
            Health::Answers => {
                self.failures = 0;
                self.unrecorded.failures = 0;
                self.unrecorded.has_answered = true;
                self.unrecorded.failing_since.get_or_insert(seen.begun);
            }
            Health::Unwell => {
                self.failures = self.failures.saturating_add(1);
                self.unrecorded.failures += 1;
                self.unrecorded.failing_since.get_or_insert(seen.begun);
                self.unrecorded.delay =
                    probe_delay(self.failed_probes(is_probe), seen.retry_after, fastrand::f64());
                self.open_if_due(is_probe);
            }
        }
    }

    fn note_success(&mut self) {
        self.failures = 0;
        let is_closed = match &mut self.state {
            BreakerState::Closed { ramp } => {
                *ramp = ramp.saturating_add(1);
                true
            }
            BreakerState::Open { .. } | BreakerState::Probing { .. } => false,
        };
        let has_succeeded = self.is_on_record || self.is_being_written || !is_closed;
        self.unrecorded = Unrecorded { has_succeeded, ..Unrecorded::default() };
    }

    /// Opens at once, before it is recorded: nothing more is begun meanwhile.
    fn open_if_due(&mut self, is_probe: bool) {
        let reason = match self.state {
            BreakerState::Closed { .. } if self.failures >= OPEN_AFTER => OpenReason::TooManyFailures,
            BreakerState::Probing { .. } if is_probe => OpenReason::FailedProbe,
            BreakerState::Closed { .. } | BreakerState::Open { .. } | BreakerState::Probing { .. } => return,
        };
        let failed_probes = self.failed_probes(is_probe);
        self.state = BreakerState::Open { probe_at: Instant::now() + self.unrecorded.delay, failed_probes };
        self.unrecorded.open_reason = Some(reason);
    }

    fn failed_probes(&self, is_probe: bool) -> u32 {
        match self.state {
            BreakerState::Closed { .. } => 0,
            BreakerState::Open { failed_probes, .. } | BreakerState::Probing { failed_probes, .. } => {
                failed_probes + u32::from(is_probe)
            }
        }
    }

    fn take_probe(&mut self, delivery: DeliveryId) -> bool {
        match &mut self.state {
            BreakerState::Probing { probe, .. } => probe.take_if(|probe| *probe == delivery).is_some(),
            BreakerState::Closed { .. } | BreakerState::Open { .. } => false,
        }
    }

    /// Whether it has a record, or will have one soon.
    pub(super) fn is_failing(&self) -> bool {
        self.is_on_record || !matches!(self.state, BreakerState::Closed { .. })
    }

    pub(super) fn has_unrecorded(&self) -> bool {
        !self.unrecorded.is_empty()
    }

    /// Takes everything that must be written now. `None` if there is nothing, or it can wait.
    pub(super) fn take_unrecorded(&mut self) -> Option<Unrecorded> {
        let is_closed = matches!(self.state, BreakerState::Closed { .. });
        let is_urgent = self.unrecorded.open_reason.is_some()
            || (!is_closed && (self.unrecorded.has_succeeded || self.unrecorded.has_answered));
        let is_time = self.changed.is_none_or(|at| at.elapsed() >= WRITE_PAUSE);
        if self.is_being_written || self.unrecorded.is_empty() || !(is_urgent || is_time) {
            return None;
        }
        self.is_being_written = true;
        Some(std::mem::take(&mut self.unrecorded))
    }

    /// Takes back something that could not be written.
    pub(super) fn restore(&mut self, unrecorded: Unrecorded) {
        self.is_being_written = false;
        let newer = std::mem::take(&mut self.unrecorded);
        self.unrecorded = unrecorded.followed_by(newer);
    }

    /// Something that was taken is written; `on_record` is the record now.
    pub(super) fn recorded(&mut self, on_record: Option<&OnRecord>, own: DispatcherId) {
        self.is_being_written = false;
        self.changed = Some(Instant::now());
        self.adopt(on_record, own);
        if self.unrecorded.has_succeeded || self.unrecorded.has_answered {
            self.failures = 0;
        }
        self.failures += self.unrecorded.failures;
    }

    /// The sweep read this record; ignored if this dispatcher has newer knowledge than `as_of`.
    pub(super) fn found(&mut self, on_record: Option<&OnRecord>, own: DispatcherId, as_of: Instant) {
        if self.is_being_written || self.has_unrecorded() || self.changed.is_some_and(|at| at >= as_of) {
            return;
        }
        self.adopt(on_record, own);
    }

    fn adopt(&mut self, on_record: Option<&OnRecord>, own: DispatcherId) {
        self.is_on_record = on_record.is_some();
        self.failures = on_record.map_or(0, |circuit| circuit.failures);
        let Some(circuit) = on_record.filter(|circuit| circuit.state != CircuitState::Closed) else {
            return self.close();
        };
        let until = Instant::now() + circuit.probe_in;
        let failed_probes = circuit.failed_probes;
        let is_prober = circuit.probe_by == Some(own);
        self.state = match (&self.state, circuit.state) {
            (BreakerState::Probing { probe, .. }, CircuitState::HalfOpen) if is_prober => {
                BreakerState::Probing { until, failed_probes, probe: *probe }
            }
            // This dispatcher took the right, and the reply was lost.
            (_, CircuitState::HalfOpen) if is_prober => {
                BreakerState::Probing { until, failed_probes, probe: None }
            }
            _ => BreakerState::Open { probe_at: until, failed_probes },
        };
    }

    fn close(&mut self) {
        if !matches!(self.state, BreakerState::Closed { .. }) && self.unrecorded.open_reason.is_none() {
            self.state = BreakerState::Closed { ramp: 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: DeliveryId = DeliveryId::new(1);

    fn note(circuit: &mut CircuitBreaker, health: Health) {
        let is_answer = health != Health::Unwell;
        circuit.note(&Observation {
            delivery_id: ONE,
            begun: Instant::now(),
            health,
            is_answer,
            retry_after: None,
            error: None,
        });
    }

    fn fail(circuit: &mut CircuitBreaker, times: u32) {
        for _ in 0..times {
            note(circuit, Health::Unwell);
        }
    }

    #[test]
    fn ten_failures_in_a_row_leave_no_slot() {
        let mut circuit = CircuitBreaker::new();

        fail(&mut circuit, OPEN_AFTER - 1);
        let before = circuit.open_slots(64, 0);
        fail(&mut circuit, 1);

        assert_eq!((before, circuit.open_slots(64, 0)), (64, 0));
    }

    #[test]
    fn an_answer_or_a_success_between_failures_begins_the_count_anew() {
        for between in [Health::Answers, Health::Well] {
            let mut circuit = CircuitBreaker::new();

            fail(&mut circuit, OPEN_AFTER - 1);
            note(&mut circuit, between);
            fail(&mut circuit, OPEN_AFTER - 1);

            assert_eq!(circuit.open_slots(64, 0), 64, "{between:?}");
        }
    }

    #[test]
    fn a_probe_has_one_slot_until_it_begins() {
        let mut circuit = CircuitBreaker::new();
        fail(&mut circuit, OPEN_AFTER);

        circuit.start_probing(0, Instant::now() + Duration::from_mins(1));
        // Attempts from before it opened are still under way.
        let before = circuit.open_slots(64, 5);
        circuit.begin(ONE);

        assert_eq!((before, circuit.open_slots(64, 6)), (6, 6));
    }

    #[test]
    fn slots_double_with_every_round_of_successes_after_a_recovery() {
        let mut circuit = CircuitBreaker::new();
        fail(&mut circuit, OPEN_AFTER);
        circuit.start_probing(0, Instant::now() + Duration::from_mins(1));
        note(&mut circuit, Health::Well);
        assert!(circuit.take_unrecorded().unwrap().has_succeeded);
        circuit.recorded(None, DispatcherId::new(1));

        let mut slots = Vec::new();
        for _ in 0..4 {
            slots.push(circuit.open_slots(6, 0));
            for _ in 0..circuit.open_slots(6, 0) {
                note(&mut circuit, Health::Well);
            }
        }

        assert_eq!(slots, [1, 2, 4, 6]);
    }

    #[test]
    fn successes_of_an_endpoint_that_is_well_are_not_recorded() {
        let mut circuit = CircuitBreaker::new();

        note(&mut circuit, Health::Well);

        assert!(circuit.take_unrecorded().is_none());
    }

    #[test]
    fn an_endpoint_that_takes_every_other_delivery_is_written_now_and_then() {
        let mut circuit = CircuitBreaker::new();
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
            note(&mut circuit, Health::Well);
            fail(&mut circuit, 1);
            if circuit.take_unrecorded().is_some() {
                writes += 1;
                circuit.recorded(Some(&on_record), DispatcherId::new(1));
            }
        }

        assert_eq!(writes, 1);
    }

    #[test]
    fn failures_that_could_not_be_written_are_not_lost_to_newer_ones() {
        let mut circuit = CircuitBreaker::new();
        fail(&mut circuit, 3);
        let unrecorded = circuit.take_unrecorded().unwrap();
        fail(&mut circuit, 4);

        circuit.restore(unrecorded);

        assert_eq!(circuit.take_unrecorded().unwrap().failures().unwrap().count, 7);
    }
}
