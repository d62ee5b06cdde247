//! The only room that speaks SQL. Every statement is a file under `sql/` with its contract in a header; a function here
//! has its file's name. Knows words, and nothing of rules, HTTP or stages.

mod connect;
mod deliveries;
mod diagnose;
mod dispatchers;
mod endpoints;
mod events;
mod health;
mod measures;
mod migrate;
mod redo;
mod rows;
mod statements;
mod status;

use std::pin::Pin;
use std::time::Duration;

use deadpool_postgres::{
    Connect, Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Timeouts,
};
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Row};

pub use connect::{ConnectError, Connected, DatabaseUrl, Environment, Session};
pub use deliveries::{Attempted, Due, DueClaim, EndpointRoom, GivenBack};
pub use diagnose::{Refusal, is_data_fault, is_permanent, one_line, refusal};
pub use dispatchers::{Registration, Renewal, WakeMode, WakeState};
pub use endpoints::{EndpointPut, EndpointSet, PutResult};
pub use events::{Birth, Deletion, EventFloor, NewEvent, Retention, RoutePlan, RouteTx, UnroutedEvent};
pub use health::{Lateness, OldTransaction, ServerRow, TableRow};
pub use measures::{BacklogMeasure, EndpointMeasure, EndpointMeasures, ServerMeasure, TableMeasure};
pub use migrate::{MigrateError, SCHEMA_VERSION, check_schema, migrate, print_migrations, schema_version};
pub use redo::Replay;
pub use rows::{
    AttemptRow, BacklogRow, Cancelled, DeletedEndpoint, DeliveryDetail, DeliveryPage, DeliveryRow,
    DispatcherRow, EndpointRow, EventRow, Replayed, RotatedSecret, Span, Status,
};
pub use statements::{ALL as STATEMENTS, Statement, session};
pub use status::DeliveryFilter;

/// The longest one statement may take, in the server and on the way, unless its [`Session`] has less.
pub const STATEMENT_DEADLINE: Duration = Duration::from_secs(30);

/// A pool of connections and the statements that run on them.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
    /// For one statement.
    deadline: Duration,
}

/// A statement did not do its work. Nothing is known of its effect unless the server itself refused it.
#[derive(Debug, Error)]
pub enum StoreError {
    /// No connection could be had.
    #[error("no connection to the database")]
    Unavailable(#[source] Box<PoolError>),
    /// The server or the connection failed during a statement.
    #[error("{statement} failed")]
    Failed {
        /// The statement's file name.
        statement: &'static str,
        /// What the driver says.
        #[source]
        source: tokio_postgres::Error,
    },
    /// No answer in time; the connection is given up.
    #[error("{statement} did not answer within {deadline:?}")]
    Deadline {
        /// The statement's file name.
        statement: &'static str,
        /// So much it had.
        deadline: Duration,
    },
    /// A row is not what its statement's header says.
    #[error("{statement} returned an unexpected row: {fault}")]
    Row {
        /// The statement's file name.
        statement: &'static str,
        /// What is wrong with it.
        fault: String,
    },
}

/// Opens the pool's connections. The pool keeps the deadline; the configuration that it hands over is an empty one.
struct Opener {
    url: DatabaseUrl,
    session: Session,
}

type Opened = Result<(Client, JoinHandle<()>), tokio_postgres::Error>;

impl Connect for Opener {
    fn connect(&self, _: &Config) -> Pin<Box<dyn Future<Output = Opened> + Send + '_>> {
        Box::pin(async {
            let (client, connection) = self.url.try_hosts(self.session).await?;
            // What ends a connection is told to the statement that runs on it.
            #[expect(clippy::disallowed_methods, reason = "the pool ends it with its connection")]
            Ok((client, tokio::spawn(async { drop(connection.await) })))
        })
    }
}

/// One pooled connection, held for a transaction.
pub struct Connection(Object);

impl Connection {
    /// Gives the connection up: after an error nobody knows what it is in the middle of.
    pub fn discard(self) {
        drop(Object::take(self.0));
    }
}

impl Store {
    /// A pool of at most `connections_max` connections; opens none yet.
    ///
    /// # Errors
    /// [`ConnectError::Pool`] when the pool cannot be built.
    pub fn new(url: &DatabaseUrl, session: Session, connections_max: usize) -> Result<Self, ConnectError> {
        let manager = Manager::from_connect(
            Config::new(),
            Opener { url: url.clone(), session },
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let timeouts = Timeouts {
            wait: Some(session.deadline()),
            create: Some(url.deadline()),
            recycle: Some(url.deadline()),
        };
        let pool = Pool::builder(manager)
            .max_size(connections_max)
            .timeouts(timeouts)
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .post_create(Hook::async_fn(move |client, _| {
                Box::pin(
                    async move { client.batch_execute(session.settings()).await.map_err(HookError::Backend) },
                )
            }))
            .build()
            .map_err(ConnectError::Pool)?;
        Ok(Self { pool, deadline: session.deadline() })
    }

    /// Closes all connections; whoever still holds one may finish.
    pub fn close(&self) {
        self.pool.close();
    }

    /// Takes a connection out of the pool.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn connection(&self) -> Result<Connection, StoreError> {
        self.pool.get().await.map(Connection).map_err(|fault| StoreError::Unavailable(Box::new(fault)))
    }

    /// Runs one statement and returns its rows. A connection on which it failed is given up: it may be half open, or
    /// its prepared statements older than the schema.
    async fn rows(&self, statement: &Statement, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        let connection = self.connection().await?;
        let work = async {
            let prepared = connection.0.prepare_cached(statement.sql).await?;
            connection.0.query(&prepared, params).await
        };
        let fault = match tokio::time::timeout(self.deadline, work).await {
            Ok(Ok(rows)) => return Ok(rows),
            Ok(Err(source)) => StoreError::Failed { statement: statement.name, source },
            Err(_elapsed) => StoreError::Deadline { statement: statement.name, deadline: self.deadline },
        };
        connection.discard();
        Err(fault)
    }

    /// Runs one statement whose answer is one row, or none.
    async fn row(&self, statement: &Statement, params: Params<'_>) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(statement, params).await?.into_iter().next())
    }
}

type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Reads a column; a mismatch is a [`StoreError::Row`], not a panic.
fn column<'a, T>(statement: &Statement, row: &'a Row, name: &str) -> Result<T, StoreError>
where
    T: tokio_postgres::types::FromSql<'a>,
{
    row.try_get(name).map_err(|fault| StoreError::Row { statement: statement.name, fault: fault.to_string() })
}

/// Reads the column `row`, a JSON object.
fn json_row<T: DeserializeOwned>(statement: &Statement, row: &Row) -> Result<T, StoreError> {
    parse_json(statement, column(statement, row, "row")?)
}

fn parse_json<T: DeserializeOwned>(statement: &Statement, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text)
        .map_err(|fault| StoreError::Row { statement: statement.name, fault: fault.to_string() })
}

fn missing(statement: &Statement) -> StoreError {
    StoreError::Row { statement: statement.name, fault: "no row".to_owned() }
}

/// A JSON object of strings, as the CHECKs of outbox and endpoint guarantee it.
fn headers(statement: &Statement, text: Option<&str>) -> Result<Vec<(String, String)>, StoreError> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let map: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)
        .map_err(|fault| StoreError::Row { statement: statement.name, fault: fault.to_string() })?;
    Ok(map
        .into_iter()
        .filter_map(|(name, value)| value.as_str().map(|value| (name, value.to_owned())))
        .collect())
}

/// Durations cross the border as whole milliseconds.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn from_millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}
