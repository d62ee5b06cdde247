//! Deliveries on which nobody works any more: those of dead dispatchers are taken back, unwanted ones are given up. A delivery
//! whose row is locked, or that the database refuses, is left; the others go on.

use crate::dispatcher::context::Context;
use crate::model::delivery::{ClaimId, DeliveryId};
use crate::rules::halves::Halves;
use crate::store::{RefusedStage, StoreError, is_row_fault};

/// Claims taken back in one statement.
const CLAIMS_MAX: i64 = 20;

/// Takes back the deliveries of dead dispatchers; returns how many.
///
/// # Errors
/// [`StoreError`]: the next call goes on.
pub(super) async fn rescue(context: &Context) -> Result<i64, StoreError> {
    let mut after = ClaimId::new(0);
    let mut rescued = 0;
    loop {
        let done = match context.store.rescue_claims(CLAIMS_MAX, after, None).await {
            Err(fault) if is_row_fault(&fault) => {
                let Some((next, count)) = rescue_one_claim(context, after).await? else { return Ok(rescued) };
                after = next;
                rescued += count;
                continue;
            }
            done => done?,
        };
        rescued += done.deliveries;
        let Some(last) = done.last.filter(|_| done.claims >= CLAIMS_MAX) else { return Ok(rescued) };
        after = last;
    }
}

/// Takes back the deliveries of the next claim, in halves. `None` if there is no further claim.
async fn rescue_one_claim(context: &Context, after: ClaimId) -> Result<Option<(ClaimId, i64)>, StoreError> {
    let Some(claim) = context.store.find_dead_claim(after).await? else { return Ok(None) };
    let just_before = ClaimId::new(claim.claim_id.get() - 1);
    let mut rescued = 0;
    let mut halves = Halves::new(claim.delivery_ids);
    while let Some(part) = halves.next_part() {
        match context.store.rescue_claims(1, just_before, Some(&part)).await {
            Ok(done) => rescued += done.deliveries,
            Err(fault) if is_row_fault(&fault) => {
                if let Some(id) = halves.refused(part) {
                    set_aside(context, RefusedStage::GiveBack, id, &fault).await?;
                }
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(Some((claim.claim_id, rescued)))
}

/// Gives up deliveries that nobody wants any more, at most `deliveries_max` of each kind; returns how many.
///
/// # Errors
/// [`StoreError`]: the next call goes on.
pub(super) async fn give_up(context: &Context, deliveries_max: i64) -> Result<i64, StoreError> {
    let mut given_up = 0;
    let mut halves = Halves::new(context.store.find_unwanted(deliveries_max).await?);
    while let Some(part) = halves.next_part() {
        match context.store.give_up_deliveries(&part).await {
            Ok(count) => given_up += count,
            Err(fault) if is_row_fault(&fault) => {
                if let Some(id) = halves.refused(part) {
                    set_aside(context, RefusedStage::GiveUp, id, &fault).await?;
                }
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(given_up)
}

async fn set_aside(
    context: &Context,
    stage: RefusedStage,
    id: DeliveryId,
    fault: &StoreError,
) -> Result<(), StoreError> {
    context.database_health.log_failure("a delivery cannot be written and is set aside", fault);
    context.store.set_aside(stage, id.get(), fault).await
}
