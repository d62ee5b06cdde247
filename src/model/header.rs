//! Checks the headers that a producer or an endpoint's owner adds. The same rules stand in the CHECKs of the schema
//! (`postrider.are_headers_valid`).

use serde_json::{Map, Value};
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
/// Largest set of headers, as jsonb writes it.
const HEADERS_BYTES_MAX: usize = 8192;

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
    /// Not a text.
    #[error("\"{0}\" needs a text")]
    Type(String),
    /// Too many, or too long ones.
    #[error("need at most {HEADERS_BYTES_MAX} bytes in all")]
    Size,
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

/// Checks a set of headers: each fault of it.
pub fn check_headers(headers: &Map<String, Value>) -> Vec<HeaderError> {
    let check = |(name, value): (&String, &Value)| match value.as_str() {
        Some(value) => check_header(name, value).err(),
        None => Some(HeaderError::Type(name.clone())),
    };
    let size = (jsonb_bytes(headers) > HEADERS_BYTES_MAX).then_some(HeaderError::Size);
    headers.iter().filter_map(check).chain(size).collect()
}

/// The bytes of an object of texts in PostgreSQL's words: `{"a": "b", "c": "d"}`, with a space after each colon and comma.
fn jsonb_bytes(headers: &Map<String, Value>) -> usize {
    let compact = Value::Object(headers.clone()).to_string().len();
    compact + (2 * headers.len()).saturating_sub(1)
}
