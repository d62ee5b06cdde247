//! The transaction that routes: it claims unrouted events, and writes their deliveries.

use deadpool::managed::Object;
use futures_util::future::join;

use super::endpoints::endpoint_set;
use super::errors::leaves_connection_usable;
use super::events::{ReachedNobody, RoutePlan, Stretch, UnroutedEvent, first_claim, unrouted_event, xid};
use super::keyed_events::{ClaimedKeyed, claimed_keyed};
use super::row::{self, Row};
use super::statements::{
    CLAIM_EVENTS, CLAIM_KEYED_EVENTS, LOAD_ENDPOINTS, NOTE_REACHED_NOBODY, ROUTE_EVENTS,
};
use super::{Connection, EndpointSet, Params, STATEMENT_DEADLINE, Statement, Store, StoreError, in_time};
use crate::model::delivery::{Claimed, DispatcherId};
use crate::model::endpoint::EndpointNo;
use crate::model::event::EventId;

/// A transaction that claims unrouted events and routes them, in two round trips: where nothing stands in between, BEGIN goes
/// with the claim and COMMIT with the routing. Dropped halfway, its connection is given up, and the server rolls it back.
pub struct RouteTx<'a> {
    store: &'a Store,
    /// `None` once the transaction has ended.
    connection: Option<Connection>,
}

impl<'a> RouteTx<'a> {
    /// `sql/statements/events/claim_events.sql`, in a new transaction; if there is nothing to claim, it has ended.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is locked any more.
    pub async fn claim_events(
        store: &'a Store,
        wanted: &Wanted<'_>,
    ) -> Result<ClaimedEvents<'a>, StoreError> {
        let batch_max = i64::try_from(wanted.batch_max).unwrap_or(i64::MAX);
        let Stretch { from, until } = wanted.stretch;
        let (from_xid, until_xid) = (from.xid.to_string(), until.xid.to_string());
        let tx = Self { store, connection: Some(store.connection().await?) };
        let params: Params<'_> = &[
            &from_xid,
            &from.id,
            &until_xid,
            &until.id,
            &batch_max,
            &wanted.passes_over,
            &wanted.only_destination,
            &wanted.leaves_keyed,
        ];
        let rows = tx.run(&CLAIM_EVENTS, params, Bound::Begins).await;
        match rows.and_then(|rows| claimed_events(&rows)) {
            Ok((next_xid, events)) if events.is_empty() => {
                tx.roll_back().await?;
                Ok(ClaimedEvents { next_xid, claimed: None })
            }
            Ok((next_xid, events)) => Ok(ClaimedEvents { next_xid, claimed: Some((tx, events)) }),
            Err(fault) => Err(tx.fail(fault, true).await),
        }
    }

    /// `sql/statements/events/claim_keyed_events.sql`, in a new transaction. `None` if another one routes such events: then it has
    /// ended.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is locked any more.
    pub async fn claim_keyed_events(
        store: &'a Store,
        ids: &[i64],
        passes_over: bool,
    ) -> Result<Option<(Self, ClaimedKeyed)>, StoreError> {
        let tx = Self { store, connection: Some(store.connection().await?) };
        let rows = tx.run(&CLAIM_KEYED_EVENTS, &[&ids, &passes_over], Bound::Begins).await;
        match rows.and_then(|rows| claimed_keyed(&rows)) {
            Ok(Some(claimed)) => Ok(Some((tx, claimed))),
            Ok(None) => tx.roll_back().await.map(|()| None),
            Err(fault) => Err(tx.fail(fault, true).await),
        }
    }

    /// `sql/statements/endpoints/load_endpoints.sql`, as of now.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is locked any more.
    pub async fn load_endpoints(self) -> Result<(Self, EndpointSet), StoreError> {
        let rows = self.run(&LOAD_ENDPOINTS, &[], Bound::GoesOn).await;
        match rows.and_then(|rows| endpoint_set(&rows, &self.store.vault)) {
            Ok(endpoints) => Ok((self, endpoints)),
            Err(fault) => Err(self.fail(fault, true).await),
        }
    }

    /// `sql/statements/events/note_reached_nobody.sql`, and then `route_events.sql`, and commits.
    ///
    /// # Errors
    /// [`StoreError`]: nothing happened, unless the commit's answer was lost.
    pub async fn route_events(
        mut self,
        dispatcher: DispatcherId,
        plan: &RoutePlan,
    ) -> Result<RoutedEvents, StoreError> {
        let nobody = plan.reached_nobody;
        // A statement of its own, because nearly all events reach somebody.
        if nobody != ReachedNobody::default()
            && let Err(fault) =
                self.run(&NOTE_REACHED_NOBODY, &[&nobody.destination, &nobody.topic], Bound::GoesOn).await
        {
            return Err(self.fail(fault, true).await);
        }
        let event_ids: Vec<i64> = plan.events.iter().map(|(id, _)| id.get()).collect();
        let counts: Vec<i32> =
            plan.events.iter().map(|(_, n)| i32::try_from(*n).unwrap_or(i32::MAX)).collect();
        let birth_events: Vec<i64> = plan.births.iter().map(|birth| birth.event_id.get()).collect();
        let endpoint_nos: Vec<i32> = plan.births.iter().map(|birth| birth.endpoint_no.get()).collect();
        let delays_ms: Vec<Option<i64>> = plan.births.iter().map(|birth| birth.state.delay_ms()).collect();
        let in_lanes: Vec<bool> = plan.births.iter().map(|birth| birth.in_lane).collect();
        let params: Params<'_> =
            &[&dispatcher.get(), &event_ids, &counts, &birth_events, &endpoint_nos, &delays_ms, &in_lanes];
        match self.run(&ROUTE_EVENTS, params, Bound::Commits).await {
            Ok(rows) => {
                drop(self.connection.take());
                routed_events(dispatcher, &rows)
            }
            Err(fault) => {
                // Sent together with its COMMIT, it has ended by now.
                let is_open = self.connection.as_ref().is_some_and(|connection| !connection.is_direct);
                Err(self.fail(fault, is_open).await)
            }
        }
    }

    /// Ends the transaction without an effect.
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

    /// Ends the transaction after a failure, if it is still open. Closes the connection only if it cannot be used again.
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
        // The next round begins with ids that are free.
        self.store.is_mended_after(&fault).await;
        fault
    }

    async fn run(
        &self,
        statement: &'static Statement,
        params: Params<'_>,
        bound: Bound,
    ) -> Result<Vec<Row>, StoreError> {
        let Some(connection) = &self.connection else { return Ok(Vec::new()) };
        let rows = connection.query_at(bound, statement.sql, params);
        Ok(row::of(statement, in_time(statement.name, STATEMENT_DEADLINE, rows).await?))
    }
}

impl Drop for RouteTx<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection.object));
        }
    }
}

/// Which events to claim.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The part of the order in which they are looked for.
    pub stretch: Stretch,
    /// At most so many, from 1 to 1000.
    pub batch_max: usize,
    /// Leaves out events that were refused alone.
    pub passes_over: bool,
    /// Only events for this endpoint.
    pub only_destination: Option<&'a str>,
    /// Leaves out events with a key.
    pub leaves_keyed: bool,
}

/// The result of a claim.
pub struct ClaimedEvents<'a> {
    /// No transaction from there on was looked at.
    pub next_xid: u64,
    /// The events, and the transaction that has locked them. `None` if there are none.
    pub claimed: Option<(RouteTx<'a>, Vec<UnroutedEvent>)>,
}

/// The deliveries of a routed batch that are not simply pending.
#[derive(Clone, Debug, Default)]
pub struct RoutedEvents {
    /// Those that this dispatcher holds.
    pub claimed: Vec<Claimed>,
    /// Those that wait for others in their lanes.
    pub behind: Vec<(EndpointNo, EventId)>,
}

fn claimed_events(rows: &[Row]) -> Result<(u64, Vec<UnroutedEvent>), StoreError> {
    let next_xid = rows.first().map_or(Ok(0), |row| xid(row, "next_xid"))?;
    let is_event = |row: &&Row| row.get::<Option<i64>>("id").is_ok_and(|id| id.is_some());
    let events = rows.iter().filter(is_event).map(unrouted_event).collect::<Result<_, _>>()?;
    Ok((next_xid, events))
}

fn routed_events(dispatcher: DispatcherId, rows: &[Row]) -> Result<RoutedEvents, StoreError> {
    let mut routed = RoutedEvents::default();
    for row in rows {
        if row.get::<Option<i64>>("claim_id")?.is_some() {
            routed.claimed.push(first_claim(dispatcher, row)?);
        } else {
            routed
                .behind
                .push((EndpointNo::new(row.get("endpoint_no")?), EventId::new(row.get("event_id")?)));
        }
    }
    Ok(routed)
}

/// Where a statement stands in its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Begins,
    GoesOn,
    Commits,
}

impl Connection {
    /// Runs a statement of a transaction.
    pub(super) async fn query_at(
        &self,
        bound: Bound,
        sql: &str,
        params: Params<'_>,
    ) -> Result<Vec<tokio_postgres::Row>, tokio_postgres::Error> {
        let client = &self.object;
        if self.is_direct {
            let prepared = match client.prepare_cached(sql).await {
                Ok(prepared) => prepared,
                Err(fault) if bound == Bound::Commits => {
                    client.batch_execute("ROLLBACK").await?;
                    return Err(fault);
                }
                Err(fault) => return Err(fault),
            };
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
            client.batch_execute(&format!("BEGIN; {}", self.beginning)).await?;
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
