//! Statements of `postrider doctor`: the server, this role, its tables, late work. Most of them read PostgreSQL's own catalogs,
//! and work before there is a schema.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::statements::{
    COUNT_HOSTS, LIST_HIDDEN_TABLES, LIST_LACKING_GRANTS, LIST_OLD_TRANSACTIONS, LIST_TABLES, READ_LATENESS,
    READ_SERVER, READ_TIME,
};
use super::{Store, StoreError, millis};
use crate::model::delivery::WaitsFor;

/// The server and this session.
#[derive(Clone, Debug, Deserialize)]
#[expect(
    missing_docs,
    clippy::struct_excessive_bools,
    reason = "the columns of sql/statements/database/read_server.sql"
)]
pub struct ServerRow {
    pub version: String,
    pub version_no: i32,
    pub is_standby: bool,
    pub is_read_only: bool,
    /// Encoding of the database, as `UTF8`.
    pub encoding: String,
    pub synchronous_commit: String,
    pub is_autovacuum_on: bool,
    pub role: String,
    pub is_superuser: bool,
    pub sees_all_sessions: bool,
    pub has_schema: bool,
    /// 0 to 1.
    pub notification_queue_usage: f64,
    /// Milliseconds of the Unix epoch.
    pub now_ms: i64,
}

/// An old transaction, or what has the same effect: it holds back vacuum, the watermark of routing, or a migration.
#[derive(Clone, Debug, Deserialize)]
pub struct OldTransaction {
    /// `session`, `process`, `prepared transaction` or `replication slot`.
    pub kind: String,
    /// Its process id, global id or name.
    pub name: String,
    /// Whose it is.
    pub says: String,
    /// How long it has been open. `None` if that is not known.
    pub age_ms: Option<i64>,
}

impl fmt::Display for OldTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.kind, self.name, self.says)?;
        let Some(ms) = self.age_ms else { return Ok(()) };
        write!(f, ", for {}", humantime::format_duration(Duration::from_secs(ms.unsigned_abs() / 1000)))
    }
}

/// A table, as PostgreSQL's statistics show it.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the columns of sql/statements/database/list_tables.sql")]
pub struct TableRow {
    pub name: String,
    pub live: i64,
    pub dead: i64,
    pub is_autovacuum_enabled: bool,
    pub last_vacuum_at: Option<String>,
}

/// How late the oldest work is. An age is `None` if there is no such work.
#[derive(Clone, Debug)]
pub struct Lateness {
    /// Age of the oldest unrouted event.
    pub unrouted: Option<Duration>,
    /// The most overdue delivery.
    pub overdue: Option<Overdue>,
    /// Events and deliveries that the database refused.
    pub set_aside: i64,
    /// Why the first of them was refused.
    pub reason: Option<String>,
}

/// The most overdue delivery. What waits on purpose is not overdue.
#[derive(Clone, Debug)]
pub struct Overdue {
    /// How long the delivery has been due.
    pub age: Duration,
    /// Its endpoint.
    pub endpoint_id: String,
    /// The word that `delivery_status.waits_for` has for the delivery. `None` if a dispatcher took it meanwhile.
    pub waits_for: Option<WaitsFor>,
}

impl Store {
    /// `sql/statements/database/read_time.sql`: the time of the database's clock, `ago` earlier, as text.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_time(&self, ago: Duration) -> Result<String, StoreError> {
        let row = self.query_one(&READ_TIME, &[&millis(ago)]).await?;
        row.get("at")
    }

    /// `sql/statements/database/read_server.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_server(&self) -> Result<ServerRow, StoreError> {
        let row = self.query_one(&READ_SERVER, &[]).await?;
        row.json("row")
    }

    /// `sql/statements/dispatchers/count_hosts.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_hosts(&self) -> Result<usize, StoreError> {
        let row = self.query_one(&COUNT_HOSTS, &[]).await?;
        let hosts: i64 = row.get("hosts")?;
        Ok(usize::try_from(hosts).unwrap_or_default())
    }

    /// `sql/statements/rights/list_lacking_grants.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_lacking_grants(&self) -> Result<Vec<String>, StoreError> {
        let rows = self.query(&LIST_LACKING_GRANTS, &[]).await?;
        rows.iter().map(|row| row.get("lacking")).collect()
    }

    /// `sql/statements/rights/list_hidden_tables.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_hidden_tables(&self) -> Result<Vec<String>, StoreError> {
        let rows = self.query(&LIST_HIDDEN_TABLES, &[]).await?;
        rows.iter().map(|row| row.get("hidden")).collect()
    }

    /// `sql/statements/database/list_old_transactions.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_old_transactions(
        &self,
        older_than: Duration,
    ) -> Result<Vec<OldTransaction>, StoreError> {
        let rows = self.query(&LIST_OLD_TRANSACTIONS, &[&millis(older_than)]).await?;
        rows.iter().map(|row| row.json("row")).collect()
    }

    /// `sql/statements/database/list_tables.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_tables(&self) -> Result<Vec<TableRow>, StoreError> {
        let rows = self.query(&LIST_TABLES, &[]).await?;
        rows.iter().map(|row| row.json("row")).collect()
    }

    /// `sql/statements/statistics/read_lateness.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_lateness(&self) -> Result<Lateness, StoreError> {
        let row = self.query_one(&READ_LATENESS, &[]).await?;
        let overdue = match row.duration_or_null("overdue_ms")? {
            Some(age) => Some(Overdue {
                age,
                endpoint_id: row.get("endpoint_id")?,
                waits_for: row.word_or_null("waits_for")?,
            }),
            None => None,
        };
        Ok(Lateness {
            unrouted: row.duration_or_null("unrouted_ms")?,
            overdue,
            set_aside: row.get("set_aside")?,
            reason: row.get("reason")?,
        })
    }
}
