//! The lease of this dispatcher: it covers all its claims. Whoever cannot renew it in time starts nothing more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::bell::Bell;
use crate::clock::Clock;
use crate::delivery::DispatcherId;
use crate::desk::Desk;
use crate::metrics::Metrics;
use crate::store::{Registration, Store, StoreError};
use crate::trouble::{Stage, Trouble};

/// Who this dispatcher is, and until when that is certain.
#[derive(Debug)]
pub struct Lease {
    duration: Duration,
    held: Mutex<Held>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    id: DispatcherId,
    /// By our own monotonic clock, counted from before the renewal was sent.
    until: Instant,
}

impl Lease {
    /// Registers a dispatcher and starts its lease.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn start(store: &Store, who: &Registration, bell: &Bell) -> Result<Self, StoreError> {
        let until = Instant::now() + who.lease;
        let id = store.register_dispatcher(who, &bell.wake_state()).await?;
        Ok(Self { duration: who.lease, held: Mutex::new(Held { id, until }) })
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
        held.id == held_by && Instant::now() + attempt < held.until
    }

    /// Whether it was renewed lately.
    pub fn is_renewed(&self) -> bool {
        Instant::now() + self.duration / 2 < self.lock().until
    }

    fn set(&self, id: DispatcherId, until: Instant) {
        *self.lock() = Held { id, until };
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews the lease, and with it the clock and the number of dispatchers that share the endpoints.
#[derive(Clone)]
pub struct Renewer {
    /// Where the lease is recorded.
    pub store: Store,
    /// The lease.
    pub lease: Arc<Lease>,
    /// Says who leads and how we are woken.
    pub bell: Arc<Bell>,
    /// Set by every renewal.
    pub clock: Arc<Clock>,
    /// Told how many dispatchers share the endpoints.
    pub desk: Arc<Desk>,
    /// To register anew after a lost lease.
    pub who: Registration,
    /// Counts lost leases.
    pub metrics: Arc<Metrics>,
    /// Told of failures.
    pub trouble: Arc<Trouble>,
}

impl Renewer {
    /// Renews six times per lease until stopped; after a failure, every second.
    pub async fn run(&self, stop: CancellationToken) {
        let mut pause = Duration::ZERO;
        loop {
            tokio::select! {
                // Every branch only waits; a change is kept when dropped.
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                // Shown in dispatcher_status at once.
                () = self.bell.changed() => {}
            }
            match self.step().await {
                Ok(()) => {
                    self.trouble.ended(Stage::Lease);
                    pause = self.lease.duration / 6;
                }
                Err(fault) => {
                    self.trouble.began(Stage::Lease, &fault);
                    pause = Duration::from_secs(1);
                }
            }
        }
    }

    /// Renews once. A lease that lapsed is not renewed but followed by a new registration: what was claimed under it
    /// is not begun any more.
    ///
    /// # Errors
    /// [`StoreError`]: the old lease goes on until its end.
    pub async fn step(&self) -> Result<(), StoreError> {
        let Held { id, until } = *self.lease.lock();
        let before = Instant::now();
        let wake = self.bell.wake_state();
        let renewal = if before < until {
            self.store.renew_lease(id, self.lease.duration, self.bell.is_leader(), &wake).await?
        } else {
            None
        };
        let Some(renewal) = renewal else {
            let new = self.store.register_dispatcher(&self.who, &wake).await?;
            self.lease.set(new, before + self.lease.duration);
            self.metrics.lease_lost();
            warn!(
                "lease lost: what dispatcher {} held is taken back; going on as dispatcher {}",
                id.get(),
                new.get()
            );
            return Ok(());
        };
        self.lease.set(id, before + self.lease.duration);
        self.clock.set(renewal.now_ms);
        if self.desk.sharers() != renewal.live_dispatchers {
            info!("{} dispatchers share the endpoints", renewal.live_dispatchers);
            self.desk.set_sharers(renewal.live_dispatchers);
        }
        Ok(())
    }
}
