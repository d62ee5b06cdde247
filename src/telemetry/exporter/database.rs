//! The part of a scrape that is read from the database.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::TextEncoder;
use thiserror::Error;

use super::gauges::{Gauges, Value};
use crate::dispatcher::scheduler::Scheduler;
use crate::model::endpoint::EndpointHealth;
use crate::store::{BLOCKED_ENDPOINTS_MAX, EndpointMeasure, Store, StoreError, TableMeasure, one_line};

/// Endpoints with metrics of their own: those with the most pending deliveries.
const ENDPOINTS_MAX: i64 = 100;
/// More rows of attached tables are not counted.
const ROWS_COUNTED_MAX: i64 = 100_000;

/// A reading of the database: the gauges that are known so far.
pub(super) struct DatabaseReading {
    store: Store,
    scheduler: Arc<Scheduler>,
    gauges: Gauges,
}

/// Why a part of the reading is missing.
#[derive(Debug, Error)]
enum ReadingError {
    #[error("cannot measure")]
    Store(#[from] StoreError),
    #[error("cannot be written")]
    Metrics(#[from] prometheus::Error),
}

type Done = Result<(), ReadingError>;

impl DatabaseReading {
    pub(super) fn new(store: Store, scheduler: Arc<Scheduler>) -> Self {
        Self { store, scheduler, gauges: Gauges::default() }
    }

    /// Reads everything. If a part fails (a count takes too long), the others are read all the same. Returns the first
    /// failure.
    ///
    /// # Cancel safety
    /// If dropped, the parts that were read are kept.
    pub(super) async fn measure(&mut self) -> Option<String> {
        // Parts that may take long come last.
        let server = self.server().await;
        let tables = self.tables().await;
        let attached = self.attached_tables().await;
        let write_back = self.write_back().await;
        let backlog = self.backlog().await;
        let endpoints = self.endpoints().await;
        let parts = [server, tables, attached, write_back, backlog, endpoints];
        let fault = parts.into_iter().find_map(Result::err);
        fault.map(|fault| one_line(&fault))
    }

    /// Renders the gauges.
    pub(super) fn text(mut self, is_complete: bool) -> String {
        let help = "1 if the last reading of the database was complete.";
        let text = self
            .gauges
            .set("postrider_database_up", help, is_complete)
            .and_then(|()| TextEncoder::new().encode_to_string(&self.gauges.gather()));
        text.unwrap_or_else(|fault| {
            tracing::warn!("metrics of the database cannot be written: {fault}");
            String::new()
        })
    }

    async fn server(&mut self) -> Done {
        let server = self.store.measure_server().await?;
        self.gauges.set(
            "postrider_oldest_snapshot_age_seconds",
            "Age of the oldest transaction in this database that keeps dead rows from being cleaned up, as far as our role \
             may see transactions; 0 if there is none.",
            server.oldest_snapshot_age,
        )?;
        self.gauges.set(
            "postrider_notification_queue_usage_ratio",
            "How full the notification queue of the server is; at 1, commits of producers fail.",
            server.notification_queue_usage,
        )?;
        Ok(())
    }

    async fn tables(&mut self) -> Done {
        let tables = self.store.measure_tables().await?;
        self.per_table(&tables, "postrider_table_live_tuples", "Rows, by the server's estimate.", |table| {
            Some(table.live_tuples)
        })?;
        self.per_table(
            &tables,
            "postrider_table_dead_tuples",
            "Dead row versions not yet cleaned up, by the server's estimate.",
            |table| Some(table.dead_tuples),
        )?;
        self.per_table(
            &tables,
            "postrider_table_size_bytes",
            "Size on disk, with indexes and TOAST.",
            |table| Some(table.size_bytes),
        )?;
        self.per_table(
            &tables,
            "postrider_table_hot_update_ratio",
            "Part of all updates since the server's statistics were reset that touched no index (HOT); none before the first.",
            |table| table.hot_update_ratio,
        )
    }

    async fn attached_tables(&mut self) -> Done {
        let counts = self.store.measure_attached_tables().await?;
        Ok(self.gauges.set_each(
            "postrider_attached_tables",
            "Attached tables by their state: active, paused or broken.",
            "state",
            counts.map(|(state, count)| (state.as_str(), count)),
        )?)
    }

    async fn write_back(&mut self) -> Done {
        let write_back = self.store.measure_write_back(ROWS_COUNTED_MAX).await?;
        self.gauges.set(
            "postrider_write_back_waiting",
            "Changes of status that are still to be written into rows of attached tables; counted up to 100,000.",
            write_back.waiting,
        )?;
        self.gauges.set(
            "postrider_write_back_oldest_age_seconds",
            "Age of the oldest of them; 0 if there is none.",
            write_back.oldest_age,
        )?;
        Ok(())
    }

    async fn backlog(&mut self) -> Done {
        let backlog = self.store.measure_backlog().await?;
        let gauges = &mut self.gauges;
        gauges.set("postrider_backlog_unrouted", "Events not yet routed.", backlog.unrouted)?;
        gauges.set(
            "postrider_backlog_pending",
            "Deliveries that wait: for a slot, for their next attempt, or for those of the same key before them.",
            backlog.pending,
        )?;
        gauges.set(
            "postrider_backlog_in_progress",
            "Deliveries that a dispatcher holds.",
            backlog.in_progress,
        )?;
        gauges.set("postrider_backlog_failed", "Deliveries given up and kept.", backlog.failed)?;
        gauges.set(
            "postrider_backlog_oldest_due_age_seconds",
            "How long the most overdue delivery has been due; 0 if none is. What waits on purpose is not overdue.",
            backlog.oldest_due_age,
        )?;
        gauges.set(
            "postrider_backlog_oldest_unrouted_age_seconds",
            "Age of the oldest event not yet routed; 0 if there is none.",
            backlog.oldest_unrouted_age,
        )?;
        gauges.set(
            "postrider_open_circuits",
            "Enabled endpoints that do not answer: their deliveries wait for a probe.",
            backlog.open_circuits,
        )?;
        gauges.set(
            "postrider_held_endpoints",
            "Enabled endpoints that asked to be left alone for a while: their deliveries wait until then.",
            backlog.held_endpoints,
        )?;
        gauges.set(
            "postrider_backlog_set_aside",
            "Events and deliveries that the database refuses to write, and that are tried again later; see postrider.set_aside.",
            backlog.set_aside,
        )?;
        Ok(())
    }

    async fn endpoints(&mut self) -> Done {
        let measures = self.store.measure_endpoints(ENDPOINTS_MAX).await?;
        let endpoints = &measures.endpoints;
        self.gauges.set(
            "postrider_endpoints_omitted",
            "Endpoints beyond the 100 with the most pending deliveries: they have no metrics of their own.",
            measures.omitted,
        )?;
        let count = |health| measures.counts.map_or(0, |counts| counts.of(health));
        self.gauges.set_each(
            "postrider_endpoints",
            "Endpoints by their health: healthy, failing, down, paused or disabled.",
            "health",
            EndpointHealth::ALL.map(|health| (health.as_str(), count(health))),
        )?;
        self.gauges.set_pairs(
            "postrider_endpoint_health",
            "Always 1; the label is the health of the endpoint: healthy, failing, down, paused or disabled.",
            ["endpoint", "health"],
            endpoints.iter().map(|e| ([e.id.as_str(), e.health.as_str()], true)),
        )?;
        self.per_endpoint(
            endpoints,
            "postrider_endpoint_enabled",
            "1 if enabled, 0 if paused or disabled.",
            |e| e.is_enabled,
        )?;
        self.per_endpoint(endpoints, "postrider_endpoint_pending", "Deliveries that wait.", |e| e.pending)?;
        self.per_endpoint(
            endpoints,
            "postrider_endpoint_oldest_pending_age_seconds",
            "How long ago the oldest delivery that waits was routed; 0 if none waits.",
            |e| e.oldest_pending_age,
        )?;
        self.per_endpoint(
            endpoints,
            "postrider_endpoint_failed_24h",
            "Deliveries given up in the last 24 hours.",
            |e| e.failed_24h,
        )?;
        self.per_endpoint(
            endpoints,
            "postrider_endpoint_failed_attempts_24h",
            "Attempts that failed in the last 24 hours, whether they are tried again or not.",
            |e| e.failed_attempts_24h,
        )?;
        let scheduler = Arc::clone(&self.scheduler);
        self.per_endpoint(
            endpoints,
            "postrider_endpoint_consecutive_failures",
            "Failed attempts of this dispatcher since its last one that succeeded, or since its start.",
            |e| scheduler.consecutive_failures(e.no),
        )?;
        self.blocked_keys(endpoints).await
    }

    /// Those endpoints, and those with the most blocked keys: few deliveries may wait for one whose keys are blocked.
    async fn blocked_keys(&mut self, endpoints: &[EndpointMeasure]) -> Done {
        let blocked = self.store.list_blocked_endpoints(BLOCKED_ENDPOINTS_MAX).await?;
        let mut keys: BTreeMap<&str, i64> = endpoints.iter().map(|e| (e.id.as_str(), 0)).collect();
        keys.extend(blocked.iter().map(|row| (row.endpoint_id.as_str(), row.keys)));
        Ok(self.gauges.set_each(
            "postrider_blocked_keys",
            "Keys whose deliveries wait for one that fails: of the endpoints with the most pending deliveries, and of those with the \
             most blocked keys.",
            "endpoint",
            keys,
        )?)
    }

    fn per_table<V: Value>(
        &mut self,
        tables: &[TableMeasure],
        name: &str,
        help: &str,
        value: impl Fn(&TableMeasure) -> Option<V>,
    ) -> Done {
        let values = tables.iter().filter_map(|table| Some((table.table_name.as_str(), value(table)?)));
        Ok(self.gauges.set_each(name, help, "table", values)?)
    }

    fn per_endpoint<V: Value>(
        &mut self,
        endpoints: &[EndpointMeasure],
        name: &str,
        help: &str,
        value: impl Fn(&EndpointMeasure) -> V,
    ) -> Done {
        let values = endpoints.iter().map(|endpoint| (endpoint.id.as_str(), value(endpoint)));
        Ok(self.gauges.set_each(name, help, "endpoint", values)?)
    }
}
