//! A row that knows its statement: a fault in it names the statement.

use std::fmt::Display;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde::de::value::{Error as WordError, StrDeserializer};
use tokio_postgres::types::FromSql;

use super::{Statement, StoreError, from_millis};

/// A row of a statement's answer. A column that is not as the statement's header says is a [`StoreError::Row`], not a
/// panic.
pub(super) struct Row {
    statement: &'static Statement,
    row: tokio_postgres::Row,
}

/// The rows of a statement's answer.
pub(super) fn of(statement: &'static Statement, rows: Vec<tokio_postgres::Row>) -> Vec<Row> {
    rows.into_iter().map(|row| Row { statement, row }).collect()
}

impl Row {
    /// Reads a column.
    pub(super) fn get<'a, T: FromSql<'a>>(&'a self, column: &str) -> Result<T, StoreError> {
        self.row.try_get(column).map_err(|fault| self.fault(fault))
    }

    /// Reads the version of the endpoints. It is null where the table of the installation is empty.
    pub(super) fn endpoint_version(&self) -> Result<i64, StoreError> {
        self.get::<Option<i64>>("endpoint_version")?.ok_or(StoreError::Emptied)
    }

    /// Whether a text column is null.
    pub(super) fn is_null(&self, column: &str) -> Result<bool, StoreError> {
        Ok(self.get::<Option<&str>>(column)?.is_none())
    }

    /// Reads a small number (`int`), which is not negative.
    pub(super) fn count(&self, column: &str) -> Result<u32, StoreError> {
        Ok(u32::try_from(self.get::<i32>(column)?).unwrap_or_default())
    }

    /// Reads a duration, which is a column of whole milliseconds.
    pub(super) fn duration(&self, column: &str) -> Result<Duration, StoreError> {
        self.get(column).map(from_millis)
    }

    /// Reads a duration that may be null.
    pub(super) fn duration_or_null(&self, column: &str) -> Result<Option<Duration>, StoreError> {
        Ok(self.get::<Option<i64>>(column)?.map(from_millis))
    }

    /// Reads one word of an enum, as serde spells it.
    pub(super) fn word<'a, T: Deserialize<'a>>(&'a self, column: &str) -> Result<T, StoreError> {
        self.parse_word(self.get(column)?)
    }

    /// Reads one word of an enum that may be null.
    pub(super) fn word_or_null<'a, T: Deserialize<'a>>(
        &'a self,
        column: &str,
    ) -> Result<Option<T>, StoreError> {
        self.get::<Option<&str>>(column)?.map(|word| self.parse_word(word)).transpose()
    }

    fn parse_word<'a, T: Deserialize<'a>>(&self, word: &'a str) -> Result<T, StoreError> {
        T::deserialize(StrDeserializer::<WordError>::new(word)).map_err(|fault| self.fault(fault))
    }

    /// Reads a column of JSON text.
    pub(super) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_str(self.get(column)?).map_err(|fault| self.fault(fault))
    }

    /// The error that says what is wrong with this row.
    pub(super) fn fault(&self, fault: impl Display) -> StoreError {
        StoreError::Row { statement: self.statement.name, fault: fault.to_string() }
    }
}
