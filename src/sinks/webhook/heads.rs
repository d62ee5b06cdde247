//! How large the head of an answer may be: the same over HTTP/1 and HTTP/2.

use reqwest::header::HeaderMap;
use thiserror::Error;

/// Headers of an answer at most.
pub(super) const HEADERS_MAX: usize = 256;
/// Bytes of the headers of an answer at most, counted as HTTP/2 counts them. hyper reads as many over HTTP/1, and a few more.
pub(super) const BYTES_MAX: usize = 400 * 1024;
/// A bound for the client, above ours, so that a head that is a little larger is read and its size is told.
pub(super) const LIST_BYTES_MAX: u32 = 512 * 1024;
/// HTTP/2 counts so many bytes for each header beside its name and value (RFC 9113, section 6.5.2).
const BYTES_EACH: usize = 32;

/// A head that is too large.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum TooLarge {
    /// There are more headers than may be.
    #[error("request: the head of the answer has more than {HEADERS_MAX} headers: {0}")]
    Headers(usize),
    /// Names and values are longer than they may be.
    #[error("request: the head of the answer has more than {} KiB: {}", BYTES_MAX / 1024, _0.div_ceil(1024))]
    Bytes(usize),
    /// The client gave up reading the head.
    #[error("request: the head of the answer has more than {HEADERS_MAX} headers or {} KiB", BYTES_MAX / 1024)]
    Unread,
    /// The client could not read the head, and does not say why.
    #[error("request: the head of the answer is malformed, or has more than {HEADERS_MAX} headers or {} KiB", BYTES_MAX / 1024)]
    Perhaps,
}

/// Checks the head of an answer that was read.
pub(super) fn check_head(headers: &HeaderMap) -> Result<(), TooLarge> {
    let bytes = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
        name.as_str().len() + value.len() + BYTES_EACH
    };
    let count = headers.len();
    if count > HEADERS_MAX {
        return Err(TooLarge::Headers(count));
    }
    let bytes = headers.iter().map(bytes).sum();
    if bytes > BYTES_MAX { Err(TooLarge::Bytes(bytes)) } else { Ok(()) }
}
