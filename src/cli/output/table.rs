//! Tables. On a terminal, words of a status are coloured and long texts are shortened to its width. Elsewhere neither
//! happens, so that a program that reads lines gets everything.

use comfy_table::{Cell, Color, ContentArrangement, Table, TableStyle};

use super::{is_colourful, is_watched, paint, printable};

/// Headings of columns that hold a status.
const STATUS: [&str; 4] = ["STATUS", "STATE", "RESULT", "HEALTH"];
/// Headings of columns that may be shortened.
const LONG: [&str; 5] = ["URL", "ERROR", "RESPONSE", "WAKE", "CAUSE"];
/// Least width of such a column, even on a narrow terminal.
const LONG_CHARS_MIN: usize = 16;

/// A rendered table with its colours; foreign texts in it are escaped.
pub(in crate::cli) struct Painted(String);

impl Painted {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Prints rows under headings.
///
/// # Errors
/// As [`paint`].
pub(in crate::cli) fn table<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> std::io::Result<()> {
    paint(&[self::rows(headings, rows)]).map(drop)
}

/// Prints one thing: a line for each of its properties.
///
/// # Errors
/// As [`paint`].
pub(in crate::cli) fn details(pairs: &[(&str, String)]) -> std::io::Result<()> {
    let mut table = plain();
    for (name, value) in pairs {
        let value = printable(value);
        let is_status = STATUS.contains(&name.to_uppercase().as_str());
        table.add_row([Cell::new(name), if is_status { coloured(&value) } else { Cell::new(value) }]);
    }
    paint(&[finish(&table)]).map(drop)
}

/// Rows under headings, without a line end.
pub(in crate::cli) fn rows<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Painted {
    let mut rows: Vec<[String; N]> = rows.into_iter().map(|row| row.map(|text| printable(&text))).collect();
    let mut table = plain();
    if is_watched()
        && let Some(width) = Table::new().width().filter(|width| *width > 0)
    {
        shorten(headings, &mut rows, usize::from(width));
    }
    if headings.iter().any(|heading| !heading.is_empty()) {
        table.set_header(headings);
    }
    for row in rows {
        let cell = |(text, heading): (String, &str)| {
            if STATUS.contains(&heading) { coloured(&text) } else { Cell::new(text) }
        };
        table.add_row(row.into_iter().zip(headings).map(cell));
    }
    finish(&table)
}

fn plain() -> Table {
    let mut table = Table::new();
    // What is longer than the terminal is not folded: a folded id is no id.
    table.load_style(TableStyle::new()).set_content_arrangement(ContentArrangement::Disabled);
    if is_colourful() {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table
}

fn finish(table: &Table) -> Painted {
    Painted(table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
}

fn coloured(text: &str) -> Cell {
    let cell = Cell::new(text);
    match text {
        "failed" | "fail" | "gone" | "down" | "disabled" => cell.fg(Color::Red),
        "complete" | "ok" | "healthy" => cell.fg(Color::Green),
        "paused" | "failing" | "silent" | "warn" => cell.fg(Color::Yellow),
        _ => cell,
    }
}

/// Takes from the long columns what the table is wider than the terminal.
fn shorten<const N: usize>(headings: [&str; N], rows: &mut [[String; N]], width: usize) {
    let longest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|text| text.chars().count());
        cells.chain(headings.get(column).map(|text| text.len())).max().unwrap_or_default()
    };
    let is_long = |column: &usize| headings.get(*column).is_some_and(|heading| LONG.contains(heading));
    let (long, other): (Vec<usize>, Vec<usize>) = (0..N).partition(is_long);
    // One space on either side of a cell.
    let taken = 2 * N + other.into_iter().map(longest).sum::<usize>();
    let fits =
        |limit: usize| long.iter().map(|column| longest(*column).min(limit)).sum::<usize>() + taken <= width;
    let widest = long.iter().map(|column| longest(*column)).max().unwrap_or_default();
    // The longest column is shortened first.
    let limit = (LONG_CHARS_MIN..=widest).rev().find(|limit| fits(*limit)).unwrap_or(LONG_CHARS_MIN);
    for row in rows {
        for column in &long {
            if let Some(text) = row.get_mut(*column) {
                *text = shortened(text, limit);
            }
        }
    }
}

fn shortened(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max.saturating_sub(3)).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_columns_are_shortened() {
        let mut rows = [["x".repeat(60), "y".repeat(60)]];

        shorten(["ENDPOINT", "URL"], &mut rows, 100);

        assert_eq!(rows, [["x".repeat(60), format!("{}...", "y".repeat(33))]]);
    }

    #[test]
    fn nothing_is_shortened_that_has_room() {
        let mut rows = [["x".repeat(10), "y".repeat(10)]];

        shorten(["ENDPOINT", "URL"], &mut rows, 24);

        assert_eq!(rows, [["x".repeat(10), "y".repeat(10)]]);
    }
}
