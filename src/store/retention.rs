//! Statements of retention: what is old enough goes, wherever it stands in the order of events.

use std::time::Duration;

use super::events::{Position, place, xid};
use super::statements::{DELETE_FINISHED, FIND_REFUSED_DELETIONS, READ_RESTORED};
use super::{Store, StoreError, column, millis, missing};

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
    /// Before the events of this transaction; younger events on the way are passed over.
    UpToTransaction(u64),
}

/// How far a step of deletion came.
#[derive(Clone, Copy, Debug)]
pub struct Deletion {
    /// Events looked at.
    pub looked_at: u32,
    /// Events deleted, with their deliveries and attempts.
    pub deleted: u32,
    /// The last that was looked at: the next step goes on behind it.
    pub last: Option<Position>,
    /// The first that was looked at and stays.
    pub kept: Option<Position>,
    /// What follows is too young, or there is nothing.
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
            .row(
                &DELETE_FINISHED,
                &[&xid, &after.id, &rows_max, &complete_ms, &failed_ms, &millis(young), &until],
            )
            .await?
            .ok_or_else(|| missing(&DELETE_FINISHED))?;
        let count =
            |name| column::<i64>(&DELETE_FINISHED, &row, name).map(|n| u32::try_from(n).unwrap_or_default());
        Ok(Deletion {
            looked_at: count("looked_at")?,
            deleted: count("deleted")?,
            last: place(&DELETE_FINISHED, &row, "last_xid", "last_id")?,
            kept: place(&DELETE_FINISHED, &row, "kept_xid", "kept_id")?,
            is_end: column(&DELETE_FINISHED, &row, "is_end")?,
        })
    }

    /// `sql/statements/refused/find_refused_deletions.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_refused_deletions(&self, events_max: i64) -> Result<Vec<Position>, StoreError> {
        let rows = self.rows(&FIND_REFUSED_DELETIONS, &[&events_max]).await?;
        let places = rows.iter().map(|row| place(&FIND_REFUSED_DELETIONS, row, "created_xid", "id"));
        Ok(places.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// `sql/statements/events/read_restored.sql`: the first transaction and the last one; none: nothing was restored, or it is so long ago that
    /// nothing of it is kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_restored(&self, kept: Duration) -> Result<Option<(u64, u64)>, StoreError> {
        let row = self.row(&READ_RESTORED, &[&millis(kept)]).await?.ok_or_else(|| missing(&READ_RESTORED))?;
        let [from, until] =
            ["from_xid", "until_xid"].map(|name| column::<Option<&str>>(&READ_RESTORED, &row, name));
        let (Some(from), Some(until)) = (from?, until?) else { return Ok(None) };
        Ok(Some((xid(&READ_RESTORED, from)?, xid(&READ_RESTORED, until)?)))
    }
}
