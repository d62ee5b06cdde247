//! What commands print: JSON for programs, tables for people. A closed pipe ends the output, not the program.

use std::io::{ErrorKind, Write};

use comfy_table::{ContentArrangement, Table, TableStyle};
use serde::Serialize;

/// Prints a text and a line end to stdout.
///
/// # Errors
/// When stdout cannot be written, except because nobody reads it any more.
pub(super) fn line(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    match written {
        Err(fault) if fault.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Prints a value as JSON.
///
/// # Errors
/// As [`line()`].
pub(super) fn json(value: &impl Serialize) -> std::io::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Prints rows under headings.
///
/// # Errors
/// As [`line()`].
pub(super) fn table<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> std::io::Result<()> {
    let mut table = Table::new();
    table
        .load_style(TableStyle::new())
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(headings);
    table.add_rows(rows);
    line(&table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
}
