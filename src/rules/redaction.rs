//! Keeps an excerpt of a response, without secrets: a receiver may send them back, and everybody who reads the log of
//! attempts would see them.

use std::cmp::Reverse;

/// Longest excerpt of a response.
const EXCERPT_BYTES_MAX: usize = 2 * 1024;
/// A shorter value may be an ordinary word, and is not hidden.
const SECRET_BYTES_MIN: usize = 8;
const SIGNING_SECRET_PREFIXES: [&str; 2] = ["whsec_", "whsk_"];
const HIDDEN: &str = "(hidden)";

/// Returns a text without NUL, which PostgreSQL could not store, cut between characters. It hides these header values, their
/// words, and texts that look like signing secrets. A hostile receiver can still encode them differently.
pub(crate) fn excerpt<'a>(body: &[u8], header_values: impl Iterator<Item = &'a str>) -> Option<String> {
    if body.is_empty() {
        return None;
    }
    // Hide first, then cut: half a secret is too much.
    let mut text = String::from_utf8_lossy(body).replace('\0', "\u{fffd}");
    let mut secrets: Vec<&str> = header_values
        .flat_map(|value| std::iter::once(value.trim()).chain(value.split_ascii_whitespace()))
        .filter(|secret| secret.len() >= SECRET_BYTES_MIN)
        .collect();
    // The longest first: one may be part of another.
    secrets.sort_unstable_by_key(|secret| Reverse(secret.len()));
    for secret in secrets {
        if text.contains(secret) {
            text = text.replace(secret, HIDDEN);
        }
    }
    for prefix in SIGNING_SECRET_PREFIXES {
        if text.contains(prefix) {
            text = hide_after(&text, prefix);
        }
    }
    // Replacement characters are longer than what they replace.
    text.truncate(text.floor_char_boundary(EXCERPT_BYTES_MAX));
    Some(text)
}

/// Hides what follows a prefix, if it is as long as a secret: the prefix alone is a word of error messages.
fn hide_after(text: &str, prefix: &str) -> String {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let mut parts = text.split(prefix);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(is_base64);
        let is_secret = part.len() - rest.len() >= SECRET_BYTES_MIN;
        shown.push_str(prefix);
        shown.push_str(if is_secret { HIDDEN } else { "" });
        shown.push_str(if is_secret { rest } else { part });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(body: &[u8]) -> Option<String> {
        excerpt(body, ["Bearer hunter2hunter2", "hunter2hunter2-and-more", "short"].into_iter())
    }

    #[test]
    fn an_excerpt_is_text_that_postgresql_can_store() {
        assert_eq!(kept(b""), None);
        assert_eq!(kept(b"a\0b\xffc").unwrap(), "a\u{fffd}b\u{fffd}c");
        assert!(kept(&[0xff; 5000]).unwrap().len() <= EXCERPT_BYTES_MAX);
        assert!(kept("ü".repeat(3000).as_bytes()).unwrap().chars().all(|c| c == 'ü'));
    }

    #[test]
    fn what_we_sent_in_confidence_is_hidden() {
        for (body, text) in [
            ("token: Bearer hunter2hunter2.", "token: (hidden)."),
            ("hunter2hunter2, hunter2hunter2", "(hidden), (hidden)"),
            ("hunter2hunter2-and-more", "(hidden)"),
            ("a short word", "a short word"),
            ("want whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw!", "want whsec_(hidden)!"),
            ("want the prefix whsec_, not whsk_", "want the prefix whsec_, not whsk_"),
        ] {
            assert_eq!(kept(body.as_bytes()).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_secret_at_the_cut_is_hidden_as_a_whole() {
        let before = "x".repeat(EXCERPT_BYTES_MAX - 10);

        let text = kept(format!("{before}hunter2hunter2").as_bytes()).unwrap();

        assert_eq!(text, format!("{before}(hidden)"));
    }
}
