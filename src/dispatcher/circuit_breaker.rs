//! Puts on record what attempts say of their endpoints' health, for all dispatchers: failures, an open circuit, a recovery;
//! and gives up on an endpoint that has done nothing but fail for days. Never sees a delivery. What is well is not written.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::dispatcher::database_health::DatabaseHealth;
use crate::dispatcher::lease::Lease;
use crate::dispatcher::metrics::Metrics;
use crate::dispatcher::scheduler::{Scheduler, Unrecorded};
use crate::dispatcher::wakeup::bell::Bell;
use crate::model::endpoint::{CircuitState, Destination, EndpointNo};
use crate::rules::backoff::Backoff;
use crate::rules::circuit_breaker::OPEN_AFTER;
use crate::store::{Circuit, NotedFailures, Store, StoreError, Written, is_lock_timeout, is_row_fault};

/// What was not urgent waits no longer than this.
const TICK: Duration = Duration::from_secs(1);
/// How long the last news of a dispatcher that stops may take.
const LAST_WRITES: Duration = Duration::from_secs(2);
const UNRECORDED: &str = "health of endpoints not recorded";
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// The stage.
pub(super) struct CircuitRecorder {
    /// Where the record is.
    pub store: Store,
    /// Knows what is new.
    pub scheduler: Arc<Scheduler>,
    /// Who we are.
    pub lease: Arc<Lease>,
    /// Wakes the loop that claims.
    pub bell: Arc<Bell>,
    /// Counts transitions.
    pub metrics: Arc<Metrics>,
    /// Told of failures.
    pub database_health: Arc<DatabaseHealth>,
    /// An endpoint is disabled after so long of nothing but failures.
    pub disable_after: Duration,
}

impl CircuitRecorder {
    /// Writes until stopped, and what there is then. Failures are waited out with a jittered backoff.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
        while !stop.is_cancelled() {
            let pause = match self.step().await {
                Ok(()) => {
                    backoff.reset();
                    None
                }
                Err(fault) => {
                    self.database_health.mention(UNRECORDED, &fault);
                    Some(backoff.pause())
                }
            };
            tokio::select! {
                // Every branch only waits; news are kept when dropped.
                () = stop.cancelled() => {}
                () = self.scheduler.news_came(), if pause.is_none() => {}
                () = tokio::time::sleep(pause.unwrap_or(TICK)) => {}
            }
        }
        // A success, or a probe that failed, of the last moment.
        drop(tokio::time::timeout(LAST_WRITES, self.step()).await);
    }

    /// Writes what there is. An endpoint whose row somebody has locked, or is refused, is left for a later step.
    ///
    /// # Errors
    /// [`StoreError`]: what is not written is kept for the next step.
    pub(super) async fn step(&self) -> Result<(), StoreError> {
        for no in self.scheduler.gone() {
            self.pass_over(self.disable_gone(no).await)?;
        }
        let mut news = self.scheduler.take_news().into_iter();
        while let Some((no, what)) = news.next() {
            let done = self.write(no, &what).await;
            if !matches!(done, Ok(Written::Done(()))) {
                self.scheduler.restore_news(no, what);
            }
            if let Err(fault) = self.pass_over(done.map(drop)) {
                for (no, what) in news {
                    self.scheduler.restore_news(no, what);
                }
                return Err(fault);
            }
        }
        Ok(())
    }

    /// Does without what one row alone is to blame for.
    fn pass_over(&self, done: Result<(), StoreError>) -> Result<(), StoreError> {
        match done {
            Err(fault) if is_row_fault(&fault) || is_lock_timeout(&fault) => {
                self.database_health.mention(UNRECORDED, &fault);
                Ok(())
            }
            done => done,
        }
    }

    /// Disables an endpoint that wants no events any more, as soon as nobody has locked it.
    async fn disable_gone(&self, no: EndpointNo) -> Result<(), StoreError> {
        let as_of = self.scheduler.endpoints_read();
        let endpoint = self.scheduler.endpoint(no);
        let destination = endpoint.as_ref().and_then(|endpoint| endpoint.destination.as_ref().ok());
        let reason = destination.map_or("wants no events any more", Destination::gone_reason);
        let Written::Done(disabled) = self.store.disable_endpoint(no, reason, None).await? else {
            return Ok(());
        };
        if let Some(id) = disabled {
            warn!(endpoint.id = id, "endpoint {id} {reason} and is disabled; its deliveries wait");
        }
        self.scheduler.set_disabled(no, as_of);
        Ok(())
    }

    /// A success first, then what failed after it.
    async fn write(&self, no: EndpointNo, news: &Unrecorded) -> Result<Written<()>, StoreError> {
        if news.has_succeeded {
            let Written::Done(was) = self.store.close_circuit(no).await? else {
                return Ok(Written::Locked);
            };
            if was.is_some_and(|state| state != CircuitState::Closed) {
                self.tell_closed(no);
            }
        }
        let mut noted = None;
        if let Some(failures) = news.failures() {
            match self.store.note_failures(no, self.lease.id(), &failures, OPEN_AFTER).await? {
                Written::Done(done) => noted = done,
                Written::Locked => return Ok(Written::Locked),
            }
        }
        let on_record = noted.map(|noted| noted.circuit);
        self.scheduler.news_written(no, on_record.as_ref(), self.lease.id());
        // The sleeping loop does not know yet whom it may claim for, and when it may probe.
        self.bell.look_now();
        // What was counted is not counted again because of this: the next failure asks anew.
        if let Some(noted) = noted
            && let Err(fault) = self.follow(no, &noted).await
        {
            self.database_health.mention(UNRECORDED, &fault);
        }
        Ok(Written::Done(()))
    }

    async fn follow(&self, no: EndpointNo, noted: &NotedFailures) -> Result<(), StoreError> {
        if noted.is_changed {
            match noted.circuit.state {
                CircuitState::Open => self.tell_open(no, &noted.circuit),
                CircuitState::Closed if noted.circuit.failures == 0 => self.tell_closed(no),
                CircuitState::Closed | CircuitState::HalfOpen => {}
            }
        }
        if noted.failing_for < self.disable_after {
            return Ok(());
        }
        let after = humantime::format_duration(self.disable_after).to_string();
        let reason = format!("no attempt succeeded for {after}");
        let as_of = self.scheduler.endpoints_read();
        let disabled = self.store.disable_endpoint(no, &reason, Some(self.disable_after)).await?;
        if let Written::Done(Some(id)) = disabled {
            warn!(endpoint.id = id, "{reason}: endpoint {id} is disabled; its deliveries wait");
            self.scheduler.set_disabled(no, as_of);
        }
        Ok(())
    }

    fn tell_open(&self, no: EndpointNo, circuit: &Circuit) {
        self.metrics.circuit_opened();
        let id = self.id(no);
        let Circuit { failures, failed_probes, probe_in, .. } = circuit;
        if *failed_probes > 0 {
            debug!(
                endpoint.id = id,
                "endpoint {id} did not answer probe {failed_probes}; next in {probe_in:.1?}"
            );
        } else {
            warn!(
                endpoint.id = id,
                "endpoint {id} failed {failures} times in a row: its deliveries wait for a probe, in {probe_in:.1?}"
            );
        }
    }

    fn tell_closed(&self, no: EndpointNo) {
        self.metrics.circuit_closed();
        let id = self.id(no);
        info!(endpoint.id = id, "endpoint {id} answers again");
    }

    fn id(&self, no: EndpointNo) -> String {
        self.scheduler.endpoint(no).map_or_else(|| no.get().to_string(), |endpoint| endpoint.id.clone())
    }
}
