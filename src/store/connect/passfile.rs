//! The password file: `host:port:database:user:password` per line, the first line that fits counts.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What a password is for.
pub(super) struct Wanted<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The text of a password file. `None` if there is no such file.
///
/// # Errors
/// Why it is passed over, in a line for a person: others can read it, or we cannot.
pub(super) fn read(path: &Path) -> Result<Option<String>, String> {
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(None) };
    let shown = path.display();
    if !metadata.is_file() {
        return Err(format!("password file {shown} is ignored: it is not a plain file"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(format!("password file {shown} is ignored: others may read it; chmod 600 it"));
    }
    let text = std::fs::read_to_string(path);
    text.map(Some).map_err(|fault| format!("password file {shown} is ignored: {fault}"))
}

/// Whether everybody on this machine may read a file.
pub fn is_public(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}

/// What its owner hears of a file with a secret that [`is_public`].
pub fn exposed(path: &Path) -> String {
    let shown = path.display();
    format!("everybody on this machine may read {shown}, and a secret is in it; chmod 600 it")
}

/// The password on the first line that fits.
pub(super) fn find(text: &str, wanted: &Wanted<'_>) -> Option<String> {
    let port = wanted.port.to_string();
    let values = [wanted.host, &port, wanted.database, wanted.user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = split(line);
        let (password, patterns) =
            fields.split_last().filter(|(_, patterns)| patterns.len() == values.len())?;
        let fits =
            patterns.iter().zip(values).all(|(pattern, value)| *pattern == "*" || unescape(pattern) == value);
        (fits && !password.is_empty()).then(|| unescape(password))
    })
}

/// The five fields at most, still escaped: a fifth `:` ends the password, as in libpq.
fn split(line: &str) -> Vec<&str> {
    let mut is_escaped = false;
    let at_colon = |c: char| {
        let is_end = c == ':' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end
    };
    line.split(at_colon).take(5).collect()
}

fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field.chars();
    while let Some(c) = rest.next() {
        let next = if c == '\\' { rest.next() } else { None };
        text.push(next.unwrap_or(c));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted<'_> = Wanted { host: "::1", port: 5432, database: "shop", user: "me" };

    #[test]
    fn the_first_line_that_fits_counts() {
        for (text, password) in [
            ("*:*:*:*:any", Some("any")),
            ("other:*:*:*:one\n*:5432:shop:me:two\n*:*:*:*:three", Some("two")),
            ("*:5433:*:*:one", None),
            ("*:*:shopping:*:one", None),
            ("*:*:*:you:one", None),
            ("# *:*:*:*:one", None),
            ("#*:*:*:*:one\n*:*:*:me:two", Some("two")),
            ("*:*:*:*:", None),
            ("*:*:*:one", None),
            ("", None),
        ] {
            assert_eq!(find(text, &WANTED).as_deref(), password, "{text}");
        }
    }

    #[test]
    fn a_backslash_makes_the_next_character_an_ordinary_one() {
        for (text, password) in [
            (r"\:\:1:*:*:*:a\:b\\c", Some(r"a:b\c")),
            (r"::1:*:*:*:one", None),
            (r"\*:*:*:*:one", None),
            (r"*:*:*:*:a:b", Some("a")),
            (r"*:*:sh\op:*:one", Some("one")),
            (r"*:*:*:*:end\", Some(r"end\")),
        ] {
            assert_eq!(find(text, &WANTED).as_deref(), password, "{text}");
        }
    }
}
