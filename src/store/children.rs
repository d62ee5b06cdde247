//! Statements about endpoints of templates. They are made when events name them, and forgotten when none does any more.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::endpoints::child;
use super::statements::{FORGET_CHILDREN, LOAD_CHILDREN, MAKE_CHILDREN, REVIVE_CHILDREN};
use super::{Store, StoreError, millis};
use crate::model::endpoint::{Child, EndpointHealth, EndpointNo};

/// Endpoints that one call forgets, at most.
pub const FORGOTTEN_MAX: i64 = 1_000;

/// How many endpoints of a template there are of each health, and how many deliveries wait for them.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the words of EndpointHealth")]
pub struct ChildCounts {
    pub healthy: i64,
    pub failing: i64,
    pub down: i64,
    pub paused: i64,
    pub disabled: i64,
    /// Deliveries that wait for them.
    pub pending: i64,
}

impl ChildCounts {
    /// How many there are.
    pub const fn all(&self) -> i64 {
        self.healthy + self.failing + self.down + self.paused + self.disabled
    }
}

impl fmt::Display for ChildCounts {
    /// In words, for people: how many, and how many of them are not healthy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.all(), if self.all() == 1 { "endpoint" } else { "endpoints" })?;
        let worst_first = [
            (self.disabled, EndpointHealth::Disabled),
            (self.down, EndpointHealth::Down),
            (self.failing, EndpointHealth::Failing),
            (self.paused, EndpointHealth::Paused),
        ];
        let mut separator = ": ";
        for (count, health) in worst_first.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{separator}{count} {health}")?;
            separator = ", ";
        }
        Ok(())
    }
}

impl Store {
    /// `sql/statements/endpoints/make_children.sql`: each is a template and the id `TEMPLATE/VALUE`. Returns those that exist now.
    ///
    /// # Errors
    /// [`StoreError`]: none was made, unless the answer was lost.
    pub async fn make_children(&self, wanted: &[(EndpointNo, String)]) -> Result<Vec<Child>, StoreError> {
        let nos: Vec<i32> = wanted.iter().map(|(no, _)| no.get()).collect();
        let ids: Vec<&str> = wanted.iter().map(|(_, id)| id.as_str()).collect();
        self.query(&MAKE_CHILDREN, &[&nos, &ids]).await?.iter().map(child).collect()
    }

    /// `sql/statements/endpoints/load_children.sql`: those of these endpoints that are of templates.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load_children(&self, nos: &[EndpointNo]) -> Result<Vec<Child>, StoreError> {
        let nos: Vec<i32> = nos.iter().map(|no| no.get()).collect();
        self.query(&LOAD_CHILDREN, &[&nos]).await?.iter().map(child).collect()
    }

    /// `sql/statements/endpoints/forget_children.sql`: how many; as many as [`FORGOTTEN_MAX`]: there may be more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_children(&self, idle: Duration) -> Result<i64, StoreError> {
        self.query_one(&FORGET_CHILDREN, &[&millis(idle)]).await?.get("forgotten")
    }

    /// `sql/statements/endpoints/revive_children.sql`: how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revive_children(&self) -> Result<i64, StoreError> {
        self.query_one(&REVIVE_CHILDREN, &[]).await?.get("revived")
    }
}
