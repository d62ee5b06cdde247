//! Statements about sequences that lie behind their tables: logical replication, for one, copies no sequences.

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::errors::is_taken_id;
use super::statements::{LIST_LAGGING_SEQUENCES, MEND_SEQUENCES};
use super::{Store, StoreError};

/// A sequence that gives out ids which are taken.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LaggingSequence {
    /// The table without its schema.
    pub relation: String,
    /// The sequence with its schema.
    pub sequence: String,
    /// The id that it gives out next.
    pub next_id: i64,
    /// The highest id in the table.
    pub highest_id: i64,
}

impl Store {
    /// `sql/statements/database/list_lagging_sequences.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_lagging_sequences(&self) -> Result<Vec<LaggingSequence>, StoreError> {
        let rows = self.query(&LIST_LAGGING_SEQUENCES, &[]).await?;
        rows.iter().map(|row| row.json("row")).collect()
    }

    /// `sql/statements/database/mend_sequences.sql`: the sequences that were set forward, as they were before.
    ///
    /// # Errors
    /// [`StoreError`]: a second call is harmless.
    pub async fn mend_sequences(&self) -> Result<Vec<LaggingSequence>, StoreError> {
        let rows = self.query_once(&MEND_SEQUENCES, &[]).await?;
        rows.iter().map(|row| row.json("row")).collect()
    }

    /// Runs `mend_sequences`, and logs what it changed. Returns whether it changed anything.
    ///
    /// # Errors
    /// [`StoreError`]: a second call is harmless.
    pub async fn keep_sequences_ahead(&self) -> Result<bool, StoreError> {
        let mended = self.mend_sequences().await?;
        for LaggingSequence { relation, sequence, next_id, highest_id } in &mended {
            warn!(
                "set the sequence {sequence} forward: it was at {next_id}, and postrider.{relation} has ids up to {highest_id}"
            );
        }
        Ok(!mended.is_empty())
    }

    /// Whether the fault was a taken id, and the sequence that was behind is mended now.
    pub(super) async fn is_mended_after(&self, fault: &StoreError) -> bool {
        // A role that may not mend is told of the fault itself.
        is_taken_id(fault) && self.keep_sequences_ahead().await.unwrap_or_default()
    }
}
