//! Attached tables that break: somebody dropped a column, a trigger or a function. Each change is logged once.

use std::collections::BTreeMap;

use tracing::{info, warn};

use crate::dispatcher::context::Context;
use crate::store::StoreError;

/// The broken ones as of the last look, each with its reason.
#[derive(Debug, Default)]
pub(super) struct AttachedTables {
    broken: BTreeMap<String, String>,
}

impl AttachedTables {
    /// Looks, and logs what has changed since the last look.
    ///
    /// # Errors
    /// [`StoreError`]: what was known stays known.
    pub(super) async fn step(&mut self, context: &Context) -> Result<(), StoreError> {
        let broken = context.store.list_broken_tables().await?;
        let broken: BTreeMap<String, String> =
            broken.into_iter().map(|table| (table.relation, table.reason)).collect();
        for (relation, reason) in &broken {
            if self.broken.get(relation) != Some(reason) {
                warn!("attached table {relation} is broken, and changes of it may not be sent: {reason}");
            }
        }
        for relation in self.broken.keys().filter(|relation| !broken.contains_key(*relation)) {
            info!("attached table {relation} is not broken any more");
        }
        self.broken = broken;
        Ok(())
    }
}
