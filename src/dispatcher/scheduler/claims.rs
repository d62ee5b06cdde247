//! The claims that this dispatcher holds, and how many of their deliveries are not settled yet. A claim
//! that the database has and the ledger has not is an orphan: the reply to it was lost. The ledger has a lock of its own, because no
//! limit depends on it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::delivery::ClaimId;

/// Unsettled deliveries per claim.
#[derive(Debug, Default)]
pub struct ClaimLedger {
    unsettled: Mutex<HashMap<ClaimId, usize>>,
}

impl ClaimLedger {
    /// Adds claimed deliveries, named by their claims: as soon as they are known, so that none is taken for an orphan.
    pub fn add(&self, claims: impl Iterator<Item = ClaimId>) {
        let mut unsettled = self.lock();
        for claim in claims {
            *unsettled.entry(claim).or_default() += 1;
        }
    }

    /// The claims of which nothing is left once these deliveries, named by their claims, are settled.
    pub fn finished_by(&self, settling: &[ClaimId]) -> Vec<ClaimId> {
        let mut counts: HashMap<ClaimId, usize> = HashMap::new();
        for claim in settling {
            *counts.entry(*claim).or_default() += 1;
        }
        let unsettled = self.lock();
        counts.retain(|claim, count| unsettled.get(claim).is_some_and(|left| left <= count));
        counts.into_keys().collect()
    }

    /// Takes out deliveries, named by their claims, that are settled or released.
    pub fn settle(&self, settled: &[ClaimId]) {
        let mut unsettled = self.lock();
        for claim in settled {
            if let Some(left) = unsettled.get_mut(claim) {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    unsettled.remove(claim);
                }
            }
        }
    }

    /// The claims with unsettled deliveries.
    pub fn unsettled(&self) -> Vec<ClaimId> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClaimId, usize>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_known_until_its_last_delivery_is_settled() {
        let (ledger, one, two) = (ClaimLedger::default(), ClaimId::new(1), ClaimId::new(2));
        ledger.add([one, one, two].into_iter());

        let finished = ledger.finished_by(&[one, two]);
        ledger.settle(&[one, two]);

        assert_eq!(finished, [two]);
        assert_eq!(ledger.unsettled(), [one]);
        ledger.settle(&[one]);
        assert!(ledger.unsettled().is_empty());
    }
}
