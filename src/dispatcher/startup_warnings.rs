//! Warnings about the server and the machine when a dispatcher starts: everything works, but something may be lost or slow.

use tracing::warn;

use crate::rules::clock::{machine_ms, skew};
use crate::rules::descriptors::{Budget, Descriptors, raise_limit};
use crate::store::{Store, StoreError};

/// Raises the limit of file descriptors as far as possible, and warns if it does not suffice.
pub(super) fn share_descriptors(max_in_flight: usize) -> Descriptors {
    let budget = Budget::new(raise_limit(), max_in_flight);
    if let Some(says) = budget.lacks_requests(max_in_flight) {
        warn!("{says}; {}", budget.remedy(0, max_in_flight));
    }
    Descriptors::new(budget)
}

/// Looks once, and logs a line for each finding. `postrider doctor` shows the same at any time.
pub(super) async fn look(store: &Store, budget: Budget) -> Result<(), StoreError> {
    // A lock on the table of endpoints keeps no dispatcher from starting.
    if let Ok(hosts) = store.count_hosts().await
        && let Some(says) = budget.lacks_connections(hosts)
    {
        warn!("{says}; {}", budget.remedy(hosts, budget.in_flight));
    }
    let before = machine_ms();
    let row = store.read_server().await?;
    if row.synchronous_commit == "off" {
        warn!(
            "synchronous_commit is off for this session (role, database or connection options say so): what a crash of the \
             server takes back is delivered again, and events of producers who commit so may be lost; set it to on"
        );
    }
    if let Some(skew) = skew(row.now_ms, before, machine_ms()) {
        warn!("{skew}: set the clocks (NTP) of both");
    }
    if row.is_superuser
        && let Some(owner) = store.read_owner().await?
    {
        warn!(
            "the schema belongs to role \"{owner}\", whose functions run with all rights of {}, a superuser: run as a role with \
             postrider_dispatcher alone",
            row.role
        );
    }
    let hidden = store.list_hidden_tables().await?;
    if !hidden.is_empty() {
        warn!(
            "row-level security may hide rows from this role, which then are not delivered: {}; postrider doctor says what \
             mends it",
            hidden.join(", ")
        );
    }
    Ok(())
}
