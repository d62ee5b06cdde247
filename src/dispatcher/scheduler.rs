//! What this dispatcher holds: per endpoint a queue of claimed deliveries, its slots and its pace; and how much more
//! it may claim. The one place where limits are counted. Knows no SQL and no HTTP.
//!
//! ```text
//!  route, dispatch ──reserve──> claim in SQL ──admit──> queue ──next──> attempt ──finish──> settle ──settled──> room
//! ```

mod circuit;
mod claims;
mod endpoint_queue;
mod fairness;
mod health;
mod partition;
mod payload_memory;
mod unrecorded;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Duration, Instant};

use self::endpoint_queue::EndpointQueue;
pub use self::partition::Partition;
pub use self::payload_memory::MEMORY_KIB_MAX;
pub use self::unrecorded::Unrecorded;
use crate::model::delivery::{ClaimId, Claimed, DeliveryId};
use crate::model::endpoint::{Endpoint, EndpointNo};
use crate::model::event::Event;

/// Limits of one dispatcher as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests under way at once.
    pub in_flight_max: usize,
    /// Deliveries claimed and not settled: under way, queued, or waiting to be settled.
    pub held_max: usize,
}

impl Limits {
    /// Limits for so many requests at once: eight times as many may be held, so that claims and settles come in large
    /// batches and never idle a slot.
    pub fn for_in_flight(in_flight_max: usize) -> Self {
        Self { in_flight_max, held_max: in_flight_max.saturating_mul(8).max(64) }
    }
}

/// How full a scheduler is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Sender begun and not ended.
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
    /// Whether there is work for another runner, which is already counted as running.
    pub has_more: bool,
}

/// The counters of this dispatcher.
#[derive(Debug)]
pub struct Scheduler {
    limits: Limits,
    inner: Mutex<Inner>,
    room: Notify,
    /// Something is to be put on record.
    news: Notify,
    /// KiB of payloads that may still be loaded.
    memory: Arc<Semaphore>,
}

#[derive(Debug)]
struct Inner {
    queues: HashMap<EndpointNo, EndpointQueue>,
    /// Endpoint queues that can start an attempt now; each at most once, served in turn.
    startable: VecDeque<EndpointNo>,
    /// Endpoint queues that could start an attempt, were it not for what others need; by what they have under way.
    blocked: BTreeSet<(usize, EndpointNo)>,
    /// Endpoint queues with requests under way.
    active: BTreeSet<EndpointNo>,
    /// Endpoint queues with something to put on record.
    with_news: BTreeSet<EndpointNo>,
    /// Endpoint queues with something on record, or whose circuit is not closed.
    failing: BTreeSet<EndpointNo>,
    /// Endpoints that answered 410 and are not disabled in the database yet.
    gone: BTreeSet<EndpointNo>,
    /// Sender under way, and the memory of their payloads in KiB.
    begun: HashMap<DeliveryId, (Claimed, u32)>,
    /// Unsettled deliveries per claim.
    claims: HashMap<ClaimId, usize>,
    runners: usize,
    held: usize,
    share: Partition,
    /// How often the endpoints were taken over.
    endpoints_read: u64,
    closed: bool,
}

impl Scheduler {
    /// An empty scheduler.
    pub fn new(limits: Limits) -> Self {
        let inner = Inner {
            queues: HashMap::new(),
            startable: VecDeque::new(),
            blocked: BTreeSet::new(),
            active: BTreeSet::new(),
            with_news: BTreeSet::new(),
            failing: BTreeSet::new(),
            gone: BTreeSet::new(),
            begun: HashMap::new(),
            claims: HashMap::new(),
            runners: 0,
            held: 0,
            share: Partition::WHOLE,
            endpoints_read: 0,
            closed: false,
        };
        let memory = Arc::new(Semaphore::new(MEMORY_KIB_MAX.try_into().unwrap_or(usize::MAX)));
        Self { limits, inner: Mutex::new(inner), room: Notify::new(), news: Notify::new(), memory }
    }

    /// Takes over a new set of endpoints. Returns what was queued for endpoints that are not enabled any more.
    pub fn set_endpoints(&self, endpoints: impl Iterator<Item = Arc<Endpoint>>) -> Vec<Claimed> {
        let mut inner = self.lock();
        inner.endpoints_read += 1;
        let mut known: HashMap<EndpointNo, Arc<Endpoint>> = endpoints.map(|e| (e.no, e)).collect();
        let mut unwanted = Vec::new();
        inner.queues.retain(|no, queue| {
            let endpoint = known.remove(no);
            if endpoint.as_ref().is_none_or(|e| !e.is_attempted()) {
                unwanted.extend(queue.take_queue());
            }
            let Some(endpoint) = endpoint else {
                return !queue.is_unused();
            };
            queue.set_endpoint(endpoint);
            true
        });
        let share = inner.share;
        inner
            .queues
            .extend(known.into_iter().map(|(no, endpoint)| (no, EndpointQueue::new(endpoint, share))));
        unwanted
    }

    /// This dispatcher's part of each endpoint's limits from now on; returns what it was before.
    pub fn set_share(&self, share: Partition) -> Partition {
        let mut inner = self.lock();
        let before = std::mem::replace(&mut inner.share, share);
        if before != share {
            for queue in inner.queues.values_mut() {
                queue.set_share(share);
            }
        }
        before
    }

    /// How many dispatchers share the endpoints, this one included.
    pub fn sharers(&self) -> u32 {
        self.lock().share.of
    }

    /// Failed attempts of an endpoint since the last one that succeeded, as far as this dispatcher made them.
    pub fn consecutive_failures(&self, no: EndpointNo) -> u32 {
        self.lock().queues.get(&no).map_or(0, EndpointQueue::consecutive_failures)
    }

    /// How full it is.
    pub fn load(&self) -> Load {
        let inner = self.lock();
        Load { in_flight: inner.begun.len(), held: inner.held }
    }

    /// How many more deliveries may be claimed, whatever the endpoint.
    pub fn room(&self) -> usize {
        let inner = self.lock();
        if inner.closed {
            return 0;
        }
        self.limits.held_max.saturating_sub(inner.held)
    }

    /// How many more it could hold if it were empty.
    pub fn room_max(&self) -> usize {
        self.limits.held_max
    }

    /// Reserves room for up to `wanted` deliveries of an endpoint before they are claimed; returns how many.
    ///
    /// One endpoint may hold as much as it leaves to others, and what has waited three quarters: a backlog that is worked
    /// off leaves room for new events of others.
    pub fn reserve(&self, no: EndpointNo, wanted: usize, origin: Origin) -> usize {
        let mut inner = self.lock();
        if inner.closed {
            return 0;
        }
        let held_max = match origin {
            Origin::New => self.limits.held_max,
            Origin::Waited => self.limits.held_max / 4 * 3,
        };
        let wanted = wanted.min(held_max.saturating_sub(inner.held));
        let free = self.free(&inner, no);
        let Some(queue) = inner.queues.get_mut(&no) else {
            return 0;
        };
        let reserved = queue.reserve(wanted, free);
        inner.held += reserved;
        reserved
    }

    /// Gives back reservations that no claim came of.
    pub fn unreserve(&self, no: EndpointNo, count: usize) {
        let mut inner = self.lock();
        inner.held = inner.held.saturating_sub(count);
        if let Some(queue) = inner.queues.get_mut(&no) {
            queue.unreserve(count);
        }
        self.room.notify_one();
    }

    /// A reserved delivery was claimed but will not be queued: it is held until it is given back.
    pub fn unreserve_queue(&self, no: EndpointNo) {
        if let Some(queue) = self.lock().queues.get_mut(&no) {
            queue.unreserve(1);
        }
    }

    /// Queues claimed deliveries, each of which was reserved. Returns how many runners to start for them.
    pub fn admit(&self, ready: Vec<Ready>) -> usize {
        let mut inner = self.lock();
        for item in ready {
            let no = item.claimed.endpoint_no;
            if let Some(queue) = inner.queues.get_mut(&no) {
                queue.push(item);
            }
            inner.offer(no);
        }
        self.count_runners(&mut inner)
    }

    /// How many runners to start for what can be started.
    pub fn start_runners(&self) -> usize {
        self.count_runners(&mut self.lock())
    }

    /// One for each endpoint that can start an attempt; where there is more to start, each starts another.
    fn count_runners(&self, inner: &mut Inner) -> usize {
        let runners = inner.startable.len().min(self.limits.in_flight_max.saturating_sub(inner.runners));
        inner.runners += runners;
        runners
    }

    /// The next attempt for a runner; none: the runner ends, and is already counted as ended.
    pub fn next(&self) -> Option<Next> {
        let mut inner = self.lock();
        while let Some(no) = inner.startable.pop_front() {
            let leaves_room = self.leaves_room(&inner, no);
            let Some(queue) = inner.queues.get_mut(&no) else {
                continue;
            };
            queue.is_offered = false;
            if queue.can_start() && !leaves_room {
                let in_flight = queue.in_flight();
                queue.blocked_at = Some(in_flight);
                inner.blocked.insert((in_flight, no));
                continue;
            }
            let Some((ready, start_at)) = queue.start() else {
                continue;
            };
            let endpoint = queue.endpoint();
            inner.begun.insert(ready.claimed.delivery_id, (ready.claimed, ready.payload_kib));
            inner.active.insert(no);
            inner.offer(no);
            let has_more = !inner.startable.is_empty() && inner.runners < self.limits.in_flight_max;
            inner.runners += usize::from(has_more);
            return Some(Next { ready, endpoint, start_at, has_more });
        }
        inner.runners = inner.runners.saturating_sub(1);
        None
    }

    /// An attempt ended: its slot is free.
    pub fn finish(&self, claimed: &Claimed) {
        let mut inner = self.lock();
        let begun = inner.begun.remove(&claimed.delivery_id);
        if let Some(queue) = inner.queues.get_mut(&claimed.endpoint_no) {
            queue.finish(begun.map_or(0, |(_, payload_kib)| payload_kib));
            if queue.in_flight() == 0 {
                inner.active.remove(&claimed.endpoint_no);
            }
        }
        inner.unblock(claimed.endpoint_no);
        // A request is free: whoever has the fewest is looked at again.
        if let Some((_, fewest)) = inner.blocked.first().copied() {
            inner.unblock(fewest);
        }
    }

    /// What is queued for endpoints that hang: to be given back, so that others have the room.
    pub fn shed(&self) -> Vec<Claimed> {
        self.lock().queues.values_mut().flat_map(EndpointQueue::shed).collect()
    }

    /// In how long an endpoint's rate limit and its circuit let another delivery be claimed; none: they do not stand in the
    /// way.
    pub fn claim_delay(&self, no: EndpointNo) -> Option<Duration> {
        self.lock().queues.get(&no)?.claim_delay()
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
        inner.blocked.clear();
    }

    /// Whether nothing is begun any more.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// What is queued and will not be begun.
    pub fn take_queued(&self) -> Vec<Claimed> {
        let mut inner = self.lock();
        let queued: Vec<Claimed> = inner.queues.values_mut().flat_map(EndpointQueue::take_queue).collect();
        queued
    }

    /// Sender that were begun and did not end.
    pub fn begun(&self) -> Vec<Claimed> {
        self.lock().begun.values().map(|(claimed, _)| *claimed).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Puts a queue into the turn if it can start an attempt and does not stand there yet.
    fn offer(&mut self, no: EndpointNo) {
        let Some(queue) = self.queues.get_mut(&no) else {
            return;
        };
        if !self.closed && !queue.is_offered && queue.blocked_at.is_none() && queue.can_start() {
            queue.is_offered = true;
            self.startable.push_back(no);
        }
    }

    /// Looks at a queue again, whether it was blocked or not.
    fn unblock(&mut self, no: EndpointNo) {
        if let Some(queue) = self.queues.get_mut(&no)
            && let Some(in_flight) = queue.blocked_at.take()
        {
            self.blocked.remove(&(in_flight, no));
        }
        self.offer(no);
    }
}
