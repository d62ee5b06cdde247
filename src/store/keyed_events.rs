//! Statements about events with a key, while an endpoint is ordered; and about the lanes that their deliveries are in.

use super::events::{UnroutedEvent, unrouted_event};
use super::row::Row;
use super::statements::{FIND_KEYED, OPEN_LANES, SWEEP_LANES};
use super::{Params, Store, StoreError};
use crate::model::endpoint::EndpointNo;
use crate::model::event::EventId;

/// A look for unrouted events with a key.
#[derive(Clone, Copy, Debug)]
pub struct KeyedLook<'a> {
    /// Every event of a transaction below this one (`xid8`) is routed.
    pub from_xid: u64,
    /// Only what came into sight since then (a `pg_snapshot`). `None`: all that is in sight.
    pub seen: Option<&'a str>,
    /// Only events with lower ids.
    pub below: i64,
    /// None of these.
    pub known: &'a [i64],
    /// The lowest, at most so many: 1 to 100,000.
    pub events_max: usize,
}

/// The result of a look for unrouted events with a key.
#[derive(Clone, Debug)]
pub struct KeyedFound {
    /// What was in sight (a `pg_snapshot`). The next look begins with what came since.
    pub seen: String,
    /// The lowest ids, sorted. As many as were asked for: there may be more, with higher ids.
    pub ids: Vec<i64>,
}

/// What became of the events that were asked for. An event that is in neither list is routed, refused or deleted.
#[derive(Debug, Default)]
pub struct ClaimedKeyed {
    /// Locked by this transaction; in order of their ids.
    pub events: Vec<UnroutedEvent>,
    /// Locked by somebody else, or refused, with the hashes of their keys; in order of their ids.
    pub held: Vec<(i64, i64)>,
}

/// A place in the order of lanes: an endpoint and a key. The default is before the first.
#[derive(Clone, Debug, Default)]
pub struct LanePlace {
    endpoint_no: i32,
    /// In the encoding of the database.
    lane: Vec<u8>,
}

/// The result of a sweep.
#[derive(Clone, Debug, Default)]
pub struct SweptLanes {
    /// Lanes to open, each named by one of its events.
    pub shut: Vec<(EndpointNo, EventId)>,
    /// An endpoint for each delivery that is due now.
    pub due: Vec<EndpointNo>,
    /// How many deliveries were taken out of lanes that they do not hold up.
    pub left: usize,
    /// Where the next call goes on. `None`: there are no more lanes.
    pub last: Option<LanePlace>,
    /// Whether there are lanes.
    pub is_any: bool,
}

impl Store {
    /// `sql/statements/events/find_keyed.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_keyed(&self, look: &KeyedLook<'_>) -> Result<KeyedFound, StoreError> {
        let events_max = i64::try_from(look.events_max).unwrap_or(i64::MAX);
        let from_xid = look.from_xid.to_string();
        let params: Params<'_> = &[&from_xid, &look.seen, &look.below, &look.known, &events_max];
        let row = self.query_one(&FIND_KEYED, params).await?;
        Ok(KeyedFound { seen: row.get("seen")?, ids: row.get("ids")? })
    }

    /// `sql/statements/lanes/open_lanes.sql`: an endpoint for each delivery that is due now.
    ///
    /// # Errors
    /// [`StoreError`]: a second call is harmless.
    pub async fn open_lanes(&self, lanes: &[(EndpointNo, EventId)]) -> Result<Vec<EndpointNo>, StoreError> {
        let event_ids: Vec<i64> = lanes.iter().map(|(_, id)| id.get()).collect();
        let endpoint_nos: Vec<i32> = lanes.iter().map(|(no, _)| no.get()).collect();
        let rows = self.query(&OPEN_LANES, &[&event_ids, &endpoint_nos]).await?;
        rows.iter().map(|row| row.get("endpoint_no").map(EndpointNo::new)).collect()
    }

    /// `sql/statements/lanes/sweep_lanes.sql`: looks at up to `lanes_max` lanes after a place; unless it `only_looks`, it takes deliveries
    /// out that hold up nothing.
    ///
    /// # Errors
    /// [`StoreError`]: a second call is harmless.
    pub async fn sweep_lanes(
        &self,
        lanes_max: i64,
        after: &LanePlace,
        only_looks: bool,
    ) -> Result<SweptLanes, StoreError> {
        let params: Params<'_> = &[&lanes_max, &after.endpoint_no, &after.lane, &!only_looks];
        let row = self.query_one(&SWEEP_LANES, params).await?;
        let (event_ids, nos): (Vec<i64>, Vec<i32>) = (row.get("shut_event_ids")?, row.get("shut_nos")?);
        let due: Vec<i32> = row.get("due_nos")?;
        let left: i64 = row.get("left")?;
        let last: (Option<i32>, Option<Vec<u8>>) = (row.get("last_no")?, row.get("last_lane")?);
        Ok(SweptLanes {
            shut: nos.into_iter().map(EndpointNo::new).zip(event_ids.into_iter().map(EventId::new)).collect(),
            due: due.into_iter().map(EndpointNo::new).collect(),
            left: usize::try_from(left).unwrap_or_default(),
            last: last.0.zip(last.1).map(|(endpoint_no, lane)| LanePlace { endpoint_no, lane }),
            is_any: row.get("is_any")?,
        })
    }
}

/// `None` if another transaction routes such events.
pub(super) fn claimed_keyed(rows: &[Row]) -> Result<Option<ClaimedKeyed>, StoreError> {
    let mut claimed = ClaimedKeyed::default();
    for row in rows {
        if !row.get::<bool>("is_alone")? {
            return Ok(None);
        }
        match row.get::<Option<i64>>("id")? {
            Some(id) if row.get("is_held")? => claimed.held.push((id, row.get("key_hash")?)),
            Some(_) => claimed.events.push(unrouted_event(row)?),
            None => {}
        }
    }
    claimed.events.sort_by_key(|event| event.id);
    claimed.held.sort_unstable();
    Ok(Some(claimed))
}
