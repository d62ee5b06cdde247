//! What must happen now and then: deliveries of dead dispatchers are taken back, and the floor of routing is saved.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::rounds::Shared;
use crate::store::{EventFloor, StoreError, one_line};

/// Claims taken back in one statement.
const CLAIMS_MAX: i64 = 20;

/// The stage.
pub struct Housekeeping {
    shared: Arc<Shared>,
    interval: Duration,
}

impl Housekeeping {
    /// Steps four times per lease, and at least every 15 seconds.
    pub fn new(shared: Arc<Shared>, lease: Duration) -> Self {
        Self {
            shared,
            interval: (lease / 4).min(Duration::from_secs(15)),
        }
    }

    /// Steps until stopped, the first time at once.
    pub async fn run(self, stop: CancellationToken) {
        let mut pause = Duration::ZERO;
        while stop
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_some()
        {
            if let Err(fault) = self.step().await {
                warn!("housekeeping failed, trying again: {}", one_line(&fault));
            }
            // Several dispatchers do not step together.
            pause = self.interval.mul_f64(0.9 + 0.1 * fastrand::f64());
        }
    }

    /// Takes back what dead dispatchers hold, in bounded statements, and saves the floor.
    ///
    /// # Errors
    /// [`StoreError`]: the next step goes on.
    pub async fn step(&self) -> Result<(), StoreError> {
        loop {
            let (rescued, claims) = self.shared.store.rescue_claims(CLAIMS_MAX).await?;
            if rescued > 0 {
                info!("took back {rescued} deliveries of a dispatcher whose lease ended");
                self.shared.bell.look_now();
            }
            if claims < CLAIMS_MAX {
                break;
            }
        }
        self.shared.store.remove_dispatchers(None).await?;
        let xid = self.shared.routed_below.load(Ordering::Relaxed);
        if xid > 0 {
            self.shared.store.save_floor(EventFloor { xid, id: 0 }).await?;
        }
        Ok(())
    }
}
