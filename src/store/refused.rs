//! Statements about rows that the database refuses to write. They are recorded, passed over, and tried again alone.

use super::errors::is_passing;
use super::statements::{FORGET_REFUSED, HASTEN_REFUSED, LIST_REFUSED_DUE, SET_ASIDE};
use super::{Store, StoreError, one_line};
use crate::model::delivery::DeliveryId;

/// The step at which a row was refused. The names are those of `postrider.refused.stage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedStage {
    /// An event cannot be routed.
    Route,
    /// A delivery cannot be claimed.
    Claim,
    /// The outcome of an attempt cannot be written.
    Settle,
    /// A delivery cannot be made pending again.
    GiveBack,
    /// A delivery cannot be given up.
    GiveUp,
    /// An event that is old enough cannot be deleted.
    Delete,
}

impl RefusedStage {
    const fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Claim => "claim",
            Self::Settle => "settle",
            Self::GiveBack => "give_back",
            Self::GiveUp => "give_up",
            Self::Delete => "delete",
        }
    }
}

impl Store {
    /// `sql/statements/refused/set_aside.sql`. The row is tried again after 5 s, 5 min, 30 min and so on. If the fault may be over
    /// soon, it is tried again after seconds.
    ///
    /// # Errors
    /// [`StoreError`]: it is not recorded; a second call counts another try.
    pub async fn set_aside(&self, stage: RefusedStage, id: i64, why: &StoreError) -> Result<(), StoreError> {
        let params: super::Params<'_> = &[&stage.name(), &vec![id], &one_line(why), &is_passing(why)];
        self.execute(&SET_ASIDE, params).await
    }

    /// `sql/statements/refused/hasten_refused.sql`. The row `id` was accepted now, so rows that were refused for the same reason are
    /// tried at once.
    ///
    /// # Errors
    /// [`StoreError`]: the others are tried when they are due.
    pub async fn hasten_refused(&self, stage: RefusedStage, id: i64) -> Result<(), StoreError> {
        self.execute(&HASTEN_REFUSED, &[&stage.name(), &id]).await
    }

    /// `sql/statements/refused/list_refused_due.sql`: the deliveries among `ids` that are to be tried again now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_refused_due(
        &self,
        stage: RefusedStage,
        ids: &[DeliveryId],
    ) -> Result<Vec<DeliveryId>, StoreError> {
        let ids: Vec<i64> = ids.iter().map(|id| id.get()).collect();
        let rows = self.query(&LIST_REFUSED_DUE, &[&stage.name(), &ids]).await?;
        rows.iter().map(|row| row.get("id").map(DeliveryId::new)).collect()
    }

    /// `sql/statements/refused/forget_refused.sql`.
    ///
    /// # Errors
    /// [`StoreError`]: a second call is harmless.
    pub async fn forget_refused(&self) -> Result<(), StoreError> {
        self.execute(&FORGET_REFUSED, &[]).await
    }
}
