//! Output of commands: JSON for programs, tables for people. A closed pipe ends the output, not the program.

mod table;

use std::io::{ErrorKind, IsTerminal, Write};

use serde::Serialize;

use crate::rules::printable::{printable_json, printable_lines};

pub(super) use crate::rules::printable::printable;
pub(super) use table::{Painted, details, rows, table};

/// Prints a text and a line end to stdout; foreign texts in it are escaped.
///
/// # Errors
/// When stdout cannot be written, except because nobody reads it any more.
pub(super) fn line(text: &str) -> std::io::Result<()> {
    offer(&printable_lines(text)).map(drop)
}

/// Prints tables, which have their colours, with an empty line between two. `false` if nobody reads it any more.
///
/// # Errors
/// As [`line()`].
pub(super) fn paint(tables: &[Painted]) -> std::io::Result<bool> {
    let texts: Vec<&str> = tables.iter().map(Painted::as_str).collect();
    offer(&texts.join("\n\n"))
}

/// Prints a text unchanged and a line end to stdout. `false` if nobody reads it any more.
fn offer(text: &str) -> std::io::Result<bool> {
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
    offer(&printable_json(&serde_json::to_string_pretty(value)?)).map(drop)
}

/// Prints a value as JSON in one line. `false` if nobody reads it any more.
///
/// # Errors
/// As [`line()`].
pub(super) fn json_line(value: &impl Serialize) -> std::io::Result<bool> {
    offer(&printable_json(&serde_json::to_string(value)?))
}

/// Prints a question or a hint to stderr, without a line end: it is no part of the output.
///
/// # Errors
/// When stderr cannot be written.
pub(super) fn aside(text: &str) -> std::io::Result<()> {
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(printable_lines(text).as_bytes()).and_then(|()| stderr.flush())
}

/// Tells the terminal to do something.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn escape(sequence: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(sequence.as_bytes()).and_then(|()| stdout.flush())
}

/// Whether stdout is a terminal.
pub(super) fn is_watched() -> bool {
    std::io::stdout().is_terminal() && is_able()
}

/// Whether stderr is a terminal.
pub(super) fn is_aside_watched() -> bool {
    std::io::stderr().is_terminal() && is_able()
}

/// Whether stdout may have colours.
fn is_colourful() -> bool {
    is_watched() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A dumb terminal understands no escape sequences.
fn is_able() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A time of the database as people read it: without fractions of a second.
pub(super) fn time(text: &str) -> String {
    let (seconds, rest) = text.split_at_checked("2026-01-31T12:00:00".len()).unwrap_or((text, ""));
    let zone = rest.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    format!("{seconds}{}", if zone == "+00:00" { "Z" } else { zone })
}

/// Formats a value, or a dash for `None`.
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
}
