//! Keys of ordered endpoints that are blocked (`postrider.blocked_keys`), by endpoint.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::statements::LIST_BLOCKED_ENDPOINTS;
use super::views::Status;
use super::{Store, StoreError};

/// Most endpoints with blocked keys that are shown.
pub const BLOCKED_ENDPOINTS_MAX: i64 = 100;

/// An endpoint with blocked keys (`postrider.blocked_keys`).
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = BlockedEndpoint)]
pub struct BlockedEndpointRow {
    /// The endpoint.
    pub endpoint_id: String,
    /// How many keys are blocked.
    pub keys: i64,
    /// How many of them wait for somebody, because their delivery has no attempts left.
    pub failed: i64,
    /// The key that is blocked for longest.
    pub key: String,
    /// The delivery that blocks it.
    pub delivery_id: i64,
    /// That delivery's status.
    pub status: Status,
    /// Why its last attempt failed.
    pub last_error: Option<String>,
    /// Since when it fails.
    #[schema(format = DateTime)]
    pub since: String,
}

impl Store {
    /// `sql/statements/statistics/list_blocked_endpoints.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_blocked_endpoints(&self, rows_max: i64) -> Result<Vec<BlockedEndpointRow>, StoreError> {
        let rows = self.query(&LIST_BLOCKED_ENDPOINTS, &[&rows_max]).await?;
        rows.iter().map(|row| row.json("row")).collect()
    }
}
