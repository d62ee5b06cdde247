//! Migrations. refinery takes no lock, so it runs under an advisory lock of ours. A newer database is refused.
//!
//! Tables change by versioned migrations. Functions and views are made again whenever their text differs from the text that was
//! applied.

mod apply;
mod grants;
mod schema;
mod script;
mod state;

use deadpool_postgres::ClientWrapper;
use thiserror::Error;
use tokio_postgres::Client;

use self::apply::{Migrator, is_lock_fault};
use self::state::{Lost, State};
use super::statements::{LIST_LOCK_HOLDERS, READ_OWNER};
use super::{ConnectError, DatabaseUrl, OldTransaction, STATEMENT_DEADLINE, Session, last_value};

pub use self::schema::{SCHEMA_VERSION, Schema, SchemaObject};

const HISTORY_TABLE: &str = "postrider.schema_history";
/// Advisory lock of the migrator: any constant will do, this one is "postride" in ASCII.
const MIGRATION_LOCK: i64 = 0x706f_7374_7269_6465;

/// So many functions and views an error names.
const SHOWN_MAX: usize = 5;

/// Why the schema is not what this binary needs.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// No connection.
    #[error("database")]
    Connect(#[source] ConnectError),
    /// A statement was refused.
    #[error("database")]
    Database(#[source] tokio_postgres::Error),
    /// A migration failed; it was rolled back.
    #[error("migration failed")]
    Migration(#[source] Box<refinery::Error>),
    /// Written by a newer Postrider.
    #[error(
        "database has schema version {found}, newer than this binary's {SCHEMA_VERSION}: use a newer postrider"
    )]
    Newer {
        /// The database's version.
        found: i32,
    },
    /// Not migrated yet.
    #[error(
        "database has schema version {found}, this binary needs {SCHEMA_VERSION}: run \"postrider migrate\""
    )]
    Older {
        /// The database's version; 0: no schema at all.
        found: i32,
    },
    /// Tables are there, and rows that a migration inserts are not.
    #[error(
        "the tables of the schema are there, and rows that belong to them are not (were they emptied, or copied without rows?): run \"postrider migrate\""
    )]
    Emptied,
    /// The same, and nothing tells which version the tables are of.
    #[error(
        "the tables of the schema are there, their history is empty, and nothing tells their version: if no event in them is \
         needed, drop schema postrider cascade, then run \"postrider migrate\"; else copy the rows of postrider.schema_history"
    )]
    Unversioned,
    /// The tables are as they should be, and some functions or views are not.
    #[error("functions and views of the schema are not this binary's ({objects}): run \"postrider migrate\"")]
    Differ {
        /// Which.
        objects: String,
    },
    /// A newer Postrider has applied the functions and views.
    #[error(
        "functions and views of the schema are postrider {by}'s, newer than this binary's {}: use a newer postrider",
        script::APPLIED_BY
    )]
    NewerObjects {
        /// Its version.
        by: String,
    },
    /// There is something to migrate, and a pooler in between: one migration after the other needs one session.
    #[error(
        "a connection pooler stands in front of the database: run \"postrider migrate\" over a direct connection"
    )]
    Pooler,
    /// No answer in time.
    #[error("database did not answer within {STATEMENT_DEADLINE:?}")]
    Deadline,
    /// Somebody else holds the migration lock for too long.
    #[error("another migration is still running")]
    Busy,
    /// A table that has to change was in use at every try; nothing has changed.
    #[error("could not lock the tables of the schema, nothing is changed: {0}")]
    Locked(String),
    /// The table that records the applied migrations cannot be trusted.
    #[error(
        "{said}, who could change what it does, or is no plain table: drop it, or make it its schema's owner's"
    )]
    ForeignHistory {
        /// Which table, and whose it is.
        said: String,
    },
    /// There is a schema of the name, nothing of ours in it, and it is somebody else's.
    #[error(
        "schema postrider belongs to role \"{owner}\", who could change what is in it: migrate as that role, or make it yours first"
    )]
    Foreign {
        /// The role.
        owner: String,
    },
}

/// Brings the database to this binary's schema and returns what was applied now.
///
/// # Errors
/// [`MigrateError`]; nothing of a failed migration stays.
pub async fn migrate(url: &DatabaseUrl) -> Result<Vec<String>, MigrateError> {
    Schema::of_this_binary().migrate(url).await
}

/// Verifies that the schema is exactly what this binary needs; changes nothing. Returns the role that owns it, if that is
/// neither this one nor one that it is a member of.
///
/// # Errors
/// [`MigrateError::Older`], [`MigrateError::Differ`], [`MigrateError::Newer`], [`MigrateError::NewerObjects`] or
/// [`MigrateError::Foreign`].
pub async fn check_schema(url: &DatabaseUrl) -> Result<Option<String>, MigrateError> {
    Schema::of_this_binary().check(url).await
}

/// This binary's schema as SQL, for a database that has the tables of a version (0: none).
pub fn print_migrations(after: i32) -> String {
    Schema::of_this_binary().print(after)
}

impl Schema {
    /// Brings a database to this schema and returns what was applied now: migrations, and in a schema that was there before
    /// the functions and views that were made again or dropped.
    ///
    /// # Errors
    /// [`MigrateError`]; nothing of a failed migration stays.
    pub async fn migrate(&self, url: &DatabaseUrl) -> Result<Vec<String>, MigrateError> {
        let mut client = connect(url).await?;
        if State::read(&client, self).await?.is(self) {
            return Ok(Vec::new());
        }
        if !url.is_direct() {
            return Err(MigrateError::Pooler);
        }
        // Waits for another migrator, at most the session's lock_timeout.
        client.execute("select pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await.map_err(busy)?;
        let before = State::read(&client, self).await?;
        before.refuse_newer(self)?;
        if before.is(self) {
            return Ok(Vec::new());
        }
        if let Some(Lost::History(version)) = before.lost {
            let version = version.ok_or(MigrateError::Unversioned)?;
            if version > self.version() {
                return Err(MigrateError::Newer { found: version });
            }
            client.batch_execute(&script::record(self, version)).await.map_err(MigrateError::Database)?;
        }
        let mut runner = refinery::Runner::new(self.migrations()).set_grouped(true);
        runner.set_migration_table_name(HISTORY_TABLE);
        match runner.run_async(&mut Migrator::new(&mut client, self)).await {
            Ok(report) => {
                let migrations = report.applied_migrations().iter().map(ToString::to_string);
                let objects =
                    if before.version == self.version() { before.differences(self) } else { Vec::new() };
                let put_back = before.put_back().into_iter().map(|what| format!("again: {what}"));
                Ok(migrations.chain(objects).chain(put_back).collect())
            }
            Err(fault) if is_locked_out(&fault) => Err(MigrateError::Locked(lock_holders(&client).await)),
            Err(fault) => Err(MigrateError::Migration(Box::new(fault))),
        }
    }

    /// Verifies that a database has exactly this schema; see [`check_schema`].
    ///
    /// # Errors
    /// As of [`check_schema`].
    pub async fn check(&self, url: &DatabaseUrl) -> Result<Option<String>, MigrateError> {
        let client = connect(url).await?;
        let state = State::read(&client, self).await?;
        state.refuse_newer(self)?;
        let found = state.version;
        let owner = value_of(&client, READ_OWNER.sql).await?;
        match owner {
            _ if state.lost == Some(Lost::History(None)) => Err(MigrateError::Unversioned),
            _ if state.lost.is_some() => Err(MigrateError::Emptied),
            Some(owner) if found == 0 => Err(MigrateError::Foreign { owner }),
            _ if found < self.version() => Err(MigrateError::Older { found }),
            owner => match state.differences(self) {
                objects if objects.is_empty() => Ok(owner),
                objects => Err(MigrateError::Differ { objects: enumerate(&objects) }),
            },
        }
    }

    /// The grants of the three roles, as JSON (`sql/statements/rights/list_missing_grants.sql`).
    pub(super) fn wanted_grants(&self) -> String {
        grants::wanted(self)
    }

    /// This schema as SQL, for a database that has the tables of a version (0: none): one transaction, which refuses a database
    /// of another version.
    pub fn print(&self, after: i32) -> String {
        script::print(self, after)
    }
}

/// The first few of many.
fn enumerate(objects: &[String]) -> String {
    match objects.get(..SHOWN_MAX) {
        Some(shown) if objects.len() > SHOWN_MAX => {
            format!("{} and {} more", shown.join(", "), objects.len() - SHOWN_MAX)
        }
        _ => objects.join(", "),
    }
}

/// The schema that was checked, in words.
pub fn describe_schema(other_owner: Option<&str>) -> String {
    let owner = other_owner.map(|owner| format!("; it belongs to role \"{owner}\"")).unwrap_or_default();
    format!("version {SCHEMA_VERSION}, as this binary needs it{owner}")
}

/// The schema version of the database; 0: no schema.
///
/// # Errors
/// [`MigrateError::Connect`] or [`MigrateError::Database`].
pub async fn schema_version(url: &DatabaseUrl) -> Result<i32, MigrateError> {
    let client = connect(url).await?;
    state::version_of(&client).await
}

async fn connect(url: &DatabaseUrl) -> Result<ClientWrapper, MigrateError> {
    Box::pin(url.open(Session::Command)).await.map_err(MigrateError::Connect)
}

fn is_locked_out(fault: &refinery::Error) -> bool {
    let source = std::error::Error::source(fault);
    source.and_then(|source| source.downcast_ref()).is_some_and(is_lock_fault)
}

/// Says who holds the locks and what ends that, as far as this role can see.
async fn lock_holders(client: &Client) -> String {
    let rows = tokio::time::timeout(STATEMENT_DEADLINE, client.query(LIST_LOCK_HOLDERS.sql, &[])).await;
    let rows = rows.ok().and_then(Result::ok).unwrap_or_default();
    let holders: Vec<String> = rows
        .iter()
        .filter_map(|row| serde_json::from_str::<OldTransaction>(row.try_get("row").ok()?).ok())
        .map(|holder| holder.to_string())
        .collect();
    if holders.is_empty() {
        return "others were using them; try again".to_owned();
    }
    format!("{}; end it or try again", holders.join("; "))
}

/// The one value of a query. `None` if it is null, or if there is no row. One message is one transaction: so the settings are
/// pinned for this query, and not for another client behind a pooler.
async fn value_of(client: &Client, query: &str) -> Result<Option<String>, MigrateError> {
    let query = format!("{}; {query}", Session::Command.for_transaction(""));
    let answer = tokio::time::timeout(STATEMENT_DEADLINE, client.simple_query(&query));
    let answer = answer.await.map_err(|_elapsed| MigrateError::Deadline)?.map_err(MigrateError::Database)?;
    // Settings answer with rows, too.
    Ok(last_value(&answer).map(str::to_owned))
}

fn busy(fault: tokio_postgres::Error) -> MigrateError {
    if fault.code() == Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE) {
        MigrateError::Busy
    } else {
        MigrateError::Database(fault)
    }
}
