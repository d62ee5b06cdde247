//! What commands print: JSON for programs, tables for people. A closed pipe ends the output, not the program.

mod table;

use std::io::{ErrorKind, IsTerminal, Write};

use serde::Serialize;

pub(super) use table::{details, rows, table};

/// Prints a text and a line end to stdout.
///
/// # Errors
/// When stdout cannot be written, except because nobody reads it any more.
pub(super) fn line(text: &str) -> std::io::Result<()> {
    offer(text).map(drop)
}

/// Prints a text and a line end to stdout; false: nobody reads it any more.
///
/// # Errors
/// As [`line()`].
pub(super) fn offer(text: &str) -> std::io::Result<bool> {
    let mut stdout = std::io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    match written {
        Err(fault) if fault.kind() == ErrorKind::BrokenPipe => Ok(false),
        done => done.map(|()| true),
    }
}

/// Prints a value as JSON.
///
/// # Errors
/// As [`line()`].
pub(super) fn json(value: &impl Serialize) -> std::io::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Says something on stderr that is not part of the answer, and without a line end: a question, a hint.
///
/// # Errors
/// When stderr cannot be written.
pub(super) fn aside(text: &str) -> std::io::Result<()> {
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush())
}

/// Tells the terminal to do something.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn escape(sequence: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(sequence.as_bytes()).and_then(|()| stdout.flush())
}

/// Whether a person looks at stdout.
pub(super) fn is_watched() -> bool {
    std::io::stdout().is_terminal() && is_able()
}

/// Whether a person looks at stderr.
pub(super) fn is_aside_watched() -> bool {
    std::io::stderr().is_terminal() && is_able()
}

/// Whether stdout takes colours.
fn is_colourful() -> bool {
    is_watched() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A dumb terminal understands no escape sequences.
fn is_able() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A text that moves no cursor and breaks no line, whoever wrote it.
pub(super) fn printable(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().collect() } else { c.to_string() };
    text.trim_end().chars().map(escape).collect()
}

/// A time of the database as people read it: without fractions of a second.
pub(super) fn time(text: &str) -> String {
    let (seconds, rest) = text.split_at_checked("2026-01-31T12:00:00".len()).unwrap_or((text, ""));
    let zone = rest.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    format!("{seconds}{}", if zone == "+00:00" { "Z" } else { zone })
}

/// What is there, or a dash.
pub(super) fn or_dash<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "-".to_owned(), T::to_string)
}

/// A time, or a dash.
pub(super) fn time_or_dash(value: Option<&String>) -> String {
    value.map_or_else(|| "-".to_owned(), |text| time(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_loses_its_fraction_and_no_more() {
        assert_eq!(time("2026-01-31T12:00:00.123456+00:00"), "2026-01-31T12:00:00Z");
        assert_eq!(time("2026-01-31T12:00:00+05:30"), "2026-01-31T12:00:00+05:30");
        assert_eq!(time("infinity"), "infinity");
    }

    #[test]
    fn a_text_of_a_stranger_moves_no_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc\n"), "a\\u{1b}[2Jb\\r\\nc");
    }
}
