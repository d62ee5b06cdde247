//! Statements about tables of the user's own: attach, detach, pause, resume, and how they are doing.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::statements::{
    ATTACH_TABLE, COUNT_ROWS_TO_SEND, DESCRIBE_ATTACHMENT, DETACH_TABLE, LIST_ATTACHED_TABLES,
    LIST_BROKEN_TABLES, LIST_LATE_ROWS, LIST_SIMILAR_TABLES, LIST_UNHEARD_CHANGES, MEASURE_ATTACHED_TABLES,
    PAUSE_TABLE, RESOLVE_TABLE, RESUME_TABLE,
};
use super::{PutResult, Store, StoreError};

/// Locks of a table are tried for a minute, and an answer takes a moment more.
const LOCKS_DEADLINE: Duration = Duration::from_secs(90);

/// A table to attach, checked by `TableSpec::check`.
#[derive(Clone, Debug)]
pub struct CheckedTable {
    /// Each setting by the name of the argument of `postrider.attach_table`; null: its default.
    pub settings: Map<String, Value>,
}

impl CheckedTable {
    /// The condition. `None` if every row is meant.
    pub fn when(&self) -> Option<&str> {
        self.settings.get("when_sql").and_then(Value::as_str)
    }

    /// The same, with or without the rows that are there.
    #[must_use]
    pub fn with_backfill(mut self, backfill: bool) -> Self {
        self.settings.insert("backfill".to_owned(), backfill.into());
        self
    }

    fn document(&self) -> String {
        Value::Object(self.settings.clone()).to_string()
    }

    /// Whether the rows that are there are sent, too.
    pub fn has_backfill(&self) -> bool {
        self.settings.get("backfill") == Some(&Value::Bool(true))
    }
}

/// How an attached table is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TableState {
    /// Changes become events.
    Active,
    /// Changes are not heard until it is resumed.
    Paused,
    /// A column, a trigger or a function is missing: `last_error` says which.
    Broken,
}

impl TableState {
    /// All, in the order in which they are counted.
    pub const ALL: [Self; 3] = [Self::Active, Self::Paused, Self::Broken];

    /// As it stands in `postrider.attached_table`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Broken => "broken",
        }
    }
}

/// How far the rows are that were there before.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackfillState {
    /// Dispatchers look at them.
    Running,
    /// All were looked at.
    Done,
}

impl BackfillState {
    /// As it stands in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
        }
    }
}

/// An attached table with its settings.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = AttachedTable)]
pub struct AttachedTableRow {
    /// Schema and name.
    #[schema(example = "public.configuration_update")]
    pub relation: String,
    /// Whether changes are heard.
    pub state: TableState,
    /// Why it is paused.
    pub reason: Option<String>,
    /// Since when it is paused; null: it is not.
    #[schema(format = DateTime)]
    pub paused_at: Option<String>,
    /// Topic of the events; `{column}` and `{op}` stand for values.
    pub topic: String,
    /// The shape of the payload, or the column that is sent.
    pub payload: String,
    /// Column that is the ordering key; null: the primary key.
    pub key: Option<String>,
    /// Endpoint of each row's event; null: every endpoint that subscribes.
    pub destination: Option<String>,
    /// Column that gets the status; null: none.
    pub status: Option<String>,
    /// Words of that column; null: those of Postrider.
    #[schema(value_type = Option<HashMap<String, String>>)]
    pub status_map: Option<Map<String, Value>>,
    /// What is written: none, final, all or delete.
    pub write_back: String,
    /// Operations that make events.
    pub on: Vec<String>,
    /// The condition; null: every row.
    pub when: Option<String>,
    /// Columns that payloads show; null: all.
    pub columns: Option<Vec<String>>,
    /// What becomes of a statement whose event cannot be written: fail or skip.
    pub on_error: String,
    /// Events of it that are kept.
    pub events: i64,
    /// Events of it that are not complete and not failed.
    pub lag_events: i64,
    /// Rows whose events could not be written, with `on_error` skip.
    pub rows_skipped: i64,
    /// What went wrong last; null: nothing.
    pub last_error: Option<String>,
    /// When it was attached.
    #[schema(format = DateTime)]
    pub attached_at: String,
    /// How far the rows are that were there before; null: they are not sent.
    pub backfill_state: Option<BackfillState>,
    /// How many of them were looked at.
    pub backfill_rows: i64,
    /// How many there are, as PostgreSQL estimates; null: it does not know.
    pub backfill_rows_estimated: Option<i64>,
    /// How many of them became events: they meet the condition.
    #[serde(deserialize_with = "zero_if_null")]
    pub backfill_rows_sent: i64,
    /// How many of them were left out, because their events could not be written.
    #[serde(deserialize_with = "zero_if_null")]
    pub backfill_rows_refused: i64,
}

/// A count of a backfill that nobody has asked for is null.
fn zero_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Ok(Option::<i64>::deserialize(deserializer)?.unwrap_or_default())
}

/// The answer to an attaching.
#[derive(Clone, Debug)]
pub struct WrittenTable {
    /// What was done.
    pub result: PutResult,
    /// A line for each setting that was changed, as `topic: a -> b`.
    pub changes: Vec<String>,
    /// What was granted now for the write-back or a backfill, as `usage on schema app to postrider_dispatcher`.
    pub granted: Vec<String>,
    /// What the caller could not grant. No status is written, and no backfill made, before somebody else does.
    pub missing: Vec<String>,
    /// What whoever attaches it should know.
    pub notes: Vec<String>,
}

/// Rows that a backfill would send.
#[derive(Clone, Copy, Debug)]
pub struct RowsToSend {
    /// Rows that meet the condition, of those that were looked at.
    pub found: i64,
    /// Rows that were looked at.
    pub looked_at: i64,
}

/// An attached table that is broken.
#[derive(Clone, Debug)]
pub struct BrokenTable {
    /// Schema and name.
    pub relation: String,
    /// What is missing.
    pub reason: String,
}

/// Something in the catalogs that keeps triggers from firing or a status from being written, or that gives a trigger too many rights.
#[derive(Clone, Debug)]
pub struct UnheardChanges {
    /// The table. `None`: every table.
    pub relation: Option<String>,
    /// `subscription`, `replica_role`, `row_security`, `superuser`, or `not_attached`: its triggers are there, and its attachment is not.
    pub reason: String,
    /// The role that has the setting, or that policies hold for. `None`: every role.
    pub role: Option<String>,
}

/// Rows of a table whose status is due.
#[derive(Clone, Debug)]
pub struct LateRows {
    /// The table.
    pub relation: String,
    /// How many there are.
    pub due: i64,
    /// How long the first one has been due.
    pub late: Duration,
    /// How many of them could not be written the last time.
    pub refused: i64,
}

impl Store {
    /// `sql/statements/tables/resolve_table.sql`: the tables that are meant by a name, as other statements take them.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE 22023 if it is no name.
    pub async fn resolve_table(&self, name: &str) -> Result<Vec<String>, StoreError> {
        let rows = self.query(&RESOLVE_TABLE, &[&name]).await?;
        rows.iter().map(|row| row.get("relation")).collect()
    }

    /// `sql/statements/tables/list_similar_tables.sql`: name without and with schema.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_similar_tables(
        &self,
        name: &str,
        tables_max: i64,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let rows = self.query(&LIST_SIMILAR_TABLES, &[&name, &tables_max]).await?;
        rows.iter().map(|row| Ok((row.get("name")?, row.get("relation")?))).collect()
    }

    /// `sql/statements/tables/attach_table.sql`. Takes up to a minute where others hold the table.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE 22023, 42703, 42809 or 42P16 when it cannot be attached so, 42501 without the rights, 55P03
    /// when others hold it.
    pub async fn attach_table(
        &self,
        relation: &str,
        table: &CheckedTable,
    ) -> Result<WrittenTable, StoreError> {
        let row =
            self.within(LOCKS_DEADLINE).query_one(&ATTACH_TABLE, &[&relation, &table.document()]).await?;
        Ok(WrittenTable {
            result: row.word("result")?,
            changes: row.get("changes")?,
            granted: row.get("granted")?,
            missing: row.get("missing")?,
            notes: row.get("notes")?,
        })
    }

    /// `sql/statements/tables/describe_attachment.sql`.
    ///
    /// # Errors
    /// As [`Store::attach_table`], without 55P03.
    pub async fn describe_attachment(
        &self,
        relation: &str,
        table: &CheckedTable,
    ) -> Result<String, StoreError> {
        self.query_one(&DESCRIBE_ATTACHMENT, &[&relation, &table.document()]).await?.get("statements")
    }

    /// `sql/statements/tables/detach_table.sql`. Takes up to a minute where others hold the table.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE P0002 if it is not attached, 42501 without the rights.
    pub async fn detach_table(&self, relation: &str) -> Result<(), StoreError> {
        self.within(LOCKS_DEADLINE).execute(&DETACH_TABLE, &[&relation]).await
    }

    /// `sql/statements/tables/pause_table.sql`.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE P0002 if it is not attached.
    pub async fn pause_table(&self, relation: &str, reason: Option<&str>) -> Result<(), StoreError> {
        self.execute(&PAUSE_TABLE, &[&relation, &reason]).await
    }

    /// `sql/statements/tables/resume_table.sql`.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE P0002 if it is not attached, 55P03 when a backfill is asked for and others hold it.
    pub async fn resume_table(&self, relation: &str, backfill: bool) -> Result<(), StoreError> {
        self.within(LOCKS_DEADLINE).execute(&RESUME_TABLE, &[&relation, &backfill]).await
    }

    /// `sql/statements/tables/count_rows_to_send.sql`.
    ///
    /// # Errors
    /// [`StoreError::Failed`], among others when the condition is no SQL, or the table may not be read.
    pub async fn count_rows_to_send(
        &self,
        relation: &str,
        when: Option<&str>,
        rows_max: i64,
    ) -> Result<RowsToSend, StoreError> {
        let row = self.query_one(&COUNT_ROWS_TO_SEND, &[&relation, &when, &rows_max]).await?;
        Ok(RowsToSend { found: row.get("rows_found")?, looked_at: row.get("rows_read")? })
    }

    /// `sql/statements/tables/list_attached_tables.sql`: all of them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_attached_tables(&self) -> Result<Vec<AttachedTableRow>, StoreError> {
        let rows = self.query(&LIST_ATTACHED_TABLES, &[&None::<&str>]).await?;
        rows.iter().map(|row| row.json("row")).collect()
    }

    /// `sql/statements/tables/list_attached_tables.sql`: one. `None` if it is not attached.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_attached_table(&self, relation: &str) -> Result<Option<AttachedTableRow>, StoreError> {
        let row = self.query_opt(&LIST_ATTACHED_TABLES, &[&relation]).await?;
        row.map(|row| row.json("row")).transpose()
    }

    /// `sql/statements/tables/list_broken_tables.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_broken_tables(&self) -> Result<Vec<BrokenTable>, StoreError> {
        let rows = self.query(&LIST_BROKEN_TABLES, &[]).await?;
        rows.iter()
            .map(|row| Ok(BrokenTable { relation: row.get("relation")?, reason: row.get("reason")? }))
            .collect()
    }

    /// `sql/statements/tables/list_unheard_changes.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_unheard_changes(&self) -> Result<Vec<UnheardChanges>, StoreError> {
        let rows = self.query(&LIST_UNHEARD_CHANGES, &[]).await?;
        rows.iter()
            .map(|row| {
                Ok(UnheardChanges {
                    relation: row.get("relation")?,
                    reason: row.get("reason")?,
                    role: row.get("role")?,
                })
            })
            .collect()
    }

    /// `sql/statements/tables/list_late_rows.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_late_rows(&self) -> Result<Vec<LateRows>, StoreError> {
        let rows = self.query(&LIST_LATE_ROWS, &[]).await?;
        rows.iter()
            .map(|row| {
                Ok(LateRows {
                    relation: row.get("relation")?,
                    due: row.get("due")?,
                    late: row.duration("late_ms")?,
                    refused: row.get("refused")?,
                })
            })
            .collect()
    }

    /// `sql/statements/tables/measure_attached_tables.sql`: how many there are of each state, as [`TableState::ALL`] has them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn measure_attached_tables(&self) -> Result<[(TableState, i64); 3], StoreError> {
        let row = self.query_one(&MEASURE_ATTACHED_TABLES, &[]).await?;
        let count = |state: TableState| row.get(state.as_str()).map(|count| (state, count));
        let [active, paused, broken] = TableState::ALL.map(count);
        Ok([active?, paused?, broken?])
    }
}
