//! The work loop: one step claims what is due and routes what is new. When a step finds nothing, the loop arms the bell,
//! looks once more, and sleeps.
//!
//! ```text
//!            ┌──────────────── rung, due, room, or poll ◄───────────────┐
//!            ▼                                                          │
//!  step: claimer ──> router ──nothing──> arm the bell ──> full step ──nothing──> sleep
//!            ▲          │ worked, or no room
//!            └──────────┘
//! ```

mod orphaned_claims;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::dispatcher::claimer::Claimer;
use crate::dispatcher::context::{Context, Look, Progress};
use crate::dispatcher::database_health::Stage;
use crate::dispatcher::lanes::LaneOpener;
use crate::dispatcher::router::Router;
use crate::dispatcher::subscriptions::Subscriptions;
use crate::dispatcher::wakeup::bell::Armed;
use crate::rules::backoff::Backoff;
use crate::store::StoreError;

/// The first nap, and the longest: this is the latency while a producer that did not ring is in flight.
const NAP_FIRST: Duration = Duration::from_millis(1);
const NAP_MAX: Duration = Duration::from_millis(10);
/// Siblings are rung at most this often. Before a sleep they are rung at once, for what was left to them.
const RING_PAUSE: Duration = Duration::from_millis(10);
/// How often orphaned claims are searched for and released.
const ORPHANS_INTERVAL: Duration = Duration::from_secs(15);
/// The first steps in a row are not throttled: an event that comes now and then does not wait.
const PROMPT_STEPS: u32 = 2;
/// After them, a step that claimed less than this is followed by a pause as long as it took itself, at most so long.
const SMALL_STEP: usize = 100;
const THROTTLE_MAX: Duration = Duration::from_millis(5);
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// The loop.
pub(super) struct WorkLoop {
    context: Arc<Context>,
    subscriptions: Subscriptions,
    router: Router,
    claimer: Claimer,
    lanes: LaneOpener,
    looks: watch::Receiver<u64>,
    poll_interval: Duration,
    nap: Duration,
    /// Steps that claimed something since the last sleep.
    in_a_row: u32,
    /// The bell is armed: the next step disarms it.
    is_armed: bool,
    rung_siblings: Instant,
    /// When orphaned claims were last released. `None` if the next step has to.
    orphans_released: Option<Instant>,
}

impl WorkLoop {
    /// A loop that has not looked yet; `router` knows where the sweep at the start begins.
    pub(super) fn new(context: Arc<Context>, router: Router, poll_interval: Duration) -> Self {
        Self {
            claimer: Claimer::new(Arc::clone(&context)),
            lanes: LaneOpener::new(Arc::clone(&context)),
            looks: context.bell.looks(),
            subscriptions: Subscriptions::default(),
            router,
            context,
            poll_interval,
            nap: NAP_FIRST,
            in_a_row: 0,
            is_armed: false,
            rung_siblings: Instant::now(),
            orphans_released: Some(Instant::now()),
        }
    }

    /// Steps until stopped; a step under way is finished. After a failure it waits with a jittered backoff.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
        // The sweep at the start.
        let mut look = Look::Full;
        while !stop.is_cancelled() {
            let begun = Instant::now();
            let done = match self.disarm_and_step(look).await {
                Ok(progress) => self.after_step(progress, begun.elapsed(), &stop).await,
                Err(fault) => Err(fault),
            };
            match done {
                Ok(()) => {
                    self.context.database_health.succeeded(Stage::WorkLoop);
                    backoff.reset();
                    look = Look::Near;
                }
                Err(fault) => {
                    self.context.database_health.failed(Stage::WorkLoop, &fault);
                    self.disarm().await;
                    stop.run_until_cancelled(tokio::time::sleep(backoff.pause())).await;
                    look = Look::Full;
                    // The failed step may have claimed something.
                    self.orphans_released = None;
                }
            }
        }
        self.disarm().await;
    }

    /// Runs one step. After a sleep it also disarms the bell, concurrently. Nothing is missed: a producer whose trigger ran
    /// before the disarm sends a NOTIFY; any later event is found by the full look before the next sleep.
    async fn disarm_and_step(&mut self, look: Look) -> Result<Progress, StoreError> {
        if !std::mem::take(&mut self.is_armed) {
            return self.step(look).await;
        }
        let context = Arc::clone(&self.context);
        join(context.bell.disarm(), self.step(look)).await.1
    }

    async fn disarm(&mut self) {
        if std::mem::take(&mut self.is_armed) {
            self.context.bell.disarm().await;
        }
    }

    /// One step: opens lanes, claims what is due, then routes what is new with the room that is left.
    ///
    /// # Errors
    /// [`StoreError`]: claims whose reply was lost are released by `release_orphaned_claims`.
    pub(super) async fn step(&mut self, look: Look) -> Result<Progress, StoreError> {
        if !self.context.lease.is_renewed() {
            // Whatever is claimed now could not be begun.
            return Ok(Progress::Full);
        }
        if self.orphans_released.is_none_or(|at| at.elapsed() >= ORPHANS_INTERVAL) {
            self.release_orphaned_claims().await?;
        }
        let opened = self.lanes.step(&self.subscriptions).await?;
        self.claimer.note_waiting(&opened);
        let due = self.claimer.step(look, &mut self.subscriptions).await?;
        let routed = self.router.step(look, &mut self.subscriptions).await?;
        self.claimer.note_waiting(&routed.waiting);
        Ok(due.and(routed.progress))
    }

    async fn after_step(
        &mut self,
        progress: Progress,
        took: Duration,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        match progress {
            Progress::Worked(claimed) => {
                self.nap = NAP_FIRST;
                self.context.rows_due.look_now();
                self.ring_siblings().await;
                self.in_a_row += 1;
                if claimed >= SMALL_STEP {
                    return Ok(());
                }
                if self.in_a_row == 1 {
                    // A single event is seldom followed by more at once: the look before the next sleep is enough.
                    self.arm_and_sleep(stop).await?;
                } else if self.in_a_row > PROMPT_STEPS {
                    // A steady trickle is taken in fewer, larger steps: they take at most half of the time.
                    stop.run_until_cancelled(tokio::time::sleep(took.min(THROTTLE_MAX))).await;
                }
            }
            Progress::Full => {
                self.ring_siblings().await;
                self.wait_for_room(stop).await;
            }
            Progress::Idle => self.arm_and_sleep(stop).await?,
        }
        Ok(())
    }

    /// Nothing to do: arms the bell, looks once more, sleeps.
    async fn arm_and_sleep(&mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        match self.context.bell.arm().await {
            Armed::ProducersInFlight => {
                self.context.metrics.napped();
                stop.run_until_cancelled(tokio::time::sleep(self.nap)).await;
                self.nap = (self.nap * 2).min(NAP_MAX);
            }
            Armed::Yes => {
                self.is_armed = true;
                // A producer that did not ring committed before we held the bell: its events are visible now.
                if self.step(Look::Full).await? == Progress::Idle {
                    self.sleep(stop).await;
                }
                self.nap = NAP_FIRST;
            }
            Armed::NotOurs => {
                if self.step(Look::Full).await? == Progress::Idle {
                    self.sleep(stop).await;
                }
            }
        }
        Ok(())
    }

    /// Sleeps until rung, until something is due, until a slot is free for a delivery that waits, or until the fallback poll.
    async fn sleep(&mut self, stop: &CancellationToken) {
        if self.router.has_left_some() {
            // A sibling with slots for it may have looked before it was committed, and sleeps.
            self.ring().await;
        }
        let poll = Instant::now() + self.poll_interval;
        let until = self.claimer.next_due().map_or(poll, |due| due.min(poll));
        let has_waiting = self.claimer.has_due();
        self.in_a_row = 0;
        tokio::select! {
            // Every branch only waits; a look and a freed slot are kept when dropped.
            () = stop.cancelled() => {}
            _ = self.looks.changed() => {}
            () = self.context.scheduler.room_changed(), if has_waiting => {}
            // Another dispatcher may have died over what it routed or settled.
            () = tokio::time::sleep_until(until) => self.context.rows_due.look_now(),
        }
    }

    async fn wait_for_room(&self, stop: &CancellationToken) {
        tokio::select! {
            // Every branch only waits; freed room is kept when dropped.
            () = stop.cancelled() => {}
            () = self.context.scheduler.room_changed() => {}
            () = tokio::time::sleep(RING_PAUSE) => {}
        }
    }

    async fn ring_siblings(&mut self) {
        let is_due = self.rung_siblings.elapsed() >= RING_PAUSE;
        if is_due && (self.context.bell.is_leader() || self.router.has_left_some()) {
            self.ring().await;
        }
    }

    async fn ring(&mut self) {
        self.rung_siblings = Instant::now();
        self.router.note_rung();
        if self.context.scheduler.dispatcher_count() > 1 && self.context.bell.ring().await {
            self.context.metrics.ring_sent();
        }
    }

    /// The reply to a claim may be lost: the deliveries are ours, and we do not know of them. Releases them. No claim runs
    /// beside this.
    async fn release_orphaned_claims(&mut self) -> Result<(), StoreError> {
        let released = orphaned_claims::release(&self.context).await?;
        if released > 0 {
            warn!("released {released} deliveries: the reply to their claim was lost");
        }
        self.orphans_released = Some(Instant::now());
        Ok(())
    }
}
