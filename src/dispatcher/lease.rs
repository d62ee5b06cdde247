//! The lease of this dispatcher: it covers all its claims. A dispatcher that cannot renew it in time starts nothing more.
//!
//! It is renewed on a thread of its own, which a busy runtime cannot starve, and over a connection of its own. But a lease
//! says that its dispatcher works, not that a thread does: a dispatcher that shows no pulse for long loses it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::dispatcher::database_health::{DatabaseHealth, Stage};
use crate::dispatcher::metrics::Metrics;
use crate::dispatcher::scheduler::{Partition, Scheduler};
use crate::dispatcher::wakeup::bell::Bell;
use crate::model::delivery::DispatcherId;
use crate::rules::clock::{Clock, Moment};
use crate::store::{DispatcherInfo, Store, StoreError, waits_for_adoption};

/// The lease is renewed for so many times its length without a pulse. A runtime that is busy or blocked for a while loses
/// nothing; the claims of one that hangs for good are taken back in the end.
const LEASES_WITHOUT_PULSE: u32 = 5;
/// Pause before a renewal that comes for another reason than time: anybody may send a probe.
const CHANGES_APART: Duration = Duration::from_millis(50);
/// Pause after a renewal that failed.
const RENEW_AGAIN: Duration = Duration::from_secs(1);
/// How often the common runtime shows its pulse.
const PULSE: Duration = Duration::from_secs(1);

/// The id of this dispatcher, and until when its claims are certain to be its own.
#[derive(Debug)]
pub struct Lease {
    duration: Duration,
    held: Mutex<Held>,
    /// When the common runtime last showed that it works.
    pulse: Mutex<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    id: DispatcherId,
    /// By this machine's clock, counted from before the renewal was sent.
    until: Moment,
}

impl Lease {
    /// Registers a dispatcher and starts its lease.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn start(store: &Store, who: &DispatcherInfo, bell: &Bell) -> Result<Self, StoreError> {
        let until = Moment::now() + who.lease;
        let id = store.register_dispatcher(who, &bell.wake_state()).await?;
        Ok(Self {
            duration: who.lease,
            held: Mutex::new(Held { id, until }),
            pulse: Mutex::new(Instant::now()),
        })
    }

    /// The dispatcher's id at the moment.
    pub fn id(&self) -> DispatcherId {
        self.lock().id
    }

    /// How long it lasts without being renewed.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// Whether an attempt of at most this length, on a claim of this dispatcher, ends before the lease could. A claim
    /// from before a lapse is never covered again: others may have taken it back.
    pub fn covers(&self, held_by: DispatcherId, attempt: Duration) -> bool {
        let held = *self.lock();
        held.id == held_by && Moment::now() + attempt < held.until
    }

    /// Whether it was renewed lately.
    pub fn is_renewed(&self) -> bool {
        Moment::now() + self.duration / 2 < self.lock().until
    }

    /// Shows that the common runtime works, as long as it does: to be run there.
    pub async fn show_pulse(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(PULSE)).await.is_some() {
            *self.pulse.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }

    fn has_pulse(&self) -> bool {
        let shown = *self.pulse.lock().unwrap_or_else(PoisonError::into_inner);
        shown.elapsed() < self.duration * LEASES_WITHOUT_PULSE + PULSE
    }

    /// Ends it at once: nothing that is claimed is begun any more.
    fn give_up(&self) {
        self.lock().until = Moment::now();
    }

    fn set(&self, id: DispatcherId, until: Moment) {
        *self.lock() = Held { id, until };
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the lease was not renewed.
#[derive(Debug, Error)]
enum NotRenewed {
    #[error("dispatcher runtime is not responding")]
    NoPulse,
    #[error(transparent)]
    Failed(#[from] StoreError),
}

/// Renews the lease, and with it the clock and the number of dispatchers that share the endpoints.
#[derive(Clone)]
pub(crate) struct Renewer {
    /// The database: a connection for nothing else.
    pub store: Store,
    /// The lease.
    pub lease: Arc<Lease>,
    /// Says whether this dispatcher leads, and how it is woken.
    pub bell: Arc<Bell>,
    /// Set by every renewal.
    pub clock: Arc<Clock>,
    /// Learns how many dispatchers share the endpoints.
    pub scheduler: Arc<Scheduler>,
    /// To register anew after a lost lease.
    pub who: DispatcherInfo,
    /// Counts lost leases.
    pub metrics: Arc<Metrics>,
    /// Learns of failures.
    pub database_health: Arc<DatabaseHealth>,
}

impl Renewer {
    /// Renews six times per lease until stopped; after a failure, every second.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut pause = Duration::ZERO;
        loop {
            tokio::select! {
                // Every branch only waits; a change is kept when dropped.
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                // Shown in dispatcher_status soon, and the endpoints are shared by as many as there are.
                () = self.changed() => {}
            }
            pause = match self.renew().await {
                Ok(()) => {
                    self.database_health.succeeded(Stage::Lease);
                    self.lease.duration / 6
                }
                Err(fault) => {
                    self.database_health.failed(Stage::Lease, &fault);
                    RENEW_AGAIN
                }
            };
        }
    }

    async fn renew(&self) -> Result<(), NotRenewed> {
        if !self.lease.has_pulse() {
            return Err(NotRenewed::NoPulse);
        }
        let done = self.step().await;
        if done.as_ref().is_err_and(|fault| waits_for_adoption(fault)) {
            // The claims are another database's.
            self.lease.give_up();
        }
        Ok(done?)
    }

    async fn changed(&self) {
        tokio::time::sleep(CHANGES_APART).await;
        self.bell.changed().await;
    }

    /// Renews once. If the lease lapsed, registers anew: deliveries claimed under the old lease are not begun any more.
    ///
    /// # Errors
    /// [`StoreError`]: the old lease goes on until its end.
    pub(crate) async fn step(&self) -> Result<(), StoreError> {
        // A connection was let in when it was opened. Since then somebody may have named the installation anew, or a pooler may
        // lead to another database.
        self.store.require_home().await?;
        let Held { id, until } = *self.lease.lock();
        let before = Moment::now();
        let wake = self.bell.wake_state();
        let renewal = if before < until {
            self.store.renew_lease(id, self.lease.duration, self.bell.is_leader(), &wake).await?
        } else {
            None
        };
        let Some(renewal) = renewal else {
            // The renewal may have taken longer than a lease. The new one begins now.
            let before = Moment::now();
            let new = self.store.register_dispatcher(&self.who, &wake).await?;
            self.lease.set(new, before + self.lease.duration);
            self.metrics.lease_lost();
            // It has another place among the dispatchers.
            self.bell.count_again();
            warn!(
                "lease lost: the deliveries of dispatcher {} are taken back; going on as dispatcher {}",
                id.get(),
                new.get()
            );
            return Ok(());
        };
        self.lease.set(id, before + self.lease.duration);
        self.clock.set(renewal.now_ms);
        let partition = Partition { index: renewal.earlier_dispatchers, count: renewal.live_dispatchers };
        let before = self.scheduler.set_partition(partition);
        if before.count != partition.count {
            info!("{} dispatchers share the endpoints", partition.count);
        }
        if before != partition {
            // It may have slots now for deliveries that it left to others.
            self.bell.look_now();
        }
        Ok(())
    }
}
