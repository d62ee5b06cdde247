//! Gives an endpoint a new signing secret; for a while requests are signed with the old one too.

use std::time::Duration;

use super::endpoint_spec::check_secret;
use super::lookup::{LookupError, known};
use crate::store::{RotatedSecret, Store};
use crate::validation::{Problems, parse_duration};

/// How long the old secret signs too, if nothing is said.
pub(crate) const OVERLAP_DEFAULT: &str = "24h";
const OVERLAP_MAX: Duration = Duration::from_hours(30 * 24);

/// A rotation that was checked.
pub(crate) struct SecretRotation {
    endpoint_id: String,
    secret: Option<String>,
    overlap: Duration,
}

impl SecretRotation {
    /// Checks the new secret (`None`: one is generated) and how long the old one signs too, `0s` to `30days`. `None` if
    /// something is wrong with them.
    pub(crate) fn check(
        endpoint_id: String,
        secret: Option<String>,
        overlap: &str,
        problems: &mut Problems,
    ) -> Option<Self> {
        check_secret(secret.as_deref(), problems);
        let overlap = parse_duration("overlap", overlap, (Duration::ZERO, OVERLAP_MAX), problems)?;
        Some(Self { endpoint_id, secret, overlap })
    }

    /// Rotates; the answer shows the new secret once.
    ///
    /// # Errors
    /// [`LookupError`].
    pub(crate) async fn run(&self, store: &Store) -> Result<RotatedSecret, LookupError> {
        let id = &self.endpoint_id;
        known(store, id, store.rotate_secret(id, self.secret.as_deref(), self.overlap).await).await
    }
}
