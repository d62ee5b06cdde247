//! Reads of the public views: the same rows that SQL users see.

use serde::Serialize;

use super::statements::{READ_BACKLOG, READ_DISPATCHERS};
use super::{Store, StoreError, column, missing};

/// The row of `postrider.backlog`.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the columns of postrider.backlog")]
pub struct BacklogRow {
    pub unrouted: i64,
    pub pending: i64,
    pub in_progress: i64,
    pub failed: i64,
    pub oldest_unrouted_at: Option<String>,
    pub oldest_due_at: Option<String>,
}

/// A row of `postrider.dispatcher_status`.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the columns of postrider.dispatcher_status")]
pub struct DispatcherRow {
    pub dispatcher_id: i64,
    pub host: String,
    pub version: String,
    pub started_at: String,
    pub lease_until: String,
    pub is_live: bool,
    pub is_leader: bool,
    pub wake_mode: String,
    pub wake_reason: Option<String>,
}

impl Store {
    /// `sql/read_backlog.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_backlog(&self) -> Result<BacklogRow, StoreError> {
        let row = self.row(&READ_BACKLOG, &[]).await?.ok_or_else(|| missing(&READ_BACKLOG))?;
        Ok(BacklogRow {
            unrouted: column(&READ_BACKLOG, &row, "unrouted")?,
            pending: column(&READ_BACKLOG, &row, "pending")?,
            in_progress: column(&READ_BACKLOG, &row, "in_progress")?,
            failed: column(&READ_BACKLOG, &row, "failed")?,
            oldest_unrouted_at: column(&READ_BACKLOG, &row, "oldest_unrouted_at")?,
            oldest_due_at: column(&READ_BACKLOG, &row, "oldest_due_at")?,
        })
    }

    /// `sql/read_dispatchers.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_dispatchers(&self) -> Result<Vec<DispatcherRow>, StoreError> {
        let read = |row| {
            Ok(DispatcherRow {
                dispatcher_id: column(&READ_DISPATCHERS, row, "dispatcher_id")?,
                host: column(&READ_DISPATCHERS, row, "host")?,
                version: column(&READ_DISPATCHERS, row, "version")?,
                started_at: column(&READ_DISPATCHERS, row, "started_at")?,
                lease_until: column(&READ_DISPATCHERS, row, "lease_until")?,
                is_live: column(&READ_DISPATCHERS, row, "is_live")?,
                is_leader: column(&READ_DISPATCHERS, row, "is_leader")?,
                wake_mode: column(&READ_DISPATCHERS, row, "wake_mode")?,
                wake_reason: column(&READ_DISPATCHERS, row, "wake_reason")?,
            })
        };
        self.rows(&READ_DISPATCHERS, &[]).await?.iter().map(read).collect()
    }
}
