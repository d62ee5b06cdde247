//! Statements of `postrider dev`, for a database that is somebody else's: what is in it, and how its own is taken away again.

use super::statements::{COUNT_CONTENTS, DELETE_SAMPLES, REMOVE_DEAD_DISPATCHERS};
use super::{Store, StoreError};

/// Contents of a database that `postrider dev` did not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Endpoints.
    pub endpoints: i64,
    /// Whether there are events.
    pub has_events: bool,
}

/// The events that `postrider dev` inserts.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// The endpoint that they are for.
    pub endpoint_id: &'a str,
    /// Their topic.
    pub topic: &'a str,
    /// Their idempotency keys begin so.
    pub key_prefix: &'a str,
}

impl Store {
    /// `sql/statements/dev/count_contents.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_contents(&self, but_endpoint: &str) -> Result<Contents, StoreError> {
        let row = self.query_one(&COUNT_CONTENTS, &[&but_endpoint]).await?;
        Ok(Contents { endpoints: row.get("endpoints")?, has_events: row.get("has_events")? })
    }

    /// `sql/statements/dev/delete_samples.sql`: how many are left.
    ///
    /// # Errors
    /// [`StoreError`]: the next call goes on.
    pub async fn delete_samples(&self, samples: Samples<'_>, rows_max: i64) -> Result<i64, StoreError> {
        let Samples { endpoint_id, topic, key_prefix } = samples;
        self.query_one(&DELETE_SAMPLES, &[&endpoint_id, &topic, &key_prefix, &rows_max])
            .await?
            .get("left_over")
    }

    /// `sql/statements/dev/remove_dead_dispatchers.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_dead_dispatchers(&self, only_endpoint: &str) -> Result<(), StoreError> {
        self.execute(&REMOVE_DEAD_DISPATCHERS, &[&only_endpoint]).await
    }
}
