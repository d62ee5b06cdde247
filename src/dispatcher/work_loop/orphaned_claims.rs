//! Orphaned claims: the database says that this dispatcher holds them, and the ledger does not know them, because the reply to
//! the claim was lost. Their deliveries are released.

use std::collections::BTreeSet;

use crate::dispatcher::context::Context;
use crate::model::delivery::ClaimId;
use crate::rules::halves::Halves;
use crate::store::{GivenBack, OrphanedClaim, RefusedStage, StoreError, is_row_fault};

/// Claims in one statement.
const CLAIMS_MAX: i64 = 100;

/// Releases orphaned claims; returns how many deliveries. No claim of this dispatcher may run beside it.
///
/// # Errors
/// [`StoreError`]: a second call goes on.
pub(super) async fn release(context: &Context) -> Result<usize, StoreError> {
    let known = context.scheduler.claims().unsettled();
    let orphans = context.store.find_orphaned_claims(context.lease.id(), &known, CLAIMS_MAX).await?;
    let mut finished: BTreeSet<ClaimId> = orphans.iter().map(|orphan| orphan.claim_id).collect();
    let mut held = Vec::new();
    for OrphanedClaim { claim_id, delivery_id, is_refused } in orphans {
        let Some(delivery_id) = delivery_id else { continue };
        if is_refused {
            finished.remove(&claim_id);
        } else {
            // A request may have been begun: nobody knows.
            held.push(GivenBack { delivery_id, claim_id, begun: true, lane: None });
        }
    }
    let mut released = 0;
    let mut halves = Halves::new(held);
    while let Some(part) = halves.next_part() {
        match context.store.release_deliveries(&part, &[]).await {
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
                    context.store.set_aside(RefusedStage::GiveBack, one.delivery_id.get(), &fault).await?;
                }
            }
            Err(fault) => return Err(fault),
        }
    }
    let finished: Vec<ClaimId> = finished.into_iter().collect();
    if !finished.is_empty() {
        context.store.release_deliveries(&[], &finished).await?;
    }
    if released > 0 {
        context.lanes.sweep_soon();
    }
    Ok(released)
}
