//! Writes what attempts came to, in batches: gathered for a few milliseconds, one statement each. Never sees HTTP. A
//! delivery whose claim was lost is not written, and that is a normal result.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use crate::backoff::Backoff;
use crate::bell::Bell;
use crate::delivery::{ClaimId, Claimed};
use crate::desk::Desk;
use crate::metrics::Metrics;
use crate::outcome::{Outcome, Unsendable};
use crate::retry::{DEFAULT_SCHEDULE, Verdict, judge};
use crate::store::{Attempted, GivenBack, Store, StoreError, is_data_fault};
use crate::trouble::{Stage, Trouble};

/// Reports settled in one statement.
const BATCH_MAX: usize = 500;
/// How long the first report of a batch waits for others; after a batch that was not small, when there is much to settle.
const GATHER: Duration = Duration::from_millis(5);
const GATHER_MUCH: Duration = Duration::from_millis(20);
const BATCH_SMALL: usize = 100;
/// At most so much of an error is kept.
const ERROR_CHARS_MAX: usize = 500;
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// What became of a claimed delivery.
#[derive(Debug)]
pub enum Report {
    /// An attempt was made.
    Attempted {
        /// By this right.
        claimed: Claimed,
        /// What it came to.
        outcome: Outcome,
        /// When it began.
        begun: Instant,
    },
    /// There is nothing to send, or too much: given up.
    Unsendable {
        /// By this right.
        claimed: Claimed,
        /// Why.
        why: Unsendable,
    },
    /// It goes back to pending.
    GivenBack {
        /// By this right.
        claimed: Claimed,
        /// Whether a request was begun.
        begun: bool,
    },
}

/// The stage. It ends when every sender of reports is gone and all reports are written.
pub struct Settle {
    /// The database.
    pub store: Store,
    /// Told what is settled.
    pub desk: Arc<Desk>,
    /// Rung when something is pending again.
    pub bell: Arc<Bell>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Told of failures.
    pub trouble: Arc<Trouble>,
    /// What attempts came to.
    pub reports: mpsc::Receiver<Report>,
}

/// Somebody else took the deliveries over meanwhile. How many there are is counted, and said once.
#[derive(Debug, Error)]
#[error("their claims were lost")]
struct ClaimsLost;

/// One statement's worth of reports.
#[derive(Default)]
struct Batch {
    attempted: Vec<Attempted>,
    given_back: Vec<GivenBack>,
    gone: Vec<Claimed>,
    /// Whether some of them are pending again.
    has_pending: bool,
}

impl Settle {
    /// Settles until no report can come any more.
    pub async fn run(mut self) {
        let mut gather = GATHER;
        while let Some(reports) = self.gather(gather).await {
            gather = if reports.len() < BATCH_SMALL { GATHER } else { GATHER_MUCH };
            let batch = self.judge(reports);
            self.write(batch).await;
        }
    }

    /// Waits for reports; none: all senders are gone.
    async fn gather(&mut self, gather: Duration) -> Option<Vec<Report>> {
        let mut reports = Vec::with_capacity(BATCH_MAX);
        reports.push(self.reports.recv().await?);
        let until = Instant::now() + gather;
        while reports.len() < BATCH_MAX {
            let left = BATCH_MAX - reports.len();
            // Dropped by the timeout, recv_many has taken nothing.
            match timeout_at(until, self.reports.recv_many(&mut reports, left)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
        Some(reports)
    }

    fn judge(&self, reports: Vec<Report>) -> Batch {
        let mut batch = Batch::default();
        for report in reports {
            match report {
                Report::GivenBack { claimed, begun } => {
                    batch.has_pending = true;
                    self.desk.note_unattempted(&claimed);
                    batch.given_back.push(GivenBack {
                        delivery_id: claimed.delivery_id,
                        claim_id: claimed.claim_id,
                        begun,
                    });
                }
                Report::Unsendable { claimed, why } => {
                    self.desk.note_unattempted(&claimed);
                    batch.attempted.push(unsendable(&claimed, why));
                }
                Report::Attempted { claimed, outcome, begun } => {
                    let verdict = self.verdict(&claimed, &outcome, begun);
                    batch.has_pending |= matches!(verdict, Verdict::RetryIn(_));
                    if matches!(verdict, Verdict::Gone(_)) {
                        self.desk.set_gone(claimed.endpoint_no);
                        batch.gone.push(claimed);
                    }
                    batch.attempted.push(attempted(&claimed, outcome, begun, verdict));
                }
            }
        }
        // Two dispatchers that settle deliveries of the same events lock them in the same order.
        batch.attempted.sort_by_key(|a| a.delivery_id);
        batch
    }

    fn verdict(&self, claimed: &Claimed, outcome: &Outcome, begun: Instant) -> Verdict {
        let endpoint = self.desk.note_outcome(claimed, outcome, begun);
        let schedule =
            endpoint.as_ref().and_then(|e| e.retry_schedule.as_deref()).unwrap_or(&DEFAULT_SCHEDULE);
        let attempt = claimed.attempt.saturating_sub(claimed.attempts_before);
        judge(outcome, attempt, schedule, fastrand::f64())
    }

    /// Writes a batch, however long that takes: outcomes are kept in memory until they are written, or until the
    /// claim behind them is lost.
    async fn write(&self, mut batch: Batch) {
        let claims = batch.claim_ids();
        let finished = self.desk.finishing(&claims);
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
        while let Err(fault) = self.write_once(&mut batch, &finished).await {
            if is_data_fault(&fault) {
                // A text that this database's encoding cannot hold must not keep the outcome from being recorded.
                batch.drop_foreign_characters();
            }
            self.trouble.began(Stage::Settle, &fault);
            tokio::time::sleep(backoff.pause()).await;
        }
        self.trouble.ended(Stage::Settle);
        self.desk.settled(&claims);
        if batch.has_pending {
            // The sleeping loop does not know yet when these are due.
            self.bell.look_now();
        }
    }

    /// Writes what is left of a batch; what is written is taken out of it.
    async fn write_once(&self, batch: &mut Batch, finished: &[ClaimId]) -> Result<(), StoreError> {
        if !batch.attempted.is_empty() {
            // A claim goes with the last of its deliveries: nobody could take back what is left without it.
            let finished = if batch.given_back.is_empty() { finished } else { &[] };
            let settled = self.store.settle_deliveries(&batch.attempted, finished).await?;
            let lost = batch.attempted.len().saturating_sub(settled);
            self.metrics.settled(settled, lost);
            if lost > 0 {
                self.trouble.mention("outcomes not written", &ClaimsLost);
            }
            batch.attempted.clear();
        }
        if !batch.given_back.is_empty() {
            self.store.release_deliveries(&batch.given_back, finished).await?;
            batch.given_back.clear();
        }
        while let Some(claimed) = batch.gone.last() {
            let as_of = self.desk.endpoints_read();
            let disabled =
                self.store.disable_endpoint(claimed.endpoint_no, "answered 410 Gone", None).await?;
            if let Some(id) = disabled {
                warn!(
                    endpoint.id = id,
                    "endpoint {id} answered 410 Gone and is disabled; its deliveries wait"
                );
            }
            self.desk.set_disabled(claimed.endpoint_no, as_of);
            batch.gone.pop();
        }
        Ok(())
    }
}

impl Batch {
    fn drop_foreign_characters(&mut self) {
        for attempted in &mut self.attempted {
            for text in attempted.error.iter_mut().chain(&mut attempted.response_excerpt) {
                text.retain(|c| c.is_ascii());
            }
        }
    }
    /// The claim of each delivery.
    fn claim_ids(&self) -> Vec<ClaimId> {
        self.attempted.iter().map(|a| a.claim_id).chain(self.given_back.iter().map(|g| g.claim_id)).collect()
    }
}

fn attempted(claimed: &Claimed, outcome: Outcome, begun: Instant, verdict: Verdict) -> Attempted {
    let (status, delay) = match verdict {
        Verdict::Complete => ("complete", None),
        Verdict::RetryIn(delay) | Verdict::Gone(delay) => ("pending", Some(delay)),
        Verdict::Failed => ("failed", None),
    };
    Attempted {
        delivery_id: claimed.delivery_id,
        claim_id: claimed.claim_id,
        is_plain: claimed.is_newborn && status == "complete" && outcome.response_excerpt.is_none(),
        status,
        delay,
        status_code: outcome.status_code(),
        error: outcome.error().map(|text| storable(&text)),
        age: Some(begun.elapsed()),
        duration: outcome.duration,
        response_excerpt: outcome.response_excerpt,
    }
}

/// An error text as PostgreSQL can store it: no NUL, of bounded length.
fn storable(text: &str) -> String {
    text.chars().map(|c| if c == '\0' { '\u{fffd}' } else { c }).take(ERROR_CHARS_MAX).collect()
}

fn unsendable(claimed: &Claimed, why: Unsendable) -> Attempted {
    Attempted {
        delivery_id: claimed.delivery_id,
        claim_id: claimed.claim_id,
        status: "failed",
        delay: None,
        status_code: None,
        error: Some(why.to_string()),
        age: None,
        duration: Duration::ZERO,
        response_excerpt: None,
        is_plain: false,
    }
}
