//! Backfills of attached tables: the rows that were there before become events, a batch at a time, beside everything else.
//!
//! A batch and the new position are one transaction of the database (`postrider.step_backfill`), so a crash loses and repeats nothing. The
//! database also says who may go on, so that all dispatchers may try. This stage only decides when to ask again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::dispatcher::context::{Context, Progress};
use crate::rules::backoff::Backoff;
use crate::store::{BackfillReport, BackfillStep, StoreError};

/// How often a dispatcher looks for a backfill that was asked for, or that may go on.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// The pause while the last batch is on its way to its receivers.
const AHEAD_PAUSE: Duration = Duration::from_millis(50);
/// The shortest pause between two rounds, and the longest.
const REST_MIN: Duration = Duration::from_millis(10);
const REST_MAX: Duration = Duration::from_secs(1);
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// The stage.
pub(super) struct Backfill {
    context: Arc<Context>,
    look_interval: Duration,
}

impl Backfill {
    /// Looks every 2 s, or every `idle_pause` if that is longer.
    pub(super) fn new(context: Arc<Context>, idle_pause: Duration) -> Self {
        Self { context, look_interval: LOOK_INTERVAL.max(idle_pause) }
    }

    /// Steps until stopped.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut pause = Duration::ZERO;
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            let begun = Instant::now();
            pause = match self.step(&stop).await {
                Ok(progress) => {
                    backoff.reset();
                    self.pause_after(progress, begun.elapsed())
                }
                Err(fault) => {
                    self.context.database_health.log_failure("backfill failed, trying again", &fault);
                    backoff.pause()
                }
            };
        }
    }

    /// The database has as much time for others as a round took.
    fn pause_after(&self, progress: Progress, took: Duration) -> Duration {
        match progress {
            Progress::Worked(_) => took.clamp(REST_MIN, REST_MAX),
            Progress::Full => AHEAD_PAUSE,
            Progress::Idle => self.look_interval,
        }
    }

    /// Goes on with every backfill by one batch. [`Progress::Full`] means that batches have to wait for the last ones. A backfill that fails
    /// keeps no other from going on.
    ///
    /// # Errors
    /// [`StoreError`], the first one: the next step goes on.
    ///
    /// # Cancel safety
    /// A batch whose answer was dropped is committed, or not made at all; the next step goes on behind it.
    pub(super) async fn step(&self, stop: &CancellationToken) -> Result<Progress, StoreError> {
        let mut progress = Progress::Idle;
        let mut failed = None;
        for attachment_no in self.context.store.list_backfills().await? {
            if stop.is_cancelled() {
                break;
            }
            match self.context.store.step_backfill(attachment_no).await {
                Ok(done) => progress = progress.and(tell(done)),
                Err(fault) => {
                    failed.get_or_insert(fault);
                }
            }
        }
        failed.map_or(Ok(progress), Err)
    }
}

/// Logs what a person should know, and says whether there is more to do at once.
fn tell(done: BackfillStep) -> Progress {
    let (report, progress) = match done {
        BackfillStep::None => return Progress::Idle,
        BackfillStep::Ahead => return Progress::Full,
        BackfillStep::Sent(report) => (report, Progress::Worked(1)),
        BackfillStep::Held(report) | BackfillStep::Failed(report) => (report, Progress::Idle),
        BackfillStep::Done(report) => {
            let BackfillReport { relation, rows_sent, rows_refused, .. } = &report;
            info!("backfill of {relation} is done: {rows_sent} rows sent, {rows_refused} left out");
            (report, Progress::Idle)
        }
    };
    if let Some(news) = &report.news {
        warn!("backfill of {}: {news}", report.relation);
    }
    progress
}
