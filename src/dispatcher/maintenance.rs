//! Maintenance, every few seconds: takes back deliveries of dead dispatchers, gives up deliveries that nobody wants any more,
//! aggregates statistics, saves the watermark, and deletes old finished events. Every statement is bounded and skips locked rows, so
//! that all dispatchers may do this side by side.

mod attached_tables;
mod leftovers;
mod passed_over;
mod retention;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::attached_tables::AttachedTables;
use self::passed_over::PassedOver;
use self::retention::Deletions;
use crate::dispatcher::DispatcherConfig;
use crate::dispatcher::context::{Context, Progress};
use crate::dispatcher::database_health::Stage;
use crate::rules::backoff::Backoff;
use crate::rules::halves::Halves;
use crate::store::{
    DroppedTable, FORGOTTEN_MAX, Position, Retention, SkippedRows, StatEndpoints, StatStep, StoreError,
    ToSeal, is_row_fault,
};

const INTERVAL_MAX: Duration = Duration::from_secs(12);
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Rows in one statement of tidying.
const ROWS_MAX: i64 = 1_000;
/// Fewer rows of events that nobody got cost nothing. A day has 25 hours at most.
const NOBODY_ROWS_MIN: i64 = 100;
/// A deleted endpoint's name is kept a day longer than the last of its deliveries.
const FORGET_AFTER: Duration = Duration::from_hours(24);
/// An endpoint of a template that had no delivery for so long is forgotten. The next event for it makes it again.
const CHILD_IDLE_MAX: Duration = Duration::from_hours(7 * 24);
/// How often such endpoints are looked for.
const CHILDREN_INTERVAL: Duration = Duration::from_mins(10);
/// A step tidies no longer than this: the deliveries of dead dispatchers do not wait for it. Each statement runs at least once.
const TIDYING_MAX: Duration = Duration::from_secs(3);

/// The stage.
pub(super) struct Maintenance {
    context: Arc<Context>,
    interval: Duration,
    retention: Retention,
    deletions: Deletions,
    passed_over: PassedOver,
    attached_tables: AttachedTables,
    /// When idle endpoints of templates were looked for.
    children_forgotten: Option<Instant>,
}

impl Maintenance {
    /// Steps four times per lease, and at least every 12 s: no delivery stays in progress for more than 15 s after the lease of
    /// its dispatcher. An `idle_pause` makes that longer.
    pub(super) fn new(context: Arc<Context>, config: &DispatcherConfig) -> Self {
        let interval = (config.lease / 4).min(INTERVAL_MAX).max(config.idle_pause);
        let retention = config.retention;
        let (deletions, passed_over) = (Deletions::new(retention), PassedOver::default());
        let attached_tables = AttachedTables::default();
        Self {
            context,
            interval,
            retention,
            deletions,
            passed_over,
            attached_tables,
            children_forgotten: None,
        }
    }

    /// Steps until stopped, the first time at once.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut pause = Duration::ZERO;
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            let begun = Instant::now();
            pause = match self.step(&stop).await {
                Ok(progress) => {
                    self.context.database_health.succeeded(Stage::Maintenance);
                    backoff.reset();
                    match progress {
                        Progress::Worked(_) => Duration::ZERO,
                        Progress::Idle | Progress::Full => self.pause_after(begun.elapsed()),
                    }
                }
                Err(fault) => {
                    self.context.database_health.failed(Stage::Maintenance, &fault);
                    backoff.pause()
                }
            };
        }
    }

    /// How long to wait after a step: spread, so that dispatchers do not step together; shorter after a long step, so that
    /// deliveries of dead dispatchers do not wait for it.
    fn pause_after(&self, took: Duration) -> Duration {
        self.interval.mul_f64(0.9 + 0.1 * fastrand::f64()).saturating_sub(took)
    }

    /// Does each kind of work once. If there is more to delete, the result is [`Progress::Worked`], and the next step does not
    /// wait. A kind of work that fails keeps no other from being done.
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
        note(self.context.store.remove_dispatchers(None).await);
        note(self.save_watermark().await);
        note(self.passed_over.step(&self.context).await);
        note(self.attached_tables.step(&self.context).await);
        // Before deliveries of deleted endpoints are given up.
        note(self.context.store.revive_children().await.map(drop));
        let tidying = Tidying { context: &self.context, begun: Instant::now(), stop };
        if self.children_forgotten.is_none_or(|at| at.elapsed() >= CHILDREN_INTERVAL) {
            self.children_forgotten = Some(tidying.begun);
            note(tidying.forget_children().await);
        }
        note(tidying.give_up().await);
        note(tidying.compact_endpoint_changes().await);
        note(tidying.keep_stats_few(StatWork::Aggregate).await);
        note(tidying.keep_stats_few(StatWork::Compact).await);
        note(tidying.compact_reached_nobody().await);
        note(self.seal().await);
        note(self.context.store.forget_secrets().await);
        note(self.context.store.forget_refused().await);
        note(self.forget_dropped_tables().await);
        note(self.add_up_skipped_rows().await);
        // The deliveries of a deleted endpoint are given up by now, and deleted after at most this.
        let longest = self.retention.complete.max(self.retention.failed) + FORGET_AFTER;
        note(self.context.store.forget_endpoints(longest).await.map(drop));
        let progress = self.deletions.step(&self.context, stop).await;
        failed.map_or(progress, Err)
    }

    async fn save_watermark(&self) -> Result<(), StoreError> {
        let xid = self.context.routed_below.load(Ordering::Relaxed);
        let is_confirmed = self.context.routed_as_of.load(Ordering::Relaxed) == self.context.store.opened();
        if xid > 0 && is_confirmed {
            self.context.store.save_watermark(Position { xid, id: 0 }).await?;
        }
        Ok(())
    }

    /// Encrypts secrets that were written by SQL.
    async fn seal(&self) -> Result<(), StoreError> {
        let sealed = self.context.store.seal_secrets(ToSeal::Clear).await?.sealed;
        if sealed > 0 {
            info!("sealed {sealed} secrets that stood in the clear");
        }
        Ok(())
    }

    /// Forgets attached tables that somebody dropped.
    async fn forget_dropped_tables(&self) -> Result<(), StoreError> {
        for DroppedTable { attachment_no, topic } in self.context.store.forget_dropped_tables().await? {
            info!(
                "forgot attached table {attachment_no} (topic {topic}), which was dropped; \
                 its function postrider_capture_{attachment_no} is of no use any more"
            );
        }
        Ok(())
    }

    /// Tells of rows of attached tables whose events could not be written.
    async fn add_up_skipped_rows(&self) -> Result<(), StoreError> {
        for SkippedRows { relation, skipped, reason } in self.context.store.add_up_skipped_rows().await? {
            warn!(
                "{skipped} rows of attached table {relation} sent no event: SQLSTATE {reason}; see postrider.attached_table"
            );
        }
        Ok(())
    }

    /// Takes back deliveries of dead dispatchers.
    async fn rescue(&self) -> Result<(), StoreError> {
        let rescued = leftovers::rescue(&self.context).await?;
        if rescued > 0 {
            info!("took back {rescued} deliveries of a dispatcher whose lease ended");
            self.context.lanes.sweep_soon();
            self.context.bell.look_now();
            self.context.bell.count_again();
        }
        Ok(())
    }
}

/// A kind of work on the statistics of endpoints.
#[derive(Clone, Copy)]
enum StatWork {
    /// Rows of settled batches become rows of hours.
    Aggregate,
    /// Old hours become one row.
    Compact,
}

/// Tidying under way: each kind of work is done once, and repeated while there is time.
struct Tidying<'a> {
    context: &'a Context,
    begun: Instant,
    stop: &'a CancellationToken,
}

impl Tidying<'_> {
    fn may_go_on(&self) -> bool {
        !self.stop.is_cancelled() && self.begun.elapsed() < TIDYING_MAX
    }

    /// Gives up deliveries that nobody wants any more.
    async fn give_up(&self) -> Result<(), StoreError> {
        while leftovers::give_up(self.context, ROWS_MAX).await? >= ROWS_MAX && self.may_go_on() {}
        Ok(())
    }

    /// Forgets endpoints of templates that nobody sends to any more.
    async fn forget_children(&self) -> Result<(), StoreError> {
        while self.context.store.forget_children(CHILD_IDLE_MAX).await? >= FORGOTTEN_MAX && self.may_go_on() {
        }
        Ok(())
    }

    async fn compact_endpoint_changes(&self) -> Result<(), StoreError> {
        while self.context.store.compact_endpoint_changes(ROWS_MAX).await? >= ROWS_MAX && self.may_go_on() {}
        Ok(())
    }

    /// Keeps the counts of events that nobody got few.
    async fn compact_reached_nobody(&self) -> Result<(), StoreError> {
        let store = &self.context.store;
        while store.compact_reached_nobody(ROWS_MAX, NOBODY_ROWS_MIN).await? >= ROWS_MAX && self.may_go_on() {
        }
        Ok(())
    }

    /// Keeps the rows of statistics few. An endpoint whose rows are locked is left for a later step; the others go on.
    async fn keep_stats_few(&self, work: StatWork) -> Result<(), StoreError> {
        let mut busy = Vec::new();
        loop {
            let endpoints = StatEndpoints { but: &busy, only: None };
            let step = match self.stat_step(work, endpoints).await {
                Err(fault) if is_row_fault(&fault) => return self.stat_steps_in_halves(work).await,
                step => step?,
            };
            busy.extend(step.busy);
            if step.looked_at < ROWS_MAX || !self.may_go_on() {
                return Ok(());
            }
        }
    }

    async fn stat_step(&self, work: StatWork, endpoints: StatEndpoints<'_>) -> Result<StatStep, StoreError> {
        match work {
            StatWork::Aggregate => self.context.store.aggregate_stats(ROWS_MAX, endpoints).await,
            StatWork::Compact => self.context.store.compact_stats(ROWS_MAX, endpoints).await,
        }
    }

    /// The database refuses the statistics of one endpoint: they stay, and the next step tries again.
    async fn stat_steps_in_halves(&self, work: StatWork) -> Result<(), StoreError> {
        let mut halves = Halves::new(self.context.store.list_endpoints_with_stats().await?);
        while let Some(part) = halves.next_part() {
            match self.stat_step(work, StatEndpoints { but: &[], only: Some(&part) }).await {
                Ok(_) => {}
                Err(fault) if is_row_fault(&fault) => {
                    if halves.refused(part).is_some() {
                        self.context
                            .database_health
                            .log_failure("counts of an endpoint cannot be summed up", &fault);
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }
}
