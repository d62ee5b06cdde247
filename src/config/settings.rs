//! One setting at a time: where its value comes from, what is wrong with it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use tracing::warn;

use crate::cli;
use crate::egress::EgressPolicy;
use crate::store::{ConnectError, DatabaseUrl, Environment};
use crate::telemetry::LogFormat;

const SETTINGS: [&str; 18] = [
    "database_url",
    "listen_database_url",
    "log",
    "log_format",
    "api_listen",
    "api_token_file",
    "api_host",
    "allow_http",
    "allow_cidr",
    "max_in_flight",
    "poll_interval",
    "lease",
    "grace_period",
    "wake",
    "request_timeout",
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
    /// Grows with every setting that is read.
    pub problems: Problems,
}

impl Settings {
    /// Reads the file that `--config` names, or `postrider.toml` here if there is one.
    pub fn load(global: &cli::Global) -> Self {
        let mut settings = Self { environment: read_environment(), ..Self::default() };
        let path = global.config.as_deref();
        let text = match std::fs::read_to_string(path.unwrap_or(Path::new("postrider.toml"))) {
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
        if typed.is_some() {
            return typed;
        }
        match self.file.get(name) {
            Some(toml::Value::String(text)) => Some(text.clone()),
            Some(toml::Value::Integer(number)) if name == "max_in_flight" => Some(number.to_string()),
            Some(_) => {
                self.problems.add(name, "needs a text in quotes", None);
                None
            }
            None => default.map(str::to_owned),
        }
    }

    /// Texts by flag or environment, or file; none by default.
    pub(super) fn list(&mut self, name: &str, typed: Vec<String>) -> Vec<String> {
        if !typed.is_empty() {
            return typed;
        }
        match self.file.get(name) {
            None => Vec::new(),
            Some(toml::Value::Array(values)) if values.iter().all(toml::Value::is_str) => {
                values.iter().filter_map(toml::Value::as_str).map(str::to_owned).collect()
            }
            Some(_) => {
                self.problems.add(name, "needs a list of texts in quotes", None);
                Vec::new()
            }
        }
    }

    /// A switch by flag or environment, or file; off by default.
    pub(super) fn switch(&mut self, name: &str, typed: Option<&str>) -> bool {
        let from_file = self.file.get(name);
        let parsed = match (typed, from_file) {
            (Some(text), _) => text.trim().parse().ok(),
            (None, Some(value)) => value.as_bool(),
            (None, None) => Some(false),
        };
        if parsed.is_none() {
            self.problems.add(name, "needs true or false", typed);
        }
        parsed.unwrap_or_default()
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
        let fallback = || self.environment.get("DATABASE_URL").map(str::to_owned);
        let typed = typed.or_else(fallback);
        if typed.is_none() && !self.file.contains_key("database_url") {
            if self.environment_names_database() {
                let parsed = DatabaseUrl::of(&self.environment);
                return self.checked("database_url", parsed);
            }
            self.problems.add(
                "database_url",
                "is missing; give --database-url or DATABASE_URL, as postgres://user@host/database, or PGHOST",
                None,
            );
            return None;
        }
        let text = self.text("database_url", typed, None)?;
        self.database_url("database_url", &text)
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

    /// What may be called.
    pub fn egress(&mut self, typed: &cli::Egress) -> EgressPolicy {
        let cidrs = self.list("allow_cidr", typed.allow_cidr.clone());
        let allow_http = self.switch("allow_http", typed.allow_http.as_deref());
        let mut policy = EgressPolicy { allow_http, allow_cidrs: Vec::new() };
        for text in cidrs {
            match text.trim().parse::<IpNet>() {
                Ok(net) => policy.allow_cidrs.push(net),
                Err(_) => self.problems.add(
                    "allow_cidr",
                    "needs an address and a prefix length, as 10.0.0.0/8",
                    Some(&text),
                ),
            }
        }
        policy
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
