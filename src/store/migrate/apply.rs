//! Applies migrations through refinery, all in one transaction that begins and ends as all of ours do, brings functions and views
//! up to date, and waits for no lock as long as an INSERT would notice.

use std::time::Duration;

use refinery_core::traits::r#async::{AsyncQuery, AsyncTransaction};
use refinery_core::{AsyncMigrate, Migration};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::schema::Schema;
use super::script;

/// So often is a lock asked for, 200 ms each time (`sql/migrator/begin.sql`): twelve seconds in all.
const TRIES_MAX: u32 = 12;
/// What queued behind a try has this long to get through before the next.
const PAUSE: Duration = Duration::from_millis(800);

/// A connection that migrates. Refinery has it execute two things: its history table, then all migrations that are missing, which
/// may be none.
pub(super) struct Migrator<'a> {
    client: &'a mut Client,
    schema: &'a Schema,
    has_history: bool,
}

impl<'a> Migrator<'a> {
    pub(super) fn new(client: &'a mut Client, schema: &'a Schema) -> Self {
        Self { client, schema, has_history: false }
    }

    async fn execute_once(&mut self, queries: &[String]) -> Result<(), tokio_postgres::Error> {
        let tx = self.client.transaction().await?;
        for query in queries {
            tx.batch_execute(query).await?;
        }
        tx.commit().await
    }
}

impl AsyncTransaction for Migrator<'_> {
    type Error = tokio_postgres::Error;

    async fn execute<'a, T: Iterator<Item = &'a str> + Send + 'a>(
        &mut self,
        queries: T,
    ) -> Result<usize, Self::Error> {
        let queries: Vec<String> = queries.map(str::to_owned).collect();
        let queries =
            if self.has_history { script::whole(self.schema, queries) } else { script::history(queries) };
        self.has_history = true;
        for _ in 1..TRIES_MAX {
            match self.execute_once(&queries).await {
                Err(fault) if is_lock_fault(&fault) => tokio::time::sleep(PAUSE).await,
                done => return done.map(|()| queries.len()),
            }
        }
        self.execute_once(&queries).await.map(|()| queries.len())
    }
}

impl AsyncQuery<Vec<Migration>> for Migrator<'_> {
    async fn query(&mut self, query: &str) -> Result<Vec<Migration>, tokio_postgres::Error> {
        AsyncQuery::query(&mut *self.client, query).await
    }
}

impl AsyncMigrate for Migrator<'_> {}

/// Whether somebody else's lock was in the way. Nothing of the transaction was done.
pub(super) fn is_lock_fault(fault: &tokio_postgres::Error) -> bool {
    [Some(&SqlState::LOCK_NOT_AVAILABLE), Some(&SqlState::T_R_DEADLOCK_DETECTED)].contains(&fault.code())
}
