//! The transaction that routes: it claims unrouted events, and writes their deliveries.

use deadpool::managed::Object;
use futures_util::future::join;

use super::endpoints::endpoint_set;
use super::errors::leaves_connection_usable;
use super::events::{ReachedNobody, RoutePlan, Stretch, UnroutedEvent, first_claim, unrouted_event};
use super::row::{self, Row};
use super::statements::{CLAIM_EVENTS, LOAD_ENDPOINTS, NOTE_REACHED_NOBODY, ROUTE_EVENTS};
use super::{Connection, EndpointSet, Params, STATEMENT_DEADLINE, Statement, Store, StoreError, in_time};
use crate::model::delivery::{Claimed, DispatcherId};

/// A transaction that claims unrouted events and routes them, in two round trips: where nothing stands in between, BEGIN goes
/// with the claim and COMMIT with the routing. Dropped halfway, its connection is given up, and the server rolls it back.
pub struct RouteTx<'a> {
    store: &'a Store,
    /// `None` once the transaction has ended.
    connection: Option<Connection>,
}

impl<'a> RouteTx<'a> {
    /// `sql/statements/events/claim_events.sql`, in a new transaction. `None` if there is nothing to claim; then the transaction has
    /// ended. With `passes_over` it leaves out events that were refused alone. With `only_destination` it takes only events for
    /// that endpoint.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is locked any more.
    pub async fn claim_events(
        store: &'a Store,
        stretch: Stretch,
        batch_max: usize,
        passes_over: bool,
        only_destination: Option<&str>,
    ) -> Result<Option<(Self, Vec<UnroutedEvent>)>, StoreError> {
        let batch_max = i64::try_from(batch_max).unwrap_or(i64::MAX);
        let Stretch { from, until } = stretch;
        let (from_xid, until_xid) = (from.xid.to_string(), until.xid.to_string());
        let tx = Self { store, connection: Some(store.connection().await?) };
        let params: Params<'_> =
            &[&from_xid, &from.id, &until_xid, &until.id, &batch_max, &passes_over, &only_destination];
        let rows = tx.run(&CLAIM_EVENTS, params, Bound::Begins).await;
        let events = rows.and_then(|rows| rows.iter().map(unrouted_event).collect::<Result<Vec<_>, _>>());
        match events {
            Ok(events) if events.is_empty() => tx.roll_back().await.map(|()| None),
            Ok(events) => Ok(Some((tx, events))),
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

    /// `sql/statements/events/note_reached_nobody.sql`, and then `route_events.sql`, and commits. Returns the deliveries that are
    /// claimed now.
    ///
    /// # Errors
    /// [`StoreError`]: nothing happened, unless the commit's answer was lost.
    pub async fn route_events(
        mut self,
        dispatcher: DispatcherId,
        plan: &RoutePlan,
    ) -> Result<Vec<Claimed>, StoreError> {
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
