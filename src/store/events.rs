//! Statements about events: claim and route the unrouted, load what is sent, insert.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use deadpool::managed::Object;
use futures_util::future::join;
use tokio::time::Instant;
use tokio_postgres::Row;

use super::diagnose::leaves_connection_usable;
use super::endpoints::endpoint_set;
use super::statements::{
    CLAIM_EVENTS, DELETE_FINISHED, FIND_EVENT, FIND_UNROUTED, INSERT_EVENT, LOAD_ENDPOINTS, LOAD_EVENTS,
    READ_FLOOR, ROUTE_EVENTS, SAVE_FLOOR,
};
use super::{
    Connection, EndpointSet, Params, STATEMENT_DEADLINE, Statement, Store, StoreError, column, from_millis,
    headers, in_time, millis, missing,
};
use crate::delivery::{ClaimId, Claimed, DeliveryId, DispatcherId};
use crate::endpoint::EndpointNo;
use crate::event::{Event, EventId};

/// A place in the order of events: the inserting transaction, then the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventFloor {
    /// A transaction id (`xid8`).
    pub xid: u64,
    /// An event id.
    pub id: i64,
}

/// An event that nobody routed yet, locked by the transaction that read it.
#[derive(Debug)]
pub struct UnroutedEvent {
    /// The event.
    pub id: EventId,
    /// Its place in the order.
    pub place: EventFloor,
    /// Event type.
    pub topic: String,
    /// The one endpoint it is for, if its producer named one.
    pub destination: Option<String>,
    /// How long its producer wants it kept.
    pub delay: Option<Duration>,
    /// Stored size of the payload.
    pub payload_bytes: u64,
    /// Version of the endpoints in the snapshot that showed this event.
    pub endpoint_version: i64,
    /// What an attempt sends; none where the payload is not small.
    pub event: Option<Event>,
}

/// What routing a batch comes to.
#[derive(Clone, Debug, Default)]
pub struct RoutePlan {
    /// Every event of the batch, with the number of its deliveries.
    pub events: Vec<(EventId, usize)>,
    /// Every delivery.
    pub births: Vec<(EventId, EndpointNo, Birth)>,
}

/// How a delivery comes into the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// In progress, claimed by this dispatcher: there is room for it.
    Claimed,
    /// Pending, due after this time.
    Pending(Duration),
}

/// What a producer says of an event; see the columns of `postrider.outbox`.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the columns of postrider.outbox")]
pub struct NewEvent {
    pub topic: String,
    pub payload: String,
    pub key: Option<String>,
    pub headers: Option<String>,
    pub idempotency_key: Option<String>,
    pub destination: Option<String>,
    pub delay: Option<Duration>,
    pub deliver_after: Option<String>,
}

/// How long finished events are kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Complete ones.
    pub complete: Duration,
    /// Failed ones.
    pub failed: Duration,
}

/// How far a step of deletion came.
#[derive(Clone, Copy, Debug)]
pub struct Deletion {
    /// Events looked at.
    pub looked_at: u32,
    /// Events deleted, with their deliveries and attempts.
    pub deleted: u32,
    /// The last that was looked at: the next step goes on behind it.
    pub last: Option<EventFloor>,
    /// The first that was looked at and stays.
    pub kept: Option<EventFloor>,
    /// What follows is too young, or there is nothing.
    pub is_end: bool,
}

/// A transaction that claims unrouted events and routes them, in two round trips: where nothing stands in between, BEGIN goes
/// with the claim and COMMIT with the routing. Dropped halfway, its connection is given up, and the server rolls it back.
pub struct RouteTx<'a> {
    store: &'a Store,
    /// None: it has ended.
    connection: Option<Connection>,
}

impl<'a> RouteTx<'a> {
    /// `sql/claim_events.sql`, in a new transaction; none: there is nothing to claim, and the transaction has ended.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is locked any more.
    pub async fn claim_events(
        store: &'a Store,
        floor: EventFloor,
        batch_max: usize,
    ) -> Result<Option<(Self, Vec<UnroutedEvent>)>, StoreError> {
        let batch_max = i64::try_from(batch_max).unwrap_or(i64::MAX);
        let floor_xid = floor.xid.to_string();
        let tx = Self { store, connection: Some(store.connection().await?) };
        let rows = tx.run(&CLAIM_EVENTS, &[&floor_xid, &floor.id, &batch_max], Bound::Begins).await;
        let events = rows.and_then(|rows| rows.iter().map(unrouted_event).collect::<Result<Vec<_>, _>>());
        match events {
            Ok(events) if events.is_empty() => tx.roll_back().await.map(|()| None),
            Ok(events) => Ok(Some((tx, events))),
            Err(fault) => Err(tx.fail(fault, true).await),
        }
    }

    /// `sql/load_endpoints.sql`, as of now.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is locked any more.
    pub async fn load_endpoints(self) -> Result<(Self, EndpointSet), StoreError> {
        let rows = self.run(&LOAD_ENDPOINTS, &[], Bound::GoesOn).await;
        match rows.and_then(|rows| endpoint_set(&rows)) {
            Ok(endpoints) => Ok((self, endpoints)),
            Err(fault) => Err(self.fail(fault, true).await),
        }
    }

    /// `sql/route_events.sql`, and commits. Returns what is claimed now.
    ///
    /// # Errors
    /// [`StoreError`]: nothing happened, unless the commit's answer was lost.
    pub async fn route_events(
        mut self,
        dispatcher: DispatcherId,
        plan: &RoutePlan,
    ) -> Result<Vec<Claimed>, StoreError> {
        let event_ids: Vec<i64> = plan.events.iter().map(|(id, _)| id.get()).collect();
        let counts: Vec<i32> =
            plan.events.iter().map(|(_, n)| i32::try_from(*n).unwrap_or(i32::MAX)).collect();
        let birth_events: Vec<i64> = plan.births.iter().map(|(id, _, _)| id.get()).collect();
        let endpoint_nos: Vec<i32> = plan.births.iter().map(|(_, no, _)| no.get()).collect();
        let delays_ms: Vec<Option<i64>> = plan.births.iter().map(|(_, _, birth)| birth.delay_ms()).collect();
        let params: Params<'_> =
            &[&dispatcher.get(), &event_ids, &counts, &birth_events, &endpoint_nos, &delays_ms];
        match self.run(&ROUTE_EVENTS, params, Bound::Commits).await {
            Ok(rows) => {
                drop(self.connection.take());
                rows.iter().map(|row| first_claim(dispatcher, row)).collect()
            }
            Err(fault) => {
                // Sent together with its COMMIT, it has ended by now.
                let is_open = self.connection.as_ref().is_some_and(|connection| !connection.is_direct);
                Err(self.fail(fault, is_open).await)
            }
        }
    }

    /// Ends it without an effect.
    ///
    /// # Errors
    /// [`StoreError`]: the connection is given up, and the server rolls back.
    pub async fn roll_back(mut self) -> Result<(), StoreError> {
        if let Some(connection) = &self.connection {
            in_time("rollback", STATEMENT_DEADLINE, connection.object.batch_execute("ROLLBACK")).await?;
            drop(self.connection.take());
        }
        Ok(())
    }

    /// Ends it after a failure, if it is still open, and gives the connection up only if it must.
    async fn fail(mut self, fault: StoreError, is_open: bool) -> StoreError {
        let Some(connection) = self.connection.take() else { return fault };
        if is_open && leaves_connection_usable(&fault) {
            let rollback = connection.object.batch_execute("ROLLBACK");
            if in_time("rollback", STATEMENT_DEADLINE, rollback).await.is_err() {
                drop(Object::take(connection.object));
                return fault;
            }
        }
        self.store.take_back(connection, &fault);
        fault
    }

    async fn run(
        &self,
        statement: &Statement,
        params: Params<'_>,
        bound: Bound,
    ) -> Result<Vec<Row>, StoreError> {
        let Some(connection) = &self.connection else { return Ok(Vec::new()) };
        in_time(statement.name, STATEMENT_DEADLINE, connection.query_at(bound, statement.sql, params)).await
    }
}

impl Drop for RouteTx<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection.object));
        }
    }
}

/// Where a statement stands in its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Begins,
    GoesOn,
    Commits,
}

impl Connection {
    /// Runs a statement of a transaction.
    async fn query_at(
        &self,
        bound: Bound,
        sql: &str,
        params: Params<'_>,
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let client = &self.object;
        if self.is_direct {
            let prepared = client.prepare_cached(sql).await?;
            let query = client.query(&prepared, params);
            // Sent in this order, answered in this order. A transaction that has failed is rolled back by its commit.
            return match bound {
                Bound::Begins => {
                    let (begun, rows) = join(client.batch_execute("BEGIN"), query).await;
                    begun.and(rows)
                }
                Bound::GoesOn => query.await,
                Bound::Commits => {
                    let (rows, committed) = join(query, client.batch_execute("COMMIT")).await;
                    let rows = rows?;
                    committed.map(|()| rows)
                }
            };
        }
        if bound == Bound::Begins {
            client.batch_execute("BEGIN").await?;
        }
        // Without a cache it is closed again before the transaction ends.
        let prepared = client.prepare(sql).await?;
        let rows = client.query(&prepared, params).await?;
        drop(prepared);
        if bound == Bound::Commits {
            client.batch_execute("COMMIT").await?;
        }
        Ok(rows)
    }
}

impl Birth {
    fn delay_ms(self) -> Option<i64> {
        match self {
            Self::Claimed => None,
            Self::Pending(delay) => Some(millis(delay)),
        }
    }
}

impl Store {
    /// `sql/find_unrouted.sql`: the floor below which every event is routed for good. Lower than `floor` only when the
    /// database's history went back (a restore, a failover that lost commits): then everything is to be looked at again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_unrouted(&self, floor: EventFloor) -> Result<EventFloor, StoreError> {
        let row = self.row(&FIND_UNROUTED, &[&floor.xid.to_string(), &floor.id]).await?;
        let row = row.ok_or_else(|| missing(&FIND_UNROUTED))?;
        let horizon =
            EventFloor { xid: xid(&FIND_UNROUTED, column(&FIND_UNROUTED, &row, "horizon")?)?, id: 0 };
        if horizon.xid < floor.xid {
            return Ok(EventFloor::default());
        }
        let first: Option<&str> = column(&FIND_UNROUTED, &row, "created_xid")?;
        let Some(first) = first else {
            return Ok(horizon.max(floor));
        };
        let first = EventFloor { xid: xid(&FIND_UNROUTED, first)?, id: column(&FIND_UNROUTED, &row, "id")? };
        Ok(horizon.min(first).max(floor))
    }

    /// `sql/read_floor.sql`: where the sweep at start begins.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_floor(&self) -> Result<EventFloor, StoreError> {
        let row = self.row(&READ_FLOOR, &[]).await?.ok_or_else(|| missing(&READ_FLOOR))?;
        Ok(EventFloor { xid: xid(&READ_FLOOR, column(&READ_FLOOR, &row, "routed_below")?)?, id: 0 })
    }

    /// `sql/save_floor.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_floor(&self, floor: EventFloor) -> Result<(), StoreError> {
        self.rows(&SAVE_FLOOR, &[&floor.xid.to_string()]).await.map(drop)
    }

    /// `sql/delete_finished.sql`: among the next events behind `after`, at most `rows_max`, up to the first that is younger
    /// than `young`.
    ///
    /// # Errors
    /// [`StoreError`]: the next call goes on.
    pub async fn delete_finished(
        &self,
        after: EventFloor,
        rows_max: u32,
        retention: Retention,
        young: Duration,
    ) -> Result<Deletion, StoreError> {
        let (xid, rows_max) = (after.xid.to_string(), i64::from(rows_max));
        let (complete_ms, failed_ms) = (millis(retention.complete), millis(retention.failed));
        let row = self
            .row(&DELETE_FINISHED, &[&xid, &after.id, &rows_max, &complete_ms, &failed_ms, &millis(young)])
            .await?
            .ok_or_else(|| missing(&DELETE_FINISHED))?;
        let count =
            |name| column::<i64>(&DELETE_FINISHED, &row, name).map(|n| u32::try_from(n).unwrap_or_default());
        Ok(Deletion {
            looked_at: count("looked_at")?,
            deleted: count("deleted")?,
            last: place(&DELETE_FINISHED, &row, "last_xid", "last_id")?,
            kept: place(&DELETE_FINISHED, &row, "kept_xid", "kept_id")?,
            is_end: column(&DELETE_FINISHED, &row, "is_end")?,
        })
    }

    /// `sql/load_events.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load_events(&self, ids: &[EventId]) -> Result<Vec<Event>, StoreError> {
        let ids: Vec<i64> = ids.iter().map(|id| id.get()).collect();
        let rows = self.rows(&LOAD_EVENTS, &[&ids]).await?;
        rows.iter().map(|row| event(&LOAD_EVENTS, row)).collect()
    }

    /// `sql/insert_event.sql`: the new event, or none if its idempotency key is known.
    ///
    /// # Errors
    /// [`StoreError`]; a violated CHECK is a [`StoreError::Failed`].
    pub async fn insert_event(&self, new: &NewEvent) -> Result<Option<EventId>, StoreError> {
        let delay_ms = new.delay.map(millis);
        let row = self
            .row(
                &INSERT_EVENT,
                &[
                    &new.topic,
                    &new.payload,
                    &new.key,
                    &new.headers,
                    &new.idempotency_key,
                    &new.destination,
                    &delay_ms,
                    &new.deliver_after,
                ],
            )
            .await?;
        row.map(|row| column(&INSERT_EVENT, &row, "id").map(EventId::new)).transpose()
    }

    /// `sql/find_event.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_event(&self, idempotency_key: &str) -> Result<Option<EventId>, StoreError> {
        let row = self.row(&FIND_EVENT, &[&idempotency_key]).await?;
        row.map(|row| column(&FIND_EVENT, &row, "id").map(EventId::new)).transpose()
    }
}

fn xid(statement: &Statement, text: &str) -> Result<u64, StoreError> {
    text.parse().map_err(|fault: std::num::ParseIntError| StoreError::Row {
        statement: statement.name,
        fault: fault.to_string(),
    })
}

/// An event's place; none where the columns are null.
fn place(
    statement: &Statement,
    row: &Row,
    xid_column: &'static str,
    id_column: &'static str,
) -> Result<Option<EventFloor>, StoreError> {
    let text: Option<&str> = column(statement, row, xid_column)?;
    text.map(|text| Ok(EventFloor { xid: xid(statement, text)?, id: column(statement, row, id_column)? }))
        .transpose()
}

fn unrouted_event(row: &Row) -> Result<UnroutedEvent, StoreError> {
    let id: i64 = column(&CLAIM_EVENTS, row, "id")?;
    let delay_ms: Option<i64> = column(&CLAIM_EVENTS, row, "delay_ms")?;
    let payload_bytes: i32 = column(&CLAIM_EVENTS, row, "payload_bytes")?;
    let is_loaded = column::<Option<&str>>(&CLAIM_EVENTS, row, "payload")?.is_some();
    Ok(UnroutedEvent {
        id: EventId::new(id),
        place: EventFloor { xid: xid(&CLAIM_EVENTS, column(&CLAIM_EVENTS, row, "created_xid")?)?, id },
        topic: column(&CLAIM_EVENTS, row, "topic")?,
        destination: column(&CLAIM_EVENTS, row, "destination")?,
        delay: delay_ms.filter(|ms| *ms > 0).map(from_millis),
        payload_bytes: u64::try_from(payload_bytes).unwrap_or_default(),
        endpoint_version: column(&CLAIM_EVENTS, row, "endpoint_version")?,
        event: is_loaded.then(|| event(&CLAIM_EVENTS, row)).transpose()?,
    })
}

fn first_claim(held_by: DispatcherId, row: &Row) -> Result<Claimed, StoreError> {
    Ok(Claimed {
        delivery_id: DeliveryId::new(column(&ROUTE_EVENTS, row, "delivery_id")?),
        claim_id: ClaimId::new(column(&ROUTE_EVENTS, row, "claim_id")?),
        held_by,
        event_id: EventId::new(column(&ROUTE_EVENTS, row, "event_id")?),
        endpoint_no: EndpointNo::new(column(&ROUTE_EVENTS, row, "endpoint_no")?),
        attempt: 1,
        attempts_before: 0,
        is_newborn: true,
    })
}

fn event(statement: &Statement, row: &Row) -> Result<Event, StoreError> {
    let payload: &str = column(statement, row, "payload")?;
    let since: SystemTime = column(statement, row, "since")?;
    let now: SystemTime = column(statement, row, "now")?;
    Ok(Event {
        id: EventId::new(column(statement, row, "id")?),
        webhook_id: column(statement, row, "webhook_id")?,
        topic: column(statement, row, "topic")?,
        headers: headers(statement, column(statement, row, "headers")?)?,
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        age_at_load: now.duration_since(since).unwrap_or_default(),
        loaded: Instant::now(),
        memory: None,
    })
}
