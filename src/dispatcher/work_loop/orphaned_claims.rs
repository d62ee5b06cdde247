//! A claim whose answer was lost is ours without our knowing: what it holds is given back.

use std::collections::BTreeSet;

use super::Shared;
use crate::model::delivery::ClaimId;
use crate::rules::halves::Halves;
use crate::store::{GivenBack, OrphanedClaim, RefusedStage, StoreError, is_row_fault};

/// Claims looked at in one go.
const CLAIMS_MAX: i64 = 100;

/// Gives back what the scheduler does not know; returns how many deliveries. No claim of ours may run beside it.
///
/// # Errors
/// [`StoreError`]: a second call goes on.
pub(super) async fn release(shared: &Shared) -> Result<usize, StoreError> {
    let known = shared.scheduler.known_claims();
    let orphaned = shared.store.find_orphaned_claims(shared.lease.id(), &known, CLAIMS_MAX).await?;
    let mut finished: BTreeSet<ClaimId> = orphaned.iter().map(|orphan| orphan.claim_id).collect();
    let mut held = Vec::new();
    for OrphanedClaim { claim_id, delivery_id, is_refused } in orphaned {
        let Some(delivery_id) = delivery_id else { continue };
        if is_refused {
            finished.remove(&claim_id);
        } else {
            // Whether a request was begun is not known.
            held.push(GivenBack { delivery_id, claim_id, begun: true });
        }
    }
    let mut released = 0;
    let mut halves = Halves::new(held);
    while let Some(part) = halves.next_part() {
        match shared.store.release_deliveries(&part, &[]).await {
            Ok(held_up) => {
                released += part.len() - held_up.len();
                let is_left = |given: &&GivenBack| held_up.contains(&given.delivery_id);
                for given in part.iter().filter(is_left) {
                    finished.remove(&given.claim_id);
                }
            }
            Err(fault) if is_row_fault(&fault) => {
                if let Some(one) = halves.refused(part) {
                    finished.remove(&one.claim_id);
                    shared.store.set_aside(RefusedStage::GiveBack, one.delivery_id.get(), &fault).await?;
                }
            }
            Err(fault) => return Err(fault),
        }
    }
    let finished: Vec<ClaimId> = finished.into_iter().collect();
    if !finished.is_empty() {
        shared.store.release_deliveries(&[], &finished).await?;
    }
    Ok(released)
}
