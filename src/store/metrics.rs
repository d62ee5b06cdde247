//! What is measured in the database at each exporter of the metrics.

use std::time::Duration;

use super::statements::{MEASURE_BACKLOG, MEASURE_ENDPOINTS, MEASURE_SERVER, MEASURE_TABLES};
use super::{Statement, Store, StoreError, column, from_millis, missing};
use crate::model::endpoint::EndpointNo;

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
    pub set_aside: i64,
}

/// The rows of `sql/statements/statistics/measure_endpoints.sql`.
#[derive(Clone, Debug, Default)]
pub struct EndpointMeasures {
    /// Those with the most pending deliveries.
    pub endpoints: Vec<EndpointMeasure>,
    /// How many more endpoints there are.
    pub omitted: i64,
}

/// A row of `sql/statements/statistics/measure_endpoints.sql`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "described in the statement's header")]
pub struct EndpointMeasure {
    pub no: EndpointNo,
    pub id: String,
    pub is_enabled: bool,
    pub pending: i64,
    pub failed_24h: i64,
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

impl Store {
    /// `sql/statements/statistics/measure_backlog.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn measure_backlog(&self) -> Result<BacklogMeasure, StoreError> {
        let row = self.row(&MEASURE_BACKLOG, &[]).await?.ok_or_else(|| missing(&MEASURE_BACKLOG))?;
        Ok(BacklogMeasure {
            unrouted: column(&MEASURE_BACKLOG, &row, "unrouted")?,
            pending: column(&MEASURE_BACKLOG, &row, "pending")?,
            in_progress: column(&MEASURE_BACKLOG, &row, "in_progress")?,
            failed: column(&MEASURE_BACKLOG, &row, "failed")?,
            oldest_unrouted_age: age(&MEASURE_BACKLOG, &row, "oldest_unrouted_age_ms")?,
            oldest_due_age: age(&MEASURE_BACKLOG, &row, "oldest_due_age_ms")?,
            open_circuits: column(&MEASURE_BACKLOG, &row, "open_circuits")?,
            set_aside: column(&MEASURE_BACKLOG, &row, "set_aside")?,
        })
    }

    /// `sql/statements/statistics/measure_endpoints.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn measure_endpoints(&self, endpoints_max: i64) -> Result<EndpointMeasures, StoreError> {
        let rows = self.rows(&MEASURE_ENDPOINTS, &[&endpoints_max]).await?;
        let omitted = rows.first().map(|row| column(&MEASURE_ENDPOINTS, row, "omitted")).transpose()?;
        let endpoints = rows.iter().map(endpoint).collect::<Result<_, _>>()?;
        Ok(EndpointMeasures { endpoints, omitted: omitted.unwrap_or_default() })
    }

    /// `sql/statements/statistics/measure_server.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn measure_server(&self) -> Result<ServerMeasure, StoreError> {
        let row = self.row(&MEASURE_SERVER, &[]).await?.ok_or_else(|| missing(&MEASURE_SERVER))?;
        Ok(ServerMeasure {
            oldest_snapshot_age: age(&MEASURE_SERVER, &row, "oldest_snapshot_age_ms")?,
            notification_queue_usage: column(&MEASURE_SERVER, &row, "notification_queue_usage")?,
        })
    }

    /// `sql/statements/statistics/measure_tables.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn measure_tables(&self) -> Result<Vec<TableMeasure>, StoreError> {
        let read = |row| {
            Ok(TableMeasure {
                table_name: column(&MEASURE_TABLES, row, "table_name")?,
                live_tuples: column(&MEASURE_TABLES, row, "live_tuples")?,
                dead_tuples: column(&MEASURE_TABLES, row, "dead_tuples")?,
                size_bytes: column(&MEASURE_TABLES, row, "size_bytes")?,
                hot_update_ratio: column(&MEASURE_TABLES, row, "hot_update_ratio")?,
            })
        };
        self.rows(&MEASURE_TABLES, &[]).await?.iter().map(read).collect()
    }
}

fn endpoint(row: &tokio_postgres::Row) -> Result<EndpointMeasure, StoreError> {
    Ok(EndpointMeasure {
        no: EndpointNo::new(column(&MEASURE_ENDPOINTS, row, "endpoint_no")?),
        id: column(&MEASURE_ENDPOINTS, row, "endpoint_id")?,
        is_enabled: column(&MEASURE_ENDPOINTS, row, "is_enabled")?,
        pending: column(&MEASURE_ENDPOINTS, row, "pending")?,
        failed_24h: column(&MEASURE_ENDPOINTS, row, "failed_24h")?,
        oldest_pending_age: age(&MEASURE_ENDPOINTS, row, "oldest_pending_age_ms")?,
    })
}

fn age(statement: &Statement, row: &tokio_postgres::Row, name: &str) -> Result<Duration, StoreError> {
    column(statement, row, name).map(from_millis)
}
