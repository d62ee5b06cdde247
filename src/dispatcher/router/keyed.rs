//! Events with a key, while an endpoint is ordered: they are routed in order of their ids, and none is passed over.
//!
//! Two transactions that a lock serialises insert one after the other: the second one's event has the higher id, and whoever sees it
//! sees the first one's. But the first one's transaction may have the higher transaction id, by which events are found. So a look asks
//! for what came into sight since the last one: of transactions that are new, and of those that were still open then. What it finds is
//! routed from the lowest id up.
//!
//! ```text
//!   find_keyed(seen) ──ids──> known: 17 18 21 30 … ──lowest──> claim ──> route
//!                                     └─ locked by somebody, or refused: it and what follows of its key wait here
//! ```
//!
//! One dispatcher at a time routes such events (an advisory lock of the routing transaction), so the end of each lane is known to it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::plan::Plan;
use super::{Claim, Router};
use crate::dispatcher::context::{Look, Progress};
use crate::dispatcher::subscriptions::Subscriptions;
use crate::model::endpoint::EndpointNo;
use crate::rules::halves::Halves;
use crate::store::{
    ClaimedKeyed, KeyedFound, KeyedLook, Position, RouteTx, Store, StoreError, UnroutedEvent, is_row_fault,
};

/// Ids that one look brings: of a larger backlog the lowest.
const KNOWN_MAX: usize = 50_000;
/// If more are held back, the rest of a backlog waits.
const HELD_MAX: usize = 500_000;
/// How many of what is held back are asked for again at once.
const ASKED_MAX: usize = 500;
/// What is held back is asked for again after this, and before every sleep.
const HELD_PAUSE: Duration = Duration::from_millis(100);

/// The unrouted events with a key that are known.
#[derive(Debug)]
pub(super) struct KeyedEvents {
    /// What was in sight at the last look (a `pg_snapshot`). `None`: nobody has looked.
    seen: Option<String>,
    /// By id. With the hash of its key: somebody has locked it, the database refused it, or so it is with one before it of that key.
    known: BTreeMap<i64, Option<i64>>,
    /// Of events with lower ids, all that were in sight are known.
    below: i64,
    held_since: Instant,
    /// The last id that was asked for again.
    asked_again: i64,
}

impl Default for KeyedEvents {
    fn default() -> Self {
        Self {
            seen: None,
            known: BTreeMap::new(),
            below: i64::MAX,
            held_since: Instant::now(),
            asked_again: i64::MIN,
        }
    }
}

/// What became of events that were asked for.
pub(super) struct RoutedIds {
    /// `None` if none of them was routed.
    pub(super) plan: Option<Plan>,
    /// Another dispatcher routes such events at the moment.
    is_busy: bool,
}

impl KeyedEvents {
    /// Knows nothing any more: everything is looked for again.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether it knows of nothing that is unrouted.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Adds what came into sight. Everything below `from_xid` is routed.
    async fn look(&mut self, store: &Store, from_xid: u64) -> Result<(), StoreError> {
        let (seen, below) = (self.seen.as_deref(), self.below);
        let look = KeyedLook { from_xid, seen, below, known: &[], events_max: KNOWN_MAX };
        let found = store.find_keyed(&look).await?;
        self.add(found);
        Ok(())
    }

    /// Of a backlog of which only the lowest ids are known, adds the next ones. Returns false if all are known, or too many are held
    /// back.
    async fn look_further(&mut self, store: &Store, from_xid: u64) -> Result<bool, StoreError> {
        if self.below == i64::MAX || self.known.len() > HELD_MAX {
            return Ok(false);
        }
        let held: Vec<i64> = self.known.keys().copied().collect();
        let below = i64::MAX;
        let look = KeyedLook { from_xid, seen: None, below, known: &held, events_max: KNOWN_MAX };
        let found = store.find_keyed(&look).await?;
        self.below = below;
        self.add(found);
        Ok(true)
    }

    fn add(&mut self, found: KeyedFound) {
        self.seen = Some(found.seen);
        if found.ids.len() >= KNOWN_MAX
            && let Some(last) = found.ids.last()
        {
            self.below = self.below.min(last.saturating_add(1));
        }
        self.known.extend(found.ids.into_iter().map(|id| (id, None)));
        let mut free = self.known.iter().filter(|(_, held)| held.is_none());
        if let Some((first_too_many, _)) = free.nth(2 * KNOWN_MAX) {
            self.below = self.below.min(*first_too_many);
        }
        self.known.split_off(&self.below);
    }

    /// The lowest ids that are not held back.
    fn next(&self, max: usize) -> Vec<i64> {
        self.known.iter().filter(|(_, held)| held.is_none()).map(|(id, _)| *id).take(max).collect()
    }

    /// The next of what is held back is asked for again, in turn.
    fn ask_again(&mut self) {
        self.held_since = Instant::now();
        let after = (Bound::Excluded(self.asked_again), Bound::Unbounded);
        let held = self.known.range_mut(after).filter(|(_, held)| held.is_some());
        self.asked_again = i64::MIN;
        for (nth, (id, held)) in held.take(ASKED_MAX).enumerate() {
            *held = None;
            if nth + 1 == ASKED_MAX {
                self.asked_again = *id;
            }
        }
    }

    /// Forgets what was asked for and is routed; holds back what could not be claimed, and what follows it. Only the rest of the claimed
    /// events may be routed.
    fn note_claimed(&mut self, asked: &[i64], claimed: &mut ClaimedKeyed) {
        for id in asked {
            self.known.remove(id);
        }
        self.known.extend(claimed.held.drain(..).map(|(id, key_hash)| (id, Some(key_hash))));
        // The lowest of each key.
        let mut held: HashMap<i64, i64> = HashMap::new();
        for (id, key_hash) in self.known.iter().rev() {
            if let Some(key_hash) = key_hash {
                held.insert(*key_hash, *id);
            }
        }
        let is_held = |event: &UnroutedEvent| {
            let first = event.key_hash.and_then(|key_hash| held.get(&key_hash));
            first.is_some_and(|first| *first < event.id.get())
        };
        let events = std::mem::take(&mut claimed.events);
        let (behind, free): (Vec<_>, Vec<_>) = events.into_iter().partition(is_held);
        claimed.events = free;
        self.known.extend(behind.into_iter().map(|event| (event.id.get(), event.key_hash)));
        self.known.extend(claimed.events.iter().map(|event| (event.id.get(), None)));
    }

    fn note_routed(&mut self, plan: &Plan) {
        for (id, _) in &plan.rows.events {
            self.known.remove(&id.get());
        }
    }
}

impl Router {
    /// Routes one batch of events with a key, if an endpoint is ordered.
    pub(super) async fn route_keyed(
        &mut self,
        look: Look,
        subscriptions: &mut Subscriptions,
        waiting: &mut Vec<EndpointNo>,
    ) -> Result<Progress, StoreError> {
        if !self.is_ordered(subscriptions) {
            self.keyed.forget();
            return Ok(Progress::Idle);
        }
        if look == Look::Full || self.keyed.held_since.elapsed() >= HELD_PAUSE {
            self.keyed.ask_again();
        }
        let store = self.context.store.clone();
        let from_xid = self.watermark.start(true).xid;
        self.keyed.look(&store, from_xid).await?;
        loop {
            let room = self.room();
            if room == 0 {
                return Ok(Progress::Full);
            }
            let ids = self.keyed.next(self.batch_max(room));
            if ids.is_empty() {
                if self.keyed.look_further(&store, from_xid).await? {
                    continue;
                }
                return Ok(Progress::Idle);
            }
            let routed = match self.route_ids(&ids, true, subscriptions).await {
                Err(fault) if is_row_fault(&fault) => {
                    return self.route_ids_in_halves(ids, subscriptions).await;
                }
                routed => routed?,
            };
            if routed.is_busy {
                return Ok(Progress::Full);
            }
            if let Some(plan) = routed.plan {
                return Ok(self.note_routed(plan, room, waiting));
            }
        }
    }

    /// Routes those of these events that are not held back.
    pub(super) async fn route_ids(
        &mut self,
        ids: &[i64],
        passes_over: bool,
        subscriptions: &mut Subscriptions,
    ) -> Result<RoutedIds, StoreError> {
        let context = Arc::clone(&self.context);
        loop {
            let Some((tx, mut claimed)) =
                RouteTx::claim_keyed_events(&context.store, ids, passes_over).await?
            else {
                return Ok(RoutedIds { plan: None, is_busy: true });
            };
            self.keyed.note_claimed(ids, &mut claimed);
            if claimed.events.is_empty() {
                tx.roll_back().await?;
                return Ok(RoutedIds { plan: None, is_busy: false });
            }
            if let Claim::Routed(plan) = self.route_claimed(Some((tx, claimed.events)), subscriptions).await?
            {
                if let Some(plan) = &plan {
                    self.keyed.note_routed(plan);
                }
                return Ok(RoutedIds { plan, is_busy: false });
            }
        }
    }

    /// The database refuses one of these events: routes them in halves, and sets that one aside.
    async fn route_ids_in_halves(
        &mut self,
        ids: Vec<i64>,
        subscriptions: &mut Subscriptions,
    ) -> Result<Progress, StoreError> {
        let mut routed = 0;
        let mut halves = Halves::new(ids);
        while let Some(part) = halves.next_part() {
            match self.route_ids(&part, true, subscriptions).await {
                Ok(done) if done.is_busy => break,
                Ok(done) => routed += done.plan.map_or(0, |plan| plan.rows.events.len()),
                Err(fault) if is_row_fault(&fault) => {
                    if let Some(id) = halves.refused(part) {
                        self.set_aside(Position { xid: 0, id }, &fault).await?;
                        // The others of its key are held back from the next step on.
                        break;
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(Progress::Worked(routed))
    }
}
