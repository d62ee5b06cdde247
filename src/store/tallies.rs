//! Statements that keep the tallies of endpoints few.

use super::statements::{FOLD_TALLIES, SUM_TALLIES};
use super::{Statement, Store, StoreError, column, missing};
use crate::endpoint::EndpointNo;

/// What a step of summing up came to.
#[derive(Clone, Debug)]
pub struct Tallied {
    /// Rows looked at; as many as were asked for: there may be more.
    pub looked_at: i64,
    /// Endpoints left as they are: somebody else has locked where their tallies go.
    pub busy: Vec<EndpointNo>,
}

impl Store {
    /// `sql/sum_tallies.sql`, of all endpoints but these.
    ///
    /// # Errors
    /// [`StoreError`]: the next call goes on.
    pub async fn sum_tallies(&self, rows_max: i64, but: &[EndpointNo]) -> Result<Tallied, StoreError> {
        self.tally(&SUM_TALLIES, rows_max, but).await
    }

    /// `sql/fold_tallies.sql`, of all endpoints but these.
    ///
    /// # Errors
    /// [`StoreError`]: the next call goes on.
    pub async fn fold_tallies(&self, rows_max: i64, but: &[EndpointNo]) -> Result<Tallied, StoreError> {
        self.tally(&FOLD_TALLIES, rows_max, but).await
    }

    async fn tally(
        &self,
        statement: &Statement,
        rows_max: i64,
        but: &[EndpointNo],
    ) -> Result<Tallied, StoreError> {
        let but: Vec<i32> = but.iter().map(|no| no.get()).collect();
        let row = self.row(statement, &[&rows_max, &but]).await?.ok_or_else(|| missing(statement))?;
        let busy: Vec<i32> = column(statement, &row, "busy")?;
        Ok(Tallied {
            looked_at: column(statement, &row, "looked_at")?,
            busy: busy.into_iter().map(EndpointNo::new).collect(),
        })
    }
}
