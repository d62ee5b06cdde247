//! The file with settings; each value remembers its line.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeTable, Error, ValueDeserializer};

use crate::rules::did_you_mean::nearest;
use crate::validation::{Problems, shorten};

/// The settings of a file, by their names in `snake_case`.
#[derive(Debug, Default)]
pub(super) struct File {
    path: PathBuf,
    values: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    value: toml::Value,
    line: usize,
}

impl File {
    /// Reads `given`, or `postrider.toml` in this folder if it exists. Faults go to `problems`; the rest of the file is used
    /// all the same, so that no setting is called missing that is there.
    pub(super) fn read(given: Option<&Path>, known: &[&str], problems: &mut Problems) -> Self {
        let path = given.unwrap_or(Path::new("postrider.toml")).to_owned();
        let mut file = Self { path, ..Self::default() };
        match std::fs::read_to_string(&file.path) {
            Ok(text) => file.parse(&text, known, problems),
            Err(_) if given.is_none() => {}
            Err(fault) => {
                let expected = format!("cannot be read: {fault}");
                problems.add("config", &expected, given.and_then(Path::to_str));
            }
        }
        file
    }

    fn parse(&mut self, text: &str, known: &[&str], problems: &mut Problems) {
        let (table, faults) = DeTable::parse_recoverable(text);
        for fault in faults {
            let line = line_of(text, fault.span());
            problems.add("config", &format!("{}: {}", self.at(line), describe(&fault, text, known)), None);
        }
        for (key, value) in table.into_inner() {
            let line = line_of(text, Some(key.span()));
            let name = key.get_ref().replace('-', "_");
            let value = toml::Value::deserialize(ValueDeserializer::from(value));
            if !known.contains(&name.as_str()) {
                let expected = unknown(&name, value.is_ok_and(|value| value.is_table()), known);
                problems.add("config", &format!("{}: {expected}", self.at(line)), None);
            } else if let Some(other) = self.values.get(&name) {
                let expected = format!("{name} stands on line {} too", other.line);
                problems.add("config", &format!("{}: {expected}", self.at(line)), None);
            } else if let Ok(value) = value {
                self.values.insert(name, Entry { value, line });
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&toml::Value> {
        self.values.get(name).map(|entry| &entry.value)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Names the line of a setting, for messages.
    pub(super) fn place(&self, name: &str) -> String {
        self.at(self.values.get(name).map_or(1, |entry| entry.line))
    }

    fn at(&self, line: usize) -> String {
        format!("line {line} of {}", self.path.display())
    }
}

/// Describes a fault of syntax without quoting the line: it may hold a password.
fn describe(fault: &Error, text: &str, known: &[&str]) -> String {
    let message = fault.message().lines().next().unwrap_or_default();
    let there = fault.span().and_then(|span| text.get(span)).unwrap_or_default();
    let name = Some(there).filter(|word| known.contains(&word.replace('-', "_").as_str()));
    let name = name.map(|name| format!(" {name}")).unwrap_or_default();
    format!("is not TOML: {message}{name}")
}

fn unknown(name: &str, is_table: bool, known: &[&str]) -> String {
    let shown = shorten(name);
    if is_table {
        return format!("unknown table \"{shown}\"; settings belong to no table");
    }
    match nearest(name, known.iter().copied()) {
        Some(meant) => format!("unknown setting \"{shown}\", did you mean \"{meant}\"?"),
        None => format!("unknown setting \"{shown}\"; known are {}", known.join(", ")),
    }
}

/// Number of a line, from 1.
fn line_of(text: &str, span: Option<Range<usize>>) -> usize {
    let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
    before.matches('\n').count() + 1
}
