//! Payloads in memory: a budget for all, and a share of it for each endpoint, so that one that hangs with large payloads
//! leaves room for others. Nobody waits for it: what finds none is given back, and nothing more is claimed for its endpoint
//! until there is.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::Scheduler;
use crate::model::endpoint::EndpointNo;

/// Payloads in memory, in KiB; a larger one has all of it to itself.
pub const MEMORY_KIB_MAX: u32 = 64 * 1024;
/// What one endpoint may have of it, unless it has one payload only.
pub(super) const SHARE_KIB_MAX: u32 = MEMORY_KIB_MAX / 4;
/// What large payloads leave for small ones, and which ones are small.
const SMALL_KIB_MIN: u32 = MEMORY_KIB_MAX / 16;
const SMALL_KIB_MAX: u32 = 64;

impl Scheduler {
    /// Takes memory for the payload of an event, at the expense of the endpoints it goes to. Returns who has no share left
    /// for it; and the memory, unless nobody has, or there is none at the moment.
    pub fn take_memory(
        &self,
        payload_kib: u32,
        endpoints: &[EndpointNo],
    ) -> (Vec<EndpointNo>, Option<OwnedSemaphorePermit>) {
        let mut inner = self.lock();
        let free_kib = self.free_memory_kib();
        let mut take = |no: &EndpointNo| {
            inner.queues.get_mut(no).is_none_or(|queue| queue.take_memory(payload_kib, free_kib))
        };
        let (taken, refused): (Vec<EndpointNo>, Vec<EndpointNo>) = endpoints.iter().partition(|no| take(no));
        if taken.is_empty() {
            return (refused, None);
        }
        let needed_kib = needed(payload_kib);
        let permit = (free_kib >= needed_kib)
            .then(|| Arc::clone(&self.memory).try_acquire_many_owned(payload_kib).ok())
            .flatten();
        let Some(permit) = permit else {
            for no in &taken {
                if let Some(queue) = inner.queues.get_mut(no) {
                    queue.give_memory(payload_kib);
                    queue.want_memory(needed_kib);
                }
            }
            return (endpoints.to_vec(), None);
        };
        (refused, Some(permit))
    }

    /// What was loaded for a delivery will not be queued.
    pub fn give_memory(&self, no: EndpointNo, payload_kib: u32) {
        if let Some(queue) = self.lock().queues.get_mut(&no) {
            queue.give_memory(payload_kib);
        }
    }

    pub(super) fn free_memory_kib(&self) -> u32 {
        u32::try_from(self.memory.available_permits()).unwrap_or(u32::MAX)
    }
}

/// How much must be free for such a payload.
fn needed(payload_kib: u32) -> u32 {
    if payload_kib <= SMALL_KIB_MAX { payload_kib } else { (payload_kib + SMALL_KIB_MIN).min(MEMORY_KIB_MAX) }
}
