//! The queues of all endpoints, and which part of each endpoint's limits this dispatcher has.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::Partition;
use super::endpoint_queue::EndpointQueue;
use crate::model::delivery::Claimed;
use crate::model::endpoint::{Endpoint, EndpointNo};

/// One queue per endpoint.
#[derive(Debug)]
pub(super) struct EndpointQueues {
    by_no: HashMap<EndpointNo, EndpointQueue>,
    partition: Partition,
    /// Endpoints that answered 410 and are not disabled in the database yet.
    gone: BTreeSet<EndpointNo>,
    /// How often the endpoints were replaced.
    version: u64,
}

impl EndpointQueues {
    pub(super) fn new() -> Self {
        Self { by_no: HashMap::new(), partition: Partition::WHOLE, gone: BTreeSet::new(), version: 0 }
    }

    pub(super) fn get(&self, no: EndpointNo) -> Option<&EndpointQueue> {
        self.by_no.get(&no)
    }

    pub(super) fn get_mut(&mut self, no: EndpointNo) -> Option<&mut EndpointQueue> {
        self.by_no.get_mut(&no)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (EndpointNo, &mut EndpointQueue)> {
        self.by_no.iter_mut().map(|(no, queue)| (*no, queue))
    }

    /// Takes over a new set of endpoints. Returns the queues of endpoints that are not attempted any more.
    pub(super) fn replace(&mut self, endpoints: impl Iterator<Item = Arc<Endpoint>>) -> Vec<Claimed> {
        self.version += 1;
        let mut known: HashMap<EndpointNo, Arc<Endpoint>> = endpoints.map(|e| (e.no, e)).collect();
        let mut unwanted = Vec::new();
        self.by_no.retain(|no, queue| {
            let endpoint = known.remove(no);
            if endpoint.as_ref().is_none_or(|e| !e.is_attempted()) {
                unwanted.extend(queue.take_queued());
            }
            let Some(endpoint) = endpoint else {
                return !queue.is_unused();
            };
            queue.set_endpoint(endpoint);
            true
        });
        let partition = self.partition;
        self.by_no.extend(known.into_iter().map(|(no, e)| (no, EndpointQueue::new(e, partition))));
        unwanted
    }

    /// Takes over further endpoints.
    pub(super) fn add(&mut self, endpoints: Vec<Arc<Endpoint>>) {
        let partition = self.partition;
        for endpoint in endpoints {
            self.by_no.entry(endpoint.no).or_insert_with(|| EndpointQueue::new(endpoint, partition));
        }
    }

    /// How often the endpoints were replaced.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn partition(&self) -> Partition {
        self.partition
    }

    /// This dispatcher's part of every endpoint's limits from now on; returns the one before.
    pub(super) fn set_partition(&mut self, partition: Partition) -> Partition {
        let before = std::mem::replace(&mut self.partition, partition);
        if before != partition {
            for queue in self.by_no.values_mut() {
                queue.set_partition(partition);
            }
        }
        before
    }

    /// An endpoint answered 410. Returns whether there is one of this number.
    pub(super) fn set_gone(&mut self, no: EndpointNo) -> bool {
        let Some(queue) = self.by_no.get_mut(&no) else { return false };
        queue.set_gone(true);
        self.gone.insert(no);
        true
    }

    pub(super) fn gone(&self) -> Vec<EndpointNo> {
        self.gone.iter().copied().collect()
    }

    /// An endpoint is disabled in the database. If the endpoints were replaced since `as_of`, they are believed: somebody may
    /// have resumed it meanwhile.
    pub(super) fn set_disabled(&mut self, no: EndpointNo, as_of: u64) {
        self.gone.remove(&no);
        let is_newest = self.version == as_of;
        if let Some(queue) = self.by_no.get_mut(&no) {
            if is_newest {
                queue.disable();
            }
            queue.set_gone(false);
        }
    }
}
