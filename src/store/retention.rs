//! Statements of retention: finished events that are old enough are deleted, wherever they stand in the order of events.

use std::time::Duration;

use super::events::{Position, place, places, xid};
use super::statements::{DELETE_FINISHED, FIND_REFUSED_DELETIONS, READ_RESTORED};
use super::{Store, StoreError, millis};

/// How long finished events are kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Complete ones.
    pub complete: Duration,
    /// Failed ones.
    pub failed: Duration,
}

/// Where a deletion ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletionRange {
    /// At the first event that is younger than this, among those that were inserted in this cluster.
    UpToYoungerThan(Duration),
    /// Before the events of this transaction. Younger events on the way are passed over.
    UpToTransaction(u64),
}

/// The result of one step of deletion.
#[derive(Clone, Copy, Debug)]
pub struct Deletion {
    /// Events looked at.
    pub looked_at: u32,
    /// Events deleted, with their deliveries and attempts.
    pub deleted: u32,
    /// The last event that was looked at. The next step goes on behind it.
    pub last: Option<Position>,
    /// The first event that was looked at and stays.
    pub kept: Option<Position>,
    /// Whether the deletion ends here: the events that follow are too young, or there are none.
    pub is_end: bool,
}

impl Store {
    /// `sql/statements/retention/delete_finished.sql`: among the next events behind `after`, at most `rows_max`.
    ///
    /// # Errors
    /// [`StoreError`]: the next call goes on.
    pub async fn delete_finished(
        &self,
        after: Position,
        rows_max: u32,
        retention: Retention,
        range: DeletionRange,
    ) -> Result<Deletion, StoreError> {
        let (young, until) = match range {
            DeletionRange::UpToYoungerThan(young) => (young, None),
            DeletionRange::UpToTransaction(until) => (Duration::ZERO, Some(until.to_string())),
        };
        let (xid, rows_max) = (after.xid.to_string(), i64::from(rows_max));
        let (complete_ms, failed_ms) = (millis(retention.complete), millis(retention.failed));
        let row = self
            .query_one(
                &DELETE_FINISHED,
                &[&xid, &after.id, &rows_max, &complete_ms, &failed_ms, &millis(young), &until],
            )
            .await?;
        let count = |name| row.get::<i64>(name).map(|n| u32::try_from(n).unwrap_or_default());
        Ok(Deletion {
            looked_at: count("looked_at")?,
            deleted: count("deleted")?,
            last: place(&row, "last_xid", "last_id")?,
            kept: place(&row, "kept_xid", "kept_id")?,
            is_end: row.get("is_end")?,
        })
    }

    /// `sql/statements/refused/find_refused_deletions.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_refused_deletions(&self, events_max: i64) -> Result<Vec<Position>, StoreError> {
        let rows = self.query(&FIND_REFUSED_DELETIONS, &[&events_max]).await?;
        places(&rows)
    }

    /// `sql/statements/events/read_restored.sql`: the first transaction and the last one that were restored. `None` if nothing was
    /// restored, or so long ago that no such event is kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_restored(&self, kept: Duration) -> Result<Option<(u64, u64)>, StoreError> {
        let row = self.query_one(&READ_RESTORED, &[&millis(kept)]).await?;
        if row.is_null("from_xid")? || row.is_null("until_xid")? {
            return Ok(None);
        }
        Ok(Some((xid(&row, "from_xid")?, xid(&row, "until_xid")?)))
    }
}
