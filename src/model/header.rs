//! Rules: which headers a producer or an endpoint's owner may add. The same rules stand in the CHECKs of the schema
//! (`postrider.are_headers_valid`).

use thiserror::Error;

/// Names that HTTP or Postrider owns.
const RESERVED: [&str; 12] = [
    "host",
    "connection",
    "content-length",
    "content-type",
    "content-encoding",
    "expect",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];
const RESERVED_PREFIXES: [&str; 4] = ["webhook-", "postrider-", "proxy-", "ce-"];
const NAME_BYTES_MAX: usize = 128;

/// Why a header cannot be added. Never shows its value.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HeaderError {
    /// Not a token of RFC 9110.
    #[error("needs a name of 1 to 128 letters, digits or !#$%&'*+-.^_`|~")]
    Name,
    /// HTTP or Postrider owns it.
    #[error(
        "has the reserved name \"{0}\"; reserved are webhook-*, postrider-*, proxy-*, ce-* and the names that HTTP itself needs"
    )]
    Reserved(String),
    /// Not visible ASCII and spaces.
    #[error("\"{0}\" has a value with other characters than visible ASCII and spaces")]
    Value(String),
}

/// Checks a header by name and value.
///
/// # Errors
/// [`HeaderError`].
pub fn check_header(name: &str, value: &str) -> Result<(), HeaderError> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(is_token) {
        return Err(HeaderError::Name);
    }
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&lower.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
    {
        return Err(HeaderError::Reserved(lower));
    }
    if value.bytes().all(|b| (b' '..=b'~').contains(&b)) { Ok(()) } else { Err(HeaderError::Value(lower)) }
}
