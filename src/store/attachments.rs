//! Statements of housekeeping about tables of the user's own that are attached.

use super::statements::FORGET_DROPPED_TABLES;
use super::{Store, StoreError};

/// An attachment whose table is gone.
#[derive(Clone, Debug)]
pub struct DroppedTable {
    /// Its number: the functions that were made for it end with it.
    pub attachment_no: i32,
    /// Topic of its events.
    pub topic: String,
}

impl Store {
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
