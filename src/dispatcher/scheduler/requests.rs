//! The requests under way in this dispatcher, and the runners that make them.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::ready_queue::Ready;
use crate::model::delivery::{Claimed, DeliveryId};
use crate::model::endpoint::EndpointNo;

/// Attempts that were begun and did not end yet.
#[derive(Debug)]
pub(super) struct Requests {
    max: usize,
    begun: HashMap<DeliveryId, Begun>,
    /// Endpoints that have some.
    active: BTreeSet<EndpointNo>,
    runners: usize,
}

/// Deliveries that are held when a dispatcher stops.
#[derive(Debug)]
pub struct Unfinished {
    /// Their attempts were begun.
    pub begun: Vec<Claimed>,
    /// They wait behind one of those.
    pub behind: Vec<Claimed>,
}

/// An attempt that was begun.
#[derive(Debug)]
struct Begun {
    claimed: Claimed,
    payload_kib: u32,
    /// What follows it in its lane.
    behind: VecDeque<Ready>,
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

    /// An attempt begins. What follows it in its lane waits here.
    pub(super) fn begin(&mut self, ready: &mut Ready) {
        let Ready { claimed, payload_kib, .. } = *ready;
        let behind = std::mem::take(&mut ready.behind);
        self.begun.insert(claimed.delivery_id, Begun { claimed, payload_kib, behind });
        self.active.insert(claimed.endpoint_no);
    }

    /// An attempt ended. Returns the memory of its payload in KiB, and what follows it in its lane.
    pub(super) fn end(&mut self, id: DeliveryId) -> (u32, VecDeque<Ready>) {
        self.begun.remove(&id).map_or_else(Default::default, |begun| (begun.payload_kib, begun.behind))
    }

    /// The last request of an endpoint ended.
    pub(super) fn set_idle(&mut self, no: EndpointNo) {
        self.active.remove(&no);
    }

    /// Attempts that were begun and did not end; and what waits behind them in their lanes.
    pub(super) fn unfinished(&self) -> Unfinished {
        let begun = self.begun.values().map(|begun| begun.claimed).collect();
        let behind = self.begun.values().flat_map(|begun| &begun.behind).map(|ready| ready.claimed).collect();
        Unfinished { begun, behind }
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
