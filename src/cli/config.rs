//! `postrider config show`: every setting that `run` would use, and its source.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Failure, output};
use crate::config::args;
use crate::config::{ResolvedSetting, RunConfig, Settings, Source};

/// Prints the settings, or all problems with them.
pub(super) fn run(
    mut settings: Settings,
    url: Option<String>,
    typed: args::ConfigCommand,
) -> Result<(), Failure> {
    let args::ConfigCommand::Show(show) = typed;
    let args::Sourced { typed, flags } = *show;
    let config = RunConfig::read(&mut settings, url, typed.run);
    let readings = settings.readings().to_vec();
    settings.problems.unless_any(config)?;
    if typed.json {
        let all: Map<String, Value> =
            readings.iter().map(|reading| (reading.name.clone(), as_json(reading, &flags))).collect();
        return Ok(output::json(&all)?);
    }
    let row = |reading: &ResolvedSetting| {
        let (source, place) = origin(reading, &flags);
        let place = place.map(|place| format!(" {place}")).unwrap_or_default();
        [reading.name.clone(), as_text(&reading.value), format!("{source}{place}")]
    };
    Ok(output::table(["SETTING", "VALUE", "FROM"], readings.iter().map(row))?)
}

fn as_json(reading: &ResolvedSetting, flags: &BTreeSet<String>) -> Value {
    let (source, place) = origin(reading, flags);
    json!({ "value": reading.value, "source": source, "from": place })
}

/// Returns the source of a value, and the name of the flag, variable or file.
fn origin(reading: &ResolvedSetting, flags: &BTreeSet<String>) -> (&'static str, Option<String>) {
    let name = &reading.name;
    match &reading.source {
        Source::Typed if flags.contains(name) => ("flag", Some(format!("--{}", name.replace('_', "-")))),
        Source::Typed => ("environment", Some(format!("POSTRIDER_{}", name.to_uppercase()))),
        Source::DatabaseUrl => ("environment", Some("DATABASE_URL".to_owned())),
        Source::Libpq => ("environment", Some("PGHOST, PGSERVICE or PGDATABASE".to_owned())),
        Source::File(path) => ("file", Some(path.display().to_string())),
        Source::Default => ("default", None),
    }
}

fn as_text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) => values.iter().map(as_text).collect::<Vec<_>>().join(","),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}
