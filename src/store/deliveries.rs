//! Statements about deliveries: find, claim, settle, give back.

use std::time::Duration;

use super::circuits::{CircuitRow, circuit};
use super::row::Row;
use super::statements::{CLAIM_DELIVERIES, FIND_CLAIMABLE, FIND_DUE, RELEASE_DELIVERIES, SETTLE_DELIVERIES};
use super::{Store, StoreError, millis};
use crate::model::delivery::{ClaimId, Claimed, DeliveryId, DispatcherId};
use crate::model::endpoint::EndpointNo;
use crate::model::event::EventId;

/// How many deliveries of an endpoint may be claimed, and from where on.
#[derive(Clone, Copy, Debug)]
pub struct EndpointRoom {
    /// The endpoint.
    pub endpoint_no: EndpointNo,
    /// At most so many.
    pub slots: usize,
    /// Due at or after this microsecond of the database's epoch. 0 for all.
    pub floor_us: i64,
    /// The head of a lane takes at most so many along.
    pub run_max: usize,
}

/// An endpoint with waiting deliveries.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// The endpoint.
    pub endpoint_no: EndpointNo,
    /// Until the first of them is due. Zero if it is due now.
    pub delay: Duration,
}

/// The endpoints that have waiting deliveries and those that fail, in one snapshot.
#[derive(Clone, Debug, Default)]
pub struct DueSet {
    /// Version of the endpoints in the same snapshot. `None` if both lists are empty.
    pub endpoint_version: Option<i64>,
    /// Endpoints with waiting deliveries.
    pub due: Vec<Due>,
    /// Endpoints that fail.
    pub circuits: Vec<CircuitRow>,
    /// Whether a delivery was refused alone when it was claimed.
    pub has_refused: bool,
}

/// The result of a settle.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// How many outcomes are written.
    pub count: usize,
    /// Deliveries whose outcomes are not written, because another transaction has locked them or their events.
    pub held_up: Vec<DeliveryId>,
}

/// How a settle treats locked rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locked {
    /// It waits for them, at most `lock_timeout`, and then fails.
    WaitedFor,
    /// It leaves them.
    Left,
}

/// A claimed delivery, as the claim returns it.
#[derive(Clone, Debug)]
pub struct DueClaim {
    /// The claim.
    pub claimed: Claimed,
    /// When it was due. The next claim begins there.
    pub due_us: i64,
    /// Stored size of the payload. `None` if the event was deleted.
    pub payload_bytes: Option<u64>,
    /// Version of the endpoints in the snapshot of the claim.
    pub endpoint_version: i64,
    /// In a lane: the head that took it along, or itself; and its place there.
    pub lane: Option<(DeliveryId, i64)>,
    /// Whether the head of its lane took it along.
    pub is_behind: bool,
}

/// The status of a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStatus {
    /// Delivered.
    Complete,
    /// Attempted again after this time.
    Pending(Duration),
    /// The same, and this attempt does not count.
    Paced(Duration),
    /// Given up.
    Failed,
    /// The same, and it holds up its lane.
    Blocked,
}

impl NextStatus {
    /// The word of the statement that settles.
    const fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Pending(_) => "pending",
            Self::Paced(_) => "paced",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
        }
    }

    /// Until the next attempt. `None` if there is none.
    pub const fn delay(self) -> Option<Duration> {
        match self {
            Self::Pending(delay) | Self::Paced(delay) => Some(delay),
            Self::Complete | Self::Failed | Self::Blocked => None,
        }
    }
}

/// The record of one attempt, as it is written.
#[derive(Clone, Debug)]
pub struct Attempted {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// The claim that entitles to write.
    pub claim_id: ClaimId,
    /// The status of the delivery after it.
    pub status: NextStatus,
    /// HTTP status, if there was an answer.
    pub status_code: Option<u16>,
    /// Why it failed.
    pub error: Option<String>,
    /// Time since the request began. `None` if no request was made: then no attempt row is written.
    pub age: Option<Duration>,
    /// How long it took.
    pub duration: Duration,
    /// At most 2 KiB of the response, without NUL.
    pub response_excerpt: Option<String>,
    /// Whether the delivery's own row tells everything about this attempt. So it is with a first attempt, made right after the
    /// routing, that succeeded and has no response to keep.
    pub is_plain: bool,
    /// The lane that may have to be opened after this.
    pub lane: Option<(EndpointNo, EventId)>,
    /// Whether this dispatcher holds the next delivery of the lane, so that nothing is to be opened.
    pub is_followed: bool,
}

/// A claimed delivery that is given back.
#[derive(Clone, Copy, Debug)]
pub struct GivenBack {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// The claim that entitles to give it back.
    pub claim_id: ClaimId,
    /// Whether a request was begun. The attempt counts then.
    pub begun: bool,
    /// The lane that has to be opened after this.
    pub lane: Option<(EndpointNo, EventId)>,
}

impl Store {
    /// `sql/statements/deliveries/find_due.sql`: every endpoint with waiting deliveries, and when the first is due; every
    /// endpoint that fails, and its circuit.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_due(&self) -> Result<DueSet, StoreError> {
        let rows = self.query(&FIND_DUE, &[]).await?;
        let mut found = DueSet::default();
        for row in &rows {
            let endpoint_no = EndpointNo::new(row.get("endpoint_no")?);
            found.endpoint_version = Some(row.endpoint_version()?);
            found.has_refused |= row.get::<bool>("has_refused")?;
            match row.duration_or_null("delay_ms")? {
                Some(delay) => found.due.push(Due { endpoint_no, delay }),
                None => found.circuits.push(CircuitRow { endpoint_no, circuit: circuit(row)? }),
            }
        }
        Ok(found)
    }

    /// `sql/statements/deliveries/claim_deliveries.sql`. With `passes_over` it leaves out deliveries that were refused alone and
    /// are not to be tried yet. Heads of lanes take at most `behind_max` along.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is claimed, unless the answer was lost.
    pub async fn claim_deliveries(
        &self,
        dispatcher: DispatcherId,
        rooms: &[EndpointRoom],
        behind_max: usize,
        passes_over: bool,
    ) -> Result<Vec<DueClaim>, StoreError> {
        let endpoint_nos: Vec<i32> = rooms.iter().map(|room| room.endpoint_no.get()).collect();
        let slots: Vec<i64> =
            rooms.iter().map(|room| i64::try_from(room.slots).unwrap_or(i64::MAX)).collect();
        let floors_us: Vec<i64> = rooms.iter().map(|room| room.floor_us).collect();
        let runs_max: Vec<i64> =
            rooms.iter().map(|room| i64::try_from(room.run_max).unwrap_or(i64::MAX)).collect();
        let behind_max = i64::try_from(behind_max).unwrap_or(i64::MAX);
        let params: super::Params<'_> =
            &[&dispatcher.get(), &endpoint_nos, &slots, &floors_us, &passes_over, &runs_max, &behind_max];
        let rows = self.query(&CLAIM_DELIVERIES, params).await?;
        rows.iter().map(|row| due_claim(dispatcher, row)).collect()
    }

    /// `sql/statements/deliveries/find_claimable.sql`: the delivery that a claim of one for this endpoint would take.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_claimable(
        &self,
        no: EndpointNo,
        dispatcher: DispatcherId,
    ) -> Result<Option<DeliveryId>, StoreError> {
        let row = self.query_opt(&FIND_CLAIMABLE, &[&no.get(), &dispatcher.get()]).await?;
        row.map(|row| row.get("delivery_id").map(DeliveryId::new)).transpose()
    }

    /// `sql/statements/deliveries/settle_deliveries.sql`. A delivery that is neither settled nor held up had lost its claim.
    /// `attempted` is sorted by delivery. `finished` are claims that hold nothing after this.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is written, unless the answer was lost; a second call is harmless.
    pub async fn settle_deliveries(
        &self,
        attempted: &[Attempted],
        finished: &[ClaimId],
        locked: Locked,
    ) -> Result<Settled, StoreError> {
        let delivery_ids: Vec<i64> = attempted.iter().map(|a| a.delivery_id.get()).collect();
        let claim_ids: Vec<i64> = attempted.iter().map(|a| a.claim_id.get()).collect();
        let statuses: Vec<&str> = attempted.iter().map(|a| a.status.word()).collect();
        let delays_ms: Vec<Option<i64>> = attempted.iter().map(|a| a.status.delay().map(millis)).collect();
        let status_codes: Vec<Option<i16>> =
            attempted.iter().map(|a| a.status_code.and_then(|code| i16::try_from(code).ok())).collect();
        let errors: Vec<Option<&str>> = attempted.iter().map(|a| a.error.as_deref()).collect();
        let ages_ms: Vec<Option<i64>> = attempted.iter().map(|a| a.age.map(millis)).collect();
        let durations_ms: Vec<i32> =
            attempted.iter().map(|a| i32::try_from(a.duration.as_millis()).unwrap_or(i32::MAX)).collect();
        let are_plain: Vec<bool> = attempted.iter().map(|a| a.is_plain).collect();
        let excerpts: Vec<Option<&str>> = attempted.iter().map(|a| a.response_excerpt.as_deref()).collect();
        let finished: Vec<i64> = finished.iter().map(|id| id.get()).collect();
        let row = self
            .query_one(
                &SETTLE_DELIVERIES,
                &[
                    &delivery_ids,
                    &claim_ids,
                    &statuses,
                    &delays_ms,
                    &status_codes,
                    &errors,
                    &ages_ms,
                    &durations_ms,
                    &excerpts,
                    &are_plain,
                    &finished,
                    &(locked == Locked::Left),
                ],
            )
            .await?;
        let settled: i64 = row.get("settled")?;
        let held_up: Vec<i64> = row.get("held_up")?;
        Ok(Settled {
            count: usize::try_from(settled).unwrap_or_default(),
            held_up: held_up.into_iter().map(DeliveryId::new).collect(),
        })
    }

    /// `sql/statements/deliveries/release_deliveries.sql`: the deliveries that are not given back, because another transaction has
    /// locked them.
    ///
    /// # Errors
    /// [`StoreError`]: a second call is harmless.
    pub async fn release_deliveries(
        &self,
        given_back: &[GivenBack],
        finished: &[ClaimId],
    ) -> Result<Vec<DeliveryId>, StoreError> {
        let delivery_ids: Vec<i64> = given_back.iter().map(|g| g.delivery_id.get()).collect();
        let claim_ids: Vec<i64> = given_back.iter().map(|g| g.claim_id.get()).collect();
        let begun: Vec<bool> = given_back.iter().map(|g| g.begun).collect();
        let finished: Vec<i64> = finished.iter().map(|id| id.get()).collect();
        let rows = self.query(&RELEASE_DELIVERIES, &[&delivery_ids, &claim_ids, &begun, &finished]).await?;
        let mut held_up = Vec::new();
        for row in &rows {
            if row.get("is_held_up")? {
                held_up.push(DeliveryId::new(row.get("delivery_id")?));
            }
        }
        Ok(held_up)
    }
}

fn due_claim(held_by: DispatcherId, row: &Row) -> Result<DueClaim, StoreError> {
    let attempt: i32 = row.get("attempt")?;
    let attempts_before: i32 = row.get("attempts_before")?;
    let paced: i32 = row.get("paced")?;
    let payload_bytes: Option<i32> = row.get("payload_bytes")?;
    let head_id: Option<i64> = row.get("head_id")?;
    let place: Option<i64> = row.get("place")?;
    Ok(DueClaim {
        claimed: Claimed {
            delivery_id: DeliveryId::new(row.get("delivery_id")?),
            claim_id: ClaimId::new(row.get("claim_id")?),
            held_by,
            event_id: EventId::new(row.get("event_id")?),
            endpoint_no: EndpointNo::new(row.get("endpoint_no")?),
            attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
            attempts_before: u32::try_from(attempts_before).unwrap_or_default(),
            paced: u32::try_from(paced).unwrap_or_default(),
            is_newborn: false,
            in_lane: head_id.is_some(),
        },
        due_us: row.get("due_us")?,
        payload_bytes: payload_bytes.map(|bytes| u64::try_from(bytes).unwrap_or_default()),
        endpoint_version: row.endpoint_version()?,
        lane: head_id.map(DeliveryId::new).zip(place),
        is_behind: row.get("is_behind")?,
    })
}
