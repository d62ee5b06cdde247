//! Statements that keep the stored statistics of endpoints few.

use super::statements::{AGGREGATE_STATS, COMPACT_REACHED_NOBODY, COMPACT_STATS, LIST_ENDPOINTS_WITH_STATS};
use super::{Statement, Store, StoreError};
use crate::model::endpoint::EndpointNo;

/// The result of one step.
#[derive(Clone, Debug)]
pub struct StatStep {
    /// Rows that the step looked at. If it looked at as many as it was allowed to, there may be more.
    pub looked_at: i64,
    /// Endpoints whose statistics stay as they are, because another transaction has locked the rows that they go to.
    pub busy: Vec<EndpointNo>,
}

/// The endpoints whose statistics a step treats.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatEndpoints<'a> {
    /// Not these.
    pub but: &'a [EndpointNo],
    /// These alone. `None` for all endpoints.
    pub only: Option<&'a [EndpointNo]>,
}

impl Store {
    /// `sql/statements/statistics/aggregate_stats.sql`.
    ///
    /// # Errors
    /// [`StoreError`]: the next call goes on.
    pub async fn aggregate_stats(
        &self,
        rows_max: i64,
        endpoints: StatEndpoints<'_>,
    ) -> Result<StatStep, StoreError> {
        self.stat_step(&AGGREGATE_STATS, rows_max, endpoints).await
    }

    /// `sql/statements/statistics/compact_stats.sql`.
    ///
    /// # Errors
    /// [`StoreError`]: the next call goes on.
    pub async fn compact_stats(
        &self,
        rows_max: i64,
        endpoints: StatEndpoints<'_>,
    ) -> Result<StatStep, StoreError> {
        self.stat_step(&COMPACT_STATS, rows_max, endpoints).await
    }

    /// `sql/statements/statistics/compact_reached_nobody.sql`: how many rows it looked at.
    ///
    /// # Errors
    /// [`StoreError`]: the next call goes on.
    pub async fn compact_reached_nobody(&self, rows_max: i64, rows_min: i64) -> Result<i64, StoreError> {
        self.query_one(&COMPACT_REACHED_NOBODY, &[&rows_max, &rows_min]).await?.get("looked_at")
    }

    /// `sql/statements/statistics/list_endpoints_with_stats.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_endpoints_with_stats(&self) -> Result<Vec<EndpointNo>, StoreError> {
        let rows = self.query(&LIST_ENDPOINTS_WITH_STATS, &[]).await?;
        rows.iter().map(|row| row.get("endpoint_no").map(EndpointNo::new)).collect()
    }

    async fn stat_step(
        &self,
        statement: &'static Statement,
        rows_max: i64,
        endpoints: StatEndpoints<'_>,
    ) -> Result<StatStep, StoreError> {
        let bare = |nos: &[EndpointNo]| nos.iter().map(|no| no.get()).collect::<Vec<i32>>();
        let (but, only) = (bare(endpoints.but), endpoints.only.map(bare));
        let row = self.query_one(statement, &[&rows_max, &but, &only]).await?;
        let busy: Vec<i32> = row.get("busy")?;
        Ok(StatStep {
            looked_at: row.get("looked_at")?,
            busy: busy.into_iter().map(EndpointNo::new).collect(),
        })
    }
}
