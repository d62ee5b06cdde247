//! Reads as much of YAML as `docker-compose.yml` has: maps and lists by indentation, lists in brackets, texts, anchors and
//! merges. What it does not understand is a failure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The text of the file, and what it says.
pub(super) fn read_compose() -> (String, Value) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docker-compose.yml");
    let text = std::fs::read_to_string(path).unwrap();
    let read = yaml_of(&text);
    (text, read)
}

/// What a text says.
pub(super) fn yaml_of(text: &str) -> Value {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#'));
    let lines = lines.map(|line| (line.len() - line.trim_start().len(), line.trim()));
    let mut reader = Reader { lines: lines.collect(), at: 0, anchors: BTreeMap::new() };
    let read = reader.block(0);
    assert_eq!(reader.at, reader.lines.len(), "what is {:?}?", reader.lines.get(reader.at));
    read
}

/// A list of texts, or nothing.
pub(super) fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

struct Reader<'a> {
    /// Indentation and rest.
    lines: Vec<(usize, &'a str)>,
    at: usize,
    anchors: BTreeMap<&'a str, Value>,
}

impl<'a> Reader<'a> {
    /// A map or a list whose lines are indented so.
    fn block(&mut self, indent: usize) -> Value {
        let mut list = Vec::new();
        let mut map = Map::new();
        while let Some((here, line)) = self.lines.get(self.at).copied().filter(|(here, _)| *here >= indent) {
            assert_eq!(here, indent, "{line}");
            self.at += 1;
            if let Some(item) = line.strip_prefix("- ") {
                list.push(text(item));
                continue;
            }
            let (name, rest) = line.split_once(':').unwrap_or_else(|| panic!("no map: {line}"));
            let value = self.value(indent, rest.trim());
            match (name, value) {
                ("<<", Value::Object(merged)) => map.extend(merged),
                (name, value) => drop(map.insert(name.to_owned(), value)),
            }
        }
        assert!(list.is_empty() || map.is_empty(), "a list and a map in one");
        if list.is_empty() { Value::Object(map) } else { Value::Array(list) }
    }

    /// What stands behind a colon, or below it.
    fn value(&mut self, indent: usize, rest: &'a str) -> Value {
        if let Some(name) = rest.strip_prefix('*') {
            return self.anchors[name].clone();
        }
        let anchor = rest.strip_prefix('&');
        if anchor.is_none() && !rest.is_empty() {
            return text(rest);
        }
        let below = self.lines.get(self.at).map(|(here, _)| *here).filter(|here| *here > indent);
        let value = below.map_or(Value::Null, |below| self.block(below));
        if let Some(name) = anchor {
            self.anchors.insert(name, value.clone());
        }
        value
    }
}

/// A text, or a list in brackets.
fn text(written: &str) -> Value {
    assert!(!written.starts_with(['{', '|', '>', '\'', '!']), "{written}");
    if written.starts_with(['[', '"']) {
        return serde_json::from_str(written).unwrap();
    }
    Value::String(written.to_owned())
}
