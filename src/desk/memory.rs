//! Payloads in memory: a budget for all, and a share of it for each endpoint, so that one that hangs with large payloads
//! leaves room for others. Nobody waits for it: what finds none is given back, and nothing more is claimed until there is.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::{Desk, Inner};
use crate::endpoint::EndpointNo;

/// Payloads in memory, in KiB; a larger one has all of it to itself.
pub const MEMORY_KIB_MAX: u32 = 64 * 1024;
/// What one endpoint may have of it, unless it has one payload only.
pub(super) const SHARE_KIB_MAX: u32 = MEMORY_KIB_MAX / 4;

impl Desk {
    /// Takes memory for the payload of an event, at the expense of the endpoints it goes to. Returns who has no share left
    /// for it; and the memory, unless nobody has, or there is none at the moment.
    pub fn take_memory(
        &self,
        payload_kib: u32,
        endpoints: &[EndpointNo],
    ) -> (Vec<EndpointNo>, Option<OwnedSemaphorePermit>) {
        let mut inner = self.lock();
        let mut take =
            |no: &EndpointNo| inner.lanes.get_mut(no).is_none_or(|lane| lane.take_memory(payload_kib));
        let (taken, refused): (Vec<EndpointNo>, Vec<EndpointNo>) = endpoints.iter().partition(|no| take(no));
        if taken.is_empty() {
            return (refused, None);
        }
        let Ok(permit) = Arc::clone(&self.memory).try_acquire_many_owned(payload_kib) else {
            inner.memory_wanted = payload_kib;
            for no in &taken {
                if let Some(lane) = inner.lanes.get_mut(no) {
                    lane.give_memory(payload_kib);
                }
            }
            return (endpoints.to_vec(), None);
        };
        (refused, Some(permit))
    }

    /// What was loaded for a delivery will not be queued.
    pub fn give_memory(&self, no: EndpointNo, payload_kib: u32) {
        if let Some(lane) = self.lock().lanes.get_mut(&no) {
            lane.give_memory(payload_kib);
        }
    }

    /// Whether there is memory for a payload that found none before.
    pub(super) fn has_memory(&self, inner: &mut Inner) -> bool {
        let wanted = usize::try_from(inner.memory_wanted).unwrap_or(usize::MAX);
        if self.memory.available_permits() < wanted {
            return false;
        }
        inner.memory_wanted = 0;
        true
    }
}
