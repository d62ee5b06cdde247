//! Statements that retry, replay, skip or cancel. Each calls the SQL function that SQL users call.

use super::statements::{CANCEL, REPLAY, RETRY, RETRY_FAILED, SKIP, SKIP_KEY};
use super::views::{Cancelled, Replayed, Retried};
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

/// Which deliveries of a key to skip.
#[derive(Clone, Debug)]
pub struct KeySkip {
    /// The endpoint.
    pub endpoint_id: String,
    /// The key.
    pub key: String,
    /// Events created up to this time, a text that PostgreSQL reads as `timestamptz`. `None` for now.
    pub until: Option<String>,
    /// Why. `None` if nobody said it.
    pub reason: Option<String>,
}

impl Store {
    /// `sql/statements/deliveries/retry.sql`.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE P0002 for an unknown id, 55000 if it is complete or in progress, or waits for another one
    /// of its key.
    pub async fn retry(&self, id: DeliveryId) -> Result<Retried, StoreError> {
        let row = self.query_one(&RETRY, &[&id.get()]).await?;
        Ok(Retried { is_behind: row.get("is_behind")? })
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

    /// `sql/statements/deliveries/skip.sql`.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE P0002 for an unknown id, 55000 if it is complete or in progress, 22023 for a reason that is
    /// empty.
    pub async fn skip(&self, id: DeliveryId, reason: &str) -> Result<(), StoreError> {
        self.execute(&SKIP, &[&id.get(), &reason]).await
    }

    /// `sql/statements/deliveries/skip_key.sql`: how many are skipped. If they are as many as `up_to`, there may be more.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE P0002 for an unknown id, class 22 if `until` is not a time.
    pub async fn skip_key(&self, skip: &KeySkip, up_to: i32) -> Result<i64, StoreError> {
        let KeySkip { endpoint_id, key, until, reason } = skip;
        let row = self.query_one(&SKIP_KEY, &[endpoint_id, key, until, reason, &up_to]).await?;
        row.get("skipped")
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
