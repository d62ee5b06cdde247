//! The two kinds of rows that the settler writes: outcomes of attempts, and deliveries that are given back.

use super::late::Late;
use super::writer::{ClaimsLost, Writer};
use crate::model::delivery::{ClaimId, DeliveryId};
use crate::model::endpoint::EndpointNo;
use crate::model::event::EventId;
use crate::store::{Attempted, GivenBack, Locked, RefusedStage, StoreError};

/// A row to write for a claimed delivery.
pub(super) trait Outgoing: Sized + Send + Sync {
    /// The stage under which a refusal is recorded.
    const STAGE: RefusedStage;
    fn delivery_id(&self) -> DeliveryId;
    fn claim_id(&self) -> ClaimId;
    /// The lane that may have to be opened once it is written; what is written late has not kept its place in the order.
    fn lane(&self, is_late: bool) -> Option<(EndpointNo, EventId)>;
    /// Drops characters that the database's encoding may not have: the outcome must be recorded all the same.
    fn drop_foreign_characters(&mut self) {}
    /// The outcomes of its kind that wait.
    fn late(writer: &mut Writer) -> &mut Late<Self>;
    /// Writes a part in one statement; returns the deliveries whose rows are locked.
    fn write(
        part: &[Self],
        writer: &Writer,
        finished: &[ClaimId],
    ) -> impl Future<Output = Result<Vec<DeliveryId>, StoreError>> + Send;
}

impl Outgoing for Attempted {
    const STAGE: RefusedStage = RefusedStage::Settle;

    fn delivery_id(&self) -> DeliveryId {
        self.delivery_id
    }

    fn claim_id(&self) -> ClaimId {
        self.claim_id
    }

    fn lane(&self, is_late: bool) -> Option<(EndpointNo, EventId)> {
        self.lane.filter(|_| is_late || !self.is_followed)
    }

    fn drop_foreign_characters(&mut self) {
        for text in self.error.iter_mut().chain(&mut self.response_excerpt) {
            text.retain(|c| c.is_ascii());
        }
    }

    fn late(writer: &mut Writer) -> &mut Late<Self> {
        &mut writer.late
    }

    async fn write(
        part: &[Self],
        writer: &Writer,
        finished: &[ClaimId],
    ) -> Result<Vec<DeliveryId>, StoreError> {
        let locked = if writer.skips_locked() { Locked::Left } else { Locked::WaitedFor };
        let settled = writer.store.settle_deliveries(part, finished, locked).await?;
        let lost = part.len().saturating_sub(settled.count + settled.held_up.len());
        writer.metrics.settled(settled.count, lost);
        if lost > 0 {
            writer.database_health.log_failure("outcomes not written", &ClaimsLost);
        }
        Ok(settled.held_up)
    }
}

impl Outgoing for GivenBack {
    const STAGE: RefusedStage = RefusedStage::GiveBack;

    fn delivery_id(&self) -> DeliveryId {
        self.delivery_id
    }

    fn claim_id(&self) -> ClaimId {
        self.claim_id
    }

    fn lane(&self, _is_late: bool) -> Option<(EndpointNo, EventId)> {
        self.lane
    }

    fn late(writer: &mut Writer) -> &mut Late<Self> {
        &mut writer.late_released
    }

    async fn write(
        part: &[Self],
        writer: &Writer,
        finished: &[ClaimId],
    ) -> Result<Vec<DeliveryId>, StoreError> {
        writer.store.release_deliveries(part, finished).await
    }
}
