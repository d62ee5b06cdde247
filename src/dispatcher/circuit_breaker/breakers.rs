//! The circuit breakers of all endpoints, and which of them have something to record. A part of the scheduler, behind its
//! lock. An endpoint that never failed has no breaker of its own: it shares one that is closed and never changes.

use std::collections::{BTreeSet, HashMap};

use tokio::time::{Duration, Instant};

use super::observation::Observation;
use super::state::CircuitBreaker;
use super::unrecorded::Unrecorded;
use crate::model::delivery::{DeliveryId, DispatcherId};
use crate::model::endpoint::EndpointNo;
use crate::rules::circuit_breaker::Health;
use crate::store::Circuit;

/// How long nobody asks again for the right to probe after it was refused.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// The breakers of all endpoints.
#[derive(Debug)]
pub(crate) struct CircuitBreakers {
    by_endpoint: HashMap<EndpointNo, CircuitBreaker>,
    /// The breaker of every endpoint that never failed.
    closed: CircuitBreaker,
    /// Endpoints with something to record.
    with_unrecorded: BTreeSet<EndpointNo>,
    /// Endpoints that have a record, or whose circuit is not closed.
    failing: BTreeSet<EndpointNo>,
}

impl CircuitBreakers {
    /// Breakers of endpoints that never failed.
    pub(crate) fn new() -> Self {
        Self {
            by_endpoint: HashMap::new(),
            closed: CircuitBreaker::new(),
            with_unrecorded: BTreeSet::new(),
            failing: BTreeSet::new(),
        }
    }

    /// What an endpoint's breaker allows.
    pub(crate) fn get(&self, no: EndpointNo) -> &CircuitBreaker {
        self.by_endpoint.get(&no).unwrap_or(&self.closed)
    }

    /// Keeps the breakers of these endpoints only.
    pub(crate) fn retain(&mut self, is_kept: impl Fn(EndpointNo) -> bool) {
        self.by_endpoint.retain(|no, _| is_kept(*no));
        self.with_unrecorded.retain(|no| is_kept(*no));
        self.failing.retain(|no| is_kept(*no));
    }

    /// An attempt begins. Returns when it may, if the endpoint limits the pace.
    pub(crate) fn begin(&mut self, no: EndpointNo, delivery: DeliveryId) -> Option<Instant> {
        self.by_endpoint.get_mut(&no)?.begin(delivery)
    }

    /// A delivery that was not taken is due again after this time.
    pub(crate) fn note_retry(&mut self, no: EndpointNo, delay: Duration) {
        if let Some(breaker) = self.by_endpoint.get_mut(&no) {
            breaker.note_retry(delay);
        }
    }

    /// An attempt was not made after all.
    pub(crate) fn forget(&mut self, no: EndpointNo, delivery: DeliveryId) {
        if let Some(breaker) = self.by_endpoint.get_mut(&no) {
            breaker.forget(delivery);
        }
    }

    /// An attempt ended. Returns whether there is something to record.
    pub(crate) fn note(&mut self, no: EndpointNo, seen: &Observation) -> bool {
        if seen.health == Health::Well && !self.by_endpoint.contains_key(&no) {
            // The success of an endpoint that never failed changes nothing.
            return false;
        }
        let breaker = self.by_endpoint.entry(no).or_insert_with(CircuitBreaker::new);
        breaker.note(seen);
        let has_unrecorded = breaker.has_unrecorded();
        if has_unrecorded {
            self.with_unrecorded.insert(no);
        }
        has_unrecorded
    }

    /// Takes everything that must be recorded now, per endpoint.
    pub(crate) fn take_unrecorded(&mut self) -> Vec<(EndpointNo, Unrecorded)> {
        let Self { with_unrecorded, by_endpoint, .. } = self;
        let mut taken = Vec::new();
        with_unrecorded.retain(|no| {
            let Some(breaker) = by_endpoint.get_mut(no) else { return false };
            let Some(unrecorded) = breaker.take_unrecorded() else { return breaker.has_unrecorded() };
            taken.push((*no, unrecorded));
            false
        });
        taken
    }

    /// Takes back something that could not be recorded.
    pub(crate) fn restore(&mut self, no: EndpointNo, unrecorded: Unrecorded) {
        if let Some(breaker) = self.by_endpoint.get_mut(&no) {
            breaker.restore(unrecorded);
            self.with_unrecorded.insert(no);
        }
    }

    /// Something that was taken is recorded; `on_record` is the endpoint's record now.
    pub(crate) fn recorded(&mut self, no: EndpointNo, on_record: Option<&Circuit>, own: DispatcherId) {
        let Some(breaker) = self.by_endpoint.get_mut(&no) else { return };
        breaker.recorded(on_record, own);
        if breaker.is_failing() {
            self.failing.insert(no);
        }
        if breaker.has_unrecorded() {
            self.with_unrecorded.insert(no);
        }
    }

    /// Takes over all records as they were at `as_of`. Returns the endpoints whose breakers may have changed.
    pub(crate) fn adopt(
        &mut self,
        on_record: &HashMap<EndpointNo, &Circuit>,
        own: DispatcherId,
        as_of: Instant,
    ) -> BTreeSet<EndpointNo> {
        let mut nos = std::mem::take(&mut self.failing);
        nos.extend(on_record.keys());
        for no in &nos {
            let breaker = self.by_endpoint.entry(*no).or_insert_with(CircuitBreaker::new);
            breaker.found(on_record.get(no).copied(), own, as_of);
            if breaker.is_failing() {
                self.failing.insert(*no);
            }
        }
        nos
    }

    /// This dispatcher may probe an endpoint until then, after `failed_probes` failed probes.
    pub(crate) fn start_probing(&mut self, no: EndpointNo, failed_probes: u32, until: Instant) {
        if let Some(breaker) = self.by_endpoint.get_mut(&no) {
            breaker.start_probing(failed_probes, until);
        }
    }

    /// The right to probe was refused.
    pub(crate) fn postpone_probe(&mut self, no: EndpointNo) {
        if let Some(breaker) = self.by_endpoint.get_mut(&no) {
            breaker.postpone_probe(REFUSED_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::endpoint::CircuitState;

    const ONE: EndpointNo = EndpointNo::new(1);
    const OWN: DispatcherId = DispatcherId::new(1);

    fn open() -> Circuit {
        Circuit {
            state: CircuitState::Open,
            failures: 10,
            failed_probes: 0,
            probe_in: Duration::ZERO,
            probe_by: None,
            failing_for: Some(Duration::ZERO),
            held_for: Duration::ZERO,
        }
    }

    #[test]
    fn an_endpoint_without_a_record_any_more_is_closed_again() {
        let mut breakers = CircuitBreakers::new();
        breakers.adopt(&HashMap::from([(ONE, &open())]), OWN, Instant::now());
        let before = breakers.get(ONE).open_slots(8, 0);

        let touched = breakers.adopt(&HashMap::new(), OWN, Instant::now());

        assert_eq!((before, breakers.get(ONE).open_slots(8, 0)), (0, 1));
        assert_eq!(touched, BTreeSet::from([ONE]));
    }

    #[test]
    fn the_breaker_of_an_endpoint_that_is_gone_goes_with_it() {
        let mut breakers = CircuitBreakers::new();
        breakers.adopt(&HashMap::from([(ONE, &open())]), OWN, Instant::now());

        breakers.retain(|_| false);

        assert_eq!(breakers.get(ONE).open_slots(8, 0), 8);
        assert!(breakers.adopt(&HashMap::new(), OWN, Instant::now()).is_empty());
    }
}
