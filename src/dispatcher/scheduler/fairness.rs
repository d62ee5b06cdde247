//! What an endpoint leaves to others of what all of them share, so that however many hang, another finds something.

use tokio::time::Instant;

use super::endpoint_queue::EndpointQueue;
use super::{Inner, Scheduler};
use crate::model::endpoint::EndpointNo;

/// What is free on the whole scheduler.
#[derive(Clone, Copy, Debug)]
pub(super) struct Free {
    /// Deliveries that may still be held.
    pub(super) held: usize,
    /// Requests that may still be begun to an endpoint that is silent; to others as many as they like.
    pub(super) requests: usize,
    /// KiB of payloads that may still be loaded.
    pub(super) memory_kib: u32,
}

/// How many more an endpoint may have of what so much is free of: as much as it leaves (Choudhury and Hahne, "Dynamic queue
/// length thresholds for shared-memory packet switches").
pub(super) fn share(has: usize, free: usize) -> usize {
    free.saturating_sub(has).div_ceil(2)
}

impl Scheduler {
    /// How much room the scheduler leaves an endpoint whose own limits would let it take more: it answers fast, and will have
    /// more as soon as something is settled. None: its own limits are what stands in the way.
    pub fn room_if_held_up(&self, no: EndpointNo) -> Option<usize> {
        let mut inner = self.lock();
        let free = self.free(&inner, no);
        let queue = inner.queues.get_mut(&no)?;
        queue.room_if_held_up(free)
    }

    /// What is free for an endpoint.
    pub(super) fn free(&self, inner: &Inner, no: EndpointNo) -> Free {
        let is_silent = inner.queues.get(&no).is_some_and(EndpointQueue::is_silent);
        Free {
            held: self.limits.held_max.saturating_sub(inner.held),
            requests: if is_silent { self.unanswered_left(inner, Instant::now()) } else { usize::MAX },
            memory_kib: self.free_memory_kib(),
        }
    }

    /// Whether an endpoint may have another request. It may always have one, to be heard of; an eighth of them is for that.
    /// Who answers gives its slots back soon, and may have all others. Who does not, or was not heard of yet, shares half
    /// of them with its like.
    pub(super) fn leaves_room(&self, inner: &Inner, no: EndpointNo) -> bool {
        let Some(queue) = inner.queues.get(&no) else { return false };
        let now = Instant::now();
        let free = self.limits.in_flight_max.saturating_sub(inner.begun.len());
        let may_have_more = || queue.is_answering(now) || self.unanswered_left(inner, now) > 0;
        free > 0 && (queue.in_flight() == 0 || (free > self.limits.in_flight_max / 8 && may_have_more()))
    }

    /// How many of the half are left that endpoints may have which do not answer.
    pub(super) fn unanswered_left(&self, inner: &Inner, now: Instant) -> usize {
        let queues = inner.active.iter().filter_map(|no| inner.queues.get(no));
        let unanswered: usize =
            queues.filter(|queue| !queue.is_answering(now)).map(EndpointQueue::in_flight).sum();
        self.limits.in_flight_max.div_ceil(2).saturating_sub(unanswered)
    }
}
