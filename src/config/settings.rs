//! One setting at a time: where its value comes from, what is wrong with it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tracing::warn;

use super::{Reading, Source};
use crate::cli;
use crate::store::{ConnectError, DatabaseUrl, Environment};
use crate::telemetry::LogFormat;

const SETTINGS: [&str; 26] = [
    "database_url",
    "listen_database_url",
    "log",
    "log_format",
    "api_listen",
    "api_token_file",
    "api_host",
    "allow_http",
    "allow_cidr",
    "deny_cidr",
    "allow_port",
    "egress_proxy",
    "encryption_key",
    "encryption_key_file",
    "cloudevents_source",
    "max_in_flight",
    "poll_interval",
    "lease",
    "grace_period",
    "wake",
    "request_timeout",
    "max_payload",
    "disable_after",
    "retain_complete",
    "retain_failed",
    "no_migrate",
];

/// All that is wrong with a configuration: one line each, naming the setting, what is allowed and what was given.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The setting, flag or field.
    pub name: String,
    /// What is allowed, and what was given unless it may be a secret.
    pub text: String,
}

impl Problems {
    /// Adds one; `given` is left out where it may be a secret.
    pub fn add(&mut self, name: &str, expected: &str, given: Option<&str>) {
        let given: String = given.map(|text| format!(", got \"{}\"", shorten(text))).unwrap_or_default();
        self.0.push(Problem { name: name.to_owned(), text: format!("{expected}{given}") });
    }

    /// Whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them, in the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Takes over another list.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// The value, unless there are problems.
    ///
    /// # Errors
    /// The problems.
    pub fn unless_any<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(|p| format!("{}: {}", p.name, p.text)).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// The settings of the file and what is wrong so far.
#[derive(Debug, Default)]
pub struct Settings {
    file: toml::Table,
    environment: Environment,
    warned: BTreeSet<String>,
    path: PathBuf,
    readings: Vec<Reading>,
    /// Grows with every setting that is read.
    pub problems: Problems,
}

impl Settings {
    /// Reads the file that `--config` names, or `postrider.toml` here if there is one.
    pub fn load(global: &cli::Global) -> Self {
        let path = global.config.as_deref();
        let path_read = path.unwrap_or(Path::new("postrider.toml"));
        let mut settings =
            Self { path: path_read.to_owned(), environment: read_environment(), ..Self::default() };
        let text = match std::fs::read_to_string(path_read) {
            Ok(text) => text,
            Err(_) if path.is_none() => return settings,
            Err(fault) => {
                settings.problems.add(
                    "config",
                    &format!("cannot be read: {fault}"),
                    path.and_then(Path::to_str),
                );
                return settings;
            }
        };
        match text.parse::<toml::Table>() {
            Err(fault) => settings.problems.add(
                "config",
                &format!("is not TOML: {}", first_line(&fault.to_string())),
                None,
            ),
            Ok(table) => {
                for (key, value) in table {
                    let key = key.replace('-', "_");
                    if SETTINGS.contains(&key.as_str()) {
                        settings.file.insert(key, value);
                    } else {
                        let expected = format!("unknown setting; known are {}", SETTINGS.join(", "));
                        settings.problems.add(&format!("config: {}", shorten(&key)), &expected, None);
                    }
                }
            }
        }
        settings
    }

    /// A text by flag or environment (clap merged them), file, or default.
    pub(super) fn text(
        &mut self,
        name: &str,
        typed: Option<String>,
        default: Option<&str>,
    ) -> Option<String> {
        let (value, source) = match (typed, self.file.get(name)) {
            (Some(text), _) => (Some(text), Source::Typed),
            (None, Some(toml::Value::String(text))) => (Some(text.clone()), self.file_source()),
            (None, Some(toml::Value::Integer(number))) if name == "max_in_flight" => {
                (Some(number.to_string()), self.file_source())
            }
            (None, Some(_)) => {
                self.problems.add(name, "needs a text in quotes", None);
                return None;
            }
            (None, None) => (default.map(str::to_owned), Source::Default),
        };
        self.note(name, value.clone().into(), source);
        value
    }

    /// The settings that were read, in order: what holds, and why.
    pub fn readings(&self) -> &[Reading] {
        &self.readings
    }

    fn note(&mut self, name: &str, value: Value, source: Source) {
        self.readings.push(Reading::new(name, value, source, &self.environment));
    }

    fn file_source(&self) -> Source {
        Source::File(self.path.clone())
    }

    /// Texts by flag or environment, or file; none by default.
    pub(super) fn list(&mut self, name: &str, typed: Vec<String>) -> Vec<String> {
        let (values, source) = match self.file.get(name) {
            _ if !typed.is_empty() => (typed, Source::Typed),
            None => (Vec::new(), Source::Default),
            Some(toml::Value::Array(values)) if values.iter().all(toml::Value::is_str) => {
                let texts = values.iter().filter_map(toml::Value::as_str).map(str::to_owned);
                (texts.collect(), self.file_source())
            }
            Some(_) => {
                self.problems.add(name, "needs a list of texts in quotes", None);
                return Vec::new();
            }
        };
        self.note(name, values.clone().into(), source);
        values
    }

    /// A switch by flag or environment, or file; off by default.
    pub(super) fn switch(&mut self, name: &str, typed: Option<&str>) -> bool {
        let from_file = self.file.get(name);
        let (parsed, source) = match (typed, from_file) {
            (Some(text), _) => (text.trim().parse().ok(), Source::Typed),
            (None, Some(value)) => (value.as_bool(), self.file_source()),
            (None, None) => (Some(false), Source::Default),
        };
        if parsed.is_none() {
            self.problems.add(name, "needs true or false", typed);
        }
        let is_on = parsed.unwrap_or_default();
        self.note(name, is_on.into(), source);
        is_on
    }

    pub(super) fn duration(
        &mut self,
        name: &str,
        typed: Option<String>,
        default: &str,
        range: (Duration, Duration),
    ) -> Option<Duration> {
        let text = self.text(name, typed, Some(default))?;
        parse_duration(name, &text, range, &mut self.problems)
    }

    /// Whether a database is named at all, rightly or wrongly.
    pub fn names_database(&self, typed: Option<&String>) -> bool {
        typed.is_some()
            || self.environment.get("DATABASE_URL").is_some()
            || self.file.contains_key("database_url")
            || self.environment_names_database()
    }

    /// The database, by flag, environment (`DATABASE_URL` too), or file; else by libpq's variables alone.
    pub fn database(&mut self, typed: Option<String>) -> Option<DatabaseUrl> {
        let fallback = self.environment.get("DATABASE_URL").map(str::to_owned).filter(|_| typed.is_none());
        if let Some(text) = fallback {
            self.note("database_url", text.as_str().into(), Source::DatabaseUrl);
            return self.database_url("database_url", &text);
        }
        if typed.is_some() || self.file.contains_key("database_url") {
            let text = self.text("database_url", typed, None)?;
            return self.database_url("database_url", &text);
        }
        if self.environment_names_database() {
            let url = self.checked("database_url", DatabaseUrl::of(&self.environment))?;
            self.note("database_url", url.without_password().into(), Source::Libpq);
            return Some(url);
        }
        self.problems.add(
            "database_url",
            "is missing; give --database-url or DATABASE_URL, as postgres://user@host/database, or PGHOST",
            None,
        );
        None
    }

    fn environment_names_database(&self) -> bool {
        ["PGHOST", "PGSERVICE", "PGDATABASE"]
            .into_iter()
            .any(|name| self.environment.get(name).is_some_and(|value| !value.is_empty()))
    }

    pub(super) fn database_url(&mut self, name: &str, text: &str) -> Option<DatabaseUrl> {
        let parsed = DatabaseUrl::parse(text, &self.environment);
        self.checked(name, parsed)
    }

    fn checked(&mut self, name: &str, parsed: Result<DatabaseUrl, ConnectError>) -> Option<DatabaseUrl> {
        let url = parsed.map_err(|fault| self.problems.add(name, &fault.to_string(), None)).ok()?;
        for warning in url.warnings() {
            // Once, although the listener's connection string mostly names the same host.
            if self.warned.insert(warning.clone()) {
                warn!("{name}: {warning}");
            }
        }
        Some(url)
    }

    /// How log lines look.
    pub fn log_format(&mut self, typed: Option<String>) -> LogFormat {
        match self.text("log_format", typed, Some("text")).as_deref() {
            Some("json") => LogFormat::Json,
            None | Some("text") => LogFormat::Text,
            Some(other) => {
                self.problems.add("log_format", "needs text or json", Some(other));
                LogFormat::Text
            }
        }
    }

    /// The log filter.
    pub fn log(&mut self, typed: Option<String>) -> Option<tracing_subscriber::EnvFilter> {
        let text = self.text("log", typed, Some("info"))?;
        let filter = tracing_subscriber::EnvFilter::builder().parse(&text);
        if let Err(fault) = &filter {
            let expected = format!(
                "needs a level (error, warn, info, debug, trace) or a filter as postrider=debug: {fault}"
            );
            self.problems.add("log", &expected, Some(&text));
        }
        filter.ok()
    }
}

/// What libpq reads of the environment, and `DATABASE_URL`.
fn read_environment() -> Environment {
    let is_read =
        |name: &str| name.starts_with("PG") || ["DATABASE_URL", "HOME", "USER", "LOGNAME"].contains(&name);
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| is_read(name))
        .collect()
}

/// A duration with a unit, within a range.
pub fn parse_duration(
    name: &str,
    text: &str,
    range: (Duration, Duration),
    problems: &mut Problems,
) -> Option<Duration> {
    let (min, max) = range;
    // humantime takes a bare 0.
    let text_with_unit = Some(text.trim()).filter(|text| *text != "0");
    let parsed = text_with_unit.and_then(|text| humantime::parse_duration(text).ok());
    let parsed = parsed.filter(|d| (min..=max).contains(d));
    if parsed.is_none() {
        let (min, max) = (humantime::format_duration(min), humantime::format_duration(max));
        problems.add(
            name,
            &format!("needs a duration with a unit, {min} to {max}, as 15s or 5m"),
            Some(text),
        );
    }
    parsed
}

/// A whole number from 1 to `max`.
pub fn parse_number(name: &str, text: &str, max: usize, problems: &mut Problems) -> Option<usize> {
    let parsed = text.trim().parse().ok().filter(|n| (1..=max).contains(n));
    if parsed.is_none() {
        problems.add(name, &format!("needs a whole number, 1 to {max}"), Some(text));
    }
    parsed
}

/// An address and a port.
pub fn parse_address(name: &str, text: &str, problems: &mut Problems) -> Option<SocketAddr> {
    let parsed = text.trim().parse().ok();
    if parsed.is_none() {
        problems.add(name, "needs an address and a port, as 127.0.0.1:7678", Some(text));
    }
    parsed
}

fn shorten(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_debug).collect()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
