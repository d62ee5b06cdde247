//! Statements that keep the tallies of endpoints few.

use super::statements::{FOLD_TALLIES, LIST_TALLIED, SUM_TALLIES};
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
    /// `sql/statements/statistics/sum_tallies.sql`.
    ///
    /// # Errors
    /// [`StoreError`]: the next call goes on.
    pub async fn sum_tallies(&self, rows_max: i64, whose: Whose<'_>) -> Result<Tallied, StoreError> {
        self.tally(&SUM_TALLIES, rows_max, whose).await
    }

    /// `sql/statements/statistics/fold_tallies.sql`.
    ///
    /// # Errors
    /// [`StoreError`]: the next call goes on.
    pub async fn fold_tallies(&self, rows_max: i64, whose: Whose<'_>) -> Result<Tallied, StoreError> {
        self.tally(&FOLD_TALLIES, rows_max, whose).await
    }

    /// `sql/statements/statistics/list_tallied.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_tallied(&self) -> Result<Vec<EndpointNo>, StoreError> {
        let rows = self.rows(&LIST_TALLIED, &[]).await?;
        rows.iter().map(|row| column(&LIST_TALLIED, row, "endpoint_no").map(EndpointNo::new)).collect()
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
