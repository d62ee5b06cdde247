//! The scheduler: which claimed delivery is attempted next, and how many more may be claimed. It is the one place where
//! limits are counted. It knows no SQL and no HTTP.
//!
//! ```text
//!            router, claimer          sender                     settler              recorder
//!               │      ▲               │  ▲   │                   │     │                │ ▲
//!       reserve │      │ how many      │  │   │ finish    outcome │     │ settled        │ │ unrecorded
//!               ▼      │       enqueue ▼  │   ▼                   ▼     ▼                ▼ │
//!   ┌─ Scheduler, one lock ────────────────────────────────────────────────────────────────────┐
//!   │ room      queues: per endpoint      turn      requests    circuit     claims   payload   │
//!   │           queue, slots, rate,                             breakers    (a lock  memory    │
//!   │           memory                                                      of its own)        │
//!   └──────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A delivery's way: `reserve` → claim in SQL → `enqueue` → `next` → attempt → `finish` → settle in SQL → `settled`.
//!
//! | caller | calls |
//! |---|---|
//! | router | `room`, `room_max`, `room_under_backpressure`, `reserve`, `unreserve`, `is_enabled` |
//! | claimer | `reserve`, `unreserve`, `run_max`, `room_behind`, `reserve_behind`, `take_stalled`, `claim_delay`, `is_served`, `set_circuits`, `is_probe_due`, `set_probing`, `set_probe_refused` |
//! | router and claimer, by `context.rs` | `set_endpoints`, `add_endpoints`, `unknown` |
//! | work loop | `room_changed`, `dispatcher_count`, claims: `unsettled` |
//! | sender | `take_memory`, `release_memory`, `enqueue`, `add_runners`, `next`, `finish`, `unreserve_place`, `unfinished`, `is_closed`, `is_held`, claims: `add` |
//! | settler | `note_outcome`, `note_unattempted`, `endpoint`, `set_gone`, `settled`, `release_room`, claims: `finished_by`, `settle` |
//! | circuit recorder | `unrecorded_came`, `take_unrecorded`, `restore_unrecorded`, `recorded`, `gone`, `endpoints_version`, `set_disabled`, `endpoint` |
//! | lease | `set_partition` |
//! | assembly, at a stop | `close`, `take_queued` |
//! | metrics page | `load`, `consecutive_failures` |
//!
//! Each part is a plain struct with one subject: [`room`], [`endpoint_queue`] (made of [`ready_queue`], [`slots`], [`rate`] and
//! a part of [`payload_memory`]), [`endpoint_queues`], [`turn`], [`requests`], [`claims`], and the circuit breakers of
//! [`crate::dispatcher::circuit_breaker`]. [`fairness`] and [`partition`] are the rules between endpoints and between
//! dispatchers. [`parts`] holds the motions that need several of them.

mod circuits;
mod claims;
mod endpoint_queue;
mod endpoint_queues;
mod fairness;
mod partition;
mod parts;
mod payload_memory;
mod rate;
mod ready_queue;
mod requests;
mod room;
mod slots;
mod turn;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Duration;

pub use self::claims::ClaimLedger;
use self::endpoint_queue::EndpointQueue;
pub use self::partition::Partition;
use self::parts::Parts;
pub use self::payload_memory::MEMORY_KIB_MAX;
pub use self::ready_queue::{EndpointNow, Next, Ready};
pub use self::requests::Unfinished;
pub use self::room::{Limits, Origin};
use crate::model::delivery::{ClaimId, Claimed};
use crate::model::endpoint::{Endpoint, EndpointNo};

/// How full a scheduler is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Attempts begun and not ended.
    pub in_flight: usize,
    /// Deliveries claimed and not settled, and room reserved for claims.
    pub held: usize,
}

/// What became of a lane after an attempt.
#[derive(Debug, Default)]
pub struct Finished {
    /// Whether the next delivery of the lane is queued.
    pub is_followed: bool,
    /// What followed, and is to be released.
    pub released: Vec<Claimed>,
}

/// Queues and limits of this dispatcher.
#[derive(Debug)]
pub struct Scheduler {
    parts: Mutex<Parts>,
    claims: ClaimLedger,
    /// Notified when room is free again.
    room: Notify,
    /// Notified when there is something to record.
    unrecorded: Notify,
}

impl Scheduler {
    /// A scheduler without endpoints.
    pub fn new(limits: Limits) -> Self {
        Self {
            parts: Mutex::new(Parts::new(limits)),
            claims: ClaimLedger::default(),
            room: Notify::new(),
            unrecorded: Notify::new(),
        }
    }

    /// The claims that are not settled.
    pub fn claims(&self) -> &ClaimLedger {
        &self.claims
    }

    /// How full it is.
    pub fn load(&self) -> Load {
        let parts = self.lock();
        Load { in_flight: parts.requests.count(), held: parts.room.held() }
    }

    // Endpoints.

    /// Takes over a new set of endpoints. Returns the queues of endpoints that are not attempted any more.
    pub fn set_endpoints(&self, endpoints: impl Iterator<Item = Arc<Endpoint>>) -> Vec<Claimed> {
        self.lock().set_endpoints(endpoints)
    }

    /// Takes over further endpoints.
    pub fn add_endpoints(&self, endpoints: Vec<Arc<Endpoint>>) {
        self.lock().queues.add(endpoints);
    }

    /// Those of these endpoints that were never taken over.
    pub fn unknown(&self, nos: impl Iterator<Item = EndpointNo>) -> Vec<EndpointNo> {
        let parts = self.lock();
        nos.filter(|no| parts.queues.get(*no).is_none()).collect()
    }

    /// How often [`Self::set_endpoints`] was called: to be read before an endpoint is disabled in the database.
    pub fn endpoints_version(&self) -> u64 {
        self.lock().queues.version()
    }

    /// This dispatcher's part of each endpoint's limits from now on; returns the one before.
    pub fn set_partition(&self, partition: Partition) -> Partition {
        self.lock().queues.set_partition(partition)
    }

    /// How many dispatchers share the endpoints, this one included.
    pub fn dispatcher_count(&self) -> u32 {
        self.lock().queues.partition().count
    }

    /// The endpoint as it is now.
    pub fn endpoint(&self, no: EndpointNo) -> Option<Arc<Endpoint>> {
        Some(self.lock().queues.get(no)?.endpoint())
    }

    /// Whether deliveries to this endpoint are attempted.
    pub fn is_enabled(&self, no: EndpointNo) -> bool {
        self.lock().queues.get(no).is_some_and(EndpointQueue::is_enabled)
    }

    /// Whether they are, and this dispatcher has a slot for it.
    pub fn is_served(&self, no: EndpointNo) -> bool {
        self.lock().queues.get(no).is_some_and(EndpointQueue::is_served)
    }

    /// An endpoint answered 410 and is to be disabled: nothing more is claimed or begun for it.
    pub fn set_gone(&self, no: EndpointNo) {
        if self.lock().queues.set_gone(no) {
            self.unrecorded.notify_one();
        }
    }

    /// Endpoints that answered 410 and are not disabled in the database yet.
    pub fn gone(&self) -> Vec<EndpointNo> {
        self.lock().queues.gone()
    }

    /// An endpoint is disabled in the database. Its queue is released when the endpoints are read again. If they were read
    /// since `as_of`, they are believed: somebody may have resumed it meanwhile.
    pub fn set_disabled(&self, no: EndpointNo, as_of: u64) {
        self.lock().queues.set_disabled(no, as_of);
    }

    /// Failed attempts of an endpoint since its last success, as far as this dispatcher made them.
    pub fn consecutive_failures(&self, no: EndpointNo) -> u32 {
        self.lock().queues.get(no).map_or(0, EndpointQueue::consecutive_failures)
    }

    // Room for claims.

    /// How many more deliveries may be claimed, whatever the endpoint.
    pub fn room(&self) -> usize {
        let parts = self.lock();
        if parts.is_closed { 0 } else { parts.room.left() }
    }

    /// How many it could hold if it were empty.
    pub fn room_max(&self) -> usize {
        self.lock().room.max()
    }

    /// The room that is left to an endpoint whose own limits would let it take more: it answers fast, and has more as soon as
    /// something is settled. `None` if its own limits are the lower ones.
    pub fn room_under_backpressure(&self, no: EndpointNo) -> Option<usize> {
        self.lock().room_under_backpressure(no)
    }

    /// How long an endpoint's rate limit and its circuit forbid to claim. `None` if they do not.
    pub fn claim_delay(&self, no: EndpointNo) -> Option<Duration> {
        let parts = self.lock();
        parts.queues.get(no)?.claim_delay(parts.circuits.get(no))
    }

    /// Reserves room for up to `wanted` deliveries of an endpoint before they are claimed; returns how many.
    ///
    /// One endpoint may hold at most as much as it leaves to the others, and deliveries that waited three quarters of the
    /// room.
    pub fn reserve(&self, no: EndpointNo, wanted: usize, origin: Origin) -> usize {
        self.lock().reserve(no, wanted, origin)
    }

    /// How many deliveries the head of a lane of this endpoint may take along.
    pub fn run_max(&self, no: EndpointNo) -> usize {
        self.lock().run_max(no)
    }

    /// The room for what heads of lanes take along: half of what is left.
    pub fn room_behind(&self) -> usize {
        self.lock().room.left_for(Origin::Waited) / 2
    }

    /// Reserves room for what a claim took along behind heads of lanes.
    pub fn reserve_behind(&self, no: EndpointNo, count: usize) {
        self.lock().reserve_behind(no, count);
    }

    /// Takes back a reservation for which nothing was claimed.
    pub fn unreserve(&self, no: EndpointNo, count: usize) {
        let mut parts = self.lock();
        parts.room.release(count);
        if let Some(queue) = parts.queues.get_mut(no) {
            queue.unreserve(count);
        }
        drop(parts);
        self.room.notify_one();
    }

    /// Takes back the place in the queue of a delivery that was claimed and will not be queued. It keeps its room until it is
    /// settled.
    pub fn unreserve_place(&self, no: EndpointNo) {
        if let Some(queue) = self.lock().queues.get_mut(no) {
            queue.unreserve(1);
        }
    }

    /// These deliveries, named by their claims, are settled or released: their room is free.
    pub fn settled(&self, settled: &[ClaimId]) {
        self.release_room(settled.len());
        self.claims.settle(settled);
    }

    /// Frees the room of deliveries that cannot be settled for now. Their claims stay known.
    pub fn release_room(&self, count: usize) {
        self.lock().room.release(count);
        self.room.notify_one();
    }

    /// Waits until room was freed since the last wait.
    ///
    /// # Cancel safety
    /// A wake-up is kept for the next call.
    pub async fn room_changed(&self) {
        self.room.notified().await;
    }

    /// Takes memory for the payload of an event from the parts of the endpoints it goes to. Returns the endpoints that have
    /// no part left for it; and the memory, unless no endpoint has, or there is none at the moment.
    pub fn take_memory(
        &self,
        payload_kib: u32,
        endpoints: &[EndpointNo],
    ) -> (Vec<EndpointNo>, Option<OwnedSemaphorePermit>) {
        self.lock().take_memory(payload_kib, endpoints)
    }

    /// Gives an endpoint's part back for a payload that will not be queued.
    pub fn release_memory(&self, no: EndpointNo, payload_kib: u32) {
        if let Some(queue) = self.lock().queues.get_mut(no) {
            queue.memory().release(payload_kib);
        }
    }

    // Attempts.

    /// Queues claimed deliveries, each of which was reserved. Returns how many runners to start for them.
    pub fn enqueue(&self, ready: Vec<Ready>) -> usize {
        let mut parts = self.lock();
        parts.enqueue(ready);
        parts.add_runners()
    }

    /// How many runners to start for attempts that can be started.
    pub fn add_runners(&self) -> usize {
        self.lock().add_runners()
    }

    /// The next attempt for a runner. `None` ends the runner, which is already counted as ended.
    pub fn next(&self) -> Option<Next> {
        self.lock().start_next()
    }

    /// An attempt ended, after so long: its slot is free. What follows it in its lane takes its turn, if the lane goes on.
    pub fn finish(&self, claimed: &Claimed, goes_on: bool, took: Duration) -> Finished {
        self.lock().finish(claimed, goes_on, took)
    }

    /// Attempts that were begun and did not end, and what waits behind them.
    pub fn unfinished(&self) -> Unfinished {
        self.lock().requests.unfinished()
    }

    /// Takes the queues of endpoints that hang: to be released, so that others have the room.
    pub fn take_stalled(&self) -> Vec<Claimed> {
        self.lock().take_stalled()
    }

    /// Takes all queues: to be released when the dispatcher stops.
    pub fn take_queued(&self) -> Vec<Claimed> {
        self.lock().take_queued()
    }

    /// Nothing is begun or claimed from now on, even by a step that is under way.
    pub fn close(&self) {
        let mut parts = self.lock();
        parts.is_closed = true;
        parts.turn.clear();
    }

    /// Whether nothing is begun any more.
    pub fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    fn lock(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
