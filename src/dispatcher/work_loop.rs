//! The loop that everything hangs on: one round claims what is due and routes what is new; when a round finds nothing,
//! the bell is armed, one more look is taken, and the dispatcher sleeps.

mod orphaned_claims;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures_util::future::join;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::dispatcher::claimer::Claimer;
use crate::dispatcher::database_health::{DatabaseHealth, Stage};
use crate::dispatcher::lease::Lease;
use crate::dispatcher::metrics::Metrics;
use crate::dispatcher::router::Router;
use crate::dispatcher::scheduler::Scheduler;
use crate::dispatcher::sender::Sender;
use crate::dispatcher::subscriptions::Subscriptions;
use crate::dispatcher::wakeup::bell::{Armed, Bell};
use crate::rules::backoff::Backoff;
use crate::store::{EndpointSet, Store, StoreError};

/// First nap, and the longest: the latency while a producer that did not ring is in flight.
const NAP_FIRST: Duration = Duration::from_millis(1);
const NAP_MAX: Duration = Duration::from_millis(10);
/// Siblings are rung at most this often; before a sleep, for what was left to them, at once.
const RING_PAUSE: Duration = Duration::from_millis(10);
/// How often claims that nobody knows of are given back.
const STRAYS_INTERVAL: Duration = Duration::from_secs(15);
/// So many rounds in a row are prompt: what comes now and then does not wait. After that, one that claimed less than this
/// takes a breath as long as it took itself, at most so long.
const PROMPT_ROUNDS: u32 = 2;
const SMALL_ROUND: usize = 100;
const BREATH_MAX: Duration = Duration::from_millis(5);
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// How far a round looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// From the floors kept in memory: what is new.
    Near,
    /// Everything that may have been passed over: before every sleep.
    Full,
}

/// What a round came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many events and deliveries were claimed.
    Worked(usize),
    /// There is nothing to claim.
    Idle,
    /// There may be more, but no room to hold it.
    Full,
}

/// What every round works with.
pub struct Shared {
    /// The database.
    pub store: Store,
    /// Limits and queues.
    pub scheduler: Arc<Scheduler>,
    /// Who we are.
    pub lease: Arc<Lease>,
    /// Wakes us.
    pub bell: Arc<Bell>,
    /// Makes the attempts.
    pub sender: Arc<Sender>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Told of failures.
    pub database_health: Arc<DatabaseHealth>,
    /// Every event of a transaction below this one is routed; saved by housekeeping for the next start.
    pub routed_below: AtomicU64,
    /// Connections opened when that was confirmed: a newer one may lead to a server that knows nothing of it.
    pub routed_as_of: AtomicU64,
}

impl Shared {
    /// Reads the endpoints again unless the copy is of this version.
    ///
    /// # Errors
    /// [`StoreError`]: the copy stays as it is.
    pub async fn refresh(&self, subscriptions: &mut Subscriptions, version: i64) -> Result<(), StoreError> {
        if subscriptions.version() == version {
            return Ok(());
        }
        let endpoints = self.store.load_endpoints().await?;
        self.take_over(subscriptions, endpoints).await;
        Ok(())
    }

    /// Goes on with these endpoints.
    pub async fn take_over(&self, subscriptions: &mut Subscriptions, endpoints: EndpointSet) {
        *subscriptions = Subscriptions::new(endpoints);
        let unreadable = subscriptions.endpoints().iter().filter_map(|e| Some((&e.id, e.unreadable()?)));
        if let Some((id, fault)) = unreadable.clone().next() {
            let count = unreadable.count();
            error!(
                "the secrets of {count} endpoints cannot be read here, their deliveries wait: \"{id}\" has one that is {fault}"
            );
        }
        let unwanted = self.scheduler.set_endpoints(subscriptions.endpoints().iter().map(Arc::clone));
        self.sender.give_back(unwanted).await;
    }
}

/// The loop.
pub struct WorkLoop {
    shared: Arc<Shared>,
    subscriptions: Subscriptions,
    route: Router,
    dispatch: Claimer,
    looks: watch::Receiver<u64>,
    poll_interval: Duration,
    nap: Duration,
    /// Rounds that claimed something since the last sleep.
    in_a_row: u32,
    /// Producers ring: to be disarmed with the next look.
    is_armed: bool,
    rung_siblings: Instant,
    /// None: due at the next look.
    strays_released: Option<Instant>,
}

impl WorkLoop {
    /// A loop that has not looked yet; `route` knows where the sweep at start begins.
    pub fn new(shared: Arc<Shared>, route: Router, poll_interval: Duration) -> Self {
        Self {
            dispatch: Claimer::new(Arc::clone(&shared)),
            looks: shared.bell.looks(),
            subscriptions: Subscriptions::default(),
            route,
            shared,
            poll_interval,
            nap: NAP_FIRST,
            in_a_row: 0,
            is_armed: false,
            rung_siblings: Instant::now(),
            strays_released: Some(Instant::now()),
        }
    }

    /// Works until stopped; a round under way is finished. Failures are waited out with a jittered backoff.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
        // The sweep at start.
        let mut look = Look::Full;
        while !stop.is_cancelled() {
            let begun = Instant::now();
            let round = match self.look(look).await {
                Ok(progress) => self.follow(progress, begun.elapsed(), &stop).await,
                Err(fault) => Err(fault),
            };
            match round {
                Ok(()) => {
                    self.shared.database_health.ended(Stage::WorkLoop);
                    backoff.reset();
                    look = Look::Near;
                }
                Err(fault) => {
                    self.shared.database_health.began(Stage::WorkLoop, &fault);
                    self.disarm().await;
                    stop.run_until_cancelled(tokio::time::sleep(backoff.pause())).await;
                    look = Look::Full;
                    // What the failed round may have claimed.
                    self.strays_released = None;
                }
            }
        }
        self.disarm().await;
    }

    /// A round; the first one after a sleep while the bell is disarmed beside it. What it does not see any more is rung for
    /// if it came before that, and seen by the look before the next sleep if it came after it.
    async fn look(&mut self, look: Look) -> Result<Progress, StoreError> {
        if !std::mem::take(&mut self.is_armed) {
            return self.step(look).await;
        }
        let shared = Arc::clone(&self.shared);
        join(shared.bell.disarm(), self.step(look)).await.1
    }

    async fn disarm(&mut self) {
        if std::mem::take(&mut self.is_armed) {
            self.shared.bell.disarm().await;
        }
    }

    /// One round: what is due first, then what is new with the room that is left.
    ///
    /// # Errors
    /// [`StoreError`]: claims whose answer was lost are given back by `release_strays`.
    pub async fn step(&mut self, look: Look) -> Result<Progress, StoreError> {
        if !self.shared.lease.is_renewed() {
            // What is claimed now could not be begun.
            return Ok(Progress::Full);
        }
        if self.strays_released.is_none_or(|at| at.elapsed() >= STRAYS_INTERVAL) {
            self.release_strays().await?;
        }
        let due = self.dispatch.step(look, &mut self.subscriptions).await?;
        let new = self.route.step(look, &mut self.subscriptions, &mut self.dispatch).await?;
        Ok(match (due, new) {
            (Progress::Worked(a), Progress::Worked(b)) => Progress::Worked(a + b),
            (Progress::Worked(n), _) | (_, Progress::Worked(n)) => Progress::Worked(n),
            (Progress::Full, _) | (_, Progress::Full) => Progress::Full,
            (Progress::Idle, Progress::Idle) => Progress::Idle,
        })
    }

    async fn follow(
        &mut self,
        progress: Progress,
        took: Duration,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        match progress {
            Progress::Worked(claimed) => {
                self.nap = NAP_FIRST;
                self.ring_siblings().await;
                self.in_a_row += 1;
                if claimed >= SMALL_ROUND {
                    return Ok(());
                }
                if self.in_a_row == 1 {
                    // What came by itself is seldom followed by more at once: the look before the next sleep will do.
                    self.rest(stop).await?;
                } else if self.in_a_row > PROMPT_ROUNDS {
                    // A steady trickle is taken in fewer, larger work_loop: at most half of the time goes into them.
                    stop.run_until_cancelled(tokio::time::sleep(took.min(BREATH_MAX))).await;
                }
            }
            Progress::Full => {
                self.ring_siblings().await;
                self.wait_for_room(stop).await;
            }
            Progress::Idle => self.rest(stop).await?,
        }
        Ok(())
    }

    /// Nothing to do: arms the bell, looks once more, sleeps.
    async fn rest(&mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        match self.shared.bell.arm().await {
            Armed::ProducersInFlight => {
                self.shared.metrics.napped();
                stop.run_until_cancelled(tokio::time::sleep(self.nap)).await;
                self.nap = (self.nap * 2).min(NAP_MAX);
            }
            Armed::Yes => {
                self.is_armed = true;
                // What a producer that did not ring committed before we held the bell is visible now.
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

    /// Sleeps until rung, until something is due, until a slot is free for what waits, or until the fallback poll.
    async fn sleep(&mut self, stop: &CancellationToken) {
        if self.route.has_left_some() {
            // Who has slots for it may have looked before it was committed, and sleeps.
            self.ring().await;
        }
        let poll = Instant::now() + self.poll_interval;
        let until = self.dispatch.next_due().map_or(poll, |due| due.min(poll));
        let has_waiting = self.dispatch.has_due();
        self.in_a_row = 0;
        tokio::select! {
            // Every branch only waits; a look and a freed slot are kept when dropped.
            () = stop.cancelled() => {}
            _ = self.looks.changed() => {}
            () = self.shared.scheduler.room_changed(), if has_waiting => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }

    async fn wait_for_room(&self, stop: &CancellationToken) {
        tokio::select! {
            // Every branch only waits; freed room is kept when dropped.
            () = stop.cancelled() => {}
            () = self.shared.scheduler.room_changed() => {}
            () = tokio::time::sleep(RING_PAUSE) => {}
        }
    }

    async fn ring_siblings(&mut self) {
        let is_due = self.rung_siblings.elapsed() >= RING_PAUSE;
        if is_due && (self.shared.bell.is_leader() || self.route.has_left_some()) {
            self.ring().await;
        }
    }

    async fn ring(&mut self) {
        self.rung_siblings = Instant::now();
        self.route.leave_none();
        if self.shared.scheduler.sharers() > 1 && self.shared.bell.ring().await {
            self.shared.metrics.ring_sent();
        }
    }

    /// A claim whose answer was lost is ours without our knowing: gives it back. No claim runs beside this.
    async fn release_strays(&mut self) -> Result<(), StoreError> {
        let released = orphaned_claims::release(&self.shared).await?;
        if released > 0 {
            warn!("gave back {released} deliveries whose claim was answered by nobody");
        }
        self.strays_released = Some(Instant::now());
        Ok(())
    }
}
