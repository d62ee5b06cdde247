//! Migrations: refinery under an advisory lock, because refinery takes none; a newer database is refused.

use deadpool_postgres::ClientWrapper;
use thiserror::Error;
use tokio_postgres::Client;

use super::{ConnectError, DatabaseUrl, STATEMENT_DEADLINE, Session, first_value};

mod embedded {
    refinery::embed_migrations!("sql/migrations");
}

/// The schema version that this binary was written for.
pub const SCHEMA_VERSION: i32 = 17;

const HISTORY_TABLE: &str = "postrider.schema_history";
/// Advisory lock of the migrator: any constant will do, this one is "postride" in ASCII.
const MIGRATION_LOCK: i64 = 0x706f_7374_7269_6465;

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
}

/// Brings the schema to [`SCHEMA_VERSION`] and returns the versions applied now.
///
/// # Errors
/// [`MigrateError`]; nothing of a failed migration stays.
pub async fn migrate(url: &DatabaseUrl) -> Result<Vec<String>, MigrateError> {
    let mut client = connect(url).await?;
    if schema_version_of(&client).await? == SCHEMA_VERSION {
        return Ok(Vec::new());
    }
    if !url.is_direct() {
        return Err(MigrateError::Pooler);
    }
    // Waits for another migrator, at most the session's lock_timeout.
    client.execute("select pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await.map_err(busy)?;
    refuse_newer(schema_version_of(&client).await?)?;
    client.batch_execute("create schema if not exists postrider").await.map_err(MigrateError::Database)?;
    let mut runner = embedded::migrations::runner();
    runner.set_migration_table_name(HISTORY_TABLE);
    let report =
        runner.run_async(&mut *client).await.map_err(|fault| MigrateError::Migration(Box::new(fault)))?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}

/// Verifies that the schema is exactly what this binary needs; changes nothing.
///
/// # Errors
/// [`MigrateError::Older`] or [`MigrateError::Newer`].
pub async fn check_schema(url: &DatabaseUrl) -> Result<(), MigrateError> {
    let found = schema_version(url).await?;
    refuse_newer(found)?;
    if found < SCHEMA_VERSION { Err(MigrateError::Older { found }) } else { Ok(()) }
}

/// The schema version of the database; 0: no schema.
///
/// # Errors
/// [`MigrateError::Connect`] or [`MigrateError::Database`].
pub async fn schema_version(url: &DatabaseUrl) -> Result<i32, MigrateError> {
    let client = connect(url).await?;
    schema_version_of(&client).await
}

/// The migrations after a version (0: all) as SQL, with the history that `--no-migrate` and later versions go by, for people
/// who apply it by hand. One transaction, which refuses a database that has another version: nothing is done by half or twice.
pub fn print_migrations(after: i32) -> String {
    let mut migrations: Vec<refinery::Migration> = embedded::migrations::runner().get_migrations().clone();
    migrations.retain(|migration| migration.version() > after);
    migrations.sort_by_key(refinery::Migration::version);
    let head = format!(
        "-- From schema version {after} to {SCHEMA_VERSION}. Apply it as the role that is to own the schema:\n\
         -- psql -v ON_ERROR_STOP=1 -f FILE; then postrider migrate --check.\n\
         begin;\n\
         create schema if not exists postrider;\ncreate table if not exists {HISTORY_TABLE} (\n    \
         version int4 primary key, name varchar(255), applied_on varchar(255), checksum varchar(255));\n\
         do $$\nbegin\n    \
         if (select coalesce(max(version), 0) from {HISTORY_TABLE}) <> {after} then\n        \
         raise exception 'database has schema version %, this script is for version {after}', \
         (select coalesce(max(version), 0) from {HISTORY_TABLE});\n    end if;\nend\n$$;\n"
    );
    let script = |migration: &refinery::Migration| {
        let (version, name, checksum) = (migration.version(), migration.name(), migration.checksum());
        let sql = migration.sql().unwrap_or_default();
        format!(
            "\n-- {migration}\n{sql}\ninsert into {HISTORY_TABLE} (version, name, applied_on, checksum) values \
             ({version}, '{name}', to_char(now() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '{checksum}');\n"
        )
    };
    let end = "\ncommit;".to_owned();
    std::iter::once(head).chain(migrations.iter().map(script)).chain(std::iter::once(end)).collect()
}

async fn connect(url: &DatabaseUrl) -> Result<ClientWrapper, MigrateError> {
    Box::pin(url.open(Session::Command)).await.map_err(MigrateError::Connect)
}

/// Asked without a prepared statement: a pooler may stand in between.
async fn schema_version_of(client: &Client) -> Result<i32, MigrateError> {
    if value_of(client, &format!("select to_regclass('{HISTORY_TABLE}')")).await?.is_none() {
        return Ok(0);
    }
    let version = value_of(client, &format!("select max(version) from {HISTORY_TABLE}")).await?;
    Ok(version.and_then(|version| version.parse().ok()).unwrap_or_default())
}

/// The one value of a query; none: null.
async fn value_of(client: &Client, query: &str) -> Result<Option<String>, MigrateError> {
    let answer = tokio::time::timeout(STATEMENT_DEADLINE, client.simple_query(query));
    let answer = answer.await.map_err(|_elapsed| MigrateError::Deadline)?.map_err(MigrateError::Database)?;
    Ok(first_value(&answer).map(str::to_owned))
}

fn refuse_newer(found: i32) -> Result<(), MigrateError> {
    if found > SCHEMA_VERSION { Err(MigrateError::Newer { found }) } else { Ok(()) }
}

fn busy(fault: tokio_postgres::Error) -> MigrateError {
    if fault.code() == Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE) {
        MigrateError::Busy
    } else {
        MigrateError::Database(fault)
    }
}
