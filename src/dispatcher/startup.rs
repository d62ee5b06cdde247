//! A start waits for a database that is not there yet, or that may be a copy.

use std::error::Error;
use std::time::Duration;

use tracing::{info, warn};

use crate::dispatcher::DispatcherConfig;
use crate::dispatcher::database_health::DatabaseHealth;
use crate::rules::backoff::Backoff;
use crate::store::{
    MigrateError, SCHEMA_VERSION, StoreError, check_schema, is_outage, is_permanent, migrate, one_line,
    waits_for_adoption,
};

const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Brings the schema up to date, or checks it. Waits for a database that is not there yet.
pub(super) async fn prepare_schema(config: &DispatcherConfig) -> anyhow::Result<()> {
    let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
    loop {
        let done = if config.no_migrate {
            check_schema(&config.database).await.map(drop)
        } else {
            migrate(&config.database).await.map(|applied| {
                if !applied.is_empty() {
                    info!("migrated the schema to version {SCHEMA_VERSION}");
                }
            })
        };
        let Err(fault) = done else { return Ok(()) };
        let can_wait = match fault {
            MigrateError::Connect(_)
            | MigrateError::Database(_)
            | MigrateError::Deadline
            | MigrateError::Busy
            | MigrateError::Locked(_) => !is_permanent(&fault),
            MigrateError::Migration(_) => is_outage(&fault),
            MigrateError::Newer { .. }
            | MigrateError::Older { .. }
            | MigrateError::Emptied
            | MigrateError::Unversioned
            | MigrateError::Differ { .. }
            | MigrateError::NewerObjects { .. }
            | MigrateError::Pooler
            | MigrateError::ForeignHistory { .. }
            | MigrateError::Foreign { .. } => false,
        };
        if !can_wait {
            return Err(fault.into());
        }
        wait_for_database(&mut backoff, &fault).await;
    }
}

/// Repeats a step of the start until the database does it, or refuses for good.
pub(super) async fn keep_trying<T>(
    health: &DatabaseHealth,
    step: impl AsyncFn() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
    loop {
        match step().await {
            Err(fault) if waits_for_adoption(&fault) => {
                health.wait_for_adoption(&fault);
                tokio::time::sleep(backoff.pause()).await;
            }
            Err(fault) if !is_permanent(&fault) => wait_for_database(&mut backoff, &fault).await,
            done => return done,
        }
    }
}

async fn wait_for_database(backoff: &mut Backoff, fault: &(dyn Error + 'static)) {
    let pause = backoff.pause();
    warn!("waiting for the database, trying again in {pause:.1?}: {}", one_line(fault));
    tokio::time::sleep(pause).await;
}
