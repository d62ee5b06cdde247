//! Why a request brought no response, in words of delivery.

use std::error::Error;

use super::heads::TooLarge;
use crate::model::outcome::NoAnswer;
use crate::sinks::attempt::NotAttempted;
use crate::sinks::egress::NotAllowed;

/// Why there is no response.
pub(super) enum SendError {
    /// The endpoint was not asked or did not answer. That is a failed attempt.
    Unanswered(Unanswered),
    /// The request failed on its way. The endpoint, the egress proxy or this machine may be the cause.
    Request(reqwest::Error),
    /// The endpoint is not at fault.
    NotAttempted(NotAttempted),
}

/// Why there was no answer.
pub(super) struct Unanswered {
    pub(super) why: NoAnswer,
    /// In one line, without a secret.
    pub(super) error: String,
}

impl From<Unanswered> for SendError {
    fn from(unanswered: Unanswered) -> Self {
        Self::Unanswered(unanswered)
    }
}

impl From<String> for SendError {
    fn from(error: String) -> Self {
        Self::Unanswered(Unanswered { why: NoAnswer::Broken, error })
    }
}

impl From<reqwest::Error> for SendError {
    fn from(fault: reqwest::Error) -> Self {
        Self::Request(fault)
    }
}

impl From<&NotAllowed> for Unanswered {
    fn from(refused: &NotAllowed) -> Self {
        let why = match refused {
            NotAllowed::Unresolved(_) => NoAnswer::Broken,
            NotAllowed::Scheme(_)
            | NotAllowed::Plaintext
            | NotAllowed::Url(_)
            | NotAllowed::Address { .. }
            | NotAllowed::Denied { .. }
            | NotAllowed::Outside { .. }
            | NotAllowed::Unseen
            | NotAllowed::Port(_) => NoAnswer::RefusedAddress,
        };
        Self { why, error: refused.to_string() }
    }
}

/// A transport failure in one line: its kind and its innermost cause, without the URL.
pub(super) fn describe(fault: &reqwest::Error) -> Unanswered {
    if let Some(refused) = causes(fault).find_map(|cause| cause.downcast_ref::<NotAllowed>()) {
        return refused.into();
    }
    if let Some(error) = too_large(fault) {
        return Unanswered { why: NoAnswer::Broken, error };
    }
    let cause = innermost(fault);
    let (why, kind) = match () {
        () if fault.is_connect() && fault.is_timeout() => (NoAnswer::Timeout, "connect timeout"),
        () if fault.is_connect() => (NoAnswer::Broken, "connect"),
        () if fault.is_timeout() => (NoAnswer::Timeout, "timeout"),
        () => (NoAnswer::Broken, "request"),
    };
    // reqwest's own text would repeat the URL, which may carry a secret in its query.
    let error = if fault.source().is_none() { kind.to_owned() } else { format!("{kind}: {cause}") };
    Unanswered { why, error }
}

/// The text for an answer whose head was too large to be read. Over HTTP/2 it cannot be told from a malformed one.
fn too_large(fault: &reqwest::Error) -> Option<String> {
    let is_unread = |cause: &hyper::Error| cause.is_parse_too_large();
    let is_unusable = |cause: &h2::Error| {
        cause.is_library() && (cause.is_reset() || cause.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM))
    };
    causes(fault).find_map(|cause| match () {
        () if cause.downcast_ref().is_some_and(is_unread) => Some(TooLarge::Unread.to_string()),
        () if cause.downcast_ref().is_some_and(is_unusable) => {
            Some(format!("{}: {cause}", TooLarge::Perhaps))
        }
        () => None,
    })
}

/// The cause that lies under all others.
pub(super) fn innermost<'a>(fault: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    causes(fault).last().unwrap_or(fault)
}

/// The causes of a failure, the innermost last.
pub(super) fn causes<'a>(
    fault: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(fault.source(), |&cause| cause.source())
}
