//! The only floor that speaks SQL. Every statement is a file under `sql/` with its contract in a header, and a function here
//! has its file's name. The store uses the model and the rules, and knows nothing of HTTP or of the dispatcher.

mod attachments;
mod backfill;
mod blocked;
mod children;
mod circuits;
mod connect;
mod deliveries;
mod dev;
mod dispatchers;
mod endpoints;
mod errors;
mod events;
mod health;
mod held;
mod installation;
mod keyed_events;
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
mod row;
mod secrets;
mod sequences;
mod statements;
mod stats;
mod status;
mod tables;
mod views;
mod write_back;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{BuildError, Object};
use futures_util::future::join;
use thiserror::Error;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::ToSql;

use self::errors::{is_stale_plan, leaves_connection_usable};
use self::pool::{Opener, Pool, PoolError};
use self::row::Row;
use crate::rules::encryption::Vault;

pub use attachments::{DroppedTable, SkippedRows};
pub use backfill::{BackfillReport, BackfillStep};
pub use blocked::{BLOCKED_ENDPOINTS_MAX, BlockedEndpointRow};
pub use children::{ChildCounts, FORGOTTEN_MAX};
pub use circuits::{Circuit, CircuitRow, ClosedCircuit, Failures, NotedFailures, Written};
pub use connect::{ConnectError, Connected, DatabaseUrl, Environment, Session, exposed, is_public};
pub use deliveries::{
    Attempted, Due, DueClaim, DueSet, EndpointRoom, GivenBack, Locked, NextStatus, Settled,
};
pub use dev::{Contents, Samples};
pub use dispatchers::{DispatcherInfo, DispatcherState, Renewal, WakeMode, WakeState};
pub use endpoints::EndpointSet;
pub use errors::{
    DatabaseRefusal, is_data_fault, is_duplicate, is_lock_timeout, is_outage, is_permanent, is_read_only,
    is_refused_by_server, is_row_fault, one_line, refusal, waits_for_adoption,
};
pub use events::{
    Birth, InitialState, NewEvent, Position, Published, ReachedNobody, Restamped, RoutePlan, Stretch,
    Unrouted, UnroutedEvent,
};
pub use health::{Lateness, OldTransaction, Overdue, ServerRow, TableRow};
pub use installation::{Adopted, Adoption, InstallationRow};
pub use keyed_events::{ClaimedKeyed, KeyedFound, KeyedLook, LanePlace, SweptLanes};
pub use leftovers::{DeadClaim, OrphanedClaim, Rescued};
pub use metrics::{
    BacklogMeasure, EndpointMeasure, EndpointMeasures, ServerMeasure, TableMeasure, WriteBackMeasure,
};
pub use migrate::{
    MigrateError, SCHEMA_VERSION, Schema, SchemaObject, check_schema, describe_schema, migrate,
    print_migrations, schema_version,
};
pub use refused::RefusedStage;
pub use registering::{CheckedEndpoint, PutResult, Writing, WrittenEndpoint};
pub use replay::{KeySkip, Replay};
pub use retention::{Deletion, DeletionRange, Retention};
pub use rights::{
    BellHolder, ForeignName, ForeignRight, OutboxSecurity, RefusingPublication, SharingDatabase,
    SilentTrigger, StrangeOwner,
};
pub use route_transaction::{ClaimedEvents, RouteTx, RoutedEvents, Wanted};
pub use secrets::{Sealing, ToSeal};
pub use sequences::LaggingSequence;
pub use statements::{ALL as STATEMENTS, Statement, session};
pub use stats::{StatEndpoints, StatStep};
pub use status::{DeliveryFilter, Listed};
pub use tables::{
    AttachedTableRow, BackfillState, BrokenTable, CheckedTable, LateRows, RowsToSend, TableState,
    UnheardChanges, WrittenTable,
};
pub use views::{
    AttemptRow, BacklogRow, Cancelled, DeletedEndpoint, DeliveryDetail, DeliveryPage, DeliveryRow,
    DispatcherRow, EndpointCounts, EndpointRow, EventRow, Replayed, Retried, RotatedSecret, Span, Status,
};
pub use write_back::{DueRows, DueTable, WrittenRows};

/// The longest one statement may take, in the server and on the way, unless its [`Session`] has less.
pub const STATEMENT_DEADLINE: Duration = Duration::from_secs(30);

/// A statement whose plan the server refuses is prepared again at most so many times.
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
        /// The driver's error.
        #[source]
        source: tokio_postgres::Error,
    },
    /// No answer in time; the connection is given up.
    #[error("{statement} did not answer within {deadline:?}")]
    Deadline {
        /// The statement's file name.
        statement: &'static str,
        /// The time that it had.
        deadline: Duration,
    },
    /// The event was not inserted: the id that its sequence gave out is another event's.
    #[error(
        "event not inserted: the sequence postrider.outbox_id_seq lies behind the ids of postrider.outbox; run \"postrider doctor --mend\""
    )]
    IdTaken,
    /// The table of one row is empty: a copy without rows, or somebody emptied the tables.
    #[error(
        "the one row of postrider.installation is missing (were the tables emptied, or copied without rows?): run \"postrider migrate\""
    )]
    Emptied,
    /// A row is not what its statement's header says.
    #[error("{statement} returned an unexpected row: {fault}")]
    Row {
        /// The statement's file name.
        statement: &'static str,
        /// The fault of the row.
        fault: String,
    },
}

/// One pooled connection, held for a transaction.
pub struct Connection {
    object: Object<Opener>,
    /// Whether prepared statements and settings outlive a transaction. Behind a transaction pooler they do not.
    is_direct: bool,
    /// What each transaction begins with behind a transaction pooler.
    beginning: Arc<str>,
}

impl Connection {
    /// Runs a statement by itself.
    async fn query(
        &mut self,
        sql: &str,
        params: Params<'_>,
    ) -> Result<Vec<tokio_postgres::Row>, tokio_postgres::Error> {
        if self.is_direct {
            let prepared = self.object.prepare_cached(sql).await?;
            return self.object.query(&prepared, params).await;
        }
        // A transaction has one server connection to itself, and what is prepared in it is closed before it ends. The
        // settings travel with the statement, in front of it: names are looked up under them.
        let tx = self.object.transaction().await?;
        let (set, prepared) = join(tx.batch_execute(&self.beginning), tx.prepare(sql)).await;
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
    /// A pool of at most `connections_max` connections. It opens its first connection later.
    ///
    /// # Errors
    /// When the pool cannot be built.
    pub fn new(url: &DatabaseUrl, session: Session, connections_max: usize) -> Result<Self, BuildError> {
        let pool = pool::pool(url, session, connections_max)?;
        Ok(Self { pool, url: url.clone(), deadline: session.deadline(), vault: Vault::default() })
    }

    /// The same pool, where one statement may take as long as this.
    fn within(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// Closes all connections. A statement that is under way may finish.
    pub fn close(&self) {
        self.pool.close();
    }

    /// How many connections were opened so far. As long as the number stays the same, all statements ran on the same server.
    pub fn opened(&self) -> u64 {
        self.pool.manager().opened()
    }

    /// Takes a connection out of the pool.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn connection(&self) -> Result<Connection, StoreError> {
        let object = self.pool.get().await.map_err(|fault| StoreError::Unavailable(Box::new(fault)))?;
        let beginning = self.pool.manager().beginning();
        Ok(Connection { object, is_direct: self.url.is_direct(), beginning })
    }

    /// Runs one statement and returns its rows.
    ///
    /// It is run again after a failure of which nothing was done: the plan was older than the schema, the new id was taken, or
    /// the session began while the database was read-only. The last is tried once.
    async fn query(&self, statement: &'static Statement, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        let mut was_read_only = false;
        for _ in 0..PREPARE_AGAIN_MAX {
            match self.query_once(statement, params).await {
                Err(fault) if is_stale_plan(&fault) => {}
                Err(fault) if is_read_only(&fault) && !was_read_only => was_read_only = true,
                Err(fault) if self.is_mended_after(&fault).await => {}
                done => return done,
            }
        }
        self.query_once(statement, params).await
    }

    /// Runs one statement whose answer is one row or none.
    async fn query_opt(
        &self,
        statement: &'static Statement,
        params: Params<'_>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.query(statement, params).await?.into_iter().next())
    }

    /// Runs one statement whose answer is one row.
    async fn query_one(&self, statement: &'static Statement, params: Params<'_>) -> Result<Row, StoreError> {
        self.query_opt(statement, params).await?.ok_or_else(|| missing(statement))
    }

    /// Runs one statement for its effect.
    async fn execute(&self, statement: &'static Statement, params: Params<'_>) -> Result<(), StoreError> {
        self.query(statement, params).await.map(drop)
    }

    async fn query_once(
        &self,
        statement: &'static Statement,
        params: Params<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let mut connection = self.connection().await?;
        let done = in_time(statement.name, self.deadline, connection.query(statement.sql, params)).await;
        if let Err(fault) = &done {
            if leaves_connection_usable(fault) {
                // The server reports a failure before it gives back the locks. A caller that tried again at once, by another
                // connection, would find the rows locked by us.
                drop(in_time(statement.name, self.deadline, connection.object.batch_execute("")).await);
            }
            self.take_back(connection, fault);
        }
        done.map(|rows| row::of(statement, rows))
    }

    /// Takes back a connection on which something failed, and closes it, because its state is not known.
    ///
    /// A connection on which the server merely refused a statement is kept: a row that is refused again and again must not
    /// cost a connection each time.
    pub fn take_back(&self, connection: Connection, fault: &StoreError) {
        let is_read_only = is_read_only(fault);
        if leaves_connection_usable(fault) && !is_read_only {
            drop(connection);
        } else {
            drop(Object::take(connection.object));
        }
        if is_read_only || matches!(fault, StoreError::Deadline { .. }) {
            // A session stays read-only although its database, or another host, is not any more: a new one finds out. After a
            // deadline the idle connections may be frozen, too: each of them would wait for a whole deadline again.
            self.pool.retain(|_, _| false);
        }
        if is_stale_plan(fault) {
            self.pool.retain(|client, _| {
                client.statement_cache.clear();
                true
            });
        }
    }
}

/// Waits for a statement until its deadline. A server that is frozen keeps a connection open for ever.
async fn in_time<T>(
    statement: &'static str,
    deadline: Duration,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, StoreError> {
    let done = tokio::time::timeout(deadline, work).await;
    let done = done.map_err(|_elapsed| StoreError::Deadline { statement, deadline })?;
    done.map_err(|source| StoreError::Failed { statement, source })
}

/// The one value of a simple query's answer. `None` if it is null, or if there is no row.
pub fn first_value(answer: &[SimpleQueryMessage]) -> Option<&str> {
    answer
        .iter()
        .find_map(|message| if let SimpleQueryMessage::Row(row) = message { row.get(0) } else { None })
}

/// The first value of the last query of several. `None` if it is null, or if there is no row.
fn last_value(answer: &[SimpleQueryMessage]) -> Option<&str> {
    let last = answer.iter().rposition(|message| matches!(message, SimpleQueryMessage::RowDescription(_)));
    first_value(answer.get(last.unwrap_or_default()..)?)
}

type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The error of a statement that returned no row where its header promises one.
fn missing(statement: &Statement) -> StoreError {
    StoreError::Row { statement: statement.name, fault: "no row".to_owned() }
}

/// Reads a JSON object of strings, as the CHECKs of outbox and endpoint demand it. Anything else makes its own row alone
/// unusable, and the error does not show it.
fn headers(text: Option<&str>) -> Result<Vec<(String, String)>, String> {
    let map = text.map(serde_json::from_str::<BTreeMap<String, String>>).transpose();
    map.map(|map| map.unwrap_or_default().into_iter().collect())
        .or(Err("headers are not an object of texts".to_owned()))
}

/// Durations travel to the database and back as whole milliseconds.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn from_millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}
