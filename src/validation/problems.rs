//! Collects everything that is wrong with a configuration or a request, so that all of it is reported at once.

use std::collections::BTreeMap;
use std::fmt;

/// A list of invalid inputs. Each line names the setting, what is allowed and what was given.
#[derive(Debug, Default)]
pub struct Problems {
    list: Vec<InvalidInput>,
    /// Line and file of the settings that came from a file.
    places: BTreeMap<String, String>,
}

/// One invalid input.
#[derive(Clone, Debug)]
pub struct InvalidInput {
    /// The setting, flag or field.
    pub name: String,
    /// The allowed values, and the given value unless it may be a secret.
    pub text: String,
}

impl Problems {
    /// Adds one. `given` is `None` if it may be a secret.
    pub fn add(&mut self, name: &str, expected: &str, given: Option<&str>) {
        let place = self.places.get(name).map(|place| format!("{place}: ")).unwrap_or_default();
        let given: String = given.map(|text| format!(", got \"{}\"", shorten(text))).unwrap_or_default();
        self.list.push(InvalidInput { name: name.to_owned(), text: format!("{place}{expected}{given}") });
    }

    /// From now on, problems with this setting name the place, a line of a file.
    pub fn locate(&mut self, name: &str, place: String) {
        self.places.insert(name.to_owned(), place);
    }

    /// Whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The invalid inputs, in the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = &InvalidInput> {
        self.list.iter()
    }

    /// Appends another list.
    pub fn append(&mut self, mut other: Self) {
        self.list.append(&mut other.list);
    }

    /// Returns the value if there are no problems.
    ///
    /// # Errors
    /// The problems.
    pub fn unless_any<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.list.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.list.iter().map(|p| format!("{}: {}", p.name, p.text)).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Shortens a value that a problem quotes.
pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_debug).collect()
}
