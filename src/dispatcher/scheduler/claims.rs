//! Which claims this dispatcher holds, and how many of their deliveries are not settled yet.

use std::collections::HashMap;

use super::Scheduler;
use crate::model::delivery::ClaimId;

impl Scheduler {
    /// Notes claims as soon as they are known, so that none is taken for a stray.
    pub fn note_claims(&self, claims: impl Iterator<Item = ClaimId>) {
        let mut inner = self.lock();
        for claim in claims {
            *inner.claims.entry(claim).or_default() += 1;
        }
    }

    /// Claims of which nothing is left once these deliveries, named by their claims, are settled.
    pub fn finishing(&self, settling: &[ClaimId]) -> Vec<ClaimId> {
        let mut counts: HashMap<ClaimId, usize> = HashMap::new();
        for claim in settling {
            *counts.entry(*claim).or_default() += 1;
        }
        let inner = self.lock();
        counts.retain(|claim, n| inner.claims.get(claim).is_some_and(|left| left <= n));
        counts.into_keys().collect()
    }

    /// These deliveries, named by their claims, are settled or given back: there is room again.
    pub fn settled(&self, settled: &[ClaimId]) {
        self.put_off(settled.len());
        self.settled_late(settled);
    }

    /// So many deliveries cannot be settled for now. Their claims stay known, but others have the room.
    pub fn put_off(&self, count: usize) {
        let mut inner = self.lock();
        inner.held = inner.held.saturating_sub(count);
        drop(inner);
        self.room.notify_one();
    }

    /// These deliveries, named by their claims, are settled after they were put off.
    pub fn settled_late(&self, settled: &[ClaimId]) {
        let mut inner = self.lock();
        for claim in settled {
            if let Some(left) = inner.claims.get_mut(claim) {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    inner.claims.remove(claim);
                }
            }
        }
    }

    /// Claims with unsettled deliveries.
    pub fn known_claims(&self) -> Vec<ClaimId> {
        self.lock().claims.keys().copied().collect()
    }
}
