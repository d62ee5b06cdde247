//! Statements about deliveries that nobody works on any more: those of dead dispatchers, of lost answers, of deleted
//! endpoints.

use super::row::Row;
use super::statements::{
    FIND_DEAD_CLAIM, FIND_ORPHANED_CLAIMS, FIND_UNWANTED, GIVE_UP_DELIVERIES, RESCUE_CLAIMS,
};
use super::{Store, StoreError};
use crate::model::delivery::{ClaimId, DeliveryId, DispatcherId};

/// The result of one rescue.
#[derive(Clone, Copy, Debug)]
pub struct Rescued {
    /// Deliveries that were taken back.
    pub deliveries: i64,
    /// Claims that were looked at.
    pub claims: i64,
    /// The last of them: the next call goes on behind it.
    pub last: Option<ClaimId>,
}

/// A claim of a dead dispatcher.
#[derive(Clone, Debug)]
pub struct DeadClaim {
    /// The claim.
    pub claim_id: ClaimId,
    /// The deliveries that it still holds.
    pub delivery_ids: Vec<DeliveryId>,
}

/// A claim that a dispatcher holds without knowing it, because the answer to its claim was lost.
#[derive(Clone, Copy, Debug)]
pub struct OrphanedClaim {
    /// The claim that holds it.
    pub claim_id: ClaimId,
    /// A delivery of the claim. `None` if the claim holds no delivery any more.
    pub delivery_id: Option<DeliveryId>,
    /// Whether it was refused alone, and is not to be tried yet.
    pub is_refused: bool,
}

impl Store {
    /// `sql/statements/leftovers/rescue_claims.sql`: takes back deliveries of at most `claims_max` claims behind `after`. `only` limits
    /// it to these deliveries.
    ///
    /// # Errors
    /// [`StoreError`]: a second call is harmless.
    pub async fn rescue_claims(
        &self,
        claims_max: i64,
        after: ClaimId,
        only: Option<&[DeliveryId]>,
    ) -> Result<Rescued, StoreError> {
        let only: Option<Vec<i64>> = only.map(|ids| ids.iter().map(|id| id.get()).collect());
        let row = self.query_one(&RESCUE_CLAIMS, &[&claims_max, &after.get(), &only]).await?;
        Ok(Rescued {
            deliveries: row.get("rescued")?,
            claims: row.get("claims")?,
            last: row.get::<Option<i64>>("last_claim_id")?.map(ClaimId::new),
        })
    }

    /// `sql/statements/leftovers/find_dead_claim.sql`: the first behind `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_dead_claim(&self, after: ClaimId) -> Result<Option<DeadClaim>, StoreError> {
        let Some(row) = self.query_opt(&FIND_DEAD_CLAIM, &[&after.get()]).await? else { return Ok(None) };
        let ids: Vec<i64> = row.get("delivery_ids")?;
        Ok(Some(DeadClaim {
            claim_id: ClaimId::new(row.get("claim_id")?),
            delivery_ids: ids.into_iter().map(DeliveryId::new).collect(),
        }))
    }

    /// `sql/statements/leftovers/find_orphaned_claims.sql`. Must not run beside a claim of the same dispatcher.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_orphaned_claims(
        &self,
        dispatcher: DispatcherId,
        known: &[ClaimId],
        claims_max: i64,
    ) -> Result<Vec<OrphanedClaim>, StoreError> {
        let known: Vec<i64> = known.iter().map(|id| id.get()).collect();
        let rows = self.query(&FIND_ORPHANED_CLAIMS, &[&dispatcher.get(), &known, &claims_max]).await?;
        let orphaned = |row: &Row| {
            Ok(OrphanedClaim {
                claim_id: ClaimId::new(row.get("claim_id")?),
                delivery_id: row.get::<Option<i64>>("delivery_id")?.map(DeliveryId::new),
                is_refused: row.get("is_refused")?,
            })
        };
        rows.iter().map(orphaned).collect()
    }

    /// `sql/statements/deliveries/find_unwanted.sql`: at most `deliveries_max` of each kind.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_unwanted(&self, deliveries_max: i64) -> Result<Vec<DeliveryId>, StoreError> {
        let rows = self.query(&FIND_UNWANTED, &[&deliveries_max]).await?;
        rows.iter().map(|row| row.get("delivery_id").map(DeliveryId::new)).collect()
    }

    /// `sql/statements/deliveries/give_up_deliveries.sql`: how many were given up. Locked ones are left.
    ///
    /// # Errors
    /// [`StoreError`]: no delivery is given up, unless the answer was lost.
    pub async fn give_up_deliveries(&self, ids: &[DeliveryId]) -> Result<i64, StoreError> {
        let ids: Vec<i64> = ids.iter().map(|id| id.get()).collect();
        let row = self.query_one(&GIVE_UP_DELIVERIES, &[&ids]).await?;
        row.get("given_up")
    }
}
