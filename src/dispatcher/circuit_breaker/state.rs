//! One endpoint's circuit breaker, as this dispatcher knows it, and what it has learnt that is not recorded yet. The record in
//! the database decides: the recorder writes it, the claimer's sweep reads it.
//!
//! ```text
//!  Closed ──too many failures in a row──> Open ──time has come, right taken──> Probing
//!    ▲ slots: 1, 2, 4 … as answers come    ▲ no slot                              │ one slot
//!    └────────────── an answer ────────────┴────────── no answer ────────────────┘
//! ```

mod pacing;
#[cfg(test)]
mod tests;

use tokio::time::{Duration, Instant};

use super::observation::Observation;
use super::unrecorded::{OpenReason, Unrecorded};
use crate::model::delivery::{DeliveryId, DispatcherId};
use crate::model::endpoint::CircuitState;
use crate::rules::circuit_breaker::{Health, OPEN_AFTER, probe_delay};
use crate::rules::pace::Pace;
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
    /// When the first attempt began that was not taken, since the last one that was.
    failing_since: Option<Instant>,
    /// The pace, if the endpoint has limited it.
    pace: Option<Pace>,
    is_on_record: bool,
    /// Whether the record does nothing but hold the endpoint: it took the last attempt that is recorded.
    is_only_held: bool,
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
            failing_since: None,
            pace: None,
            is_on_record: false,
            is_only_held: false,
            unrecorded: Unrecorded::default(),
            is_being_written: false,
            changed: None,
        }
    }

    /// How many requests may be under way, if the endpoint has `slots` and `in_flight` of them are taken.
    pub(crate) fn open_slots(&self, slots: usize, in_flight: usize) -> usize {
        let slots = slots.min(self.paced_slots());
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
            && self.paced_slots() >= slots
            && self.paced_room() == usize::MAX
    }

    /// Whether queued deliveries will not be begun soon.
    pub(crate) fn is_open(&self) -> bool {
        match self.state {
            BreakerState::Closed { .. } => self.is_held(),
            BreakerState::Open { .. } => true,
            BreakerState::Probing { probe, .. } => probe.is_some() || self.is_held(),
        }
    }

    /// How long nothing may be claimed. `None` if something may be claimed now.
    pub(crate) fn claim_delay(&self) -> Option<Duration> {
        let at = match self.state {
            BreakerState::Closed { .. } | BreakerState::Probing { probe: None, .. } => None,
            BreakerState::Open { probe_at, .. } => Some(probe_at),
            BreakerState::Probing { until, .. } => Some(until),
        };
        let delay = at.map(|at| at.saturating_duration_since(Instant::now()));
        delay.filter(|delay| !delay.is_zero()).max(self.pace_delay())
    }

    /// Whether it is time to ask for the right to probe.
    pub(crate) fn is_probe_due(&self) -> bool {
        match self.state {
            BreakerState::Closed { .. } => false,
            BreakerState::Open { probe_at: at, .. } | BreakerState::Probing { until: at, .. } => {
                at <= Instant::now() && !self.is_held()
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

    /// An attempt begins; returns when it may, if the endpoint limits the pace. While probing, it is the probe.
    pub(super) fn begin(&mut self, delivery: DeliveryId) -> Option<Instant> {
        if let BreakerState::Probing { probe, .. } = &mut self.state {
            *probe = Some(delivery);
        }
        self.pace.as_mut().map(|pace| pace.begin(Instant::now()))
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
        self.note_pace(seen);
        match seen.health {
            Health::Well => self.note_success(),
            Health::Picks | Health::Answers => {
                self.failures = 0;
                self.unrecorded.failures = 0;
                self.unrecorded.has_answered = true;
                self.note_failing_since(seen);
            }
            Health::Unwell => {
                self.failures = self.failures.saturating_add(1);
                self.unrecorded.failures += 1;
                self.note_failing_since(seen);
                self.unrecorded.delay =
                    probe_delay(self.failed_probes(is_probe), seen.retry_after, fastrand::f64());
                self.open_if_due(is_probe);
            }
        }
    }

    /// A refusal of one delivery alone says nothing against the endpoint.
    fn note_failing_since(&mut self, seen: &Observation) {
        self.failing_since.get_or_insert(seen.begun);
        self.unrecorded.failing_since.get_or_insert(seen.begun);
        self.unrecorded.has_failed |= seen.health != Health::Picks;
    }

    /// A delivery that was not taken is due again after this time.
    pub(super) fn note_retry(&mut self, delay: Duration) {
        let at = Instant::now() + delay;
        self.unrecorded.retry_at = self.unrecorded.retry_at.max(Some(at));
    }

    /// How long the endpoint has taken nothing, from the first failure on.
    pub(crate) fn failing_for(&self) -> Duration {
        self.failing_since.map(|since| since.elapsed()).unwrap_or_default()
    }

    fn note_success(&mut self) {
        self.failures = 0;
        self.failing_since = None;
        let is_closed = match &mut self.state {
            BreakerState::Closed { ramp } => {
                *ramp = ramp.saturating_add(1);
                true
            }
            BreakerState::Open { .. } | BreakerState::Probing { .. } => false,
        };
        let is_out_of_date = self.is_on_record && !(self.is_only_held && self.is_held());
        let has_succeeded = is_out_of_date || self.is_being_written || !is_closed;
        let held_until = self.unrecorded.held_until;
        self.unrecorded = Unrecorded { has_succeeded, held_until, ..Unrecorded::default() };
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
            || self.unrecorded.held_until.is_some()
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
        self.is_only_held = on_record.is_some_and(|circuit| circuit.failing_for.is_none());
        self.failures = on_record.map_or(0, |circuit| circuit.failures);
        self.adopt_failing_since(on_record);
        self.adopt_hold(on_record.map(|circuit| circuit.held_for).unwrap_or_default());
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

    /// The record knows of failures before ours; what is not recorded came later.
    fn adopt_failing_since(&mut self, on_record: Option<&OnRecord>) {
        let recorded = on_record.and_then(|circuit| Instant::now().checked_sub(circuit.failing_for?));
        let recorded = recorded.filter(|_| !self.unrecorded.has_succeeded);
        self.failing_since = recorded.or(self.unrecorded.failing_since);
    }

    fn close(&mut self) {
        if !matches!(self.state, BreakerState::Closed { .. }) && self.unrecorded.open_reason.is_none() {
            self.state = BreakerState::Closed { ramp: 1 };
        }
    }
}
