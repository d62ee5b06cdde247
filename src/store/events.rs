//! Statements about events: find the unrouted, load what is sent, insert, delete; and what rows of the routing transaction say.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::Instant;
use tokio_postgres::Row;

use super::statements::{
    CLAIM_EVENTS, FIND_EVENT, FIND_UNROUTED, INSERT_EVENT, LIST_REFUSED_EVENTS, LIST_UNROUTED, LOAD_EVENTS,
    NOTE_RESTORE, READ_FLOOR, RESTORE_EVENTS, ROUTE_EVENTS, SAVE_FLOOR,
};
use super::{Statement, Store, StoreError, column, from_millis, headers, millis, missing};
use crate::model::delivery::{ClaimId, Claimed, DeliveryId, DispatcherId};
use crate::model::endpoint::EndpointNo;
use crate::model::event::{Event, EventId};

/// A place in the order of events: the inserting transaction, then the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
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
    pub place: Position,
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
    pub births: Vec<(EventId, EndpointNo, InitialState)>,
}

/// How a delivery comes into the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialState {
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

impl InitialState {
    pub(super) fn delay_ms(self) -> Option<i64> {
        match self {
            Self::Claimed => None,
            Self::Pending(delay) => Some(millis(delay)),
        }
    }
}

/// What a look from the safe floor saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrouted {
    /// Every event below is routed, for good, or recorded as refused.
    pub floor: Position,
    /// Whether there may be some above.
    pub is_any: bool,
    /// Whether some were refused alone.
    pub has_refused: bool,
    /// Whether one of those is to be tried again.
    pub is_retry_due: bool,
}

/// A part of the order of events; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The first place.
    pub from: Position,
    /// The last place.
    pub until: Position,
}

impl Stretch {
    /// From there on.
    pub const fn from(from: Position) -> Self {
        Self { from, until: Position { xid: u64::MAX, id: i64::MAX } }
    }
}

impl Store {
    /// `sql/statements/events/find_unrouted.sql`. The floor is lower than `floor` only when the database's history went back (a restore, a
    /// failover that lost commits): then everything is to be looked at again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_unrouted(&self, floor: Position) -> Result<Unrouted, StoreError> {
        let row = self.row(&FIND_UNROUTED, &[&floor.xid.to_string(), &floor.id]).await?;
        let row = row.ok_or_else(|| missing(&FIND_UNROUTED))?;
        let horizon = Position { xid: xid(&FIND_UNROUTED, column(&FIND_UNROUTED, &row, "horizon")?)?, id: 0 };
        let found = |floor, is_any| {
            Ok(Unrouted {
                floor,
                is_any,
                has_refused: column(&FIND_UNROUTED, &row, "has_refused")?,
                is_retry_due: column(&FIND_UNROUTED, &row, "is_retry_due")?,
            })
        };
        if horizon.xid < floor.xid {
            return found(Position::default(), true);
        }
        match place(&FIND_UNROUTED, &row, "created_xid", "id")? {
            Some(first) => found(horizon.min(first).max(floor), true),
            None => found(horizon.max(floor), false),
        }
    }

    /// `sql/statements/events/list_unrouted.sql`: the places of the first unrouted events that nobody has locked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_unrouted(
        &self,
        floor: Position,
        events_max: usize,
    ) -> Result<Vec<Position>, StoreError> {
        let events_max = i64::try_from(events_max).unwrap_or(i64::MAX);
        let rows = self.rows(&LIST_UNROUTED, &[&floor.xid.to_string(), &floor.id, &events_max]).await?;
        places(&LIST_UNROUTED, &rows)
    }

    /// `sql/statements/refused/list_refused_events.sql`: the places of refused events that are to be tried again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_refused_events(&self, events_max: usize) -> Result<Vec<Position>, StoreError> {
        let events_max = i64::try_from(events_max).unwrap_or(i64::MAX);
        let rows = self.rows(&LIST_REFUSED_EVENTS, &[&events_max]).await?;
        places(&LIST_REFUSED_EVENTS, &rows)
    }

    /// `sql/statements/events/note_restore.sql`, then `sql/statements/events/read_floor.sql`: where the sweep at start begins.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_floor(&self) -> Result<Position, StoreError> {
        self.rows(&NOTE_RESTORE, &[]).await?;
        let row = self.row(&READ_FLOOR, &[]).await?.ok_or_else(|| missing(&READ_FLOOR))?;
        Ok(Position { xid: xid(&READ_FLOOR, column(&READ_FLOOR, &row, "routed_below")?)?, id: 0 })
    }

    /// `sql/statements/events/restore_events.sql`: how many.
    ///
    /// # Errors
    /// [`StoreError`]: a second call is harmless.
    pub async fn restore_events(&self, ids: &[EventId]) -> Result<usize, StoreError> {
        let ids: Vec<i64> = ids.iter().map(|id| id.get()).collect();
        Ok(self.rows(&RESTORE_EVENTS, &[&ids]).await?.len())
    }

    /// `sql/statements/events/save_floor.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_floor(&self, floor: Position) -> Result<(), StoreError> {
        self.rows(&SAVE_FLOOR, &[&floor.xid.to_string()]).await.map(drop)
    }

    /// `sql/statements/events/load_events.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load_events(&self, ids: &[EventId]) -> Result<Vec<Event>, StoreError> {
        let ids: Vec<i64> = ids.iter().map(|id| id.get()).collect();
        let rows = self.rows(&LOAD_EVENTS, &[&ids]).await?;
        rows.iter().map(|row| event(&LOAD_EVENTS, row)).collect()
    }

    /// `sql/statements/events/insert_event.sql`: the new event, or none if its idempotency key is known.
    ///
    /// # Errors
    /// [`StoreError`]; a violated CHECK is a [`StoreError::Failed`], a sequence that lies behind and that this role may not
    /// mend is a [`StoreError::IdTaken`].
    pub async fn insert_event(&self, new: &NewEvent) -> Result<Option<EventId>, StoreError> {
        let mut is_mended = false;
        loop {
            match self.insert_event_once(new).await {
                Err(StoreError::IdTaken) if !is_mended => {
                    is_mended = true;
                    // A role that may not is told so by the same error.
                    if !self.keep_sequences_ahead().await.unwrap_or_default() {
                        return Err(StoreError::IdTaken);
                    }
                }
                done => return done,
            }
        }
    }

    async fn insert_event_once(&self, new: &NewEvent) -> Result<Option<EventId>, StoreError> {
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
            .await?
            .ok_or_else(|| missing(&INSERT_EVENT))?;
        if column(&INSERT_EVENT, &row, "is_taken")? {
            return Err(StoreError::IdTaken);
        }
        Ok(column::<Option<i64>>(&INSERT_EVENT, &row, "id")?.map(EventId::new))
    }

    /// `sql/statements/events/find_event.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_event(&self, idempotency_key: &str) -> Result<Option<EventId>, StoreError> {
        let row = self.row(&FIND_EVENT, &[&idempotency_key]).await?;
        row.map(|row| column(&FIND_EVENT, &row, "id").map(EventId::new)).transpose()
    }
}

pub(super) fn xid(statement: &Statement, text: &str) -> Result<u64, StoreError> {
    text.parse().map_err(|fault: std::num::ParseIntError| StoreError::Row {
        statement: statement.name,
        fault: fault.to_string(),
    })
}

fn places(statement: &Statement, rows: &[Row]) -> Result<Vec<Position>, StoreError> {
    let place = |row| place(statement, row, "created_xid", "id").transpose();
    rows.iter().filter_map(place).collect()
}

/// An event's place; none where the columns are null.
pub(super) fn place(
    statement: &Statement,
    row: &Row,
    xid_column: &'static str,
    id_column: &'static str,
) -> Result<Option<Position>, StoreError> {
    let text: Option<&str> = column(statement, row, xid_column)?;
    text.map(|text| Ok(Position { xid: xid(statement, text)?, id: column(statement, row, id_column)? }))
        .transpose()
}

pub(super) fn unrouted_event(row: &Row) -> Result<UnroutedEvent, StoreError> {
    let id: i64 = column(&CLAIM_EVENTS, row, "id")?;
    let delay_ms: Option<i64> = column(&CLAIM_EVENTS, row, "delay_ms")?;
    let payload_bytes: i32 = column(&CLAIM_EVENTS, row, "payload_bytes")?;
    let is_loaded = column::<Option<&str>>(&CLAIM_EVENTS, row, "payload")?.is_some();
    Ok(UnroutedEvent {
        id: EventId::new(id),
        place: Position { xid: xid(&CLAIM_EVENTS, column(&CLAIM_EVENTS, row, "created_xid")?)?, id },
        topic: column(&CLAIM_EVENTS, row, "topic")?,
        destination: column(&CLAIM_EVENTS, row, "destination")?,
        delay: delay_ms.filter(|ms| *ms > 0).map(from_millis),
        payload_bytes: u64::try_from(payload_bytes).unwrap_or_default(),
        endpoint_version: column(&CLAIM_EVENTS, row, "endpoint_version")?,
        event: is_loaded.then(|| event(&CLAIM_EVENTS, row)).transpose()?,
    })
}

pub(super) fn first_claim(held_by: DispatcherId, row: &Row) -> Result<Claimed, StoreError> {
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
        headers: headers(column(statement, row, "headers")?),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        created_at: column(statement, row, "created_at")?,
        age_at_load: now.duration_since(since).unwrap_or_default(),
        loaded: Instant::now(),
        memory: None,
    })
}
