//! Times in requests: RFC 3339, which every client reads the same way.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::validation::{Problems, TimeArgument};

/// Reads a time; a problem is added if it is none.
pub(super) fn parse(name: &str, text: &str, problems: &mut Problems) -> Option<TimeArgument> {
    let is_valid = OffsetDateTime::parse(text, &Rfc3339).is_ok();
    if !is_valid {
        problems.add(name, "needs a time of RFC 3339, as 2026-01-31T12:00:00Z", Some(text));
    }
    is_valid.then(|| TimeArgument::At(text.to_owned()))
}

/// Checks a time, if one was given.
pub(super) fn check(name: &str, text: Option<&str>, problems: &mut Problems) {
    if let Some(text) = text {
        parse(name, text, problems);
    }
}
