//! Claims due deliveries: per endpoint no more than it has room for, so that an endpoint with a million waiting deliveries
//! costs the others nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::dispatcher::context::{Context, Look, Progress};
use crate::dispatcher::scheduler::Origin;
use crate::dispatcher::subscriptions::Subscriptions;
use crate::model::delivery::DeliveryId;
use crate::model::endpoint::EndpointNo;
use crate::rules::halves::Halves;
use crate::store::{DueClaim, EndpointRoom, RefusedStage, StoreError, is_row_fault};

/// Deliveries claimed in one statement.
const BATCH_MAX: usize = 500;
/// While there is always work, the waiting endpoints are still searched for this often.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// A search that took longer than this may cost a twentieth of the time: while an old snapshot is open, dead index entries
/// pile up in front of what waits, and each search walks them all.
const SEARCH_CHEAP: Duration = Duration::from_millis(10);
const SEARCH_PART: u32 = 20;
/// But a delivery that another dispatcher made due is found after this at the latest.
const SEARCH_PAUSE_MAX: Duration = Duration::from_secs(5);
/// A claim starts this far below the last one of its endpoint: commits do not come in the order of their due times.
const START_SLACK_US: i64 = 1_000_000;

/// The stage.
pub(super) struct Claimer {
    context: Arc<Context>,
    /// Endpoints with waiting deliveries, and when the first is due.
    waiting: HashMap<EndpointNo, Instant>,
    /// Due time of the last claim of each endpoint: dead index entries below it are not walked again until the next sweep.
    starts_us: HashMap<EndpointNo, i64>,
    swept: Option<Instant>,
    /// The next search for waiting endpoints is not before then. `None` if it may be at once.
    search_at: Option<Instant>,
    /// Whether a delivery was refused alone when it was claimed, by whichever dispatcher.
    has_refused: bool,
}

impl Claimer {
    /// A stage that knows of nothing yet.
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            waiting: HashMap::new(),
            starts_us: HashMap::new(),
            swept: None,
            search_at: None,
            has_refused: false,
        }
    }

    /// Claims one batch.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is claimed, unless the reply was lost.
    pub(super) async fn step(
        &mut self,
        look: Look,
        subscriptions: &mut Subscriptions,
    ) -> Result<Progress, StoreError> {
        if look == Look::Full || self.swept.is_none_or(|at| at.elapsed() >= SWEEP_INTERVAL) {
            self.sweep(subscriptions).await?;
        }
        self.take_probes().await?;
        let rooms = self.reserve();
        if rooms.is_empty() {
            return Ok(Progress::Idle);
        }
        let worked = match self.claim(&rooms).await {
            Ok(claims) => {
                self.settle_rooms(&rooms, &claims);
                self.hand_over(claims, subscriptions).await?
            }
            Err(fault) if is_row_fault(&fault) => self.claim_in_halves(&rooms, subscriptions).await?,
            Err(fault) => {
                for room in &rooms {
                    self.context.scheduler.unreserve(room.endpoint_no, room.slots);
                }
                return Err(fault);
            }
        };
        Ok(if worked > 0 { Progress::Worked(worked) } else { Progress::Idle })
    }

    async fn claim(&self, rooms: &[EndpointRoom]) -> Result<Vec<DueClaim>, StoreError> {
        let behind_max = self.context.scheduler.room_behind();
        let lease = self.context.lease.id();
        self.context.store.claim_deliveries(lease, rooms, behind_max, self.has_refused).await
    }

    /// Hands claimed deliveries on; returns how many.
    async fn hand_over(
        &self,
        claims: Vec<DueClaim>,
        subscriptions: &mut Subscriptions,
    ) -> Result<usize, StoreError> {
        let claimed: Vec<_> =
            claims.iter().map(|c| (c.claimed, c.payload_bytes.unwrap_or_default())).collect();
        let runs = runs(&claims);
        for behind in claims.iter().filter(|claim| claim.is_behind) {
            self.context.scheduler.reserve_behind(behind.claimed.endpoint_no, 1);
        }
        let worked = claimed.len();
        if let Some(first) = claims.first() {
            self.context.metrics.dispatched(worked);
            if let Err(fault) = self.context.refresh_endpoints(subscriptions, first.endpoint_version).await {
                // Nobody begins them: they are orphans, and take no room.
                for claim in &claims {
                    self.context.scheduler.unreserve(claim.claimed.endpoint_no, 1);
                }
                return Err(fault);
            }
        }
        self.context.sender.admit(claimed, HashMap::new(), runs).await;
        Ok(worked)
    }

    /// The database refuses one of these deliveries: claims them in halves, and sets that one aside.
    async fn claim_in_halves(
        &mut self,
        rooms: &[EndpointRoom],
        subscriptions: &mut Subscriptions,
    ) -> Result<usize, StoreError> {
        let slots = rooms.iter().flat_map(|room| std::iter::repeat_n(room.endpoint_no, room.slots));
        let mut halves = Halves::new(slots.collect());
        let mut worked = 0;
        while let Some(part) = halves.next_part() {
            match self.claim_part(&part, subscriptions).await {
                Ok(claimed) => worked += claimed,
                Err(fault) if is_row_fault(&fault) => {
                    if let Some(no) = halves.refused(part) {
                        self.context.scheduler.unreserve(no, 1);
                    }
                }
                Err(fault) => {
                    for no in part.into_iter().chain(halves.rest()) {
                        self.context.scheduler.unreserve(no, 1);
                    }
                    return Err(fault);
                }
            }
        }
        Ok(worked)
    }

    /// Claims one delivery for each element of `part`; an endpoint may be there several times. A delivery that is refused alone
    /// is set aside.
    async fn claim_part(
        &mut self,
        part: &[EndpointNo],
        subscriptions: &mut Subscriptions,
    ) -> Result<usize, StoreError> {
        let mut rooms: Vec<EndpointRoom> = Vec::new();
        for no in part {
            match rooms.last_mut() {
                Some(room) if room.endpoint_no == *no => room.slots += 1,
                _ => rooms.push(EndpointRoom { endpoint_no: *no, slots: 1, floor_us: 0, run_max: 0 }),
            }
        }
        let store = &self.context.store;
        let alone = match part {
            [no] => store.find_claimable(*no, self.context.lease.id()).await?,
            _ => None,
        };
        match self.claim(&rooms).await {
            Ok(claims) => {
                self.settle_rooms(&rooms, &claims);
                self.hand_over(claims, subscriptions).await
            }
            Err(fault) => {
                if let Some(id) = alone.filter(|_| is_row_fault(&fault)) {
                    self.context
                        .database_health
                        .log_failure("a delivery cannot be claimed and is set aside", &fault);
                    store.set_aside(RefusedStage::Claim, id.get(), &fault).await?;
                    self.has_refused = true;
                }
                Err(fault)
            }
        }
    }

    /// Notes endpoints with waiting deliveries that are due now.
    pub(super) fn note_waiting(&mut self, endpoints: &[EndpointNo]) {
        let now = Instant::now();
        for no in endpoints {
            self.waiting.entry(*no).and_modify(|due| *due = now.min(*due)).or_insert(now);
        }
    }

    /// When the next delivery is due and its endpoint's rate limit and circuit let it be claimed; or when the next search is
    /// allowed, if the last one was put off.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let now = Instant::now();
        let due = |(no, due): (&EndpointNo, &Instant)| match self.context.scheduler.claim_delay(*no) {
            Some(delay) => Some((*due).max(now + delay)),
            None if *due > now => Some(*due),
            None => None, // Due, and waiting for a slot.
        };
        let waiting = self.waiting.iter().filter(|(no, _)| self.is_served(**no)).filter_map(due);
        waiting.chain(self.search_at).min()
    }

    /// Whether a delivery is due and waits for a slot.
    pub(super) fn has_due(&self) -> bool {
        let now = Instant::now();
        self.waiting.iter().any(|(no, due)| *due <= now && self.is_served(*no))
    }

    /// Releases the queues of endpoints that hang, and searches for endpoints with waiting deliveries.
    async fn sweep(&mut self, subscriptions: &mut Subscriptions) -> Result<(), StoreError> {
        let stalled = self.context.scheduler.take_stalled();
        self.context.sender.release(stalled).await;
        self.swept = Some(Instant::now());
        if self.search_at.is_none_or(|at| at <= Instant::now()) {
            self.search(subscriptions).await?;
        }
        self.context.sender.resume();
        Ok(())
    }

    async fn search(&mut self, subscriptions: &mut Subscriptions) -> Result<(), StoreError> {
        let asked = Instant::now();
        let found = self.context.store.find_due().await?;
        let now = Instant::now();
        let took = now - asked;
        self.search_at = (took > SEARCH_CHEAP).then(|| now + (took * SEARCH_PART).min(SEARCH_PAUSE_MAX));
        self.has_refused = found.has_refused;
        if let Some(version) = found.endpoint_version {
            self.context.refresh_endpoints(subscriptions, version).await?;
        }
        let due = found.due.iter().map(|due| due.endpoint_no);
        self.context.find_children(subscriptions, due).await?;
        self.context.scheduler.set_circuits(&found.circuits, self.context.lease.id(), asked);
        self.waiting = found.due.into_iter().map(|due| (due.endpoint_no, now + due.delay)).collect();
        self.starts_us.clear();
        Ok(())
    }

    /// Asks for the right to probe endpoints whose circuit is open and which have a due delivery for it.
    async fn take_probes(&self) -> Result<(), StoreError> {
        let now = Instant::now();
        let scheduler = &self.context.scheduler;
        let due = self.waiting.iter().filter(|(no, due)| **due <= now && scheduler.is_probe_due(**no));
        let asked: Vec<EndpointNo> = due.map(|(no, _)| *no).take(BATCH_MAX).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let lease = self.context.lease.duration();
        let taken = self.context.store.take_probes(self.context.lease.id(), &asked, lease).await?;
        for no in &asked {
            match taken.iter().find(|(taken, _)| taken == no) {
                Some((_, failed_probes)) => scheduler.set_probing(*no, *failed_probes, now + lease),
                None => scheduler.set_probe_refused(*no),
            }
        }
        self.context.metrics.circuits_half_opened(taken.len());
        self.context.sender.resume();
        Ok(())
    }

    fn reserve(&self) -> Vec<EndpointRoom> {
        let now = Instant::now();
        let mut left = BATCH_MAX;
        let mut rooms = Vec::new();
        for (no, _) in self.waiting.iter().filter(|(_, due)| **due <= now) {
            let slots = self.context.scheduler.reserve(*no, left, Origin::Waited);
            if slots > 0 {
                let floor_us = self.starts_us.get(no).copied().unwrap_or_default();
                let run_max = self.context.scheduler.run_max(*no);
                rooms.push(EndpointRoom { endpoint_no: *no, slots, floor_us, run_max });
                left -= slots;
            }
            if left == 0 {
                break;
            }
        }
        rooms
    }

    /// Takes back reservations that were not needed, and remembers where the next claim of each endpoint starts.
    fn settle_rooms(&mut self, rooms: &[EndpointRoom], claims: &[DueClaim]) {
        let mut counts: HashMap<EndpointNo, (usize, i64)> = HashMap::new();
        // What heads of lanes took along was not reserved, and was not due.
        for claim in claims.iter().filter(|claim| !claim.is_behind) {
            let (count, due_us) = counts.entry(claim.claimed.endpoint_no).or_default();
            *count += 1;
            *due_us = claim.due_us.max(*due_us);
        }
        for room in rooms {
            let (count, due_us) = counts.get(&room.endpoint_no).copied().unwrap_or_default();
            if count < room.slots {
                self.context.scheduler.unreserve(room.endpoint_no, room.slots - count);
                self.waiting.remove(&room.endpoint_no);
            } else {
                self.starts_us.insert(room.endpoint_no, due_us - START_SLACK_US);
            }
        }
    }

    fn is_served(&self, no: EndpointNo) -> bool {
        self.context.scheduler.is_served(no)
    }
}

/// The runs among these claims: the head of a lane and what it took along, in order.
fn runs(claims: &[DueClaim]) -> Vec<Vec<DeliveryId>> {
    let mut lanes: BTreeMap<DeliveryId, Vec<(i64, DeliveryId)>> = BTreeMap::new();
    for DueClaim { claimed, lane, .. } in claims {
        if let Some((head, place)) = lane {
            lanes.entry(*head).or_default().push((*place, claimed.delivery_id));
        }
    }
    let runs = lanes.into_values().filter(|run| run.len() > 1).map(|mut run| {
        run.sort_unstable();
        run.into_iter().map(|(_, id)| id).collect()
    });
    runs.collect()
}
