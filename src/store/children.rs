//! Statements about endpoints of templates. They are made when events name them, and forgotten when none does any more.

use std::time::Duration;

use super::endpoints::child;
use super::statements::{FORGET_CHILDREN, LOAD_CHILDREN, MAKE_CHILDREN, REVIVE_CHILDREN};
use super::{Store, StoreError, millis};
use crate::model::endpoint::{Child, EndpointNo};

/// Endpoints that one call forgets, at most.
pub const FORGOTTEN_MAX: i64 = 1_000;

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
