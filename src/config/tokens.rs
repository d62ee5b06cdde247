//! The tokens of the API, from their file.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use super::Settings;

/// Words that stand for a token in examples and templates.
const PLACEHOLDERS: [&str; 5] = ["changeme", "change-me", "example", "placeholder", "your-token"];
/// A token has at least this many different characters. Of 10,000 random tokens of 16 digits, one has fewer.
const DIFFERENT_MIN: usize = 5;

/// A token of the API; no output shows it.
#[derive(Clone)]
pub struct ApiToken(String);

impl ApiToken {
    /// Wraps a token that was checked.
    fn new(text: String) -> Self {
        Self(text)
    }

    /// Its bytes, to be compared in constant time.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiToken(hidden)")
    }
}

/// Reads the tokens, one per line. An address that is not loopback needs at least one.
pub(super) fn check(
    settings: &mut Settings,
    typed: Option<String>,
    listen: Option<SocketAddr>,
) -> Option<Vec<ApiToken>> {
    const NAME: &str = "api_token_file";
    let Some(path) = settings.text(NAME, typed, None) else {
        if listen.is_some_and(|address| !address.ip().is_loopback()) {
            settings.problems.add("api_listen", "is not a loopback address: needs --api-token-file", None);
        }
        return Some(Vec::new());
    };
    let text = std::fs::read_to_string(&path);
    let text =
        text.map_err(|fault| settings.problems.add(NAME, &format!("cannot be read: {fault}"), Some(&path)));
    let text = text.ok()?;
    let lines = text.lines().map(str::trim).zip(1..);
    let lines = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    let (mut tokens, mut is_wrong) = (Vec::new(), false);
    for (line, number) in lines {
        match fault(line) {
            None => tokens.push(ApiToken::new(line.to_owned())),
            Some(fault) => {
                is_wrong = true;
                settings.problems.add(NAME, &format!("line {number}: {fault}"), Some(&path));
            }
        }
    }
    if tokens.is_empty() && !is_wrong {
        settings.problems.add(NAME, "needs a token, one per line", Some(&path));
        is_wrong = true;
    }
    if is_wrong {
        return None;
    }
    settings.warn_if_public(NAME, Path::new(&path));
    Some(tokens)
}

/// Says why a line is no token. The line itself is never shown.
fn fault(line: &str) -> Option<&'static str> {
    if !(16..=512).contains(&line.len()) || !line.bytes().all(|b| b.is_ascii_graphic()) {
        return Some(
            "needs 16 to 512 visible ASCII characters, without spaces; openssl rand -hex 32 makes some",
        );
    }
    let lower = line.to_ascii_lowercase();
    let different: BTreeSet<u8> = lower.bytes().collect();
    let is_placeholder =
        different.len() < DIFFERENT_MIN || PLACEHOLDERS.iter().any(|word| lower.contains(word));
    is_placeholder.then_some("is a placeholder that anybody can guess; openssl rand -hex 32 makes a token")
}
