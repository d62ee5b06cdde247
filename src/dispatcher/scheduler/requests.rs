//! The requests under way in this dispatcher, and the runners that make them.

use std::collections::{BTreeSet, HashMap};

use super::ready_queue::Ready;
use crate::model::delivery::{Claimed, DeliveryId};
use crate::model::endpoint::EndpointNo;

/// Attempts that were begun and did not end yet.
#[derive(Debug)]
pub(super) struct Requests {
    max: usize,
    /// With the memory of their payloads in KiB.
    begun: HashMap<DeliveryId, (Claimed, u32)>,
    /// Endpoints that have some.
    active: BTreeSet<EndpointNo>,
    runners: usize,
}

impl Requests {
    pub(super) fn new(max: usize) -> Self {
        Self { max, begun: HashMap::new(), active: BTreeSet::new(), runners: 0 }
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    pub(super) fn count(&self) -> usize {
        self.begun.len()
    }

    pub(super) fn left(&self) -> usize {
        self.max.saturating_sub(self.begun.len())
    }

    /// Endpoints with requests under way.
    pub(super) fn active(&self) -> impl Iterator<Item = EndpointNo> {
        self.active.iter().copied()
    }

    pub(super) fn begin(&mut self, ready: &Ready) {
        self.begun.insert(ready.claimed.delivery_id, (ready.claimed, ready.payload_kib));
        self.active.insert(ready.claimed.endpoint_no);
    }

    /// An attempt ended. Returns the memory of its payload in KiB.
    pub(super) fn end(&mut self, id: DeliveryId) -> u32 {
        self.begun.remove(&id).map_or(0, |(_, payload_kib)| payload_kib)
    }

    /// The last request of an endpoint ended.
    pub(super) fn set_idle(&mut self, no: EndpointNo) {
        self.active.remove(&no);
    }

    /// Attempts that were begun and did not end.
    pub(super) fn unfinished(&self) -> Vec<Claimed> {
        self.begun.values().map(|(claimed, _)| *claimed).collect()
    }

    /// Counts up to `wanted` more runners as running; returns how many.
    pub(super) fn add_runners(&mut self, wanted: usize) -> usize {
        let added = wanted.min(self.max.saturating_sub(self.runners));
        self.runners += added;
        added
    }

    /// A runner found nothing to start, and ends.
    pub(super) fn remove_runner(&mut self) {
        self.runners = self.runners.saturating_sub(1);
    }
}
