//! Payloads in memory: a budget for all, and a part of it for each endpoint, so that an endpoint that hangs with large
//! payloads leaves memory to the others. Nobody waits for memory. A delivery that finds none is released, and nothing more
//! is claimed for its endpoint until there is some.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Payloads in memory, in KiB; a larger one has all of it to itself.
pub const MEMORY_KIB_MAX: u32 = 64 * 1024;
/// What one endpoint may have of it, unless it has one payload only.
const ENDPOINT_KIB_MAX: u32 = MEMORY_KIB_MAX / 4;
/// How much large payloads leave for small ones.
const SMALL_KIB_MIN: u32 = MEMORY_KIB_MAX / 16;
/// The largest small payload.
const SMALL_KIB_MAX: u32 = 64;

/// The budget. Memory comes back when the event that holds the permit is dropped.
#[derive(Debug)]
pub(super) struct PayloadMemory {
    free: Arc<Semaphore>,
}

impl PayloadMemory {
    pub(super) fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(MEMORY_KIB_MAX.try_into().unwrap_or(usize::MAX))) }
    }

    pub(super) fn free_kib(&self) -> u32 {
        u32::try_from(self.free.available_permits()).unwrap_or(u32::MAX)
    }

    /// Takes memory for a payload. `None` if not enough is free.
    pub(super) fn take(&self, payload_kib: u32) -> Option<OwnedSemaphorePermit> {
        if self.free_kib() < needed_kib(payload_kib) {
            return None;
        }
        Arc::clone(&self.free).try_acquire_many_owned(payload_kib).ok()
    }
}

/// How much must be free for such a payload.
pub(super) fn needed_kib(payload_kib: u32) -> u32 {
    if payload_kib <= SMALL_KIB_MAX { payload_kib } else { (payload_kib + SMALL_KIB_MIN).min(MEMORY_KIB_MAX) }
}

/// One endpoint's part of the budget. All fields are in KiB.
#[derive(Debug)]
pub(super) struct EndpointMemory {
    /// Payloads that are queued or under way.
    used: u32,
    /// The size of the last payload: the next ones are believed to have it too.
    last: u32,
    /// How much must be free before anything more is claimed, because a payload found no memory.
    awaited: u32,
}

impl EndpointMemory {
    pub(super) fn new() -> Self {
        Self { used: 0, last: 1, awaited: 0 }
    }

    /// Whether something may be claimed while so much is free.
    pub(super) fn may_claim(&mut self, free_kib: u32) -> bool {
        if free_kib < self.awaited {
            return false;
        }
        self.awaited = 0;
        true
    }

    /// For how many more payloads the endpoint has memory.
    pub(super) fn room(&self) -> usize {
        let payloads = ENDPOINT_KIB_MAX.saturating_sub(self.used) / self.last;
        usize::try_from(payloads).unwrap_or(usize::MAX)
    }

    /// Takes memory for a payload while so much is free. Returns false if the endpoint has its part already.
    pub(super) fn take(&mut self, kib: u32, free_kib: u32) -> bool {
        self.last = kib.max(1);
        let part_kib = ENDPOINT_KIB_MAX.min(free_kib.saturating_sub(kib));
        let is_taken = self.used == 0 || self.used + kib <= part_kib;
        if is_taken {
            self.used += kib;
        }
        is_taken
    }

    pub(super) fn release(&mut self, kib: u32) {
        self.used = self.used.saturating_sub(kib);
    }

    /// A payload found no memory: claims wait until so much is free.
    pub(super) fn wait_for(&mut self, kib: u32) {
        self.awaited = kib;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_payloads_leave_memory_to_small_ones() {
        let memory = PayloadMemory::new();

        let most = memory.take(MEMORY_KIB_MAX - SMALL_KIB_MIN).unwrap();

        assert!(memory.take(SMALL_KIB_MAX + 1).is_none());
        assert!(memory.take(SMALL_KIB_MAX).is_some());
        drop(most);
        assert!(memory.take(MEMORY_KIB_MAX).is_some());
    }

    #[test]
    fn an_endpoint_has_a_quarter_or_one_payload() {
        let (mut endpoint, free_kib) = (EndpointMemory::new(), MEMORY_KIB_MAX);

        assert!(endpoint.take(ENDPOINT_KIB_MAX + 1, free_kib));
        assert!(!endpoint.take(1, free_kib));
        endpoint.release(ENDPOINT_KIB_MAX + 1);
        assert!(endpoint.take(1, free_kib));
    }

    #[test]
    fn nothing_is_claimed_until_a_payload_that_found_no_memory_would_find_it() {
        let mut endpoint = EndpointMemory::new();
        endpoint.wait_for(100);

        let may_claim = [99, 100, 0].map(|free_kib| endpoint.may_claim(free_kib));

        assert_eq!(may_claim, [false, true, true]);
    }
}
