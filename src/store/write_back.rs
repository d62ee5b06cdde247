//! Statements that write the status of events into rows of attached tables.

use std::time::Duration;

use super::statements::{
    CLEAR_TROUBLE, DROP_DETACHED_ROWS, FIND_DUE_ROWS, HASTEN_ROWS, NOTE_TROUBLE, SET_ASIDE_ROW, WRITE_BACK,
};
use super::{Store, StoreError, millis};
use crate::model::attachment::AttachmentNo;

/// Rows of attached tables whose status is due to be written.
#[derive(Clone, Debug, Default)]
pub struct DueRows {
    /// Whether any attached table wants a status at all.
    pub is_any_attached: bool,
    /// Tables with rows that are due now, and tables in trouble.
    pub tables: Vec<DueTable>,
    /// Until the next row is due that is not due now. `None` if there is none.
    pub next: Option<Duration>,
}

/// An attached table with rows that are due, or in trouble.
#[derive(Clone, Debug)]
pub struct DueTable {
    /// The attachment.
    pub no: AttachmentNo,
    /// Schema and name, quoted where that is needed.
    pub relation: String,
    /// Whether `postrider.attached_table` says that the last write failed.
    pub is_troubled: bool,
    /// Entries of the queue, in the order in which they are due.
    pub ids: Vec<i64>,
}

/// The result of one batch.
#[derive(Clone, Debug)]
pub struct WrittenRows {
    /// Entries that no other dispatcher looked at.
    pub taken: usize,
    /// Rows that got another status.
    pub written: usize,
    /// Rows that somebody has locked. They are due again soon.
    pub held_up: usize,
    /// Whether one of the entries had failed before.
    pub is_late: bool,
    /// Nothing was done, and this has to be done first. `None` if nothing has.
    pub obstacle: Option<String>,
}

impl Store {
    /// `sql/statements/write_back/find_due_rows.sql`: at most `rows_max` of each table, but for the tables `but`. `since` leaves out
    /// what has been due for longer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_due_rows(
        &self,
        rows_max: usize,
        but: &[AttachmentNo],
        since: Option<Duration>,
    ) -> Result<DueRows, StoreError> {
        let rows_max = i64::try_from(rows_max).unwrap_or(i64::MAX);
        let but: Vec<i32> = but.iter().map(|no| no.get()).collect();
        let rows = self.query(&FIND_DUE_ROWS, &[&rows_max, &but, &since.map(millis)]).await?;
        let mut due = DueRows { is_any_attached: true, ..DueRows::default() };
        for row in &rows {
            let Some(no) = row.get::<Option<i32>>("attachment_no")? else {
                due.is_any_attached = false;
                continue;
            };
            due.next = [due.next, row.duration_or_null("next_ms")?].into_iter().flatten().min();
            let table = DueTable {
                no: AttachmentNo::new(no),
                relation: row.get("relation")?,
                is_troubled: row.get("is_troubled")?,
                ids: row.get("ids")?,
            };
            if !table.ids.is_empty() || table.is_troubled {
                due.tables.push(table);
            }
        }
        Ok(due)
    }

    /// `sql/statements/write_back/write_back.sql`.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is written. A second call is harmless.
    pub async fn write_back(&self, no: AttachmentNo, ids: &[i64]) -> Result<WrittenRows, StoreError> {
        let row = self.query_one(&WRITE_BACK, &[&no.get(), &ids]).await?;
        let count = |column| Ok::<_, StoreError>(usize::try_from(row.count(column)?).unwrap_or(usize::MAX));
        Ok(WrittenRows {
            taken: count("taken")?,
            written: count("written")?,
            held_up: count("held_up")?,
            is_late: row.get("is_late")?,
            obstacle: row.get("obstacle")?,
        })
    }

    /// `sql/statements/write_back/set_aside_row.sql`.
    ///
    /// # Errors
    /// [`StoreError`]: it is tried again at once; a second call counts another try.
    pub async fn set_aside_row(&self, id: i64) -> Result<(), StoreError> {
        self.execute(&SET_ASIDE_ROW, &[&id]).await
    }

    /// `sql/statements/write_back/hasten_rows.sql`: how many rows are due now that had failed.
    ///
    /// # Errors
    /// [`StoreError`]: the others are tried when they are due.
    pub async fn hasten_rows(&self, no: AttachmentNo, rows_max: i64) -> Result<i64, StoreError> {
        self.query_one(&HASTEN_ROWS, &[&no.get(), &rows_max]).await?.get("hastened")
    }

    /// `sql/statements/write_back/note_trouble.sql`: whether it did not stand there yet.
    ///
    /// # Errors
    /// [`StoreError`]: a second call is harmless.
    pub async fn note_trouble(&self, no: AttachmentNo, why: &str) -> Result<bool, StoreError> {
        self.query_one(&NOTE_TROUBLE, &[&no.get(), &why]).await?.get("is_new")
    }

    /// `sql/statements/write_back/clear_trouble.sql`: whether it stood there.
    ///
    /// # Errors
    /// [`StoreError`]: a second call is harmless.
    pub async fn clear_trouble(&self, no: AttachmentNo) -> Result<bool, StoreError> {
        self.query_one(&CLEAR_TROUBLE, &[&no.get()]).await?.get("is_cleared")
    }

    /// `sql/statements/write_back/drop_detached_rows.sql`: how many entries were dropped.
    ///
    /// # Errors
    /// [`StoreError`]: the next call goes on.
    pub async fn drop_detached_rows(&self, rows_max: i64) -> Result<i64, StoreError> {
        self.query_one(&DROP_DETACHED_ROWS, &[&rows_max]).await?.get("dropped")
    }
}
