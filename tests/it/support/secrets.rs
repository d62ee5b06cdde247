//! What no output may show. `scripts/test` looks for the same in all that is printed.

use super::encrypted::PASSWORD;

/// A token of the API in tests.
pub(crate) const TOKEN: &str = "correct-horse-battery-staple";

/// Fails if a text shows a signing secret, or a password or token of the tests.
pub(crate) fn assert_no_secret(what: &str, text: &str) {
    for line in text.lines() {
        assert!(!shows_secret(line), "a secret in {what}: {line}");
    }
}

fn shows_secret(line: &str) -> bool {
    let is_key = |rest: &str| {
        rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"+/".contains(b)).count() >= 20
    };
    ["whsec_", "whsk_"].iter().any(|prefix| line.split(prefix).skip(1).any(is_key))
        || [PASSWORD, TOKEN, "hushhush", "hidden-secret"].iter().any(|secret| line.contains(secret))
}

#[test]
fn a_secret_is_known_when_it_is_seen() {
    assert!(shows_secret(&format!("signing with {}", super::SECRET)));
    assert!(shows_secret(&format!("postgres://me:{PASSWORD}@db")) && shows_secret(TOKEN));
    assert!(!shows_secret("needs the prefix whsec_") && !shows_secret("--secret whsec_..."));
}
