//! What must happen now and then: deliveries of dead dispatchers are taken back, what nobody wants any more is given up,
//! tallies are summed up, the floor of routing is saved, and old finished events are deleted. Every statement is bounded
//! and skips what others have locked, so that any dispatcher may do it, side by side with the others.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::backoff::Backoff;
use crate::event::EventId;
use crate::rounds::Shared;
use crate::store::{EventFloor, Retention, StoreError};
use crate::trouble::Stage;

const INTERVAL_MAX: Duration = Duration::from_secs(12);
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Claims taken back in one statement.
const CLAIMS_MAX: i64 = 20;
/// Events looked at in one statement of deletion.
const SCAN_MAX: i64 = 1_000;
/// Rows touched in one statement of tidying.
const ROWS_MAX: i64 = 1_000;
/// A deleted endpoint's name is kept a day longer than the last of its deliveries.
const FORGET_AFTER: Duration = Duration::from_hours(24);
/// A step deletes no longer than this: dead dispatchers do not wait for it.
const DELETION_MAX: Duration = Duration::from_secs(3);
/// The same for tidying; each of its statements runs at least once a step.
const TIDYING_MAX: Duration = Duration::from_secs(3);
/// Looking for old events in vain may cost this part of the time.
const DELETION_PART: u32 = 20;

/// The stage.
pub struct Housekeeping {
    shared: Arc<Shared>,
    interval: Duration,
    retention: Retention,
    /// The next pass over the old events, and where it goes on.
    next_pass: Instant,
    after: Option<EventId>,
}

impl Housekeeping {
    /// Steps four times per lease, and often enough that nothing stays in progress for 15 s beyond the lease of whoever
    /// held it.
    pub fn new(shared: Arc<Shared>, lease: Duration, retention: Retention) -> Self {
        let interval = (lease / 4).min(INTERVAL_MAX);
        Self { shared, interval, retention, next_pass: Instant::now(), after: None }
    }

    /// Steps until stopped, the first time at once.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut pause = Duration::ZERO;
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            let begun = Instant::now();
            pause = match self.step(&stop).await {
                Ok(()) => {
                    self.shared.trouble.ended(Stage::Housekeeping);
                    backoff.reset();
                    // Several dispatchers do not step together. What the dead held does not wait for a step that took long.
                    let interval = self.interval.mul_f64(0.9 + 0.1 * fastrand::f64());
                    interval.saturating_sub(begun.elapsed())
                }
                Err(fault) => {
                    self.shared.trouble.began(Stage::Housekeeping, &fault);
                    backoff.pause()
                }
            };
        }
    }

    /// Takes back what dead dispatchers hold, saves the floor, tidies up, deletes what is old.
    ///
    /// # Errors
    /// [`StoreError`]: the next step goes on.
    pub async fn step(&mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        self.rescue().await?;
        let xid = self.shared.routed_below.load(Ordering::Relaxed);
        if xid > 0 {
            self.shared.store.save_floor(EventFloor { xid, id: 0 }).await?;
        }
        self.tidy(stop).await?;
        if Instant::now() >= self.next_pass {
            self.delete_finished(stop).await?;
        }
        Ok(())
    }

    /// Gives up what nobody wants any more, and keeps the tallies few.
    async fn tidy(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let store = &self.shared.store;
        let begun = Instant::now();
        let may_go_on = || !stop.is_cancelled() && begun.elapsed() < TIDYING_MAX;
        while store.give_up_deliveries(ROWS_MAX).await? >= ROWS_MAX && may_go_on() {}
        while store.sum_tallies(ROWS_MAX).await? >= ROWS_MAX && may_go_on() {}
        while store.fold_tallies(ROWS_MAX).await? >= ROWS_MAX && may_go_on() {}
        // Their deliveries are given up by now, and deleted after at most this.
        let longest = self.retention.complete.max(self.retention.failed) + FORGET_AFTER;
        store.forget_endpoints(longest).await.map(drop)
    }

    async fn rescue(&self) -> Result<(), StoreError> {
        loop {
            let (rescued, claims) = self.shared.store.rescue_claims(CLAIMS_MAX).await?;
            if rescued > 0 {
                info!("took back {rescued} deliveries of a dispatcher whose lease ended");
                self.shared.bell.look_now();
                self.shared.bell.count_again();
            }
            if claims < CLAIMS_MAX {
                break;
            }
        }
        self.shared.store.remove_dispatchers(None).await
    }

    /// Goes on with a pass over the old events, from the first to the first that is too young.
    async fn delete_finished(&mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        let begun = Instant::now();
        let mut deleted = 0;
        while !stop.is_cancelled() && begun.elapsed() < DELETION_MAX {
            let deletion = self.shared.store.delete_finished(self.after, SCAN_MAX, self.retention).await?;
            deleted += deletion.deleted;
            self.after = deletion.next_after;
            if self.after.is_none() {
                self.next_pass = Instant::now() + begun.elapsed() * DELETION_PART;
                break;
            }
        }
        if deleted > 0 {
            info!("deleted {deleted} finished events that were old enough");
        }
        Ok(())
    }
}
