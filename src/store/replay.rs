//! Statements that retry, replay or cancel. Each calls the SQL function that SQL users call.

use super::statements::{CANCEL, REPLAY, RETRY, RETRY_FAILED};
use super::views::{Cancelled, Replayed};
use super::{Store, StoreError};
use crate::model::delivery::DeliveryId;
use crate::model::event::EventId;

/// Which events to send an endpoint again. Times are texts that PostgreSQL reads as `timestamptz`.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// The endpoint.
    pub endpoint_id: String,
    /// Events created at this time or later.
    pub since: String,
    /// Events created before this time. `None` for now.
    pub until: Option<String>,
    /// Topic patterns. `None` for the endpoint's own.
    pub topics: Option<Vec<String>>,
    /// Whether to count only.
    pub dry_run: bool,
}

impl Store {
    /// `sql/statements/deliveries/retry.sql`.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE P0002 for an unknown id, 55000 if it is complete or in progress.
    pub async fn retry(&self, id: DeliveryId) -> Result<(), StoreError> {
        self.execute(&RETRY, &[&id.get()]).await
    }

    /// `sql/statements/deliveries/retry_failed.sql`: how many are retried. If they are as many as `up_to`, there may be more.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE P0002 for an unknown id, class 22 if `since` is not a time.
    pub async fn retry_failed(
        &self,
        endpoint_id: &str,
        since: Option<&str>,
        up_to: i32,
    ) -> Result<i64, StoreError> {
        let row = self.query_one(&RETRY_FAILED, &[&endpoint_id, &since, &up_to]).await?;
        row.get("retried")
    }

    /// `sql/statements/deliveries/replay.sql`: one step, of at most `up_to` events with a higher id than `after`.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE P0002 for an unknown id, class 22 for a text that is not a time or not a pattern.
    pub async fn replay(&self, replay: &Replay, after: i64, up_to: i32) -> Result<Replayed, StoreError> {
        let Replay { endpoint_id, since, until, topics, dry_run } = replay;
        let row =
            self.query_one(&REPLAY, &[endpoint_id, since, until, topics, &after, &up_to, dry_run]).await?;
        Ok(Replayed { replayed: row.get("replayed")?, next_after: row.get("next_after")? })
    }

    /// `sql/statements/events/cancel.sql`.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE P0002 for an unknown id.
    pub async fn cancel(&self, id: EventId) -> Result<Cancelled, StoreError> {
        let row = self.query_one(&CANCEL, &[&id.get()]).await?;
        row.json("row")
    }
}
