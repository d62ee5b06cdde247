//! Statements of housekeeping about tables of the user's own that are attached.

use super::statements::{ADD_UP_SKIPPED_ROWS, FORGET_DROPPED_TABLES};
use super::{Store, StoreError};

/// An attachment whose table is gone.
#[derive(Clone, Debug)]
pub struct DroppedTable {
    /// Its number: the functions that were made for it end with it.
    pub attachment_no: i32,
    /// Topic of its events.
    pub topic: String,
}

/// Rows of an attached table whose events could not be written.
#[derive(Clone, Debug)]
pub struct SkippedRows {
    /// The table, with its schema.
    pub relation: String,
    /// How many.
    pub skipped: i64,
    /// SQLSTATE of the last one's failure.
    pub reason: String,
}

impl Store {
    /// `sql/statements/tables/add_up_skipped_rows.sql`: what was added, one per table.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is added, unless the answer was lost.
    pub async fn add_up_skipped_rows(&self) -> Result<Vec<SkippedRows>, StoreError> {
        let rows = self.query(&ADD_UP_SKIPPED_ROWS, &[]).await?;
        let skipped = rows.iter().map(|row| {
            Ok(SkippedRows {
                relation: row.get("relation")?,
                skipped: row.get("skipped")?,
                reason: row.get("reason")?,
            })
        });
        skipped.collect()
    }

    /// `sql/statements/tables/forget_dropped_tables.sql`: those that were forgotten.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is forgotten, unless the answer was lost.
    pub async fn forget_dropped_tables(&self) -> Result<Vec<DroppedTable>, StoreError> {
        let rows = self.query(&FORGET_DROPPED_TABLES, &[]).await?;
        rows.iter()
            .map(|row| {
                Ok(DroppedTable { attachment_no: row.get("attachment_no")?, topic: row.get("topic")? })
            })
            .collect()
    }
}
