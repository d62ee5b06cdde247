//! Runs: deliveries of a lane that were claimed together. They are put aside until all of them are loaded, and then queued as one: the
//! head, with the others behind it.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::dispatcher::scheduler::Ready;
use crate::model::delivery::DeliveryId;

/// The runs of one claim.
pub(super) struct Runs {
    /// Head first, in order.
    of_lanes: Vec<Vec<DeliveryId>>,
    members: HashSet<DeliveryId>,
    aside: HashMap<DeliveryId, Ready>,
}

impl Runs {
    pub(super) fn new(runs: Vec<Vec<DeliveryId>>) -> Self {
        let members = runs.iter().flatten().copied().collect();
        Self { of_lanes: runs, members, aside: HashMap::new() }
    }

    /// Whether a delivery waits for another one of its run.
    pub(super) fn is_behind(&self, id: DeliveryId) -> bool {
        self.members.contains(&id) && !self.of_lanes.iter().any(|run| run.first() == Some(&id))
    }

    /// Puts the members of runs aside; returns the others.
    pub(super) fn put_aside(&mut self, ready: Vec<Ready>) -> Vec<Ready> {
        if self.of_lanes.is_empty() {
            return ready;
        }
        let (members, others): (Vec<Ready>, Vec<Ready>) =
            ready.into_iter().partition(|ready| self.members.contains(&ready.claimed.delivery_id));
        self.aside.extend(members.into_iter().map(|ready| (ready.claimed.delivery_id, ready)));
        others
    }

    /// The heads, each with what follows it; and what follows one that is missing.
    pub(super) fn join(mut self) -> (Vec<Ready>, Vec<Ready>) {
        let mut heads = Vec::with_capacity(self.of_lanes.len());
        for run in self.of_lanes {
            let mut members: VecDeque<Ready> = run.iter().map_while(|id| self.aside.remove(id)).collect();
            if let Some(head) = members.pop_front() {
                heads.push(Ready { behind: members, ..head });
            }
        }
        (heads, self.aside.into_values().collect())
    }
}
