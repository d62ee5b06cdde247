//! Random bytes of the system.

use ring::rand::{SecureRandom as _, SystemRandom};
use thiserror::Error;

/// The random source of the system has failed.
#[derive(Clone, Copy, Debug, Error)]
#[error("no random bytes from the system")]
pub struct NoRandomness;

/// Bytes that nobody can guess.
///
/// # Errors
/// [`NoRandomness`].
pub(crate) fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    #[expect(clippy::map_err_ignore, reason = "ring tells nothing")]
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}
