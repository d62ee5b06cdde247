//! What the scheduler is told of outcomes and circuits, and what it tells.

use tokio::time::Instant;

use super::{EndpointNow, Scheduler};
use crate::dispatcher::circuit_breaker::{Observation, Unrecorded};
use crate::model::delivery::{Claimed, DispatcherId};
use crate::model::endpoint::EndpointNo;
use crate::model::outcome::Outcome;
use crate::rules::retry::DeliveryVerdict;
use crate::store::{Circuit, CircuitRow};

impl Scheduler {
    /// Counts the outcome of an attempt that began then, and returns what `judge` says of it, who knows the endpoint as it is now.
    pub fn note_outcome(
        &self,
        claimed: &Claimed,
        outcome: &Outcome,
        begun: Instant,
        judge: impl FnOnce(&EndpointNow) -> DeliveryVerdict,
    ) -> DeliveryVerdict {
        let seen = Observation::new(claimed, outcome, begun);
        let (verdict, has_unrecorded) = self.lock().note_outcome(claimed.endpoint_no, &seen, judge);
        if has_unrecorded {
            self.unrecorded.notify_one();
        }
        verdict
    }

    /// Whether the endpoint is left alone for a while, because it asked for that.
    pub fn is_held(&self, no: EndpointNo) -> bool {
        self.lock().circuits.get(no).is_held()
    }

    /// A claimed delivery was not attempted: if it was to be the probe, another may be.
    pub fn note_unattempted(&self, claimed: &Claimed) {
        self.lock().circuits.forget(claimed.endpoint_no, claimed.delivery_id);
    }

    /// Takes everything that must be recorded now, per endpoint.
    pub(in crate::dispatcher) fn take_unrecorded(&self) -> Vec<(EndpointNo, Unrecorded)> {
        self.lock().circuits.take_unrecorded()
    }

    /// Takes back something that could not be recorded.
    pub(in crate::dispatcher) fn restore_unrecorded(&self, no: EndpointNo, unrecorded: Unrecorded) {
        self.lock().circuits.restore(no, unrecorded);
    }

    /// Something that was taken is recorded; `on_record` is the endpoint's record now.
    pub(in crate::dispatcher) fn recorded(
        &self,
        no: EndpointNo,
        on_record: Option<&Circuit>,
        own: DispatcherId,
    ) {
        let mut parts = self.lock();
        parts.circuits.recorded(no, on_record, own);
        parts.offer(no);
    }

    /// Waits until there may be something to record.
    ///
    /// # Cancel safety
    /// A wake-up is kept for the next call.
    pub(in crate::dispatcher) async fn unrecorded_came(&self) {
        self.unrecorded.notified().await;
    }

    /// Takes over the records of all circuits as they were at `as_of`.
    pub fn set_circuits(&self, rows: &[CircuitRow], own: DispatcherId, as_of: Instant) {
        self.lock().set_circuits(rows, own, as_of);
    }

    /// Whether it is time to ask for the right to probe an endpoint, and the probe could be begun at once.
    pub fn is_probe_due(&self, no: EndpointNo) -> bool {
        self.lock().is_probe_due(no)
    }

    /// This dispatcher may probe an endpoint until then, after `failed_probes` failed probes.
    pub fn set_probing(&self, no: EndpointNo, failed_probes: u32, until: Instant) {
        let mut parts = self.lock();
        parts.circuits.start_probing(no, failed_probes, until);
        parts.offer(no);
    }

    /// Another dispatcher probes the endpoint, or it needs no probe any more: the next sweep tells.
    pub fn set_probe_refused(&self, no: EndpointNo) {
        self.lock().circuits.postpone_probe(no);
    }
}
