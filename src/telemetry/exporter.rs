//! `GET /metrics`, in Prometheus' text format: the counters of this process (see `dispatcher/metrics.rs`), its load, and
//! what the database knows about backlog, endpoints and tables.
//!
//! Any number of scrapers may ask at any rate. One reading of the database runs at a time, on a connection of its own, in
//! bounded time; readings take at most a tenth of the time.

mod database;
mod gauges;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;
use tracing::warn;

use self::database::DatabaseReading;
use self::gauges::Gauges;
use crate::dispatcher::context::Context;
use crate::dispatcher::database_health::DatabaseHealth;
use crate::dispatcher::metrics::Metrics;
use crate::dispatcher::scheduler::Scheduler;
use crate::dispatcher::wakeup::bell::Bell;
use crate::store::{Store, WakeMode};

/// What [`Exporter::render`] returns.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Longest reading of the database; parts that are missing by then are left out.
const READING_MAX: Duration = Duration::from_secs(5);
/// A reading is used for ten times as long as it took: a large backlog takes long to count.
const FRESH_PART: u32 = 10;
/// Bounds of that time.
const FRESH_MIN: Duration = Duration::from_secs(1);
const FRESH_MAX: Duration = Duration::from_secs(30);

/// Renders the metrics.
pub struct Exporter {
    metrics: Arc<Metrics>,
    store: Store,
    scheduler: Arc<Scheduler>,
    bell: Arc<Bell>,
    database_health: Arc<DatabaseHealth>,
    latest: Mutex<Option<Latest>>,
}

/// The last reading of the database; it may still run. If a scraper disconnects, the reading goes on for the next one.
struct Latest {
    begun: Instant,
    reading: Shared<BoxFuture<'static, Arc<RenderedReading>>>,
}

/// A reading that ended: the text, and how long it is used.
struct RenderedReading {
    text: String,
    is_complete: bool,
    fresh_until: Instant,
}

impl Exporter {
    /// Makes an exporter; nothing is read yet. `store` must be used for nothing else, so that no claim or settle waits for it.
    pub fn new(shared: &Context, store: Store) -> Self {
        Self {
            metrics: Arc::clone(&shared.metrics),
            store,
            scheduler: Arc::clone(&shared.scheduler),
            bell: Arc::clone(&shared.bell),
            database_health: Arc::clone(&shared.database_health),
            latest: Mutex::default(),
        }
    }

    /// Renders all metrics. While the database is out of reach, only those of this process.
    ///
    /// # Cancel safety
    /// If dropped, the reading of the database is kept for the next call.
    pub async fn render(&self) -> String {
        let known = self.reading().await;
        let mut gauges = Gauges::default();
        let own = self.own(&mut gauges).and_then(|()| {
            let mut families = self.metrics.registry().gather();
            families.extend(gauges.gather());
            prometheus::TextEncoder::new().encode_to_string(&families)
        });
        match own {
            Ok(text) => text + &known.text,
            Err(fault) => {
                warn!("metrics cannot be written: {fault}");
                known.text.clone()
            }
        }
    }

    /// Gauges of this process.
    fn own(&self, gauges: &mut Gauges) -> prometheus::Result<()> {
        let load = self.scheduler.load();
        let mode = self.bell.wake_state().mode;
        gauges.set_each(
            "postrider_build_info",
            "Always 1; the label is the version that runs.",
            "version",
            [(env!("CARGO_PKG_VERSION"), true)],
        )?;
        gauges.set_each(
            "postrider_wake_mode",
            "1 for the way this dispatcher is woken: notify (LISTEN/NOTIFY), poll (every poll interval), or sleep (the same, idle in between).",
            "mode",
            WakeMode::ALL.map(|each| (each.as_str(), each == mode)),
        )?;
        set_waiting(gauges, &self.database_health)?;
        gauges.set("postrider_is_leader", "1 if this dispatcher arms the bell.", self.bell.is_leader())?;
        gauges.set("postrider_attempts_in_flight", "Attempts under way.", load.in_flight)?;
        gauges.set(
            "postrider_claimed_deliveries",
            "Deliveries claimed and not yet settled: queued, under way, or waiting to be settled.",
            load.held,
        )
    }

    /// Returns the last reading if it is fresh, else waits for the one that runs, else for a new one.
    async fn reading(&self) -> Arc<RenderedReading> {
        let reading = {
            let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
            let latest = match latest.take() {
                Some(one) if one.is_usable() => latest.insert(one),
                previous => latest.insert(self.read(previous.is_none_or(|one| one.was_complete()))),
            };
            latest.reading.clone()
        };
        reading.await
    }

    /// Begins a reading. A failure is logged, unless the reading before failed too.
    fn read(&self, was_complete: bool) -> Latest {
        let begun = Instant::now();
        let (store, scheduler) = (self.store.clone(), Arc::clone(&self.scheduler));
        let reading = async move {
            let mut reading = DatabaseReading::new(store, scheduler);
            // Parts that were read before the deadline are kept.
            let ended = tokio::time::timeout(READING_MAX, reading.measure()).await;
            let fault = ended.unwrap_or_else(|_elapsed| Some(format!("no answer within {READING_MAX:?}")));
            if let Some(fault) = fault.as_ref().filter(|_| was_complete) {
                warn!("metrics of the database are incomplete: {fault}");
            }
            let fresh = (begun.elapsed() * FRESH_PART).clamp(FRESH_MIN, FRESH_MAX);
            Arc::new(RenderedReading {
                text: reading.text(fault.is_none()),
                is_complete: fault.is_none(),
                fresh_until: Instant::now() + fresh,
            })
        };
        Latest { begun, reading: reading.boxed().shared() }
    }
}

/// The metrics of a process whose dispatcher has not started.
pub(crate) fn render_before_start(health: &DatabaseHealth) -> String {
    let mut gauges = Gauges::default();
    let written = set_waiting(&mut gauges, health)
        .and_then(|()| prometheus::TextEncoder::new().encode_to_string(&gauges.gather()));
    written.unwrap_or_default()
}

fn set_waiting(gauges: &mut Gauges, health: &DatabaseHealth) -> prometheus::Result<()> {
    gauges.set(
        "postrider_waiting_for_adoption",
        "1 while nothing is sent because this database may be a copy: postrider adopt.",
        health.waits_because().is_some(),
    )
}

impl Latest {
    fn is_usable(&self) -> bool {
        match self.reading.peek() {
            Some(known) => Instant::now() < known.fresh_until,
            // A reading that began for scrapers that left long ago would tell old numbers.
            None => self.begun.elapsed() < READING_MAX,
        }
    }

    fn was_complete(&self) -> bool {
        self.reading.peek().is_none_or(|known| known.is_complete)
    }
}
