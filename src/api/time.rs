//! Times in requests: RFC 3339, so that every reader agrees on what is meant.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::validation::Problems;

/// Adds a problem unless it is a time, or none was given.
pub(super) fn check(name: &str, text: Option<&str>, problems: &mut Problems) {
    if let Some(text) = text
        && OffsetDateTime::parse(text, &Rfc3339).is_err()
    {
        problems.add(name, "needs a time of RFC 3339, as 2026-01-31T12:00:00Z", Some(text));
    }
}
