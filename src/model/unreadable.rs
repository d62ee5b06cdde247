//! Why a credential that is stored cannot be used.

use thiserror::Error;

/// Why a secret cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum OpenError {
    /// This dispatcher does not have its key.
    #[error("sealed with key {0}, which is not among --encryption-key and --encryption-key-file")]
    UnknownKey(String),
    /// Somebody changed it, or moved it here, or moved the endpoint.
    #[error(
        "sealed with key {0}, and damaged, or moved here from another endpoint, field or host: name it again"
    )]
    Damaged(String),
    /// An earlier version sealed it, without its field and host.
    #[error(
        "sealed with key {0} by an earlier version, which did not say for which field and host: look at the URLs of the \
         endpoints, then run \"postrider secret seal --accept-unbound\""
    )]
    Unbound(String),
    /// The text has none of the forms that are allowed there. The message never contains the secret.
    #[error("invalid: {0}")]
    Invalid(String),
}
