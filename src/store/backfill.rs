//! Statements of the backfill of attached tables: the rows that were there before become events, a batch at a time.

use super::row::Row;
use super::statements::{LIST_BACKFILLS, STEP_BACKFILL};
use super::{Store, StoreError};

/// What one step of a backfill came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackfillStep {
    /// It is not running, or another dispatcher is at it.
    None,
    /// Fresh events would still wait behind the last batch.
    Ahead,
    /// A batch was sent. More rows follow.
    Sent(BackfillReport),
    /// Only rows that somebody has locked are left.
    Held(BackfillReport),
    /// No row is left.
    Done(BackfillReport),
    /// No batch could be made. The database says when the next may be tried.
    Failed(BackfillReport),
}

/// Where a backfill stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackfillReport {
    /// The table, as SQL names it.
    pub relation: String,
    /// Rows that became events so far.
    pub rows_sent: i64,
    /// Rows that were left out so far.
    pub rows_refused: i64,
    /// What went wrong, if it is something else than the last time. No value of a row stands in it.
    pub news: Option<String>,
}

impl Store {
    /// `sql/statements/tables/list_backfills.sql`: the numbers of their attachments, at most 100.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_backfills(&self) -> Result<Vec<i32>, StoreError> {
        let rows = self.query(&LIST_BACKFILLS, &[]).await?;
        rows.iter().map(|row| row.get("attachment_no")).collect()
    }

    /// `sql/statements/tables/step_backfill.sql`.
    ///
    /// # Errors
    /// [`StoreError`]: a second call goes on behind what was committed.
    pub async fn step_backfill(&self, attachment_no: i32) -> Result<BackfillStep, StoreError> {
        let row = self.query_one(&STEP_BACKFILL, &[&attachment_no]).await?;
        let outcome: &str = row.get("outcome")?;
        Ok(match outcome {
            "ahead" => BackfillStep::Ahead,
            "sent" => BackfillStep::Sent(report(&row)?),
            "held" => BackfillStep::Held(report(&row)?),
            "done" => BackfillStep::Done(report(&row)?),
            "failed" => BackfillStep::Failed(report(&row)?),
            _ => BackfillStep::None,
        })
    }
}

fn report(row: &Row) -> Result<BackfillReport, StoreError> {
    let is_news = row.get::<Option<bool>>("is_news")?.unwrap_or_default();
    let fault: Option<String> = row.get("fault")?;
    Ok(BackfillReport {
        // A table that was dropped has no name.
        relation: row.get::<Option<String>>("relation")?.unwrap_or_default(),
        rows_sent: row.get("rows_sent")?,
        rows_refused: row.get("rows_refused")?,
        news: fault.filter(|_| is_news),
    })
}
