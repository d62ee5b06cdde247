//! What this dispatcher holds: per endpoint a queue of claimed deliveries, its slots and its pace; and how much more
//! it may claim. The one place where limits are counted. Knows no SQL and no HTTP.
//!
//! ```text
//!  route, dispatch ──reserve──> claim in SQL ──admit──> queue ──next──> attempt ──finish──> settle ──settled──> room
//! ```

mod lane;
mod memory;
mod share;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Duration, Instant};

use self::lane::Lane;
pub use self::memory::MEMORY_KIB_MAX;
pub use self::share::Share;
use crate::delivery::{ClaimId, Claimed, DeliveryId};
use crate::endpoint::{Endpoint, EndpointNo, EndpointState};
use crate::event::Event;

/// Limits of one dispatcher as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests under way at once.
    pub in_flight_max: usize,
    /// Deliveries claimed and not settled: under way, queued, or waiting to be settled.
    pub held_max: usize,
}

impl Limits {
    /// Limits for so many requests at once: four times as many may be held, so that settling never idles a slot.
    pub fn for_in_flight(in_flight_max: usize) -> Self {
        Self { in_flight_max, held_max: in_flight_max.saturating_mul(4).max(64) }
    }
}

/// How full a desk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Attempts begun and not ended.
    pub in_flight: usize,
    /// Deliveries claimed and not settled, and room reserved for claims.
    pub held: usize,
}

/// Where a delivery comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From an event that is being routed.
    New,
    /// It was pending.
    Waited,
}

/// A claimed delivery with all that its attempt needs.
#[derive(Debug)]
pub struct Ready {
    /// The right to attempt it.
    pub claimed: Claimed,
    /// What to send; none: the event was deleted.
    pub event: Option<Arc<Event>>,
    /// What its payload counts in memory.
    pub payload_kib: u32,
}

/// The next attempt to make.
#[derive(Debug)]
pub struct Next {
    /// What.
    pub ready: Ready,
    /// Where to, as it stands now.
    pub endpoint: Arc<Endpoint>,
    /// Not before, by the endpoint's rate limit.
    pub start_at: Instant,
}

/// The counters of this dispatcher.
#[derive(Debug)]
pub struct Desk {
    limits: Limits,
    inner: Mutex<Inner>,
    room: Notify,
    /// KiB of payloads that may still be loaded.
    memory: Arc<Semaphore>,
}

#[derive(Debug)]
struct Inner {
    lanes: HashMap<EndpointNo, Lane>,
    /// Lanes that can start an attempt now; each at most once, served in turn.
    startable: VecDeque<EndpointNo>,
    /// Attempts under way, and the memory of their payloads in KiB.
    begun: HashMap<DeliveryId, (Claimed, u32)>,
    /// Unsettled deliveries per claim.
    claims: HashMap<ClaimId, usize>,
    runners: usize,
    held: usize,
    /// What a payload that found no memory needs, in KiB: until there is so much, nothing more is claimed.
    memory_wanted: u32,
    share: Share,
    closed: bool,
}

impl Desk {
    /// An empty desk.
    pub fn new(limits: Limits) -> Self {
        let inner = Inner {
            lanes: HashMap::new(),
            startable: VecDeque::new(),
            begun: HashMap::new(),
            claims: HashMap::new(),
            runners: 0,
            held: 0,
            memory_wanted: 0,
            share: Share::WHOLE,
            closed: false,
        };
        let memory = Arc::new(Semaphore::new(MEMORY_KIB_MAX.try_into().unwrap_or(usize::MAX)));
        Self { limits, inner: Mutex::new(inner), room: Notify::new(), memory }
    }

    /// Takes over a new set of endpoints. Returns what was queued for endpoints that are not enabled any more.
    pub fn set_endpoints(&self, endpoints: impl Iterator<Item = Arc<Endpoint>>) -> Vec<Claimed> {
        let mut inner = self.lock();
        let mut known: HashMap<EndpointNo, Arc<Endpoint>> = endpoints.map(|e| (e.no, e)).collect();
        let mut unwanted = Vec::new();
        inner.lanes.retain(|no, lane| {
            let endpoint = known.remove(no);
            if endpoint.as_ref().is_none_or(|e| e.state != EndpointState::Enabled) {
                unwanted.extend(lane.take_queue());
            }
            let Some(endpoint) = endpoint else {
                return !lane.is_unused();
            };
            lane.set_endpoint(endpoint);
            true
        });
        let share = inner.share;
        inner.lanes.extend(known.into_iter().map(|(no, endpoint)| (no, Lane::new(endpoint, share))));
        unwanted
    }

    /// This dispatcher's part of each endpoint's limits from now on; returns what it was before.
    pub fn set_share(&self, share: Share) -> Share {
        let mut inner = self.lock();
        let before = std::mem::replace(&mut inner.share, share);
        if before != share {
            for lane in inner.lanes.values_mut() {
                lane.set_share(share);
            }
        }
        before
    }

    /// How many dispatchers share the endpoints, this one included.
    pub fn sharers(&self) -> u32 {
        self.lock().share.of
    }

    /// Counts an outcome of an endpoint, and returns the endpoint as it stands now.
    pub fn note_outcome(&self, no: EndpointNo, is_success: bool) -> Option<Arc<Endpoint>> {
        self.lock().lanes.get_mut(&no).map(|lane| {
            lane.note_outcome(is_success);
            lane.endpoint()
        })
    }

    /// Failed attempts of an endpoint since the last one that succeeded, as far as this dispatcher made them.
    pub fn consecutive_failures(&self, no: EndpointNo) -> u32 {
        self.lock().lanes.get(&no).map_or(0, Lane::consecutive_failures)
    }

    /// How full it is.
    pub fn load(&self) -> Load {
        let inner = self.lock();
        Load { in_flight: inner.begun.len(), held: inner.held }
    }

    /// How many more deliveries may be claimed, whatever the endpoint.
    pub fn room(&self) -> usize {
        let mut inner = self.lock();
        if inner.closed || !self.has_memory(&mut inner) {
            return 0;
        }
        self.limits.held_max.saturating_sub(inner.held)
    }

    /// Reserves room for up to `wanted` deliveries of an endpoint before they are claimed; returns how many.
    ///
    /// One endpoint may hold half of the room, and what has waited three quarters: a backlog that is worked off leaves
    /// room for new events of others.
    pub fn reserve(&self, no: EndpointNo, wanted: usize, origin: Origin) -> usize {
        let mut inner = self.lock();
        if inner.closed || !self.has_memory(&mut inner) {
            return 0;
        }
        let held_max = match origin {
            Origin::New => self.limits.held_max,
            Origin::Waited => self.limits.held_max / 4 * 3,
        };
        let free = held_max.saturating_sub(inner.held);
        let Some(lane) = inner.lanes.get_mut(&no) else {
            return 0;
        };
        let reserved = lane.reserve(wanted.min(free), self.limits.held_max / 2);
        inner.held += reserved;
        reserved
    }

    /// Gives back reservations that no claim came of.
    pub fn unreserve(&self, no: EndpointNo, count: usize) {
        let mut inner = self.lock();
        inner.held = inner.held.saturating_sub(count);
        if let Some(lane) = inner.lanes.get_mut(&no) {
            lane.unreserve(count);
        }
        self.room.notify_one();
    }

    /// A reserved delivery was claimed but will not be queued: it is held until it is given back.
    pub fn unreserve_lane(&self, no: EndpointNo) {
        if let Some(lane) = self.lock().lanes.get_mut(&no) {
            lane.unreserve(1);
        }
    }

    /// An endpoint answered 410 and is being disabled: nothing more is claimed or begun for it.
    pub fn set_gone(&self, no: EndpointNo) {
        if let Some(lane) = self.lock().lanes.get_mut(&no) {
            lane.set_gone(true);
        }
    }

    /// It is disabled in the database now; what is queued for it goes back when the endpoints are read again.
    pub fn set_disabled(&self, no: EndpointNo) {
        if let Some(lane) = self.lock().lanes.get_mut(&no) {
            lane.disable();
            lane.set_gone(false);
        }
    }

    /// Whether deliveries to this endpoint are attempted.
    pub fn is_enabled(&self, no: EndpointNo) -> bool {
        self.lock().lanes.get(&no).is_some_and(Lane::is_enabled)
    }

    /// Whether they are, and this dispatcher has a slot for it.
    pub fn is_served(&self, no: EndpointNo) -> bool {
        self.lock().lanes.get(&no).is_some_and(Lane::is_served)
    }

    /// Notes claims as soon as they are known, so that none is taken for a stray.
    pub fn note_claims(&self, claims: impl Iterator<Item = ClaimId>) {
        let mut inner = self.lock();
        for claim in claims {
            *inner.claims.entry(claim).or_default() += 1;
        }
    }

    /// Queues claimed deliveries, each of which was reserved. Returns how many runners to start for them.
    pub fn admit(&self, ready: Vec<Ready>) -> usize {
        let mut inner = self.lock();
        let admitted = ready.len();
        for item in ready {
            let no = item.claimed.endpoint_no;
            if let Some(lane) = inner.lanes.get_mut(&no) {
                lane.push(item);
            }
            inner.offer(no);
        }
        let runners = admitted.min(self.limits.in_flight_max.saturating_sub(inner.runners));
        inner.runners += runners;
        runners
    }

    /// The next attempt for a runner; none: the runner ends, and is already counted as ended.
    pub fn next(&self) -> Option<Next> {
        let mut inner = self.lock();
        while let Some(no) = inner.startable.pop_front() {
            let Some(lane) = inner.lanes.get_mut(&no) else {
                continue;
            };
            lane.is_offered = false;
            let Some((ready, start_at)) = lane.start() else {
                continue;
            };
            let endpoint = lane.endpoint();
            inner.begun.insert(ready.claimed.delivery_id, (ready.claimed, ready.payload_kib));
            inner.offer(no);
            return Some(Next { ready, endpoint, start_at });
        }
        inner.runners = inner.runners.saturating_sub(1);
        None
    }

    /// An attempt ended: its slot is free.
    pub fn finish(&self, claimed: &Claimed) {
        let mut inner = self.lock();
        let begun = inner.begun.remove(&claimed.delivery_id);
        if let Some(lane) = inner.lanes.get_mut(&claimed.endpoint_no) {
            lane.finish(begun.map_or(0, |(_, payload_kib)| payload_kib));
        }
        inner.offer(claimed.endpoint_no);
    }

    /// Claims of which nothing is left once these deliveries, named by their claims, are settled.
    pub fn finishing(&self, settling: &[ClaimId]) -> Vec<ClaimId> {
        let mut counts: HashMap<ClaimId, usize> = HashMap::new();
        for claim in settling {
            *counts.entry(*claim).or_default() += 1;
        }
        let inner = self.lock();
        counts.retain(|claim, n| inner.claims.get(claim).is_some_and(|left| left <= n));
        counts.into_keys().collect()
    }

    /// These deliveries, named by their claims, are settled or given back: there is room again.
    pub fn settled(&self, settled: &[ClaimId]) {
        let mut inner = self.lock();
        for claim in settled {
            inner.held = inner.held.saturating_sub(1);
            if let Some(left) = inner.claims.get_mut(claim) {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    inner.claims.remove(claim);
                }
            }
        }
        drop(inner);
        self.room.notify_one();
    }

    /// What is queued for endpoints that hang: to be given back, so that others have the room.
    pub fn shed(&self) -> Vec<Claimed> {
        self.lock().lanes.values_mut().flat_map(Lane::shed).collect()
    }

    /// Claims with unsettled deliveries.
    pub fn known_claims(&self) -> Vec<ClaimId> {
        self.lock().claims.keys().copied().collect()
    }

    /// In how long an endpoint's rate limit lets another delivery be claimed; none: it does not stand in the way.
    pub fn pace_delay(&self, no: EndpointNo) -> Option<Duration> {
        self.lock().lanes.get(&no)?.pace_delay()
    }

    /// Waits until something was settled since the last wait.
    ///
    /// # Cancel safety
    /// A wake-up is kept for the next call.
    pub async fn room_changed(&self) {
        self.room.notified().await;
    }

    /// Nothing is begun or claimed from now on, even by a round that is under way.
    pub fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.startable.clear();
    }

    /// What is queued and will not be begun.
    pub fn take_queued(&self) -> Vec<Claimed> {
        let mut inner = self.lock();
        let queued: Vec<Claimed> = inner.lanes.values_mut().flat_map(Lane::take_queue).collect();
        queued
    }

    /// Attempts that were begun and did not end.
    pub fn begun(&self) -> Vec<Claimed> {
        self.lock().begun.values().map(|(claimed, _)| *claimed).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Puts a lane into the turn if it can start an attempt and does not stand there yet.
    fn offer(&mut self, no: EndpointNo) {
        let Some(lane) = self.lanes.get_mut(&no) else {
            return;
        };
        if !self.closed && !lane.is_offered && lane.can_start() {
            lane.is_offered = true;
            self.startable.push_back(no);
        }
    }
}
