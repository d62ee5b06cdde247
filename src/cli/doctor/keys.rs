//! Keys of ordered endpoints that are blocked: a delivery fails, and those behind it wait.

use super::Finding;
use crate::cli::ago::Now;
use crate::cli::count;
use crate::store::{BLOCKED_ENDPOINTS_MAX, BlockedEndpointRow, Status, Store, StoreError};

const NAME: &str = "blocked keys";

/// The endpoint with the most blocked keys. No key is blocked: no check.
pub(super) async fn check(store: &Store) -> Option<Finding> {
    match read(store).await {
        Ok((rows, now)) => judge(&rows, &now),
        Err(fault) => Some(Finding::broken(NAME, &fault)),
    }
}

async fn read(store: &Store) -> Result<(Vec<BlockedEndpointRow>, Now), StoreError> {
    Ok((store.list_blocked_endpoints(BLOCKED_ENDPOINTS_MAX).await?, Now::read(store).await?))
}

fn judge(rows: &[BlockedEndpointRow], now: &Now) -> Option<Finding> {
    let (first, others) = rows.split_first()?;
    let BlockedEndpointRow { endpoint_id, keys, key, since, last_error, .. } = first;
    let others = match i64::try_from(others.len()).unwrap_or(i64::MAX) {
        0 => String::new(),
        number => format!(", and keys of {}", count(number, "other endpoint", "other endpoints")),
    };
    let age = now.age(Some(since)).unwrap_or_else(|| "1 s".to_owned());
    let message = format!(
        "{} of endpoint {endpoint_id}{others}: {key} has waited for {age}, because delivery {} fails ({})",
        count(*keys, "key", "keys"),
        first.delivery_id,
        last_error.as_deref().unwrap_or("without an attempt"),
    );
    Some(Finding::warn(NAME, message, remedy(first)))
}

/// A delivery without attempts left waits for somebody; another one is tried again by itself.
fn remedy(first: &BlockedEndpointRow) -> String {
    let id = first.delivery_id;
    let by_hand = format!("postrider delivery retry {id}, or postrider delivery skip {id} --reason TEXT");
    match first.status {
        Status::Failed => {
            format!(
                "it has no attempts left: mend the receiver, then {by_hand}; select * from postrider.blocked_keys"
            )
        }
        Status::Pending | Status::InProgress | Status::Complete => {
            format!(
                "mend the receiver: it is tried again; or {by_hand}; select * from postrider.blocked_keys"
            )
        }
    }
}
