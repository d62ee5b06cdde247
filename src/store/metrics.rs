//! Measurements in the database, taken each time the metrics are read.

use std::time::Duration;

use super::row::Row;
use super::statements::{
    MEASURE_BACKLOG, MEASURE_ENDPOINTS, MEASURE_SERVER, MEASURE_TABLES, MEASURE_WRITE_BACK,
};
use super::views::EndpointCounts;
use super::{Store, StoreError};
use crate::model::endpoint::{EndpointHealth, EndpointNo};

/// The row of `sql/statements/statistics/measure_backlog.sql`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "described in the statement's header")]
pub struct BacklogMeasure {
    pub unrouted: i64,
    pub pending: i64,
    pub in_progress: i64,
    pub failed: i64,
    pub oldest_unrouted_age: Duration,
    pub oldest_due_age: Duration,
    pub open_circuits: i64,
    pub held_endpoints: i64,
    pub set_aside: i64,
}

/// The rows of `sql/statements/statistics/measure_endpoints.sql`.
#[derive(Clone, Debug, Default)]
pub struct EndpointMeasures {
    /// Those with the most pending deliveries.
    pub endpoints: Vec<EndpointMeasure>,
    /// How many more endpoints there are.
    pub omitted: i64,
    /// All endpoints by their health. `None` if there is no endpoint.
    pub counts: Option<EndpointCounts>,
}

/// A row of `sql/statements/statistics/measure_endpoints.sql`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "described in the statement's header")]
pub struct EndpointMeasure {
    pub no: EndpointNo,
    pub id: String,
    pub is_enabled: bool,
    pub health: EndpointHealth,
    pub pending: i64,
    pub failed_24h: i64,
    pub failed_attempts_24h: i64,
    pub oldest_pending_age: Duration,
}

/// A row of `sql/statements/statistics/measure_tables.sql`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "described in the statement's header")]
pub struct TableMeasure {
    pub table_name: String,
    pub live_tuples: i64,
    pub dead_tuples: i64,
    pub size_bytes: i64,
    pub hot_update_ratio: Option<f64>,
}

/// The row of `sql/statements/statistics/measure_server.sql`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "described in the statement's header")]
pub struct ServerMeasure {
    pub oldest_snapshot_age: Duration,
    pub notification_queue_usage: f64,
}

/// The row of `sql/statements/write_back/measure_write_back.sql`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "described in the statement's header")]
pub struct WriteBackMeasure {
    pub waiting: i64,
    pub oldest_age: Duration,
}

impl Store {
    /// `sql/statements/write_back/measure_write_back.sql`: at most `rows_max` are counted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn measure_write_back(&self, rows_max: i64) -> Result<WriteBackMeasure, StoreError> {
        let row = self.query_one(&MEASURE_WRITE_BACK, &[&rows_max]).await?;
        Ok(WriteBackMeasure { waiting: row.get("waiting")?, oldest_age: row.duration("oldest_age_ms")? })
    }

    /// `sql/statements/statistics/measure_backlog.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn measure_backlog(&self) -> Result<BacklogMeasure, StoreError> {
        let row = self.query_one(&MEASURE_BACKLOG, &[]).await?;
        Ok(BacklogMeasure {
            unrouted: row.get("unrouted")?,
            pending: row.get("pending")?,
            in_progress: row.get("in_progress")?,
            failed: row.get("failed")?,
            oldest_unrouted_age: row.duration("oldest_unrouted_age_ms")?,
            oldest_due_age: row.duration("oldest_due_age_ms")?,
            open_circuits: row.get("open_circuits")?,
            held_endpoints: row.get("held_endpoints")?,
            set_aside: row.get("set_aside")?,
        })
    }

    /// `sql/statements/statistics/measure_endpoints.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn measure_endpoints(&self, endpoints_max: i64) -> Result<EndpointMeasures, StoreError> {
        let rows = self.query(&MEASURE_ENDPOINTS, &[&endpoints_max]).await?;
        let omitted = rows.first().map(|row| row.get("omitted")).transpose()?;
        let endpoints = rows.iter().map(endpoint).collect::<Result<_, _>>()?;
        let counts = rows.first().map(counts).transpose()?;
        Ok(EndpointMeasures { endpoints, omitted: omitted.unwrap_or_default(), counts })
    }

    /// `sql/statements/statistics/measure_server.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn measure_server(&self) -> Result<ServerMeasure, StoreError> {
        let row = self.query_one(&MEASURE_SERVER, &[]).await?;
        Ok(ServerMeasure {
            oldest_snapshot_age: row.duration("oldest_snapshot_age_ms")?,
            notification_queue_usage: row.get("notification_queue_usage")?,
        })
    }

    /// `sql/statements/statistics/measure_tables.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn measure_tables(&self) -> Result<Vec<TableMeasure>, StoreError> {
        let read = |row: &Row| {
            Ok(TableMeasure {
                table_name: row.get("table_name")?,
                live_tuples: row.get("live_tuples")?,
                dead_tuples: row.get("dead_tuples")?,
                size_bytes: row.get("size_bytes")?,
                hot_update_ratio: row.get("hot_update_ratio")?,
            })
        };
        self.query(&MEASURE_TABLES, &[]).await?.iter().map(read).collect()
    }
}

fn endpoint(row: &Row) -> Result<EndpointMeasure, StoreError> {
    Ok(EndpointMeasure {
        no: EndpointNo::new(row.get("endpoint_no")?),
        id: row.get("endpoint_id")?,
        is_enabled: row.get("is_enabled")?,
        health: row.word("health")?,
        pending: row.get("pending")?,
        failed_24h: row.get("failed_24h")?,
        failed_attempts_24h: row.get("failed_attempts_24h")?,
        oldest_pending_age: row.duration("oldest_pending_age_ms")?,
    })
}

fn counts(row: &Row) -> Result<EndpointCounts, StoreError> {
    Ok(EndpointCounts {
        healthy: row.get("healthy")?,
        failing: row.get("failing")?,
        down: row.get("down")?,
        paused: row.get("paused")?,
        disabled: row.get("disabled")?,
    })
}
