//! Skips: what may be asked for, by the same rules for command line and API.

use super::endpoint_spec::check_reason;
use super::lookup::{LookupError, known};
use super::replay::resolve;
use crate::store::{KeySkip, Store, StoreError};
use crate::validation::{Problems, TimeArgument};

/// Which deliveries of a key to skip, as somebody asks for it.
#[derive(Clone, Debug)]
pub(crate) struct KeySkipSpec {
    /// The endpoint.
    pub endpoint_id: String,
    /// The key.
    pub key: String,
    /// Events created up to this time. `None`: now.
    pub until: Option<TimeArgument>,
    /// Why.
    pub reason: Option<String>,
}

impl KeySkipSpec {
    /// Fixes its time by the database's clock: events that come while the steps go on are not skipped.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be asked.
    pub(crate) async fn fix(self, store: &Store) -> Result<KeySkip, StoreError> {
        let until = self.until.unwrap_or(TimeArgument::Ago(std::time::Duration::ZERO));
        Ok(KeySkip {
            endpoint_id: self.endpoint_id,
            key: self.key,
            until: Some(resolve(store, until).await?),
            reason: self.reason,
        })
    }
}

/// One step, of at most `up_to` deliveries: how many are skipped.
///
/// # Errors
/// [`LookupError`].
pub(crate) async fn skip_key_step(store: &Store, skip: &KeySkip, up_to: i32) -> Result<i64, LookupError> {
    known(store, &skip.endpoint_id, store.skip_key(skip, up_to).await).await
}

/// Checks the reason of a skip: nobody gives up a delivery without one.
pub(crate) fn check_skip_reason(text: &str, problems: &mut Problems) {
    if text.trim().is_empty() {
        problems.add("reason", "needs a text that is not empty", None);
    }
    check_reason(Some(text), problems);
}
