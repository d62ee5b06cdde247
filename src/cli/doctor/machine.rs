//! Limits that this machine sets for a process.

use super::Finding;
use crate::config::RunConfig;
use crate::rules::descriptors::{Budget, raise_limit};
use crate::store::Store;

/// Checks whether there are enough file descriptors, if `run` is started from here.
pub(super) async fn descriptors(config: &RunConfig, store: &Store) -> Finding {
    const NAME: &str = "file descriptors";
    let hosts = match store.count_hosts().await {
        Ok(hosts) => hosts,
        Err(fault) => return Finding::broken(NAME, &fault),
    };
    let budget = Budget::new(raise_limit(), config.dispatcher.max_in_flight);
    let found = [budget.lacks_requests(config.dispatcher.max_in_flight), budget.lacks_connections(hosts)];
    let lacks: Vec<String> = found.into_iter().flatten().collect();
    let Budget { limit, in_flight, kept, .. } = budget;
    if lacks.is_empty() {
        return Finding::ok(
            NAME,
            format!("{limit}, enough for {in_flight} requests at once and {kept} connections kept"),
        );
    }
    Finding::warn(
        NAME,
        format!("in this shell: {}", lacks.join("; ")),
        budget.remedy(hosts, config.dispatcher.max_in_flight),
    )
}
