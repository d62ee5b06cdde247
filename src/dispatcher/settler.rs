//! Writes the outcomes of attempts in batches: gathered for a few milliseconds, one statement each. It never sees HTTP.
//!
//! A delivery whose claim was lost is not written, and that is a normal result. A delivery whose row is locked, or that the
//! database refuses, is written later and alone; the others do not wait for it.

mod late;
mod outgoing;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use self::writer::Writer;
use crate::dispatcher::database_health::DatabaseHealth;
use crate::dispatcher::lanes::Lanes;
use crate::dispatcher::metrics::Metrics;
use crate::dispatcher::scheduler::{EndpointNow, Scheduler};
use crate::dispatcher::wakeup::bell::Bell;
use crate::dispatcher::write_back::RowsDue;
use crate::model::delivery::Claimed;
use crate::model::endpoint::{EndpointNo, OnFailed};
use crate::model::event::EventId;
use crate::model::outcome::{NoAnswer, Outcome, ResponseCode, Unsendable};
use crate::rules::retry::{DeliveryVerdict, Progress, judge, schedule_of};
use crate::store::{Attempted, GivenBack, NextStatus, Store};

/// Reports settled in one statement.
const BATCH_MAX: usize = 500;
/// How long the first report of a batch waits for others; and how long after a batch that was not small.
const GATHER: Duration = Duration::from_millis(5);
const GATHER_MUCH: Duration = Duration::from_millis(20);
const BATCH_SMALL: usize = 100;
/// Characters of an error that are kept.
const ERROR_CHARS_MAX: usize = 500;

/// What happened to a claimed delivery.
#[derive(Debug)]
pub enum Report {
    /// An attempt was made.
    Attempted {
        /// The right to it.
        claimed: Claimed,
        /// Its outcome.
        outcome: Outcome,
        /// When it began.
        begun: Instant,
        /// Whether there is no further attempt, however this one ended.
        is_last: bool,
        /// Whether the next delivery of its lane is queued.
        is_followed: bool,
    },
    /// There is nothing to send, or too much: it fails.
    Unsendable {
        /// The right to it.
        claimed: Claimed,
        /// Why.
        why: Unsendable,
    },
    /// The database cannot read its event: it is tried again later.
    Unreadable {
        /// The right to it.
        claimed: Claimed,
        /// The database's error.
        why: String,
    },
    /// It is pending again.
    Released {
        /// The right to it.
        claimed: Claimed,
        /// Whether a request was begun.
        begun: bool,
    },
}

impl Report {
    /// Whether what follows in the lane may be attempted: there is nothing left to do for this delivery.
    pub(super) fn lets_lane_go_on(&self) -> bool {
        match self {
            Self::Attempted { outcome, .. } => outcome.error().is_none(),
            Self::Unsendable { why, .. } => why.is_nothing_to_send(),
            Self::Unreadable { .. } | Self::Released { .. } => false,
        }
    }
}

/// The stage. It ends when no report can come any more, and all are written or cannot be.
pub(super) struct Settler {
    /// The database.
    pub store: Store,
    /// Learns which deliveries are settled.
    pub scheduler: Arc<Scheduler>,
    /// Rung when something is pending again.
    pub bell: Arc<Bell>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Learns of failures.
    pub database_health: Arc<DatabaseHealth>,
    /// Learns that events may have another status.
    pub rows_due: Arc<RowsDue>,
    /// Learns which lanes go on.
    pub lanes: Arc<Lanes>,
    /// From the sender.
    pub reports: mpsc::Receiver<Report>,
}

/// One statement's worth of reports.
#[derive(Default)]
struct Batch {
    attempted: Vec<Attempted>,
    released: Vec<GivenBack>,
    /// Whether some of them are pending again.
    has_pending: bool,
}

impl Settler {
    /// Writes until no report can come any more.
    pub(super) async fn run(mut self) {
        let mut gather = GATHER;
        let mut writer = Writer::new(&self);
        loop {
            let first = tokio::select! {
                // Both branches only wait; a report that is not taken stays in the channel.
                first = self.reports.recv() => first,
                () = writer.is_due() => {
                    writer.write_late().await;
                    continue;
                }
            };
            let Some(first) = first else { break };
            let reports = self.gather(first, gather).await;
            gather = if reports.len() < BATCH_SMALL { GATHER } else { GATHER_MUCH };
            let batch = self.judge(reports);
            writer.write(batch).await;
            if writer.is_late() {
                writer.write_late().await;
            }
        }
        writer.finish().await;
    }

    /// Waits for more reports after the first one.
    async fn gather(&mut self, first: Report, gather: Duration) -> Vec<Report> {
        let mut reports = Vec::with_capacity(BATCH_MAX);
        reports.push(first);
        let until = Instant::now() + gather;
        while reports.len() < BATCH_MAX {
            let left = BATCH_MAX - reports.len();
            // Dropped by the timeout, recv_many has taken nothing.
            match timeout_at(until, self.reports.recv_many(&mut reports, left)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
        reports
    }

    fn judge(&self, reports: Vec<Report>) -> Batch {
        let mut batch = Batch::default();
        for report in reports {
            match report {
                Report::Released { claimed, begun } => {
                    batch.has_pending = true;
                    self.scheduler.note_unattempted(&claimed);
                    batch.released.push(GivenBack {
                        delivery_id: claimed.delivery_id,
                        claim_id: claimed.claim_id,
                        begun,
                        lane: lane_of(&claimed),
                    });
                }
                Report::Unsendable { claimed, why } => {
                    self.scheduler.note_unattempted(&claimed);
                    batch.attempted.push(unsendable(&claimed, why, self.blocks(&claimed)));
                }
                Report::Unreadable { claimed, why } => {
                    self.scheduler.note_unattempted(&claimed);
                    let unread = self.unreadable(&claimed, &why);
                    batch.has_pending |= unread.status.delay().is_some();
                    batch.attempted.push(unread);
                }
                Report::Attempted { claimed, outcome, begun, is_last, is_followed } => {
                    let verdict = self.verdict(&claimed, &outcome, begun);
                    if matches!(verdict, DeliveryVerdict::Gone(_)) {
                        self.scheduler.set_gone(claimed.endpoint_no);
                    }
                    let verdict = if is_last { verdict.without_retry() } else { verdict };
                    batch.has_pending |=
                        matches!(verdict, DeliveryVerdict::RetryIn(_) | DeliveryVerdict::PacedFor(_));
                    let written = attempted(&claimed, outcome, begun, verdict, self.blocks(&claimed));
                    batch.attempted.push(Attempted { is_followed, ..written });
                }
            }
        }
        // Two dispatchers that settle deliveries of the same events lock them in the same order.
        batch.attempted.sort_by_key(|a| a.delivery_id);
        batch
    }

    /// Whether a delivery holds up its lane once it has failed.
    fn blocks(&self, claimed: &Claimed) -> bool {
        let order = || self.scheduler.endpoint(claimed.endpoint_no).and_then(|endpoint| endpoint.order);
        claimed.in_lane && order() == Some(OnFailed::Block)
    }

    fn verdict(&self, claimed: &Claimed, outcome: &Outcome, begun: Instant) -> DeliveryVerdict {
        self.scheduler.note_outcome(claimed, outcome, begun, |now| verdict(now, claimed, outcome))
    }

    /// An event that cannot be read may be readable later: its delivery is retried like a failed attempt.
    fn unreadable(&self, claimed: &Claimed, why: &str) -> Attempted {
        let error = format!("the event cannot be read: {why}");
        let outcome = Outcome::unanswered(NoAnswer::Broken, error, Duration::ZERO);
        let endpoint = self.scheduler.endpoint(claimed.endpoint_no);
        let verdict = verdict(&EndpointNow { endpoint, ..EndpointNow::default() }, claimed, &outcome);
        Attempted { age: None, ..attempted(claimed, outcome, Instant::now(), verdict, self.blocks(claimed)) }
    }
}

/// Judges by the retry schedule that counts for the endpoint.
fn verdict(now: &EndpointNow, claimed: &Claimed, outcome: &Outcome) -> DeliveryVerdict {
    let endpoint = now.endpoint.as_ref();
    let own = endpoint.and_then(|endpoint| endpoint.retry_schedule.as_deref());
    let is_ordered = endpoint.is_some_and(|endpoint| endpoint.order.is_some());
    let uncounted = claimed.paced;
    let attempt = claimed.attempt_of_schedule().saturating_sub(uncounted);
    let (failing_for, held_for) = (now.failing_for, now.held_for);
    let progress = Progress { attempt, uncounted, failing_for, held_for, is_ordered };
    judge(outcome, &progress, schedule_of(own, is_ordered), fastrand::f64())
}

fn attempted(
    claimed: &Claimed,
    outcome: Outcome,
    begun: Instant,
    verdict: DeliveryVerdict,
    blocks: bool,
) -> Attempted {
    let status = match verdict {
        DeliveryVerdict::Complete => NextStatus::Complete,
        DeliveryVerdict::RetryIn(delay) | DeliveryVerdict::Gone(delay) => NextStatus::Pending(delay),
        DeliveryVerdict::PacedFor(delay) => NextStatus::Paced(delay),
        DeliveryVerdict::Failed => failed(blocks),
    };
    Attempted {
        delivery_id: claimed.delivery_id,
        claim_id: claimed.claim_id,
        is_plain: claimed.is_newborn && status == NextStatus::Complete && outcome.response_excerpt.is_none(),
        status,
        status_code: outcome.code.map(ResponseCode::get),
        error: outcome.error().map(storable),
        age: Some(begun.elapsed()),
        duration: outcome.duration,
        response_excerpt: outcome.response_excerpt,
        lane: lane_of(claimed),
        is_followed: false,
    }
}

fn failed(blocks: bool) -> NextStatus {
    if blocks { NextStatus::Blocked } else { NextStatus::Failed }
}

/// The lane of a delivery, named by one of its events.
fn lane_of(claimed: &Claimed) -> Option<(EndpointNo, EventId)> {
    claimed.in_lane.then_some((claimed.endpoint_no, claimed.event_id))
}

/// An error text as PostgreSQL can store it: no NUL, of bounded length.
fn storable(text: &str) -> String {
    text.chars().map(|c| if c == '\0' { '\u{fffd}' } else { c }).take(ERROR_CHARS_MAX).collect()
}

fn unsendable(claimed: &Claimed, why: Unsendable, blocks: bool) -> Attempted {
    Attempted {
        delivery_id: claimed.delivery_id,
        claim_id: claimed.claim_id,
        // What is not there any more holds up nothing.
        status: failed(blocks && !why.is_nothing_to_send()),
        status_code: None,
        error: Some(why.to_string()),
        age: None,
        duration: Duration::ZERO,
        response_excerpt: None,
        is_plain: false,
        lane: lane_of(claimed),
        is_followed: false,
    }
}
