//! Records in the database what attempts say of their endpoints, for all dispatchers: failures, an open circuit, a recovery.
//! Disables an endpoint that answered 410, or has done nothing but fail for days. It never sees a delivery, and writes nothing
//! for an endpoint that is well.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::health_log::Named;
use super::{HealthLog, Unrecorded};
use crate::dispatcher::database_health::DatabaseHealth;
use crate::dispatcher::lease::Lease;
use crate::dispatcher::metrics::Metrics;
use crate::dispatcher::scheduler::Scheduler;
use crate::dispatcher::wakeup::bell::Bell;
use crate::model::endpoint::{CircuitState, Destination, EndpointNo};
use crate::rules::backoff::Backoff;
use crate::rules::circuit_breaker::{OPEN_AFTER, quiet_after};
use crate::store::{NotedFailures, Store, StoreError, Written, is_lock_timeout, is_row_fault};

/// How long something that is not urgent waits at most.
const TICK: Duration = Duration::from_secs(1);
/// How long the last step of a dispatcher that stops may take.
const LAST_WRITES: Duration = Duration::from_secs(2);
const UNRECORDED: &str = "health of endpoints not recorded";
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// The stage.
pub(in crate::dispatcher) struct CircuitRecorder {
    /// The database with the records.
    pub store: Store,
    /// Has the outcomes that are not recorded.
    pub scheduler: Arc<Scheduler>,
    /// Has the id of this dispatcher.
    pub lease: Arc<Lease>,
    /// Wakes the loop that claims.
    pub bell: Arc<Bell>,
    /// Counts transitions.
    pub metrics: Arc<Metrics>,
    /// Learns of failures.
    pub database_health: Arc<DatabaseHealth>,
    /// An endpoint is disabled after so long of nothing but failures.
    pub disable_after: Duration,
    /// Tells of endpoints that fail and recover.
    pub health_log: HealthLog,
}

impl CircuitRecorder {
    /// Steps until stopped, and once more then. After a failure it waits with a jittered backoff.
    pub(in crate::dispatcher) async fn run(self, stop: CancellationToken) {
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
        while !stop.is_cancelled() {
            let pause = match self.step().await {
                Ok(()) => {
                    backoff.reset();
                    None
                }
                Err(fault) => {
                    self.database_health.log_failure(UNRECORDED, &fault);
                    Some(backoff.pause())
                }
            };
            tokio::select! {
                // Every branch only waits; a wake-up is kept when dropped.
                () = stop.cancelled() => {}
                () = self.scheduler.unrecorded_came(), if pause.is_none() => {}
                () = tokio::time::sleep(pause.unwrap_or(TICK)) => {}
            }
        }
        // A success, or a failed probe, of the last moment.
        drop(tokio::time::timeout(LAST_WRITES, self.step()).await);
    }

    /// Writes everything that is due. An endpoint whose row is locked or refused is left for a later step.
    ///
    /// # Errors
    /// [`StoreError`]: whatever is not written is kept for the next step.
    pub(super) async fn step(&self) -> Result<(), StoreError> {
        self.health_log.count_left_out();
        for no in self.scheduler.gone() {
            self.pass_over(self.disable_gone(no).await)?;
        }
        let mut taken = self.scheduler.take_unrecorded().into_iter();
        while let Some((no, unrecorded)) = taken.next() {
            let done = self.write(no, &unrecorded).await;
            if !matches!(done, Ok(Written::Done(()))) {
                self.scheduler.restore_unrecorded(no, unrecorded);
            }
            if let Err(fault) = self.pass_over(done.map(drop)) {
                for (no, unrecorded) in taken {
                    self.scheduler.restore_unrecorded(no, unrecorded);
                }
                return Err(fault);
            }
        }
        Ok(())
    }

    /// Logs a failure that is the fault of one row, and goes on.
    fn pass_over(&self, done: Result<(), StoreError>) -> Result<(), StoreError> {
        match done {
            Err(fault) if is_row_fault(&fault) || is_lock_timeout(&fault) => {
                self.database_health.log_failure(UNRECORDED, &fault);
                Ok(())
            }
            done => done,
        }
    }

    /// Disables an endpoint that answered 410, unless its row is locked.
    async fn disable_gone(&self, no: EndpointNo) -> Result<(), StoreError> {
        let as_of = self.scheduler.endpoints_version();
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

    /// Writes the success first, then the failures that came after it.
    async fn write(&self, no: EndpointNo, unrecorded: &Unrecorded) -> Result<Written<()>, StoreError> {
        let mut on_record = None;
        if unrecorded.has_succeeded {
            let Written::Done(closed) = self.store.close_circuit(no).await? else {
                return Ok(Written::Locked);
            };
            if let Some(was) = &closed {
                if was.state != CircuitState::Closed {
                    self.metrics.circuit_closed();
                }
                self.health_log.recovered(Named { no, id: &self.id(no) }, was);
            }
            on_record = closed.and_then(|closed| closed.left);
        }
        let mut noted = None;
        if let Some(failures) = unrecorded.failures(quiet_after(self.disable_after)) {
            match self.store.note_failures(no, self.lease.id(), &failures, OPEN_AFTER).await? {
                Written::Done(done) => noted = done,
                Written::Locked => return Ok(Written::Locked),
            }
            on_record = noted.map(|noted| noted.circuit);
        }
        self.scheduler.recorded(no, on_record.as_ref(), self.lease.id());
        // The work loop may sleep, and not know yet for which endpoints it may claim, and when it may probe.
        self.bell.look_now();
        // Logged only: the failures are written, and must not be counted again. The next failure tries this again.
        if let Some(noted) = noted
            && let Err(fault) = self.after_write(no, &noted, unrecorded).await
        {
            self.database_health.log_failure(UNRECORDED, &fault);
        }
        Ok(Written::Done(()))
    }

    async fn after_write(
        &self,
        no: EndpointNo,
        noted: &NotedFailures,
        unrecorded: &Unrecorded,
    ) -> Result<(), StoreError> {
        self.tell(no, noted, unrecorded);
        // An answer about a delivery alone, or a hold, is no time to judge the endpoint.
        if noted.failing_for.is_none_or(|failing_for| failing_for < self.disable_after) {
            return Ok(());
        }
        let after = humantime::format_duration(self.disable_after).to_string();
        let reason = format!("no attempt succeeded for {after}");
        let as_of = self.scheduler.endpoints_version();
        let disabled = self.store.disable_endpoint(no, &reason, Some(self.disable_after)).await?;
        if let Written::Done(Some(id)) = disabled {
            warn!(endpoint.id = id, "{reason}: endpoint {id} is disabled; its deliveries wait");
            self.scheduler.set_disabled(no, as_of);
        }
        Ok(())
    }

    fn tell(&self, no: EndpointNo, noted: &NotedFailures, unrecorded: &Unrecorded) {
        let (id, circuit) = (self.id(no), &noted.circuit);
        let of = Named { no, id: &id };
        let error = unrecorded.error.as_deref().unwrap_or("unknown");
        match circuit.state {
            CircuitState::Open if noted.is_changed => {
                self.metrics.circuit_opened();
                if circuit.failed_probes > 0 {
                    let (probes, next) = (circuit.failed_probes, circuit.probe_in);
                    debug!(
                        endpoint.id = id,
                        "endpoint {id} failed probe {probes}: {error}; next in {next:.1?}"
                    );
                }
            }
            CircuitState::Closed if noted.is_changed && circuit.failures == 0 => {
                self.metrics.circuit_closed();
                self.health_log.answered(of, error);
            }
            CircuitState::Open | CircuitState::Closed | CircuitState::HalfOpen => {}
        }
        self.health_log.failed(of, noted, unrecorded.attempts, error);
    }

    fn id(&self, no: EndpointNo) -> String {
        self.scheduler.endpoint(no).map_or_else(|| no.get().to_string(), |endpoint| endpoint.id.clone())
    }
}
