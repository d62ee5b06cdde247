//! The only room that speaks SQL. Every statement is a file under `sql/` with its contract in a header; a function here
//! has its file's name. Knows words, and nothing of rules, HTTP or stages.

mod circuits;
mod connect;
mod deliveries;
mod dispatchers;
mod endpoints;
mod errors;
mod events;
mod health;
mod held;
mod leftovers;
mod metrics;
mod migrate;
mod pool;
mod refused;
mod registering;
mod replay;
mod retention;
mod rights;
mod route_transaction;
mod secrets;
mod sequences;
mod statements;
mod status;
mod tallies;
mod views;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use deadpool::managed::{BuildError, Object};
use futures_util::future::join;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, SimpleQueryMessage};

use self::errors::{is_stale_plan, leaves_connection_usable};
use self::pool::{Opener, Pool, PoolError};
use crate::rules::encryption::Vault;

pub use circuits::{Circuit, CircuitRow, Failures, NotedFailures, Written};
pub use connect::{ConnectError, Connected, DatabaseUrl, Environment, Session, exposed, is_public};
pub use deliveries::{Attempted, Due, DueClaim, DueSet, EndpointRoom, GivenBack, Locked, Settled};
pub use dispatchers::{DispatcherInfo, Renewal, WakeMode, WakeState};
pub use endpoints::EndpointSet;
pub use errors::{
    Refusal, is_data_fault, is_duplicate, is_lock_timeout, is_permanent, is_row_fault, one_line, refusal,
};
pub use events::{InitialState, NewEvent, Position, RoutePlan, Stretch, Unrouted, UnroutedEvent};
pub use health::{Lateness, OldTransaction, ServerRow, TableRow};
pub use leftovers::{DeadClaim, Rescued, Stray};
pub use metrics::{BacklogMeasure, EndpointMeasure, EndpointMeasures, ServerMeasure, TableMeasure};
pub use migrate::{
    MigrateError, SCHEMA_VERSION, Schema, SchemaObject, check_schema, describe_schema, migrate,
    print_migrations, schema_version,
};
pub use refused::RefusedStage;
pub use registering::{CheckedEndpoint, PutResult, WrittenEndpoint};
pub use replay::Replay;
pub use retention::{Deletion, DeletionRange, Retention};
pub use rights::{BellHolder, ForeignName, ForeignRight, SharingDatabase, StrangeOwner};
pub use route_transaction::RouteTx;
pub use secrets::{Sealing, ToSeal};
pub use sequences::LaggingSequence;
pub use statements::{ALL as STATEMENTS, Statement, session};
pub use status::DeliveryFilter;
pub use tallies::{Tallied, Whose};
pub use views::{
    AttemptRow, BacklogRow, Cancelled, DeletedEndpoint, DeliveryDetail, DeliveryPage, DeliveryRow,
    DispatcherRow, EndpointRow, EventRow, Replayed, RotatedSecret, Span, Status,
};

/// The longest one statement may take, in the server and on the way, unless its [`Session`] has less.
pub const STATEMENT_DEADLINE: Duration = Duration::from_secs(30);

/// A statement is prepared so many times more where what was prepared does not serve.
const PREPARE_AGAIN_MAX: u32 = 3;

/// A pool of connections and the statements that run on them.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
    url: DatabaseUrl,
    /// For one statement.
    deadline: Duration,
    /// Seals and opens secrets.
    vault: Vault,
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
    /// The event was not inserted: the id that its sequence gave out is another event's.
    #[error(
        "event not inserted: the sequence postrider.outbox_id_seq lies behind the ids of postrider.outbox; run \"postrider doctor --mend\""
    )]
    IdTaken,
    /// A row is not what its statement's header says.
    #[error("{statement} returned an unexpected row: {fault}")]
    Row {
        /// The statement's file name.
        statement: &'static str,
        /// What is wrong with it.
        fault: String,
    },
}

/// One pooled connection, held for a transaction.
pub struct Connection {
    object: Object<Opener>,
    /// Whether prepared statements and settings outlive a transaction: not where a transaction pooler stands in between.
    is_direct: bool,
    session: Session,
}

impl Connection {
    /// Runs a statement by itself.
    async fn query(&mut self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, tokio_postgres::Error> {
        if self.is_direct {
            let prepared = self.object.prepare_cached(sql).await?;
            return self.object.query(&prepared, params).await;
        }
        // A transaction has one server connection to itself, and what is prepared in it is closed before it ends. The
        // settings travel with the statement, in front of it: names are looked up under them.
        let settings = self.session.for_transaction();
        let tx = self.object.transaction().await?;
        let (set, prepared) = join(tx.batch_execute(&settings), tx.prepare(sql)).await;
        set?;
        let prepared = prepared?;
        let rows = tx.query(&prepared, params).await;
        drop(prepared);
        let rows = rows?;
        tx.commit().await?;
        Ok(rows)
    }
}

impl Store {
    /// A pool of at most `connections_max` connections; opens none yet.
    ///
    /// # Errors
    /// When the pool cannot be built.
    pub fn new(url: &DatabaseUrl, session: Session, connections_max: usize) -> Result<Self, BuildError> {
        let pool = pool::pool(url, session, connections_max)?;
        Ok(Self { pool, url: url.clone(), deadline: session.deadline(), vault: Vault::default() })
    }

    /// Closes all connections; whoever still holds one may finish.
    pub fn close(&self) {
        self.pool.close();
    }

    /// How many connections were opened so far: as long as it is the same, the server has not been another one.
    pub fn opened(&self) -> u64 {
        self.pool.manager().opened()
    }

    /// Takes a connection out of the pool.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn connection(&self) -> Result<Connection, StoreError> {
        let object = self.pool.get().await.map_err(|fault| StoreError::Unavailable(Box::new(fault)))?;
        let session = self.pool.manager().session();
        Ok(Connection { object, is_direct: self.url.is_direct(), session })
    }

    /// Runs one statement and returns its rows. A plan that the schema has left behind is made anew, and so is an id that
    /// was taken: nothing of the statement was done.
    async fn rows(&self, statement: &Statement, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        for _ in 0..PREPARE_AGAIN_MAX {
            match self.rows_once(statement, params).await {
                Err(fault) if is_stale_plan(&fault) => {}
                Err(fault) if self.is_mended_after(&fault).await => {}
                done => return done,
            }
        }
        self.rows_once(statement, params).await
    }

    async fn rows_once(&self, statement: &Statement, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        let mut connection = self.connection().await?;
        let done = in_time(statement.name, self.deadline, connection.query(statement.sql, params)).await;
        if let Err(fault) = &done {
            if leaves_connection_usable(fault) {
                // The server says what failed before it gives back the locks: who tries again at once, by another connection,
                // would find the rows locked by us.
                drop(in_time(statement.name, self.deadline, connection.object.batch_execute("")).await);
            }
            self.take_back(connection, fault);
        }
        done
    }

    /// Takes back a connection on which something failed. It is given up, because nobody knows what it is in the middle
    /// of, unless the server merely refused a statement: what is refused again and again costs no connection each time.
    pub fn take_back(&self, connection: Connection, fault: &StoreError) {
        let is_usable = leaves_connection_usable(fault) && !self.url.leads_elsewhere_after(fault);
        if is_usable {
            drop(connection);
        } else {
            drop(Object::take(connection.object));
        }
        if matches!(fault, StoreError::Deadline { .. }) {
            // Whatever froze it may have frozen the idle ones, too: not each of them has to wait as long again.
            self.pool.retain(|_, _| false);
        }
        if is_stale_plan(fault) {
            self.pool.retain(|client, _| {
                client.statement_cache.clear();
                true
            });
        }
    }

    /// Runs one statement whose answer is one row, or none.
    async fn row(&self, statement: &Statement, params: Params<'_>) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(statement, params).await?.into_iter().next())
    }
}

/// What a statement comes to within its deadline: a server that is frozen keeps a connection open for ever.
async fn in_time<T>(
    statement: &'static str,
    deadline: Duration,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, StoreError> {
    let done = tokio::time::timeout(deadline, work).await;
    let done = done.map_err(|_elapsed| StoreError::Deadline { statement, deadline })?;
    done.map_err(|source| StoreError::Failed { statement, source })
}

/// The one value of a simple query's answer; none: null, or no row.
pub fn first_value(answer: &[SimpleQueryMessage]) -> Option<&str> {
    answer
        .iter()
        .find_map(|message| if let SimpleQueryMessage::Row(row) = message { row.get(0) } else { None })
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

/// A JSON object of strings, as the CHECKs of outbox and endpoint have it. Something else costs its own row alone, and is not
/// shown.
fn headers(text: Option<&str>) -> Result<Vec<(String, String)>, String> {
    let map = text.map(serde_json::from_str::<BTreeMap<String, String>>).transpose();
    map.map(|map| map.unwrap_or_default().into_iter().collect())
        .or(Err("headers are not an object of texts".to_owned()))
}

/// Durations cross the border as whole milliseconds.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn from_millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}
