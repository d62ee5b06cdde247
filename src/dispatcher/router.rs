//! Turns events into deliveries: claims unrouted events, matches them with the endpoints of the same snapshot, and
//! writes one delivery per matching endpoint, claimed at once where there is room (the fast path).
//!
//! **The floor.** Unrouted events are found by an index on (inserting transaction, id), from a floor upwards. Nothing
//! below the *safe* floor can still turn up: every transaction below it has ended, and what it committed is routed.
//! While some long transaction holds the safe floor back, rounds start from a *near* floor behind the last claim, and
//! return to the safe one as often as it is cheap, and before every sleep.

mod refused;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::dispatcher::claimer::Claimer;
use crate::dispatcher::scheduler::Origin;
use crate::dispatcher::subscriptions::Subscriptions;
use crate::dispatcher::work_loop::{Look, Progress, Shared};
use crate::model::endpoint::EndpointNo;
use crate::model::event::EventId;
use crate::store::{
    InitialState, Position, RoutePlan, RouteTx, StoreError, Stretch, UnroutedEvent, is_row_fault,
};

/// Events routed in one transaction.
const BATCH_MAX: usize = 500;
/// Deliveries born in one transaction: events with many receivers make smaller batches.
const BIRTHS_MAX: usize = 5_000;
/// What new events of an endpoint that answers fast wait for, rather than to be born pending: so much room, at most so long.
/// A delivery that waits in the database costs the server twice as much.
const ROOM_WANTED: usize = BATCH_MAX / 2;
const PATIENCE: Duration = Duration::from_millis(50);
/// The safe floor may cost this part of the time.
const SAFE_LOOK_PART: u32 = 20;

/// The stage.
pub struct Router {
    shared: Arc<Shared>,
    floor: Watermark,
    /// Whether siblings may have slots for something that was left since they were rung last.
    has_left_some: bool,
    /// The endpoint of the next event has no room at the moment, but will have some soon; and since when that is so.
    held_up: Option<(EndpointNo, Instant)>,
    /// Of an event of the last batch, on average; at least 1.
    receivers: usize,
    /// Whether an event was refused alone, by whichever dispatcher.
    has_refused: bool,
}

#[derive(Debug)]
struct Watermark {
    /// Connections opened when it was read from the database, or confirmed.
    opened: u64,
    safe: Position,
    near: Position,
    /// When the last look from the safe floor ended, and how long it took.
    safe_look: (Instant, Duration),
}

/// What there is to route.
#[derive(Clone, Copy)]
struct Found {
    is_any: bool,
    /// An event that was refused before is to be tried again.
    is_retry_due: bool,
}

impl Found {
    /// Nobody has looked.
    const PERHAPS: Self = Self { is_any: true, is_retry_due: false };
}

/// A plan and what must be known to carry it out.
struct Plan {
    rows: RoutePlan,
    reserved: Vec<EndpointNo>,
    waiting: Vec<EndpointNo>,
    /// Whether some are left that others may have slots for, now or when they are due.
    leaves_some: bool,
    /// Size of each claimed event's payload.
    payload_bytes: HashMap<EventId, u64>,
    /// The endpoint of the first event that was left, or would have been, for want of room on the scheduler.
    held_up: Option<EndpointNo>,
    last: Position,
}

impl Router {
    /// A stage whose first look begins at `floor`.
    pub fn new(shared: Arc<Shared>, floor: Position) -> Self {
        Self {
            shared,
            floor: Watermark {
                opened: 0,
                safe: floor,
                near: floor,
                safe_look: (Instant::now(), Duration::ZERO),
            },
            has_left_some: false,
            held_up: None,
            receivers: 1,
            has_refused: false,
        }
    }

    /// Routes one batch. An event that the database refuses alone is set aside, and tried again now and then.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is routed, unless the commit's answer was lost.
    pub async fn step(
        &mut self,
        look: Look,
        subscriptions: &mut Subscriptions,
        dispatch: &mut Claimer,
    ) -> Result<Progress, StoreError> {
        let room = self.room();
        if room == 0 {
            return Ok(Progress::Full);
        }
        self.check_floor().await?;
        let begun = Instant::now();
        let is_safe = self.floor.is_safe_look(look);
        let found = if is_safe { self.find_unrouted().await? } else { Found::PERHAPS };
        if found.is_retry_due {
            self.try_refused(subscriptions).await?;
        }
        let plan = if found.is_any {
            let from = if is_safe { self.floor.safe } else { self.floor.near };
            let batch_max = (room / self.receivers).clamp(1, BATCH_MAX);
            match self.route_batch(Stretch::from(from), batch_max, subscriptions).await {
                Err(fault) if is_row_fault(&fault) => {
                    return self.route_in_halves(from, batch_max, subscriptions).await;
                }
                routed => routed?,
            }
        } else {
            None
        };
        if is_safe {
            self.floor.safe_look = (Instant::now(), begun.elapsed());
        }
        let Some(plan) = plan else {
            // Seen by a connection that was opened meanwhile, it may have looked too far up.
            let is_sure = self.shared.store.opened() == self.floor.opened;
            return Ok(if is_sure { Progress::Idle } else { Progress::Worked(0) });
        };
        self.receivers = plan.rows.births.len().div_ceil(plan.rows.events.len().max(1)).max(1);
        self.follow(&plan, room, dispatch);
        Ok(Progress::Worked(plan.rows.events.len()))
    }

    /// Remembers what the next batch has to know of this one.
    fn follow(&mut self, plan: &Plan, room: usize, dispatch: &mut Claimer) {
        // Even where a look from the safe floor found late rows far below: they come first, then the floor rises again.
        self.floor.near = plan.last.max(self.floor.safe);
        dispatch.note_waiting(&plan.waiting);
        self.has_left_some |= plan.leaves_some;
        // As long as it is the scheduler's room that limits batches, the next one waits for more, too.
        let still = self.held_up.filter(|_| plan.rows.births.len() >= room);
        self.held_up = plan.held_up.or(still.map(|(no, _)| no)).map(|no| (no, Instant::now()));
    }

    /// A new connection may lead to a server that has crashed meanwhile, and gives ids again that it had given to transactions
    /// which left no trace: what is in memory may lie above them. What is saved was saved by a later transaction.
    async fn check_floor(&mut self) -> Result<(), StoreError> {
        let opened = self.shared.store.opened();
        if opened != self.floor.opened {
            self.shared.routed_below.store(0, Ordering::Relaxed);
            let saved = self.shared.store.read_floor().await?;
            self.floor.safe = self.floor.safe.min(saved);
            self.floor.near = self.floor.safe;
            self.floor.opened = opened;
            self.shared.routed_as_of.store(opened, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Looks from the safe floor, and raises it: whether there is something to route.
    async fn find_unrouted(&mut self) -> Result<Found, StoreError> {
        let found = self.shared.store.find_unrouted(self.floor.safe).await?;
        self.has_refused = found.has_refused;
        if self.shared.store.opened() == self.floor.opened {
            self.floor.set(found.floor);
            self.shared.routed_below.store(self.floor.safe.xid, Ordering::Relaxed);
        }
        Ok(Found { is_any: found.is_any, is_retry_due: found.is_retry_due })
    }

    /// For how many deliveries there is room; 0: wait until there is some.
    fn room(&self) -> usize {
        let scheduler = &self.shared.scheduler;
        let room = scheduler.room();
        let Some((no, _)) = self.held_up.filter(|(_, since)| since.elapsed() < PATIENCE) else {
            return room;
        };
        match scheduler.room_if_held_up(no) {
            Some(left)
                if left.min(room) < ROOM_WANTED || room < self.receivers.min(scheduler.room_max() / 2) =>
            {
                0
            }
            Some(left) => room.min(left.max(self.receivers)),
            None => room,
        }
    }

    /// Whether deliveries were left, since the siblings were rung last, that they may have slots for.
    pub fn has_left_some(&self) -> bool {
        self.has_left_some
    }

    /// The siblings are rung.
    pub fn leave_none(&mut self) {
        self.has_left_some = false;
    }

    /// Routes at most so many of the next events, without those that were refused before.
    async fn route_batch(
        &self,
        stretch: Stretch,
        batch_max: usize,
        subscriptions: &mut Subscriptions,
    ) -> Result<Option<Plan>, StoreError> {
        let store = &self.shared.store;
        let claimed = RouteTx::claim_events(store, stretch, batch_max, self.has_refused).await?;
        self.route_claimed(claimed, subscriptions).await
    }

    /// Routes one event, whether it was refused before or not.
    async fn route_alone(
        &self,
        stretch: Stretch,
        subscriptions: &mut Subscriptions,
    ) -> Result<Option<Plan>, StoreError> {
        let claimed = RouteTx::claim_events(&self.shared.store, stretch, 1, false).await?;
        self.route_claimed(claimed, subscriptions).await
    }

    async fn route_claimed(
        &self,
        claimed: Option<(RouteTx<'_>, Vec<UnroutedEvent>)>,
        subscriptions: &mut Subscriptions,
    ) -> Result<Option<Plan>, StoreError> {
        let Some((mut tx, mut events)) = claimed else {
            return Ok(None);
        };
        // The snapshot that shows an event shows every endpoint committed before it: a copy of that version will do, and a
        // newer one too. It comes by the same connection: another one may not be had.
        if events.first().is_some_and(|event| event.endpoint_version != subscriptions.version()) {
            let endpoints;
            (tx, endpoints) = tx.load_endpoints().await?;
            self.shared.take_over(subscriptions, endpoints).await;
        }
        let plan = self.plan(&events, subscriptions);
        let claimed = match tx.route_events(self.shared.lease.id(), &plan.rows).await {
            Ok(claimed) => claimed,
            Err(fault) => {
                for no in &plan.reserved {
                    self.shared.scheduler.unreserve(*no, 1);
                }
                return Err(fault);
            }
        };
        self.shared.metrics.routed(plan.rows.events.len());
        let bytes = |id| plan.payload_bytes.get(&id).copied().unwrap_or_default();
        let claimed = claimed.into_iter().map(|claimed| (claimed, bytes(claimed.event_id))).collect();
        let loaded = events.iter_mut().filter_map(|event| event.event.take());
        let loaded = loaded.map(|event| (event.id, event)).collect();
        self.shared.sender.admit(claimed, loaded).await;
        Ok(Some(plan))
    }

    fn plan(&self, events: &[UnroutedEvent], subscriptions: &mut Subscriptions) -> Plan {
        let mut plan = Plan {
            rows: RoutePlan::default(),
            reserved: Vec::new(),
            waiting: Vec::new(),
            leaves_some: false,
            payload_bytes: HashMap::new(),
            held_up: None,
            last: Position::default(),
        };
        let may_wait = self.held_up.is_none_or(|(_, since)| since.elapsed() < PATIENCE);
        for event in events {
            if plan.rows.births.len() >= BIRTHS_MAX {
                break;
            }
            let receivers: Arc<[EndpointNo]> = match &event.destination {
                Some(id) => subscriptions.destination(id).into_iter().collect(),
                None => subscriptions.receivers(&event.topic),
            };
            if let Some(no) = receivers.first().filter(|no| self.is_held_up(event, **no, receivers.len())) {
                plan.held_up = Some(*no);
                if may_wait && !plan.rows.events.is_empty() {
                    break;
                }
            }
            plan.payload_bytes.insert(event.id, event.payload_bytes);
            plan.rows.events.push((event.id, receivers.len()));
            for no in receivers.iter() {
                let birth = self.birth(event, *no, &mut plan);
                plan.rows.births.push((event.id, *no, birth));
            }
            plan.last = event.place;
        }
        plan
    }

    /// Whether the scheduler has no room for it at the moment, though its endpoint would take it.
    fn is_held_up(&self, event: &UnroutedEvent, first: EndpointNo, receivers: usize) -> bool {
        let scheduler = &self.shared.scheduler;
        let is_too_full = |left| left == 0 || scheduler.room() < receivers;
        event.delay.is_none() && scheduler.room_if_held_up(first).is_some_and(is_too_full)
    }

    fn birth(&self, event: &UnroutedEvent, no: EndpointNo, plan: &mut Plan) -> InitialState {
        if let Some(delay) = event.delay {
            plan.leaves_some |= self.shared.scheduler.is_enabled(no);
            return InitialState::Pending(delay);
        }
        if plan.reserved.len() < BIRTHS_MAX && self.shared.scheduler.reserve(no, 1, Origin::New) == 1 {
            plan.reserved.push(no);
            return InitialState::Claimed;
        }
        plan.waiting.push(no);
        plan.leaves_some |= self.shared.scheduler.is_enabled(no);
        InitialState::Pending(Duration::ZERO)
    }
}

impl Watermark {
    fn is_safe_look(&self, look: Look) -> bool {
        let (ended, cost) = self.safe_look;
        look == Look::Full || ended.elapsed() >= cost * SAFE_LOOK_PART
    }

    fn set(&mut self, safe: Position) {
        if safe < self.safe {
            warn!(
                "the database's history went back (a restore, or a failover that lost commits): looking at all events again"
            );
            self.near = safe;
        }
        self.safe = safe;
        self.near = self.near.max(safe);
    }
}
