//! Makes attempts: loads the events of claimed deliveries, runs attempts on as many runners as may be in flight, and reports
//! each outcome to the settler. A runner holds no database connection. [`runs`] keeps what follows in a lane behind its head.

mod chunk;
mod runs;

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, warn};

use self::chunk::Chunk;
use self::runs::Runs;
use crate::dispatcher::database_health::DatabaseHealth;
use crate::dispatcher::lease::Lease;
use crate::dispatcher::metrics::Metrics;
use crate::dispatcher::scheduler::{Finished, MEMORY_KIB_MAX, Next, Ready, Scheduler, Unfinished};
use crate::dispatcher::settler::Report;
use crate::model::delivery::{Claimed, DeliveryId};
use crate::model::endpoint::{Endpoint, EndpointNo};
use crate::model::event::{Event, EventId};
use crate::model::outcome::{NoAnswer, Outcome, ResponseCode, Unsendable};
use crate::rules::descriptors::Shortage;
use crate::sinks::attempt::NotAttempted;
use crate::sinks::egress::NotPassed;
use crate::sinks::sink::Sinks;
use crate::store::Store;

/// Payloads loaded by one statement: they are in memory twice while it runs.
const CHUNK_KIB_MAX: u32 = 8 * 1024;
/// Pause before a delivery is tried again that could not be sent, through no fault of its endpoint.
const NOT_ASKED_PAUSE: Duration = Duration::from_secs(1);
/// Pause before a delivery is tried again for which no connection was left.
const CLOSING_PAUSE: Duration = Duration::from_millis(20);
/// A pause ends at most so long after a stop.
const STOP_CHECK: Duration = Duration::from_secs(1);

/// The stage.
pub struct Sender {
    store: Store,
    scheduler: Arc<Scheduler>,
    lease: Arc<Lease>,
    sinks: Sinks,
    deps: SenderDeps,
    runners: Mutex<JoinSet<()>>,
}

/// Where a sender reports to.
pub struct SenderDeps {
    /// Leads to the settler.
    pub reports: mpsc::Sender<Report>,
    /// Counts attempts.
    pub metrics: Arc<Metrics>,
    /// Learns of failures.
    pub database_health: Arc<DatabaseHealth>,
}

impl Sender {
    /// A sender with nothing under way.
    pub fn new(
        store: Store,
        scheduler: Arc<Scheduler>,
        lease: Arc<Lease>,
        sinks: Sinks,
        deps: SenderDeps,
    ) -> Arc<Self> {
        Arc::new(Self { store, scheduler, lease, sinks, deps, runners: Mutex::default() })
    }

    /// Takes over freshly claimed deliveries, each with its payload's size, and starts those that have a slot. `loaded` has the
    /// events that need not be read again. A delivery that finds no memory is released: nobody waits for an endpoint that
    /// hangs with large payloads.
    ///
    /// Each of `runs` is a lane's head and what follows it, in order. One that is released ends its run.
    pub async fn admit(
        self: &Arc<Self>,
        claimed: Vec<(Claimed, u64)>,
        mut loaded: HashMap<EventId, Event>,
        runs: Vec<Vec<DeliveryId>>,
    ) {
        let mut runs = Runs::new(runs);
        self.scheduler.claims().add(claimed.iter().map(|(claimed, _)| claimed.claim_id));
        let mut by_event: BTreeMap<EventId, (u64, Vec<Claimed>)> = BTreeMap::new();
        for (claimed, payload_bytes) in claimed {
            by_event.entry(claimed.event_id).or_insert((payload_bytes, Vec::new())).1.push(claimed);
        }
        let mut chunk = Chunk::default();
        for (id, (payload_bytes, claimed)) in by_event {
            if let Err(why) = self.sinks.check_size(payload_bytes) {
                self.report_unsendable(claimed, why, &runs).await;
                continue;
            }
            let kib =
                u32::try_from(payload_bytes.div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, MEMORY_KIB_MAX);
            if chunk.kib + kib > CHUNK_KIB_MAX {
                self.start(std::mem::take(&mut chunk), &mut loaded, &mut runs).await;
            }
            let endpoints: Vec<EndpointNo> = claimed.iter().map(|claimed| claimed.endpoint_no).collect();
            let (refused, permit) = self.scheduler.take_memory(kib, &endpoints);
            let (refused, taken): (Vec<Claimed>, Vec<Claimed>) =
                claimed.into_iter().partition(|claimed| refused.contains(&claimed.endpoint_no));
            self.release_reserved(refused).await;
            if let Some(permit) = permit {
                chunk.add(id, permit, taken, kib);
            }
        }
        self.start(chunk, &mut loaded, &mut runs).await;
        self.start_runs(runs).await;
    }

    /// Starts runners for queued deliveries that can be begun by now.
    pub fn resume(self: &Arc<Self>) {
        self.spawn(self.scheduler.add_runners());
    }

    fn spawn(self: &Arc<Self>, runners: usize) {
        let mut tasks = self.runners.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {} // Ended runners; their panics were caught.
        for _ in 0..runners {
            tasks.spawn(Arc::clone(self).run());
        }
    }

    /// Releases deliveries that have a place in a queue and will not be queued.
    async fn release_reserved(&self, claimed: Vec<Claimed>) {
        for claimed in &claimed {
            self.scheduler.unreserve_place(claimed.endpoint_no);
        }
        self.release(claimed).await;
    }

    /// Reports deliveries that have a place in a queue and cannot be sent.
    async fn report_unsendable(&self, claimed: Vec<Claimed>, why: Unsendable, runs: &Runs) {
        for claimed in claimed {
            self.scheduler.unreserve_place(claimed.endpoint_no);
            self.report(if runs.is_behind(claimed.delivery_id) {
                Report::Released { claimed, begun: false }
            } else {
                Report::Unsendable { claimed, why }
            })
            .await;
        }
    }

    /// Releases claimed deliveries that were never begun: they are pending again.
    pub async fn release(&self, claimed: Vec<Claimed>) {
        for claimed in claimed {
            self.report(Report::Released { claimed, begun: false }).await;
        }
    }

    /// Waits until every runner ended, at most so long; then cuts off the others and releases their deliveries.
    pub async fn finish(&self, grace: Duration) {
        let mut runners = std::mem::take(&mut *self.runners.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while runners.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all).await.is_err() {
            runners.shutdown().await;
            let Unfinished { begun, behind } = self.scheduler.unfinished();
            warn!("{} attempts did not end within the grace period: released their deliveries", begun.len());
            for claimed in begun {
                self.report(Report::Released { claimed, begun: true }).await;
            }
            self.release(behind).await;
        }
    }

    async fn run(self: Arc<Self>) {
        while let Some(next) = self.scheduler.next() {
            self.spawn(usize::from(next.has_more));
            let claimed = next.ready.claimed;
            let begun = Instant::now();
            let mut report = self.attempt(next).await;
            let Finished { is_followed, released } =
                self.scheduler.finish(&claimed, report.lets_lane_go_on(), begun.elapsed());
            if let Report::Attempted { is_followed: followed, .. } = &mut report {
                *followed = is_followed;
            }
            self.report(report).await;
            self.release(released).await;
        }
    }

    async fn attempt(&self, next: Next) -> Report {
        let Next { ready: Ready { claimed, event, .. }, endpoint, start_at, has_more: _ } = next;
        if start_at > Instant::now() {
            tokio::time::sleep_until(start_at).await;
            if self.scheduler.is_held(claimed.endpoint_no) {
                // Another request was refused meanwhile.
                return Report::Released { claimed, begun: false };
            }
        }
        let Some(event) = event else {
            return Report::Unsendable { claimed, why: Unsendable::Deleted };
        };
        if event.is_test() && claimed.attempt_of_schedule() > 1 {
            return Report::Unsendable { claimed, why: Unsendable::Tested };
        }
        let Some((begun, outcome)) = self.ask(&claimed, &endpoint, &event).await else {
            return Report::Released { claimed, begun: false };
        };
        self.deps.metrics.attempt_ended(&outcome, event.age());
        debug!(
            delivery.id = claimed.delivery_id.get(),
            endpoint.id = endpoint.id,
            attempt = claimed.attempt,
            status_code = outcome.code.map(ResponseCode::get),
            "attempt ended: {}",
            outcome.error().unwrap_or("success"),
        );
        Report::Attempted { claimed, outcome, begun, is_last: event.is_test(), is_followed: false }
    }

    /// Sends the request; returns when it began, and its outcome. `None` if it was not begun.
    async fn ask(&self, claimed: &Claimed, endpoint: &Endpoint, event: &Event) -> Option<(Instant, Outcome)> {
        let given_up = Instant::now() + NOT_ASKED_PAUSE;
        loop {
            if !self.lease.covers(claimed.held_by, self.sinks.timeout(endpoint)) {
                return None;
            }
            let begun = Instant::now();
            let attempt = self.sinks.attempt(endpoint, event, claimed.attempt);
            match catch_panic(attempt).await {
                Ok(outcome) => return Some((begun, outcome)),
                // Connections whose requests have ended are about to be closed.
                Err(NotAttempted::Shortage(Shortage::Descriptors(_))) if begun < given_up => {
                    tokio::time::sleep(CLOSING_PAUSE).await;
                }
                Err(fault) => {
                    self.deps.database_health.log_failure("requests cannot be sent, trying again", &fault);
                    // The delivery keeps its slot meanwhile, so that no others are tried in vain.
                    self.pause(pause_after(&fault)).await;
                    return None;
                }
            }
        }
    }

    /// Waits, unless the dispatcher stops.
    async fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while Instant::now() < until && !self.scheduler.is_closed() {
            tokio::time::sleep_until(until.min(Instant::now() + STOP_CHECK)).await;
        }
    }

    async fn report(&self, report: Report) {
        // The settler outlives every sender.
        drop(self.deps.reports.send(report).await);
    }
}

/// How long to wait before a request that was not sent is tried again.
fn pause_after(fault: &NotAttempted) -> Duration {
    match fault {
        NotAttempted::Proxy(NotPassed { pause, .. }) => *pause,
        NotAttempted::Shortage(_) => NOT_ASKED_PAUSE,
    }
}

/// A panic costs this attempt, not the dispatcher.
async fn catch_panic<E>(attempt: impl Future<Output = Result<Outcome, E>>) -> Result<Outcome, E> {
    let begun = Instant::now();
    let panicked = |_panic| {
        let error = "internal error: the attempt panicked".to_owned();
        Ok(Outcome::unanswered(NoAnswer::Broken, error, begun.elapsed()))
    };
    AssertUnwindSafe(attempt).catch_unwind().await.unwrap_or_else(panicked)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::model::outcome::AttemptResult;

    #[tokio::test]
    async fn an_attempt_that_panics_is_one_that_failed() {
        let outcome: Result<Outcome, Infallible> = catch_panic(async { panic!("on purpose") }).await;
        let Ok(outcome) = outcome;

        assert!(
            matches!(&outcome.result, AttemptResult::NoAnswer { why: NoAnswer::Broken, error } if error.contains("panicked")),
            "{outcome:?}"
        );
    }
}
