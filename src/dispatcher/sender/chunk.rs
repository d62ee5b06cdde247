//! Loads the events of claimed deliveries, so many at once as memory allows, and queues their deliveries.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::Sender;
use super::runs::Runs;
use crate::dispatcher::scheduler::Ready;
use crate::dispatcher::settler::Report;
use crate::model::delivery::Claimed;
use crate::model::event::{Event, EventId};
use crate::rules::halves::Halves;
use crate::store::{StoreError, is_row_fault, one_line};

/// Claimed deliveries whose events are loaded together.
#[derive(Default)]
pub(super) struct Chunk {
    permits: BTreeMap<EventId, OwnedSemaphorePermit>,
    claimed: Vec<(Claimed, u32)>,
    pub(super) kib: u32,
}

/// The events of a chunk.
#[derive(Default)]
struct LoadedEvents {
    events: Vec<Event>,
    /// Events that the database cannot read, and why.
    unreadable: HashMap<EventId, String>,
}

impl Chunk {
    pub(super) fn add(&mut self, id: EventId, permit: OwnedSemaphorePermit, claimed: Vec<Claimed>, kib: u32) {
        self.permits.insert(id, permit);
        self.claimed.extend(claimed.into_iter().map(|claimed| (claimed, kib)));
        self.kib += kib;
    }
}

impl Sender {
    /// Loads the events of a chunk that are not loaded yet, and starts its deliveries.
    pub(super) async fn start(
        self: &Arc<Self>,
        chunk: Chunk,
        loaded: &mut HashMap<EventId, Event>,
        runs: &mut Runs,
    ) {
        if chunk.claimed.is_empty() {
            return;
        }
        let mut chunk = chunk;
        let mut events: Vec<Event> = chunk.permits.keys().filter_map(|id| loaded.remove(id)).collect();
        match self.load(&chunk, &events).await {
            Ok(read) => {
                events.extend(read.events);
                self.report_unreadable(&mut chunk, &read.unreadable, runs).await;
            }
            Err(fault) => {
                self.deps
                    .database_health
                    .log_failure("claimed events cannot be read, releasing their deliveries", &fault);
                for (claimed, payload_kib) in &chunk.claimed {
                    self.scheduler.release_memory(claimed.endpoint_no, *payload_kib);
                }
                let claimed = chunk.claimed.into_iter().map(|(claimed, _)| claimed);
                return self.release_reserved(claimed.collect()).await;
            }
        }
        let mut permits = chunk.permits;
        let own = |mut event: Event| {
            event.memory = permits.remove(&event.id);
            (event.id, Arc::new(event))
        };
        let events: HashMap<EventId, Arc<Event>> = events.into_iter().map(own).collect();
        let ready = |(claimed, payload_kib): (Claimed, u32)| Ready {
            claimed,
            event: events.get(&claimed.event_id).map(Arc::clone),
            payload_kib,
            behind: VecDeque::new(),
        };
        let ready = runs.put_aside(chunk.claimed.into_iter().map(ready).collect());
        self.spawn(self.scheduler.enqueue(ready));
    }

    /// Starts the heads of runs. What follows one that was released is released.
    pub(super) async fn start_runs(self: &Arc<Self>, runs: Runs) {
        let (ready, cut_off) = runs.join();
        self.spawn(self.scheduler.enqueue(ready));
        for ready in &cut_off {
            self.scheduler.release_memory(ready.claimed.endpoint_no, ready.payload_kib);
        }
        self.release_reserved(cut_off.into_iter().map(|ready| ready.claimed).collect()).await;
    }

    /// Loads the events of a chunk that are not among `loaded`. A damaged event keeps no other from being read.
    async fn load(&self, chunk: &Chunk, loaded: &[Event]) -> Result<LoadedEvents, StoreError> {
        let mut read = LoadedEvents::default();
        if loaded.len() == chunk.permits.len() {
            return Ok(read);
        }
        let known: HashSet<EventId> = loaded.iter().map(|event| event.id).collect();
        let ids = chunk.permits.keys().filter(|id| !known.contains(id)).copied();
        let mut halves = Halves::new(ids.collect());
        while let Some(part) = halves.next_part() {
            match self.store.load_events(&part).await {
                Ok(events) => read.events.extend(events),
                Err(fault) if is_row_fault(&fault) => {
                    if let Some(id) = halves.refused(part) {
                        self.deps.database_health.log_failure("an event cannot be read", &fault);
                        read.unreadable.insert(id, one_line(&fault));
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(read)
    }

    /// Takes deliveries whose event cannot be read out of a chunk: each is tried again later.
    async fn report_unreadable(&self, chunk: &mut Chunk, unreadable: &HashMap<EventId, String>, runs: &Runs) {
        if unreadable.is_empty() {
            return;
        }
        let claimed = std::mem::take(&mut chunk.claimed);
        for (claimed, payload_kib) in claimed {
            let Some(why) = unreadable.get(&claimed.event_id) else {
                chunk.claimed.push((claimed, payload_kib));
                continue;
            };
            chunk.permits.remove(&claimed.event_id);
            self.scheduler.release_memory(claimed.endpoint_no, payload_kib);
            self.scheduler.unreserve_place(claimed.endpoint_no);
            // One that is not its lane's head is looked at again when it is.
            self.report(if runs.is_behind(claimed.delivery_id) {
                Report::Released { claimed, begun: false }
            } else {
                Report::Unreadable { claimed, why: why.clone() }
            })
            .await;
        }
    }
}
