//! Statements about events: claim and route the unrouted, load what is sent, insert.

use std::time::Duration;

use deadpool_postgres::Transaction;
use tokio::time::Instant;

use super::statements::{
    CLAIM_EVENTS, DELETE_FINISHED, FIND_EVENT, FIND_UNROUTED, INSERT_EVENT, LOAD_EVENTS, READ_FLOOR,
    ROUTE_EVENTS, SAVE_FLOOR,
};
use super::{
    Connection, STATEMENT_DEADLINE, Statement, Store, StoreError, column, from_millis, headers, in_time,
    millis, missing,
};
use crate::delivery::{ClaimId, Claimed, DeliveryId, DispatcherId};
use crate::endpoint::EndpointNo;
use crate::event::{Event, EventId};

/// A place in the order of unrouted events: the inserting transaction, then the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventFloor {
    /// A transaction id (`xid8`).
    pub xid: u64,
    /// An event id.
    pub id: i64,
}

/// An event that nobody routed yet, locked by the transaction that read it.
#[derive(Clone, Debug)]
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
    /// Events deleted, with their deliveries and attempts.
    pub deleted: i64,
    /// Where the next step goes on; none: there is nothing older left to look at.
    pub next_after: Option<EventId>,
}

/// A transaction that claims unrouted events and routes them.
pub struct RouteTx<'a> {
    tx: Transaction<'a>,
    is_direct: bool,
}

impl<'a> RouteTx<'a> {
    /// Begins. Dropped without [`Self::route_events`], it rolls back.
    ///
    /// # Errors
    /// [`StoreError`]: nothing happened.
    pub async fn begin(connection: &'a mut Connection) -> Result<Self, StoreError> {
        let is_direct = connection.is_direct;
        let tx = in_time("begin", STATEMENT_DEADLINE, connection.object.transaction()).await?;
        Ok(Self { tx, is_direct })
    }

    /// `sql/claim_events.sql`.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is locked any more.
    pub async fn claim_events(
        &self,
        floor: EventFloor,
        batch_max: usize,
    ) -> Result<Vec<UnroutedEvent>, StoreError> {
        let batch_max = i64::try_from(batch_max).unwrap_or(i64::MAX);
        let rows = self.query(&CLAIM_EVENTS, &[&floor.xid.to_string(), &floor.id, &batch_max]).await?;
        rows.iter().map(unrouted_event).collect()
    }

    /// `sql/route_events.sql`, and commits. Returns what is claimed now.
    ///
    /// # Errors
    /// [`StoreError`]: nothing happened, unless the commit's answer was lost.
    pub async fn route_events(
        self,
        dispatcher: DispatcherId,
        plan: &RoutePlan,
    ) -> Result<Vec<Claimed>, StoreError> {
        let event_ids: Vec<i64> = plan.events.iter().map(|(id, _)| id.get()).collect();
        let counts: Vec<i32> =
            plan.events.iter().map(|(_, n)| i32::try_from(*n).unwrap_or(i32::MAX)).collect();
        let birth_events: Vec<i64> = plan.births.iter().map(|(id, _, _)| id.get()).collect();
        let endpoint_nos: Vec<i32> = plan.births.iter().map(|(_, no, _)| no.get()).collect();
        let delays_ms: Vec<Option<i64>> = plan.births.iter().map(|(_, _, birth)| birth.delay_ms()).collect();
        let rows = self
            .query(
                &ROUTE_EVENTS,
                &[&dispatcher.get(), &event_ids, &counts, &birth_events, &endpoint_nos, &delays_ms],
            )
            .await?;
        let claimed = rows.iter().map(|row| first_claim(dispatcher, row)).collect::<Result<_, _>>()?;
        in_time("commit", STATEMENT_DEADLINE, self.tx.commit()).await?;
        Ok(claimed)
    }

    async fn query(
        &self,
        statement: &Statement,
        params: super::Params<'_>,
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        let work = async {
            // Without a cache it is closed again before the transaction ends.
            let prepared = if self.is_direct {
                self.tx.prepare_cached(statement.sql).await?
            } else {
                self.tx.prepare(statement.sql).await?
            };
            self.tx.query(&prepared, params).await
        };
        in_time(statement.name, STATEMENT_DEADLINE, work).await
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

    /// `sql/delete_finished.sql`.
    ///
    /// # Errors
    /// [`StoreError`]: the next call goes on.
    pub async fn delete_finished(
        &self,
        after: Option<EventId>,
        scan_max: i64,
        retention: Retention,
    ) -> Result<Deletion, StoreError> {
        let after_id = after.map_or(0, EventId::get);
        let (complete_ms, failed_ms) = (millis(retention.complete), millis(retention.failed));
        let row = self.row(&DELETE_FINISHED, &[&after_id, &scan_max, &complete_ms, &failed_ms]).await?;
        let row = row.ok_or_else(|| missing(&DELETE_FINISHED))?;
        let scanned: i64 = column(&DELETE_FINISHED, &row, "scanned")?;
        let last_id: Option<i64> = column(&DELETE_FINISHED, &row, "last_id")?;
        let is_young: bool = column(&DELETE_FINISHED, &row, "is_young")?;
        let goes_on = scanned == scan_max && !is_young;
        Ok(Deletion {
            deleted: column(&DELETE_FINISHED, &row, "deleted")?,
            next_after: last_id.filter(|_| goes_on).map(EventId::new),
        })
    }

    /// `sql/load_events.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load_events(&self, ids: &[EventId]) -> Result<Vec<Event>, StoreError> {
        let ids: Vec<i64> = ids.iter().map(|id| id.get()).collect();
        let rows = self.rows(&LOAD_EVENTS, &[&ids]).await?;
        rows.iter().map(event).collect()
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

fn unrouted_event(row: &tokio_postgres::Row) -> Result<UnroutedEvent, StoreError> {
    let id: i64 = column(&CLAIM_EVENTS, row, "id")?;
    let delay_ms: Option<i64> = column(&CLAIM_EVENTS, row, "delay_ms")?;
    let payload_bytes: i32 = column(&CLAIM_EVENTS, row, "payload_bytes")?;
    Ok(UnroutedEvent {
        id: EventId::new(id),
        place: EventFloor { xid: xid(&CLAIM_EVENTS, column(&CLAIM_EVENTS, row, "created_xid")?)?, id },
        topic: column(&CLAIM_EVENTS, row, "topic")?,
        destination: column(&CLAIM_EVENTS, row, "destination")?,
        delay: delay_ms.filter(|ms| *ms > 0).map(from_millis),
        payload_bytes: u64::try_from(payload_bytes).unwrap_or_default(),
        endpoint_version: column(&CLAIM_EVENTS, row, "endpoint_version")?,
    })
}

fn first_claim(held_by: DispatcherId, row: &tokio_postgres::Row) -> Result<Claimed, StoreError> {
    Ok(Claimed {
        delivery_id: DeliveryId::new(column(&ROUTE_EVENTS, row, "delivery_id")?),
        claim_id: ClaimId::new(column(&ROUTE_EVENTS, row, "claim_id")?),
        held_by,
        event_id: EventId::new(column(&ROUTE_EVENTS, row, "event_id")?),
        endpoint_no: EndpointNo::new(column(&ROUTE_EVENTS, row, "endpoint_no")?),
        attempt: 1,
        attempts_before: 0,
    })
}

fn event(row: &tokio_postgres::Row) -> Result<Event, StoreError> {
    let payload: String = column(&LOAD_EVENTS, row, "payload")?;
    let age_us: i64 = column(&LOAD_EVENTS, row, "age_us")?;
    Ok(Event {
        id: EventId::new(column(&LOAD_EVENTS, row, "id")?),
        webhook_id: column(&LOAD_EVENTS, row, "webhook_id")?,
        topic: column(&LOAD_EVENTS, row, "topic")?,
        headers: headers(&LOAD_EVENTS, column(&LOAD_EVENTS, row, "headers")?)?,
        payload: payload.into(),
        age_at_load: Duration::from_micros(u64::try_from(age_us).unwrap_or_default()),
        loaded: Instant::now(),
        memory: None,
    })
}
