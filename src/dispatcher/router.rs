//! Turns events into deliveries: claims unrouted events, matches them with the endpoints of the same snapshot, and
//! writes one delivery per matching endpoint, claimed at once where there is room (the fast path).
//!
//! Where it begins to look is the [`watermark`]'s business. Events that the database refuses are set aside by [`refused`]. While an
//! endpoint is ordered, events with a key are [`keyed`]'s.

mod children;
mod keyed;
mod plan;
mod refused;
mod watermark;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use self::children::wanted_children;
use self::keyed::KeyedEvents;
use self::plan::Plan;
use self::watermark::Watermark;
use crate::dispatcher::context::{Context, Look, Progress};
use crate::dispatcher::subscriptions::Subscriptions;
use crate::model::delivery::Claimed;
use crate::model::endpoint::EndpointNo;
use crate::store::{
    Position, RouteTx, RoutedEvents, StoreError, Stretch, UnroutedEvent, Wanted, is_row_fault,
};

/// Events routed in one transaction.
const BATCH_MAX: usize = 500;
/// Deliveries written in one transaction: events with many receivers make smaller batches.
const DELIVERIES_MAX: usize = 5_000;
/// New events of an endpoint that answers fast wait for so much room, at most so long, before they are written as pending. A
/// delivery that waits in the database costs the server twice as much.
const ROOM_WANTED: usize = BATCH_MAX / 2;
const PATIENCE: Duration = Duration::from_millis(50);

/// The stage.
pub(super) struct Router {
    context: Arc<Context>,
    watermark: Watermark,
    keyed: KeyedEvents,
    /// Whether pending deliveries were written, since the siblings were rung last, for which a sibling may have slots.
    has_left_some: bool,
    /// The endpoint of the next event has no room at the moment, but will have some soon; and since when that is so.
    backpressured: Option<(EndpointNo, Instant)>,
    /// Receivers of an event of the last batch, on average; at least 1.
    receivers: usize,
    /// Whether an event was refused alone, by whichever dispatcher.
    has_refused: bool,
    /// When it was said last that endpoints of templates cannot be made.
    warned: Option<Instant>,
}

/// The result of a claim.
enum Claim {
    /// It was routed; `None` if there was nothing to claim.
    Routed(Option<Plan>),
    /// Endpoints of templates had to be made first. Nothing is claimed any more.
    Again,
}

/// The result of a step.
pub(super) struct Routed {
    /// How much was routed.
    pub progress: Progress,
    /// Endpoints for which pending deliveries were written that are due now.
    pub waiting: Vec<EndpointNo>,
}

/// The result of a search for unrouted events.
#[derive(Clone, Copy)]
struct Found {
    is_any: bool,
    /// It is time to try events again that were refused before.
    is_retry_due: bool,
}

impl Found {
    /// Nobody has looked.
    const PERHAPS: Self = Self { is_any: true, is_retry_due: false };
}

impl From<Progress> for Routed {
    fn from(progress: Progress) -> Self {
        Self { progress, waiting: Vec::new() }
    }
}

impl Router {
    /// A stage whose first look begins at `saved`.
    pub(super) fn new(context: Arc<Context>, saved: Position) -> Self {
        Self {
            context,
            watermark: Watermark::new(saved),
            keyed: KeyedEvents::default(),
            has_left_some: false,
            backpressured: None,
            receivers: 1,
            has_refused: false,
            warned: None,
        }
    }

    /// Routes one batch. An event that the database refuses alone is set aside, and tried again now and then.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is routed, unless the commit's answer was lost.
    pub(super) async fn step(
        &mut self,
        look: Look,
        subscriptions: &mut Subscriptions,
    ) -> Result<Routed, StoreError> {
        let room = self.room();
        if room == 0 {
            return Ok(Progress::Full.into());
        }
        self.check_watermark().await?;
        subscriptions.forget_refused();
        let begun = Instant::now();
        let is_safe = self.watermark.is_safe_look(look);
        let found = if is_safe { self.find_unrouted().await? } else { Found::PERHAPS };
        if found.is_retry_due && self.serves_all() {
            self.try_refused(subscriptions).await?;
        }
        let mut waiting = Vec::new();
        let progress = if found.is_any {
            let unkeyed = self.route_next(is_safe, room, subscriptions, &mut waiting).await?;
            let keyed = self.route_keyed(look, subscriptions, &mut waiting).await?;
            let progress = unkeyed.and(keyed);
            if is_safe && progress == Progress::Idle && self.keyed.is_empty() {
                // Something is unrouted. It may be one that no look for new ones finds, as when it was put back from a backup.
                self.keyed.forget();
            }
            progress
        } else {
            Progress::Idle
        };
        if is_safe {
            self.watermark.note_safe_look(begun.elapsed());
        }
        // If a connection was opened meanwhile, the look may have begun too far up.
        let is_sure = self.context.store.opened() == self.watermark.opened();
        let progress = if progress == Progress::Idle && !is_sure { Progress::Worked(0) } else { progress };
        Ok(Routed { progress, waiting })
    }

    /// Routes one batch of what comes next in the order; while an endpoint is ordered, only of events without a key.
    async fn route_next(
        &mut self,
        is_safe: bool,
        room: usize,
        subscriptions: &mut Subscriptions,
        waiting: &mut Vec<EndpointNo>,
    ) -> Result<Progress, StoreError> {
        let from = self.watermark.start(is_safe);
        let batch_max = self.batch_max(room);
        let routed = self.route_batch(Stretch::from(from), batch_max, subscriptions).await;
        let (plan, looked_to) = match routed {
            Err(fault) if is_row_fault(&fault) && self.serves_all() => {
                return self.route_in_halves(from, batch_max, subscriptions).await;
            }
            routed => routed?,
        };
        if let Some(last) = looked_to.or(plan.as_ref().map(|plan| plan.last)) {
            self.watermark.note_last(last);
        }
        Ok(plan.map_or(Progress::Idle, |plan| self.note_routed(plan, room, waiting)))
    }

    fn serves_all(&self) -> bool {
        self.context.only_endpoint.is_none()
    }

    fn batch_max(&self, room: usize) -> usize {
        (room / self.receivers).clamp(1, BATCH_MAX)
    }

    /// Remembers what the next batch has to know of this one.
    fn note_routed(&mut self, plan: Plan, room: usize, waiting: &mut Vec<EndpointNo>) -> Progress {
        self.receivers = plan.rows.births.len().div_ceil(plan.rows.events.len().max(1)).max(1);
        self.has_left_some |= plan.leaves_some;
        // As long as the scheduler's room limits batches, the next one waits for more, too.
        let still = self.backpressured.filter(|_| plan.rows.births.len() >= room);
        self.backpressured = plan.backpressured.or(still.map(|(no, _)| no)).map(|no| (no, Instant::now()));
        waiting.extend(plan.waiting);
        Progress::Worked(plan.rows.events.len())
    }

    /// Goes back to the saved watermark after a new connection.
    ///
    /// It may lead to a server that has crashed. PostgreSQL can then reuse ids of transactions that left nothing on disk, so
    /// the watermark in memory may be too high. The saved one is safe: the transaction that saved it is on disk.
    async fn check_watermark(&mut self) -> Result<(), StoreError> {
        let opened = self.context.store.opened();
        if opened != self.watermark.opened() {
            self.context.routed_below.store(0, Ordering::Relaxed);
            let saved = self.context.store.read_watermark().await?;
            self.watermark.go_back(saved, opened);
            self.keyed.forget();
            self.context.routed_as_of.store(opened, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Looks from the safe watermark, and raises it. Returns whether there is something to route.
    async fn find_unrouted(&mut self) -> Result<Found, StoreError> {
        let found = self.context.store.find_unrouted(self.watermark.start(true)).await?;
        self.has_refused = found.has_refused;
        if self.context.store.opened() == self.watermark.opened() {
            self.watermark.set(found.watermark);
            self.context.routed_below.store(self.watermark.start(true).xid, Ordering::Relaxed);
        }
        Ok(Found { is_any: found.is_any, is_retry_due: found.is_retry_due })
    }

    /// For how many deliveries there is room. With 0 the work loop waits until there is some.
    fn room(&self) -> usize {
        let scheduler = &self.context.scheduler;
        let room = scheduler.room();
        let Some((no, _)) = self.backpressured.filter(|(_, since)| since.elapsed() < PATIENCE) else {
            return room;
        };
        match scheduler.room_under_backpressure(no) {
            Some(left)
                if left.min(room) < ROOM_WANTED || room < self.receivers.min(scheduler.room_max() / 2) =>
            {
                0
            }
            Some(left) => room.min(left.max(self.receivers)),
            None => room,
        }
    }

    /// Whether deliveries were left pending, since the siblings were rung last, for which a sibling may have slots.
    pub(super) fn has_left_some(&self) -> bool {
        self.has_left_some
    }

    /// The siblings are rung.
    pub(super) fn note_rung(&mut self) {
        self.has_left_some = false;
    }

    /// Routes at most `batch_max` of the next events, leaving out events that were refused before. Returns how; and if events with a
    /// key were left out, the place up to which none of the others is left.
    async fn route_batch(
        &mut self,
        stretch: Stretch,
        batch_max: usize,
        subscriptions: &mut Subscriptions,
    ) -> Result<(Option<Plan>, Option<Position>), StoreError> {
        let context = Arc::clone(&self.context);
        // Every other round makes an endpoint, or knows of one that cannot be made.
        loop {
            let wanted = Wanted {
                stretch,
                batch_max,
                passes_over: self.has_refused,
                only_destination: context.only_endpoint.as_deref(),
                leaves_keyed: self.is_ordered(subscriptions),
            };
            let found = RouteTx::claim_events(&context.store, &wanted).await?;
            let claimed = found.claimed.as_ref().map_or(0, |(_, events)| events.len());
            let Claim::Routed(plan) = self.route_claimed(found.claimed, subscriptions).await? else {
                continue;
            };
            let routed = plan.as_ref().map_or(0, |plan| plan.rows.events.len());
            // Events with a key are not walked again.
            let is_all = wanted.leaves_keyed && claimed < batch_max && routed == claimed;
            return Ok((plan, is_all.then_some(Position { xid: found.next_xid, id: 0 })));
        }
    }

    /// Whether events with a key are routed in order of their ids.
    fn is_ordered(&self, subscriptions: &Subscriptions) -> bool {
        subscriptions.has_ordered() && self.serves_all()
    }

    /// Routes one event, whether it was refused before or not.
    async fn route_alone(
        &mut self,
        stretch: Stretch,
        subscriptions: &mut Subscriptions,
    ) -> Result<Option<Plan>, StoreError> {
        let context = Arc::clone(&self.context);
        loop {
            let wanted = Wanted {
                stretch,
                batch_max: 1,
                passes_over: false,
                only_destination: None,
                leaves_keyed: self.is_ordered(subscriptions),
            };
            let claimed = RouteTx::claim_events(&context.store, &wanted).await?.claimed;
            if claimed.is_none() && wanted.leaves_keyed {
                return Ok(self.route_ids(&[stretch.from.id], false, subscriptions).await?.plan);
            }
            if let Claim::Routed(plan) = self.route_claimed(claimed, subscriptions).await? {
                return Ok(plan);
            }
        }
    }

    async fn route_claimed(
        &mut self,
        claimed: Option<(RouteTx<'_>, Vec<UnroutedEvent>)>,
        subscriptions: &mut Subscriptions,
    ) -> Result<Claim, StoreError> {
        let Some((mut tx, mut events)) = claimed else {
            return Ok(Claim::Routed(None));
        };
        let was_ordered = self.is_ordered(subscriptions);
        // The snapshot that shows an event shows every endpoint committed before it: a copy of that version will do, and a
        // newer one too. It is read on the same connection, because the pool may have no other to give.
        if events.first().is_some_and(|event| event.endpoint_version != subscriptions.version()) {
            let endpoints;
            (tx, endpoints) = tx.load_endpoints().await?;
            self.context.use_endpoints(subscriptions, endpoints).await;
        }
        if !was_ordered
            && self.is_ordered(subscriptions)
            && events.iter().any(|event| event.key_hash.is_some())
        {
            tx.roll_back().await?;
            return Ok(Claim::Again);
        }
        let wanted = wanted_children(&events, subscriptions);
        if !wanted.is_empty() {
            // Made in a transaction of their own: no other dispatcher waits for this one.
            tx.roll_back().await?;
            self.make_children(&wanted, subscriptions).await?;
            return Ok(Claim::Again);
        }
        let plan = self.plan(&events, subscriptions);
        let RoutedEvents { claimed, behind } =
            match tx.route_events(self.context.lease.id(), &plan.rows).await {
                Ok(routed) => routed,
                Err(fault) => {
                    for no in &plan.reserved {
                        self.context.scheduler.unreserve(*no, 1);
                    }
                    return Err(fault);
                }
            };
        self.context.metrics.routed(plan.rows.events.len(), plan.rows.reached_nobody);
        self.unreserve_rest(&plan, &claimed);
        self.context.lanes.touched(behind);
        let bytes = |id| plan.payload_bytes.get(&id).copied().unwrap_or_default();
        let claimed = claimed.into_iter().map(|claimed| (claimed, bytes(claimed.event_id))).collect();
        let loaded = events.iter_mut().filter_map(|event| event.event.take());
        let loaded = loaded.map(|event| (event.id, event)).collect();
        self.context.sender.admit(claimed, loaded, Vec::new()).await;
        Ok(Claim::Routed(Some(plan)))
    }

    /// Takes back what was reserved for heads of lanes that are behind others.
    fn unreserve_rest(&self, plan: &Plan, claimed: &[Claimed]) {
        if claimed.len() == plan.reserved.len() {
            return;
        }
        let mut rest: BTreeMap<EndpointNo, usize> = BTreeMap::new();
        for no in &plan.reserved {
            *rest.entry(*no).or_default() += 1;
        }
        for claimed in claimed {
            rest.entry(claimed.endpoint_no).and_modify(|count| *count = count.saturating_sub(1));
        }
        for (no, count) in rest {
            self.context.scheduler.unreserve(no, count);
        }
    }
}
