//! One endpoint, held by a transaction. Between a look at its stored secrets and the statement that depends on it, nobody
//! else creates, replaces, rotates or seals the endpoint.

use deadpool::managed::Object;

use super::errors::leaves_connection_usable;
use super::route_transaction::Bound;
use super::row::{self, Row};
use super::secrets::{Stored, stored};
use super::statements::{LOCK_ENDPOINT, READ_SECRETS};
use super::{Connection, Params, Statement, Store, StoreError, in_time, missing};

/// The transaction. Dropped halfway, its connection is given up, and the server rolls it back.
pub(super) struct HeldEndpoint<'a> {
    store: &'a Store,
    /// `None` if the transaction has ended.
    connection: Option<Connection>,
}

impl Store {
    /// `sql/statements/secrets/read_secrets.sql` in a new transaction. If there is no such endpoint, it locks the id
    /// (`sql/statements/endpoints/lock_endpoint.sql`) and looks once more. Locks are taken in the order of
    /// `postrider.write_endpoint`.
    pub(super) async fn hold_endpoint(&self, id: &str) -> Result<(HeldEndpoint<'_>, Stored), StoreError> {
        let held = HeldEndpoint { store: self, connection: Some(self.connection().await?) };
        match held.read(id).await.and_then(|rows| stored(rows.first())) {
            Ok(stored) => Ok((held, stored)),
            Err(fault) => Err(held.fail(fault, true).await),
        }
    }
}

impl HeldEndpoint<'_> {
    async fn read(&self, id: &str) -> Result<Vec<Row>, StoreError> {
        let rows = self.run(&READ_SECRETS, &[&id], Bound::Begins).await?;
        if !rows.is_empty() {
            return Ok(rows);
        }
        self.run(&LOCK_ENDPOINT, &[&id], Bound::GoesOn).await?;
        // A statement of its own sees what was committed while that one waited.
        self.run(&READ_SECRETS, &[&id], Bound::GoesOn).await
    }

    /// Runs a statement that answers one row at most, and commits.
    ///
    /// # Errors
    /// [`StoreError`]: nothing happened, unless the commit's answer was lost.
    pub(super) async fn end_with(
        mut self,
        statement: &'static Statement,
        params: Params<'_>,
    ) -> Result<Row, StoreError> {
        match self.run(statement, params, Bound::Commits).await {
            Ok(rows) => {
                drop(self.connection.take());
                rows.into_iter().next().ok_or_else(|| missing(statement))
            }
            Err(fault) => {
                // Sent together with its COMMIT, it has ended by now.
                let is_open = self.connection.as_ref().is_some_and(|connection| !connection.is_direct);
                Err(self.fail(fault, is_open).await)
            }
        }
    }

    async fn run(
        &self,
        statement: &'static Statement,
        params: Params<'_>,
        bound: Bound,
    ) -> Result<Vec<Row>, StoreError> {
        let Some(connection) = &self.connection else { return Ok(Vec::new()) };
        let rows = connection.query_at(bound, statement.sql, params);
        Ok(row::of(statement, in_time(statement.name, self.store.deadline, rows).await?))
    }

    /// Ends it after a failure, if it is still open, and gives the connection up only if it must.
    async fn fail(mut self, fault: StoreError, is_open: bool) -> StoreError {
        let Some(connection) = self.connection.take() else { return fault };
        if is_open && leaves_connection_usable(&fault) {
            let rollback = connection.object.batch_execute("ROLLBACK");
            if in_time("rollback", self.store.deadline, rollback).await.is_err() {
                drop(Object::take(connection.object));
                return fault;
            }
        }
        self.store.take_back(connection, &fault);
        fault
    }
}

impl Drop for HeldEndpoint<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection.object));
        }
    }
}
