//! How much one endpoint leaves to the others of what all of them share: whatever number of endpoints hangs, another one
//! still finds a request and room.

use tokio::time::Instant;

use super::endpoint_queue::EndpointQueue;
use super::endpoint_queues::EndpointQueues;
use super::requests::Requests;
use crate::model::endpoint::EndpointNo;

/// Room, requests and memory of the whole dispatcher that are free for one endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Free {
    /// Deliveries that may still be held.
    pub(super) held: usize,
    /// Requests that may still be begun to an endpoint that is silent; `usize::MAX` for all others.
    pub(super) requests: usize,
    /// KiB of payloads that may still be loaded.
    pub(super) memory_kib: u32,
}

/// How many more units one endpoint may take if it has `has` and `free` are left: half of the difference, so that afterwards
/// it holds as much as is left (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches").
pub(super) fn fair_share(has: usize, free: usize) -> usize {
    free.saturating_sub(has).div_ceil(2)
}

/// Whether an endpoint may have another request. It may always have one, to be heard of; an eighth of all requests is
/// kept for that. An endpoint that answers gives its slots back soon, and may have all others. Endpoints that do not answer,
/// or were not heard of yet, share half of them.
pub(super) fn may_start(queue: &EndpointQueue, queues: &EndpointQueues, requests: &Requests) -> bool {
    let now = Instant::now();
    let left = requests.left();
    let may_have_more = || queue.is_answering(now) || left_unanswered(queues, requests, now) > 0;
    left > 0 && (queue.in_flight() == 0 || (left > requests.max() / 8 && may_have_more()))
}

/// How many requests endpoints that do not answer may still have of their half.
pub(super) fn left_unanswered(queues: &EndpointQueues, requests: &Requests, now: Instant) -> usize {
    let in_flight = |no: EndpointNo| {
        queues.get(no).filter(|queue| !queue.is_answering(now)).map_or(0, EndpointQueue::in_flight)
    };
    let unanswered: usize = requests.active().map(in_flight).sum();
    requests.max().div_ceil(2).saturating_sub(unanswered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_ends_with_as_much_as_it_leaves() {
        let (mut has, mut free) = (0, 100);

        while let taken @ 1.. = fair_share(has, free) {
            has += taken;
            free -= taken;
        }

        assert_eq!((has, free), (50, 50));
    }
}
