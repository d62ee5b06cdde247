//! Assembly: starts the stages and stops them in order.
//!
//! The stages share one runtime. Only the renewal of the lease has a thread of its own (`dispatcher/dedicated_thread.rs`).
//!
//! Stop: claim nothing more → finish what is in flight within the grace period → give back the rest → settle →
//! leave the leadership and the dispatcher's row → close.

mod backfill;
mod circuit_breaker;
mod claimer;
pub(crate) mod context;
pub(crate) mod database_health;
mod dedicated_thread;
pub(crate) mod lanes;
pub(crate) mod lease;
mod maintenance;
pub(crate) mod metrics;
mod router;
pub mod scheduler;
mod sender;
mod settler;
mod startup;
mod startup_warnings;
mod subscriptions;
mod work_loop;
pub(crate) mod write_back;
/// Hears NOTIFY and rings the bell.
pub mod wakeup {
    pub mod bell;
    pub(crate) mod listener;
}

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::dispatcher::backfill::Backfill;
use crate::dispatcher::circuit_breaker::{CircuitRecorder, HealthLog};
use crate::dispatcher::context::Context;
use crate::dispatcher::database_health::{DatabaseHealth, Stage};
use crate::dispatcher::lanes::Lanes;
use crate::dispatcher::lease::{Lease, Renewer};
use crate::dispatcher::maintenance::Maintenance;
use crate::dispatcher::metrics::Metrics;
use crate::dispatcher::router::Router;
use crate::dispatcher::scheduler::{Limits, Scheduler};
use crate::dispatcher::sender::{Sender, SenderDeps};
use crate::dispatcher::settler::Settler;
use crate::dispatcher::startup::{keep_trying, prepare_schema};
use crate::dispatcher::wakeup::bell::Bell;
use crate::dispatcher::wakeup::listener::{Listener, QueueWatch};
use crate::dispatcher::work_loop::WorkLoop;
use crate::dispatcher::write_back::{RowsDue, WriteBack};
use crate::model::delivery::DispatcherId;
use crate::rules::clock::Clock;
use crate::rules::descriptors::Descriptors;
use crate::rules::encryption::Vault;
use crate::sinks::attempt::AttemptLimits;
use crate::sinks::egress::EgressPolicy;
use crate::sinks::sink::Sinks;
use crate::store::{
    DatabaseUrl, DispatcherInfo, Position, Retention, Session, Store, StoreError, WakeMode, WakeState,
    is_lock_timeout, one_line,
};

/// Connections to the database. Claims, settles, health, maintenance, write-back and backfills have one each. The probe of NOTIFY has
/// some to spare.
const CONNECTIONS: usize = 8;

/// Configuration of a dispatcher. All values were checked.
#[derive(Clone, Debug)]
pub struct DispatcherConfig {
    /// The database.
    pub database: DatabaseUrl,
    /// Database to LISTEN on. It is a direct connection if `database` goes through a pooler.
    pub listen_database: DatabaseUrl,
    /// Addresses that requests may go to.
    pub egress: EgressPolicy,
    /// Encrypts and decrypts the credentials of endpoints.
    pub vault: Vault,
    /// `source` of CloudEvents.
    pub cloudevents_source: String,
    /// Requests under way at once, 1 to 10,000.
    pub max_in_flight: usize,
    /// Time between two looks without a notification, 10 ms to 1 h.
    pub poll_interval: Duration,
    /// How long claims outlive a crash, 1 s to 1 h; at least twice `request_timeout`.
    pub lease: Duration,
    /// How long a stop waits for requests under way, at most 1 h.
    pub grace_period: Duration,
    /// Whether to LISTEN.
    pub wake: WakeMode,
    /// Maintenance comes no more often than this: a database that sleeps when it is idle may sleep.
    pub idle_pause: Duration,
    /// Deadline of one attempt, 100 ms to 5 min.
    pub request_timeout: Duration,
    /// Age of a connection to an endpoint, 1 s to 1 day, above which it is used no more.
    pub connection_max_age: Duration,
    /// Bytes of a payload, 1 KiB to 32 MiB.
    pub max_payload: u64,
    /// An endpoint that fails for this long is disabled.
    pub disable_after: Duration,
    /// How long finished events are kept.
    pub retention: Retention,
    /// Whether to leave the schema alone.
    pub no_migrate: bool,
    /// Route and deliver only events whose destination is this endpoint, and maintain nothing: the database is somebody else's
    /// (`postrider dev`). `None`: everything.
    pub only_endpoint: Option<String>,
}

/// A running dispatcher.
pub struct Dispatcher {
    config: DispatcherConfig,
    shared: Arc<Context>,
    /// Stages that stop first, so that nothing new begins.
    intake: JoinSet<()>,
    stop_intake: CancellationToken,
    settle: JoinSet<()>,
    /// Stages that stop last: lease, listener, circuit breakers, write-back.
    upkeep: JoinSet<()>,
    stop_upkeep: CancellationToken,
}

impl Dispatcher {
    /// Raises the limit of file descriptors, and shares them out.
    pub fn share_descriptors(config: &DispatcherConfig) -> Descriptors {
        startup_warnings::share_descriptors(config.max_in_flight)
    }

    /// Migrates the schema, or checks it if the configuration says so. Waits with backoff for a database that cannot be
    /// reached yet. A caller that is told to stop drops this future.
    ///
    /// # Errors
    /// Errors that waiting cannot mend: a wrong password, a missing database, a missing grant, a schema that is newer.
    pub async fn prepare_schema(config: &DispatcherConfig) -> anyhow::Result<()> {
        prepare_schema(config).await
    }

    /// Registers the dispatcher, sweeps up what was inserted meanwhile, and starts all stages. Waits for a database that goes
    /// away, as [`Self::prepare_schema`] does. A start that is dropped halfway leaves the dispatcher's row, which goes when the
    /// lease ends; [`Self::stop`] signs off at once. A database that may be a copy is waited for, too, and `database_health` says
    /// why.
    ///
    /// # Errors
    /// Errors that waiting cannot mend.
    pub async fn start(
        config: DispatcherConfig,
        descriptors: Descriptors,
        database_health: Arc<DatabaseHealth>,
    ) -> anyhow::Result<Self> {
        let store =
            Store::new(&config.database, Session::Dispatcher, CONNECTIONS)?.with_vault(config.vault.clone());
        let bell = Arc::new(Bell::new(WakeState::at_start(config.wake)));
        let who =
            DispatcherInfo { host: host(), lease: config.lease, only_endpoint: config.only_endpoint.clone() };
        let scheduler = Arc::new(Scheduler::new(Limits::for_in_flight(descriptors.budget().in_flight)));
        let (clock, metrics) = (Arc::new(Clock::new(0)), Arc::new(Metrics::new()?));
        // A locked table is not mended now. It is mended when an id collides.
        let health = Arc::clone(&database_health);
        keep_trying(&health, async || match store.keep_sequences_ahead().await {
            Err(fault) if is_lock_timeout(&fault) => Ok(false),
            done => done,
        })
        .await?;
        let lease = Arc::new(keep_trying(&health, async || Lease::start(&store, &who, &bell).await).await?);
        let renewer = Renewer { store, lease, bell, clock, scheduler, who, metrics, database_health };
        keep_trying(&health, async || renewer.step().await).await?;
        let watermark = keep_trying(&health, async || renewer.store.read_watermark().await).await?;
        keep_trying(&health, async || startup_warnings::look(&renewer.store, descriptors.budget()).await)
            .await?;
        health.succeeded(Stage::Lease);
        Self::assemble(config, renewer, watermark, descriptors)
    }

    fn assemble(
        config: DispatcherConfig,
        renewer: Renewer,
        watermark: Position,
        descriptors: Descriptors,
    ) -> anyhow::Result<Self> {
        let Renewer { store, lease, bell, clock, scheduler, metrics, database_health, .. } = renewer.clone();
        let source = &config.cloudevents_source;
        let sinks = Sinks::new(config.egress.clone(), descriptors, clock, limits(&config), source)?;
        let (stop_intake, rows_due, lanes) = <(CancellationToken, Arc<RowsDue>, Arc<Lanes>)>::default();
        let (reports, settled) = mpsc::channel(config.max_in_flight);
        let sender = Sender::new(
            store.clone(),
            Arc::clone(&scheduler),
            Arc::clone(&lease),
            sinks,
            SenderDeps {
                reports,
                metrics: Arc::clone(&metrics),
                database_health: Arc::clone(&database_health),
            },
        );
        let settle = Settler {
            store: store.clone(),
            scheduler: Arc::clone(&scheduler),
            bell: Arc::clone(&bell),
            metrics: Arc::clone(&metrics),
            database_health: Arc::clone(&database_health),
            rows_due: Arc::clone(&rows_due),
            lanes: Arc::clone(&lanes),
            reports: settled,
        };
        let shared = Arc::new(Context {
            store,
            scheduler,
            lease,
            bell,
            sender,
            metrics,
            database_health,
            rows_due,
            lanes,
            routed_below: AtomicU64::new(0),
            routed_as_of: AtomicU64::new(0),
            only_endpoint: config.only_endpoint.clone(),
        });
        let router = Router::new(Arc::clone(&shared), watermark);
        let work_loop = WorkLoop::new(Arc::clone(&shared), router, config.poll_interval);
        let mut dispatcher = Self {
            config,
            shared,
            intake: JoinSet::new(),
            stop_intake,
            settle: JoinSet::new(),
            upkeep: JoinSet::new(),
            stop_upkeep: CancellationToken::new(),
        };
        dispatcher.settle.spawn(settle.run());
        // Connections belong to the runtime that opened them.
        let store = Store::new(&dispatcher.config.database.apart(), Session::Lease, 1)?;
        dispatcher.spawn_lease(Renewer { store, ..renewer })?;
        dispatcher.spawn_upkeep();
        dispatcher.intake.spawn(work_loop.run(dispatcher.stop_intake.clone()));
        if dispatcher.config.only_endpoint.is_none() {
            dispatcher.spawn_housekeeping();
        }
        Ok(dispatcher)
    }

    /// Maintenance and backfills: a dispatcher for one endpoint leaves them to others.
    fn spawn_housekeeping(&mut self) {
        let maintenance = Maintenance::new(Arc::clone(&self.shared), &self.config);
        let backfill = Backfill::new(Arc::clone(&self.shared), self.config.idle_pause);
        self.intake.spawn(maintenance.run(self.stop_intake.clone()));
        self.intake.spawn(backfill.run(self.stop_intake.clone()));
    }

    /// The context that the stages share. The API uses it, and tests drive a dispatcher by it from outside.
    pub fn shared(&self) -> &Arc<Context> {
        &self.shared
    }

    /// Stops claiming. This is the first step of a stop.
    pub fn stop_intake(&self) {
        self.stop_intake.cancel();
        self.shared.scheduler.close();
    }

    /// Stops in order. Returns when everything is settled or given back, and at the latest some seconds after the grace period.
    pub async fn stop(mut self) {
        self.stop_intake();
        if timeout(self.config.grace_period + LAST_WRITES, self.finish()).await.is_err() {
            // The settler is waiting for the database and takes no reports.
            self.intake.shutdown().await;
        }
        let Self { shared, mut settle, mut upkeep, stop_upkeep, .. } = self;
        let (store, id) = (shared.store.clone(), shared.lease.id());
        // This drops the last sender of reports. The settler writes the rest and ends.
        drop(shared);
        if timeout(LAST_WRITES, all_ended(&mut settle)).await.is_err() {
            warn!(
                "the last outcomes could not be written; their deliveries are attempted again after the lease"
            );
        }
        stop_upkeep.cancel();
        drop(timeout(LAST_WRITES, all_ended(&mut upkeep)).await);
        match timeout(LAST_WRITES, sign_off(&store, id)).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => warn!("dispatcher {} could not sign off: {}", id.get(), one_line(&fault)),
            Err(_elapsed) => warn!("dispatcher {} could not sign off: no answer", id.get()),
        }
        store.close();
        info!("dispatcher {} stopped", id.get());
    }

    /// Ends the work under way. Gives back queued deliveries, and requests that outlast the grace period.
    async fn finish(&mut self) {
        all_ended(&mut self.intake).await;
        let queued = self.shared.scheduler.take_queued();
        self.shared.sender.release(queued).await;
        self.shared.sender.finish(self.config.grace_period).await;
    }

    fn spawn_lease(&mut self, renewer: Renewer) -> std::io::Result<()> {
        let lease = Arc::clone(&renewer.lease);
        let thread = dedicated_thread::run_apart("lease", &self.stop_upkeep, move |stop| {
            let renewer = renewer.clone();
            async move { renewer.run(stop).await }
        })?;
        self.upkeep.spawn(thread);
        let stop = self.stop_upkeep.clone();
        self.upkeep.spawn(async move { lease.show_pulse(stop).await });
        Ok(())
    }

    fn spawn_upkeep(&mut self) {
        if self.config.wake == WakeMode::Notify {
            let listener = Listener {
                url: self.config.listen_database.clone(),
                store: self.shared.store.clone(),
                bell: Arc::clone(&self.shared.bell),
                metrics: Arc::clone(&self.shared.metrics),
                database_health: Arc::clone(&self.shared.database_health),
                queue: QueueWatch::default(),
            };
            let stop = self.stop_upkeep.clone();
            self.upkeep.spawn(async move { listener.run(stop).await });
        }
        let Context { store, scheduler, lease, bell, metrics, database_health, rows_due, .. } = &*self.shared;
        let breaker = CircuitRecorder {
            store: store.clone(),
            scheduler: Arc::clone(scheduler),
            lease: Arc::clone(lease),
            bell: Arc::clone(bell),
            metrics: Arc::clone(metrics),
            database_health: Arc::clone(database_health),
            disable_after: self.config.disable_after,
            health_log: HealthLog::new(),
        };
        // These two stop after the settler, which reports the last outcomes.
        let stop = self.stop_upkeep.clone();
        self.upkeep.spawn(breaker.run(stop));
        if self.config.only_endpoint.is_none() {
            let (store, rows_due) = (store.clone(), Arc::clone(rows_due));
            let write_back =
                WriteBack::new(store, rows_due, Arc::clone(metrics), Arc::clone(database_health));
            self.upkeep.spawn(write_back.run(self.stop_upkeep.clone()));
        }
    }
}

/// Longest time that a stop waits for the database once nothing is in flight any more.
const LAST_WRITES: Duration = Duration::from_secs(10);

async fn all_ended(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

/// Deletes the dispatcher's row and tells the others. So they take over its part at once, not when a lease ends or is renewed.
async fn sign_off(store: &Store, id: DispatcherId) -> Result<(), StoreError> {
    store.remove_dispatchers(Some(id)).await?;
    store.send_notify_probe("left").await.map(drop)
}

/// Host name and process id, as they stand in `postrider.dispatcher_status`.
pub(crate) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = if name.trim().is_empty() { "localhost" } else { name.trim() };
    format!("{name}:{}", std::process::id())
}

/// Limits of an attempt under this configuration.
fn limits(config: &DispatcherConfig) -> AttemptLimits {
    AttemptLimits {
        timeout_default: config.request_timeout,
        timeout_max: config.lease / 2,
        payload_max: config.max_payload,
        connection_age_max: config.connection_max_age,
    }
}
