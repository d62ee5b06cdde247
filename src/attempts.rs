//! The attempts under way: loads what claimed deliveries send, runs them on as many runners as may be in flight, and
//! reports each outcome to `settle`. A runner holds no connection of the database.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::deliver::Deliverer;
use crate::delivery::Claimed;
use crate::desk::{Desk, Next, Ready};
use crate::event::{Event, EventId};
use crate::lease::Lease;
use crate::metrics::Metrics;
use crate::outcome::{Answer, NoAnswer, Outcome};
use crate::settle::Report;
use crate::store::{Store, one_line};

/// Payloads in memory, in KiB; a larger one has all of it to itself.
const PAYLOAD_KIB_MAX: u32 = 64 * 1024;
/// Payloads loaded by one statement, in KiB: they are in memory twice while it runs.
const CHUNK_KIB_MAX: u32 = 8 * 1024;

/// Runs attempts.
pub struct Attempts {
    store: Store,
    desk: Arc<Desk>,
    lease: Arc<Lease>,
    deliverer: Deliverer,
    outlets: Outlets,
    runners: Mutex<JoinSet<()>>,
    /// KiB of payloads that may still be loaded.
    memory: Arc<Semaphore>,
}

/// Who hears of attempts, and who ends them.
pub struct Outlets {
    /// Leads to `settle`.
    pub reports: mpsc::Sender<Report>,
    /// Counts what ended.
    pub metrics: Arc<Metrics>,
    /// Nothing waits for memory any more.
    pub stop: CancellationToken,
}

/// Claimed deliveries whose events are loaded together.
#[derive(Default)]
struct Chunk {
    permits: BTreeMap<EventId, OwnedSemaphorePermit>,
    claimed: Vec<Claimed>,
    kib: u32,
}

impl Chunk {
    fn add(&mut self, id: EventId, permit: OwnedSemaphorePermit, claimed: Vec<Claimed>, kib: u32) {
        self.permits.insert(id, permit);
        self.claimed.extend(claimed);
        self.kib += kib;
    }
}

impl Attempts {
    /// Nothing is under way yet.
    pub fn new(
        store: Store,
        desk: Arc<Desk>,
        lease: Arc<Lease>,
        deliverer: Deliverer,
        outlets: Outlets,
    ) -> Arc<Self> {
        let memory = Arc::new(Semaphore::new(PAYLOAD_KIB_MAX.try_into().unwrap_or(usize::MAX)));
        Arc::new(Self { store, desk, lease, deliverer, outlets, runners: Mutex::default(), memory })
    }

    /// Takes over freshly claimed deliveries, each with its payload's size, and starts what has a slot. Payloads are
    /// loaded as memory for them becomes free; what cannot be loaded is given back.
    pub async fn admit(self: &Arc<Self>, claimed: Vec<(Claimed, u64)>) {
        self.desk.note_claims(claimed.iter().map(|(claimed, _)| claimed.claim_id));
        let mut by_event: BTreeMap<EventId, (u64, Vec<Claimed>)> = BTreeMap::new();
        for (claimed, payload_bytes) in claimed {
            by_event.entry(claimed.event_id).or_insert((payload_bytes, Vec::new())).1.push(claimed);
        }
        let mut chunk = Chunk::default();
        for (id, (payload_bytes, claimed)) in by_event {
            let kib =
                u32::try_from(payload_bytes.div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, PAYLOAD_KIB_MAX);
            if chunk.kib + kib > CHUNK_KIB_MAX {
                self.start(std::mem::take(&mut chunk)).await;
            }
            let permit = self.memory_for(kib, &mut chunk).await;
            match permit {
                Some(permit) => chunk.add(id, permit, claimed, kib),
                None => self.turn_away(claimed).await, // Stopping.
            }
        }
        self.start(chunk).await;
    }

    /// Waits for memory; none: stopping. What was to be loaded is started before, for that is what frees memory.
    async fn memory_for(self: &Arc<Self>, kib: u32, chunk: &mut Chunk) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.memory).try_acquire_many_owned(kib) {
            return Some(permit);
        }
        self.start(std::mem::take(chunk)).await;
        let wait = Arc::clone(&self.memory).acquire_many_owned(kib);
        self.outlets.stop.run_until_cancelled(wait).await.and_then(Result::ok)
    }

    /// Loads and starts what there is memory for.
    async fn start(self: &Arc<Self>, chunk: Chunk) {
        if chunk.claimed.is_empty() {
            return;
        }
        let ids: Vec<EventId> = chunk.permits.keys().copied().collect();
        let loaded = match self.store.load_events(&ids).await {
            Ok(loaded) => loaded,
            Err(fault) => {
                warn!("claimed events cannot be read, giving them back: {}", one_line(&fault));
                return self.turn_away(chunk.claimed).await;
            }
        };
        let mut permits = chunk.permits;
        let own = |mut event: Event| {
            event.memory = permits.remove(&event.id);
            (event.id, Arc::new(event))
        };
        let events: HashMap<EventId, Arc<Event>> = loaded.into_iter().map(own).collect();
        let ready =
            |claimed: Claimed| Ready { claimed, event: events.get(&claimed.event_id).map(Arc::clone) };
        let runners = self.desk.admit(chunk.claimed.into_iter().map(ready).collect());
        let mut tasks = self.runners.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {} // Ended runners; their panics were caught.
        for _ in 0..runners {
            tasks.spawn(Arc::clone(self).run());
        }
    }

    /// Gives back what room was reserved for.
    async fn turn_away(&self, claimed: Vec<Claimed>) {
        for claimed in &claimed {
            self.desk.unreserve_lane(claimed.endpoint_no);
        }
        self.give_back(claimed).await;
    }

    /// Gives claimed deliveries back that were never begun.
    pub async fn give_back(&self, claimed: Vec<Claimed>) {
        for claimed in claimed {
            self.report(Report::GivenBack { claimed, begun: false }).await;
        }
    }

    /// Waits until every runner ended, at most so long, then cuts the rest off and gives their deliveries back.
    pub async fn finish(&self, grace: Duration) {
        let mut runners = std::mem::take(&mut *self.runners.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while runners.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all).await.is_err() {
            runners.shutdown().await;
            let cut_off = self.desk.begun();
            warn!("{} attempts did not end within the grace period and are given back", cut_off.len());
            for claimed in cut_off {
                self.report(Report::GivenBack { claimed, begun: true }).await;
            }
        }
    }

    async fn run(self: Arc<Self>) {
        while let Some(next) = self.desk.next() {
            let claimed = next.ready.claimed;
            let report = self.attempt(next).await;
            self.desk.finish(&claimed);
            self.report(report).await;
        }
    }

    async fn attempt(&self, next: Next) -> Report {
        let Next { ready: Ready { claimed, event }, endpoint, start_at } = next;
        tokio::time::sleep_until(start_at).await;
        if !self.lease.covers(claimed.held_by, self.deliverer.timeout(&endpoint)) {
            return Report::GivenBack { claimed, begun: false };
        }
        let Some(event) = event else {
            return Report::EventGone { claimed };
        };
        let begun = Instant::now();
        let attempt = self.deliverer.attempt(&endpoint, &event, claimed.attempt);
        // A panic costs this attempt, not the dispatcher.
        let outcome = AssertUnwindSafe(attempt).catch_unwind().await.unwrap_or_else(|_panic| Outcome {
            answer: Answer::NoAnswer {
                why: NoAnswer::Broken,
                error: "internal error: the attempt panicked".to_owned(),
            },
            duration: begun.elapsed(),
            response_excerpt: None,
        });
        self.outlets.metrics.attempt_ended(&outcome, event.age());
        debug!(
            delivery.id = claimed.delivery_id.get(),
            endpoint.id = endpoint.id,
            attempt = claimed.attempt,
            status_code = outcome.status_code(),
            "attempt ended: {}",
            outcome.error().as_deref().unwrap_or("success"),
        );
        Report::Attempted { claimed, outcome, begun }
    }

    async fn report(&self, report: Report) {
        // Settle outlives every sender.
        drop(self.outlets.reports.send(report).await);
    }
}
