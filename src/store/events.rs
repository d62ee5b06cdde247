//! Statements about events: find the unrouted ones, load, insert, restore; and the rows of the routing transaction.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::Instant;

use super::errors::is_taken_id;
use super::row::Row;
use super::statements::{
    FIND_EVENT, FIND_UNROUTED, LIST_REFUSED_EVENTS, LIST_UNROUTED, LOAD_EVENTS, NOTE_RESTORE, PUBLISH,
    READ_WATERMARK, RESTAMP_EVENTS, RESTORE_EVENTS, SAVE_WATERMARK,
};
use super::{Store, StoreError, headers, millis};
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
    /// A hash of its ordering key: the same for the same key.
    pub key_hash: Option<i64>,
    /// The one endpoint it is for, if its producer named one.
    pub destination: Option<String>,
    /// How long it is to wait, as its producer asked.
    pub delay: Option<Duration>,
    /// Stored size of the payload.
    pub payload_bytes: u64,
    /// Version of the endpoints in the snapshot that showed this event.
    pub endpoint_version: i64,
    /// The event as an attempt sends it. `None` if the payload is not small.
    pub event: Option<Event>,
}

/// The result of routing a batch, as it is written.
#[derive(Clone, Debug, Default)]
pub struct RoutePlan {
    /// Every event of the batch, with the number of its deliveries.
    pub events: Vec<(EventId, usize)>,
    /// Every delivery.
    pub births: Vec<Birth>,
    /// Events that no endpoint gets, among the above.
    pub reached_nobody: ReachedNobody,
}

/// A delivery to be inserted.
#[derive(Clone, Debug)]
pub struct Birth {
    /// The event.
    pub event_id: EventId,
    /// Its receiver.
    pub endpoint_no: EndpointNo,
    /// Its state, unless others are before it in its lane.
    pub state: InitialState,
    /// Whether it is in a lane: the receiver is ordered, and the event has a key.
    pub in_lane: bool,
}

/// How many events no endpoint gets, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReachedNobody {
    /// The destination does not exist.
    pub destination: i32,
    /// Nobody subscribes to the topic.
    pub topic: i32,
}

/// The state in which a delivery is inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialState {
    /// In progress, claimed by this dispatcher: there is room for it.
    Claimed,
    /// Pending, due after this time.
    Pending(Duration),
}

/// An event as a producer inserts it.
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

/// An event that was published, or the first one if its idempotency key was known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The event.
    pub event_id: EventId,
    /// As its requests carry it.
    pub webhook_id: String,
    /// Whether an event with this idempotency key existed before, so that nothing was inserted.
    pub is_repeat: bool,
}

impl InitialState {
    pub(super) fn delay_ms(self) -> Option<i64> {
        match self {
            Self::Claimed => None,
            Self::Pending(delay) => Some(millis(delay)),
        }
    }
}

/// The result of a look for unrouted events, from a watermark on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrouted {
    /// Every event below is routed or recorded as refused, and that is committed.
    pub watermark: Position,
    /// Whether there may be unrouted events above.
    pub is_any: bool,
    /// Whether some events were refused alone.
    pub has_refused: bool,
    /// Whether one of those is to be tried again.
    pub is_retry_due: bool,
}

/// A step of the walk through events below the watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restamped {
    /// Unrouted events that no look for new ones would have found.
    pub restamped: i64,
    /// Events in progress that had no delivery any more.
    pub emptied: i64,
    /// Where the next call goes on. `None`: this one came to the watermark.
    pub last: Option<Position>,
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
    /// Everything from this place on.
    pub const fn from(from: Position) -> Self {
        Self { from, until: Position { xid: u64::MAX, id: i64::MAX } }
    }
}

impl Store {
    /// `sql/statements/events/find_unrouted.sql`. The returned watermark is lower than the given one only if the database's
    /// history went back (a restore, a failover that lost commits). Then every event is to be looked at again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_unrouted(&self, watermark: Position) -> Result<Unrouted, StoreError> {
        let row = self.query_one(&FIND_UNROUTED, &[&watermark.xid.to_string(), &watermark.id]).await?;
        let horizon = Position { xid: xid(&row, "horizon")?, id: 0 };
        let found = |watermark, is_any| {
            Ok(Unrouted {
                watermark,
                is_any,
                has_refused: row.get("has_refused")?,
                is_retry_due: row.get("is_retry_due")?,
            })
        };
        if horizon.xid < watermark.xid {
            return found(Position::default(), true);
        }
        match place(&row, "created_xid", "id")? {
            Some(first) => found(horizon.min(first).max(watermark), true),
            None => found(horizon.max(watermark), false),
        }
    }

    /// `sql/statements/events/list_unrouted.sql`: the places of the first unrouted events that nobody has locked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_unrouted(
        &self,
        watermark: Position,
        events_max: usize,
    ) -> Result<Vec<Position>, StoreError> {
        let events_max = i64::try_from(events_max).unwrap_or(i64::MAX);
        let rows =
            self.query(&LIST_UNROUTED, &[&watermark.xid.to_string(), &watermark.id, &events_max]).await?;
        places(&rows)
    }

    /// `sql/statements/refused/list_refused_events.sql`: the places of refused events that are to be tried again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_refused_events(&self, events_max: usize) -> Result<Vec<Position>, StoreError> {
        let events_max = i64::try_from(events_max).unwrap_or(i64::MAX);
        let rows = self.query(&LIST_REFUSED_EVENTS, &[&events_max]).await?;
        places(&rows)
    }

    /// `sql/statements/events/note_restore.sql`, then `sql/statements/events/read_watermark.sql`: where the sweep at start
    /// begins.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_watermark(&self) -> Result<Position, StoreError> {
        self.execute(&NOTE_RESTORE, &[]).await?;
        let row = self.query_opt(&READ_WATERMARK, &[]).await?.ok_or(StoreError::Emptied)?;
        Ok(Position { xid: xid(&row, "routed_below")?, id: 0 })
    }

    /// `sql/statements/events/restore_events.sql`: how many.
    ///
    /// # Errors
    /// [`StoreError`]: a second call is harmless.
    pub async fn restore_events(&self, ids: &[EventId]) -> Result<usize, StoreError> {
        let ids: Vec<i64> = ids.iter().map(|id| id.get()).collect();
        Ok(self.query(&RESTORE_EVENTS, &[&ids]).await?.len())
    }

    /// `sql/statements/events/restamp_events.sql`.
    ///
    /// # Errors
    /// [`StoreError`]: nothing has changed.
    pub async fn restamp_events(
        &self,
        after: Position,
        watermark_xid: u64,
        events_max: i64,
    ) -> Result<Restamped, StoreError> {
        let (after_xid, watermark_xid) = (after.xid.to_string(), watermark_xid.to_string());
        let row =
            self.query_one(&RESTAMP_EVENTS, &[&after_xid, &after.id, &watermark_xid, &events_max]).await?;
        Ok(Restamped {
            restamped: row.get("restamped")?,
            emptied: row.get("emptied")?,
            last: place(&row, "created_xid", "id")?,
        })
    }

    /// `sql/statements/events/save_watermark.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_watermark(&self, watermark: Position) -> Result<(), StoreError> {
        self.execute(&SAVE_WATERMARK, &[&watermark.xid.to_string()]).await
    }

    /// `sql/statements/events/load_events.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load_events(&self, ids: &[EventId]) -> Result<Vec<Event>, StoreError> {
        let ids: Vec<i64> = ids.iter().map(|id| id.get()).collect();
        let rows = self.query(&LOAD_EVENTS, &[&ids]).await?;
        rows.iter().map(event).collect()
    }

    /// `sql/statements/events/find_event.sql`: whether there is an event with this idempotency key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn has_event(&self, idempotency_key: &str) -> Result<bool, StoreError> {
        self.query_one(&FIND_EVENT, &[&idempotency_key]).await?.get("is_known")
    }

    /// `sql/statements/events/publish.sql`: the new event, or the first one with its idempotency key.
    ///
    /// # Errors
    /// [`StoreError`]; an invalid value is a [`StoreError::Failed`], a sequence that lies behind and that this role may not
    /// mend is a [`StoreError::IdTaken`].
    pub async fn publish(&self, new: &NewEvent) -> Result<Published, StoreError> {
        match self.publish_once(new).await {
            Err(fault) if is_taken_id(&fault) => {}
            done => return done,
        }
        // A role that may not is told so by the same error.
        if !self.keep_sequences_ahead().await.unwrap_or_default() {
            return Err(StoreError::IdTaken);
        }
        self.publish_once(new).await
    }

    async fn publish_once(&self, new: &NewEvent) -> Result<Published, StoreError> {
        let delay_ms = new.delay.map(millis);
        let row = self
            .query_one(
                &PUBLISH,
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
        Ok(Published {
            event_id: EventId::new(row.get("event_id")?),
            webhook_id: row.get("webhook_id")?,
            is_repeat: row.get("is_repeat")?,
        })
    }
}

/// Reads a transaction id (`xid8`), which is a column of text.
pub(super) fn xid(row: &Row, column: &str) -> Result<u64, StoreError> {
    row.get::<&str>(column)?.parse().map_err(|fault: std::num::ParseIntError| row.fault(fault))
}

/// Reads the places of events, one a row.
pub(super) fn places(rows: &[Row]) -> Result<Vec<Position>, StoreError> {
    rows.iter().filter_map(|row| place(row, "created_xid", "id").transpose()).collect()
}

/// Reads the place of an event. `None` if the columns are null.
pub(super) fn place(row: &Row, xid_column: &str, id_column: &str) -> Result<Option<Position>, StoreError> {
    if row.is_null(xid_column)? {
        return Ok(None);
    }
    Ok(Some(Position { xid: xid(row, xid_column)?, id: row.get(id_column)? }))
}

pub(super) fn unrouted_event(row: &Row) -> Result<UnroutedEvent, StoreError> {
    let id: i64 = row.get("id")?;
    let payload_bytes: i32 = row.get("payload_bytes")?;
    Ok(UnroutedEvent {
        id: EventId::new(id),
        place: Position { xid: xid(row, "created_xid")?, id },
        topic: row.get("topic")?,
        key_hash: row.get("key_hash")?,
        destination: row.get("destination")?,
        delay: row.duration_or_null("delay_ms")?.filter(|delay| !delay.is_zero()),
        payload_bytes: u64::try_from(payload_bytes).unwrap_or_default(),
        endpoint_version: row.endpoint_version()?,
        event: if row.is_null("payload")? { None } else { Some(event(row)?) },
    })
}

pub(super) fn first_claim(held_by: DispatcherId, row: &Row) -> Result<Claimed, StoreError> {
    Ok(Claimed {
        delivery_id: DeliveryId::new(row.get("delivery_id")?),
        claim_id: ClaimId::new(row.get("claim_id")?),
        held_by,
        event_id: EventId::new(row.get("event_id")?),
        endpoint_no: EndpointNo::new(row.get("endpoint_no")?),
        attempt: 1,
        attempts_before: 0,
        paced: 0,
        is_newborn: true,
        in_lane: row.get("in_lane")?,
    })
}

fn event(row: &Row) -> Result<Event, StoreError> {
    let payload: &str = row.get("payload")?;
    let since: SystemTime = row.get("since")?;
    let now: SystemTime = row.get("now")?;
    Ok(Event {
        id: EventId::new(row.get("id")?),
        webhook_id: row.get("webhook_id")?,
        topic: row.get("topic")?,
        headers: headers(row.get("headers")?),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        created_at: row.get("created_at")?,
        age_at_load: now.duration_since(since).unwrap_or_default(),
        loaded: Instant::now(),
        memory: None,
    })
}
