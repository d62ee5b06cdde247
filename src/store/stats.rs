//! Statements that keep the tallies of endpoints few.

use super::statements::{AGGREGATE_STATS, COMPACT_STATS, LIST_ENDPOINTS_WITH_STATS};
use super::{Statement, Store, StoreError, column, missing};
use crate::model::endpoint::EndpointNo;

/// What a step of summing up came to.
#[derive(Clone, Debug)]
pub struct Tallied {
    /// Rows looked at; as many as were asked for: there may be more.
    pub looked_at: i64,
    /// Endpoints left as they are: somebody else has locked where their tallies go.
    pub busy: Vec<EndpointNo>,
}

/// Whose tallies are treated.
#[derive(Clone, Copy, Debug, Default)]
pub struct Whose<'a> {
    /// Not theirs.
    pub but: &'a [EndpointNo],
    /// Theirs alone; none: everybody's.
    pub only: Option<&'a [EndpointNo]>,
}

impl Store {
    /// `sql/statements/statistics/aggregate_stats.sql`.
    ///
    /// # Errors
    /// [`StoreError`]: the next call goes on.
    pub async fn aggregate_stats(&self, rows_max: i64, whose: Whose<'_>) -> Result<Tallied, StoreError> {
        self.tally(&AGGREGATE_STATS, rows_max, whose).await
    }

    /// `sql/statements/statistics/compact_stats.sql`.
    ///
    /// # Errors
    /// [`StoreError`]: the next call goes on.
    pub async fn compact_stats(&self, rows_max: i64, whose: Whose<'_>) -> Result<Tallied, StoreError> {
        self.tally(&COMPACT_STATS, rows_max, whose).await
    }

    /// `sql/statements/statistics/list_endpoints_with_stats.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_endpoints_with_stats(&self) -> Result<Vec<EndpointNo>, StoreError> {
        let rows = self.rows(&LIST_ENDPOINTS_WITH_STATS, &[]).await?;
        rows.iter()
            .map(|row| column(&LIST_ENDPOINTS_WITH_STATS, row, "endpoint_no").map(EndpointNo::new))
            .collect()
    }

    async fn tally(
        &self,
        statement: &Statement,
        rows_max: i64,
        whose: Whose<'_>,
    ) -> Result<Tallied, StoreError> {
        let bare = |nos: &[EndpointNo]| nos.iter().map(|no| no.get()).collect::<Vec<i32>>();
        let (but, only) = (bare(whose.but), whose.only.map(bare));
        let row = self.row(statement, &[&rows_max, &but, &only]).await?.ok_or_else(|| missing(statement))?;
        let busy: Vec<i32> = column(statement, &row, "busy")?;
        Ok(Tallied {
            looked_at: column(statement, &row, "looked_at")?,
            busy: busy.into_iter().map(EndpointNo::new).collect(),
        })
    }
}
