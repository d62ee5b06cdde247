//! What must happen now and then: deliveries of dead dispatchers are taken back, what nobody wants any more is given up,
//! tallies are summed up, the floor of routing is saved, and old finished events are deleted. Every statement is bounded
//! and skips what others have locked, so that any dispatcher may do it, side by side with the others.

mod leftovers;
mod retention;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::retention::Deletions;
use crate::dispatcher::database_health::Stage;
use crate::dispatcher::work_loop::{Progress, Shared};
use crate::rules::backoff::Backoff;
use crate::rules::halves::Halves;
use crate::store::{Position, Retention, StatEndpoints, StatStep, StoreError, ToSeal, is_row_fault};

const INTERVAL_MAX: Duration = Duration::from_secs(12);
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Rows touched in one statement of tidying.
const ROWS_MAX: i64 = 1_000;
/// A deleted endpoint's name is kept a day longer than the last of its deliveries.
const FORGET_AFTER: Duration = Duration::from_hours(24);
/// A step tidies up no longer than this: dead dispatchers do not wait for it. Each statement runs at least once.
const TIDYING_MAX: Duration = Duration::from_secs(3);

/// The stage.
pub(super) struct Maintenance {
    shared: Arc<Shared>,
    interval: Duration,
    retention: Retention,
    deletions: Deletions,
}

impl Maintenance {
    /// Steps four times per lease, and often enough that nothing stays in progress for 15 s beyond the lease of whoever
    /// held it.
    pub(super) fn new(shared: Arc<Shared>, lease: Duration, retention: Retention) -> Self {
        let interval = (lease / 4).min(INTERVAL_MAX);
        Self { shared, interval, retention, deletions: Deletions::new(retention) }
    }

    /// Steps until stopped, the first time at once.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut pause = Duration::ZERO;
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            let begun = Instant::now();
            pause = match self.step(&stop).await {
                Ok(progress) => {
                    self.shared.database_health.ended(Stage::Maintenance);
                    backoff.reset();
                    match progress {
                        Progress::Worked(_) => Duration::ZERO,
                        Progress::Idle | Progress::Full => self.rest(begun.elapsed()),
                    }
                }
                Err(fault) => {
                    self.shared.database_health.began(Stage::Maintenance, &fault);
                    backoff.pause()
                }
            };
        }
    }

    /// Several dispatchers do not step together. What the dead held does not wait for a step that took long.
    fn rest(&self, took: Duration) -> Duration {
        self.interval.mul_f64(0.9 + 0.1 * fastrand::f64()).saturating_sub(took)
    }

    /// Takes back what dead dispatchers hold, saves the floor, tidies up, deletes what is old: a part of it, if it has
    /// worked, and then the next step does not wait. What fails keeps nothing else from being done.
    ///
    /// # Errors
    /// [`StoreError`], the first one: the next step goes on.
    pub(super) async fn step(&mut self, stop: &CancellationToken) -> Result<Progress, StoreError> {
        let mut failed = None;
        let mut note = |done: Result<(), StoreError>| {
            if let Err(fault) = done {
                failed.get_or_insert(fault);
            }
        };
        note(self.rescue().await);
        note(self.shared.store.remove_dispatchers(None).await);
        note(self.save_floor().await);
        let tidying = Tidying { shared: &self.shared, begun: Instant::now(), stop };
        note(tidying.give_up().await);
        note(tidying.compact_endpoint_changes().await);
        note(tidying.tally(Tally::Sum).await);
        note(tidying.tally(Tally::Fold).await);
        note(self.seal().await);
        note(self.shared.store.forget_secrets().await);
        note(self.shared.store.forget_refused().await);
        // Their deliveries are given up by now, and deleted after at most this.
        let longest = self.retention.complete.max(self.retention.failed) + FORGET_AFTER;
        note(self.shared.store.forget_endpoints(longest).await.map(drop));
        let progress = self.deletions.step(&self.shared, stop).await;
        failed.map_or(progress, Err)
    }

    async fn save_floor(&self) -> Result<(), StoreError> {
        let xid = self.shared.routed_below.load(Ordering::Relaxed);
        let is_confirmed = self.shared.routed_as_of.load(Ordering::Relaxed) == self.shared.store.opened();
        if xid > 0 && is_confirmed {
            self.shared.store.save_floor(Position { xid, id: 0 }).await?;
        }
        Ok(())
    }

    /// What came in by SQL stands in the clear until it is sealed here.
    async fn seal(&self) -> Result<(), StoreError> {
        let sealed = self.shared.store.seal_secrets(ToSeal::Clear).await?.sealed;
        if sealed > 0 {
            info!("sealed {sealed} secrets that stood in the clear");
        }
        Ok(())
    }

    async fn rescue(&self) -> Result<(), StoreError> {
        let rescued = leftovers::rescue(&self.shared).await?;
        if rescued > 0 {
            info!("took back {rescued} deliveries of a dispatcher whose lease ended");
            self.shared.bell.look_now();
            self.shared.bell.count_again();
        }
        Ok(())
    }
}

/// What is done to tallies.
#[derive(Clone, Copy)]
enum Tally {
    /// Batches become hours.
    Sum,
    /// Old hours become one row.
    Fold,
}

/// A tidying under way: each kind of work is done once, and more of it as long as there is time.
struct Tidying<'a> {
    shared: &'a Shared,
    begun: Instant,
    stop: &'a CancellationToken,
}

impl Tidying<'_> {
    fn may_go_on(&self) -> bool {
        !self.stop.is_cancelled() && self.begun.elapsed() < TIDYING_MAX
    }

    /// What nobody wants any more.
    async fn give_up(&self) -> Result<(), StoreError> {
        while leftovers::give_up(self.shared, ROWS_MAX).await? >= ROWS_MAX && self.may_go_on() {}
        Ok(())
    }

    async fn compact_endpoint_changes(&self) -> Result<(), StoreError> {
        while self.shared.store.compact_endpoint_changes(ROWS_MAX).await? >= ROWS_MAX && self.may_go_on() {}
        Ok(())
    }

    /// Keeps the tallies few. An endpoint whose sums somebody else has locked is left alone, and keeps none from the others.
    async fn tally(&self, tally: Tally) -> Result<(), StoreError> {
        let mut busy = Vec::new();
        loop {
            let endpoints = StatEndpoints { but: &busy, only: None };
            let tallied = match self.tally_once(tally, endpoints).await {
                Err(fault) if is_row_fault(&fault) => return self.tally_in_halves(tally).await,
                tallied => tallied?,
            };
            busy.extend(tallied.busy);
            if tallied.looked_at < ROWS_MAX || !self.may_go_on() {
                return Ok(());
            }
        }
    }

    async fn tally_once(&self, tally: Tally, endpoints: StatEndpoints<'_>) -> Result<StatStep, StoreError> {
        match tally {
            Tally::Sum => self.shared.store.aggregate_stats(ROWS_MAX, endpoints).await,
            Tally::Fold => self.shared.store.compact_stats(ROWS_MAX, endpoints).await,
        }
    }

    /// The database refuses the tallies of one endpoint: they stay, and the next step tries them again.
    async fn tally_in_halves(&self, tally: Tally) -> Result<(), StoreError> {
        let mut halves = Halves::new(self.shared.store.list_endpoints_with_stats().await?);
        while let Some(part) = halves.next_part() {
            match self.tally_once(tally, StatEndpoints { but: &[], only: Some(&part) }).await {
                Ok(_) => {}
                Err(fault) if is_row_fault(&fault) => {
                    if halves.refused(part).is_some() {
                        self.shared
                            .database_health
                            .mention("counts of an endpoint cannot be summed up", &fault);
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }
}
