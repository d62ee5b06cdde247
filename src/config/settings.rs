//! Reads one setting at a time: finds its value, notes its source, collects what is wrong with it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tracing::level_filters::LevelFilter;
use tracing::warn;

use super::file::File;
use super::{ResolvedSetting, Source, environment};
use crate::config::args;
use crate::store::{ConnectError, DatabaseUrl, Environment, exposed, is_public};
use crate::telemetry::LogFormat;
use crate::validation::{Problems, parse_duration, shorten};

const SETTINGS: [&str; 28] = [
    "database_url",
    "listen_database_url",
    "installation",
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
    "connection_max_age",
    "max_payload",
    "disable_after",
    "retain_complete",
    "retain_failed",
    "no_migrate",
];

/// The settings of the file, and the problems so far.
#[derive(Debug, Default)]
pub struct Settings {
    file: File,
    environment: Environment,
    warned: BTreeSet<String>,
    readings: Vec<ResolvedSetting>,
    /// Grows with every setting that is read.
    pub problems: Problems,
}

impl Settings {
    /// Reads the file that `--config` names, or `postrider.toml` here if there is one, and the environment.
    pub fn load(global: &args::Global) -> Self {
        let mut settings = Self { environment: environment::read(), ..Self::default() };
        settings.file = File::read(global.config.as_deref(), &SETTINGS, &mut settings.problems);
        settings
    }

    /// For `postrider dev`: without anything of the environment or the file that names a database or bends the way to one. Returns
    /// the names of what would have named a database. A database that was named by flag (`is_typed`) keeps the variables that
    /// log in to it. `has_url` says that `--database-url` or its variable is set.
    pub fn for_dev(mut self, has_url: bool, is_typed: bool) -> (Self, Vec<String>) {
        let mut ignored = Vec::new();
        if has_url && !is_typed {
            ignored.push("POSTRIDER_DATABASE_URL".to_owned());
        }
        let variables = ["DATABASE_URL", "PGSERVICE", "PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE"];
        let is_set = |name: &&str| self.environment.get(name).is_some_and(|value| !value.is_empty());
        ignored.extend(variables.into_iter().filter(is_set).map(str::to_owned));
        if self.file.get("database_url").is_some() {
            ignored.push(format!("database_url in {}", self.file.path().display()));
        }
        self.environment = self.environment.without_place(is_typed);
        self.file = File::default();
        (self, ignored)
    }

    /// Warns of unknown variables in the environment, once the log is open.
    pub fn warn_of_unknown_variables(&self) {
        for line in environment::unknown_variables() {
            warn!("{line}");
        }
    }

    /// Reads a text from flag or environment (clap merged them), file, or default.
    pub(super) fn text(
        &mut self,
        name: &str,
        typed: Option<String>,
        default: Option<&str>,
    ) -> Option<String> {
        let in_file = self.in_file(name, typed.is_some());
        let (value, source) = match (typed, in_file) {
            (Some(text), _) => (Some(text), Source::Typed),
            (None, Some(toml::Value::String(text))) => (Some(text), self.file_source()),
            (None, Some(toml::Value::Integer(number))) if name == "max_in_flight" => {
                (Some(number.to_string()), self.file_source())
            }
            (None, Some(value)) => {
                self.wrong_kind(name, "a text in quotes", &value);
                return None;
            }
            (None, None) => (default.map(str::to_owned), Source::Default),
        };
        self.note(name, value.clone().into(), source);
        value
    }

    /// The settings that were read, in order, with their sources.
    pub fn readings(&self) -> &[ResolvedSetting] {
        &self.readings
    }

    fn note(&mut self, name: &str, value: Value, source: Source) {
        self.readings.push(ResolvedSetting::new(name, value, source, &self.environment));
    }

    fn file_source(&self) -> Source {
        Source::File(self.file.path().to_owned())
    }

    /// Returns the file's value unless a flag or variable overrides it. From then on, problems with it name its line.
    fn in_file(&mut self, name: &str, is_typed: bool) -> Option<toml::Value> {
        let value = self.file.get(name).filter(|_| !is_typed)?.clone();
        self.problems.locate(name, self.file.place(name));
        self.warn_of_password(name, &value);
        Some(value)
    }

    /// Warns if the file holds a password and everybody may read it.
    fn warn_of_password(&mut self, name: &str, value: &toml::Value) {
        let has_password = match (name, value.as_str()) {
            ("database_url" | "listen_database_url", Some(text)) => {
                DatabaseUrl::parse(text, &Environment::default()).is_ok_and(|url| url.has_password())
            }
            ("egress_proxy", Some(text)) => text.contains('@'),
            _ => false,
        };
        if has_password {
            let path = self.file.path().to_owned();
            self.warn_if_public(name, &path);
        }
    }

    /// Warns where everybody may read a file that a setting's secret is in.
    pub(super) fn warn_if_public(&mut self, name: &str, path: &Path) {
        let warning = exposed(path);
        if is_public(path) && self.warned.insert(warning.clone()) {
            warn!("{name}: {warning}");
        }
    }

    fn wrong_kind(&mut self, name: &str, expected: &str, value: &toml::Value) {
        self.problems.add(name, &format!("needs {expected}, got a value of type {}", value.type_str()), None);
    }

    /// Texts by flag or environment, or file; none by default.
    pub(super) fn list(&mut self, name: &str, typed: Vec<String>) -> Vec<String> {
        let in_file = self.in_file(name, !typed.is_empty());
        let (values, source) = match in_file {
            _ if !typed.is_empty() => (typed, Source::Typed),
            None => (Vec::new(), Source::Default),
            Some(toml::Value::Array(values)) if values.iter().all(toml::Value::is_str) => {
                let texts = values.iter().filter_map(toml::Value::as_str).map(str::to_owned);
                (texts.collect(), self.file_source())
            }
            Some(value) => {
                self.wrong_kind(name, "a list of texts in quotes", &value);
                return Vec::new();
            }
        };
        self.note(name, values.clone().into(), source);
        values
    }

    /// A switch by flag or environment, or file; off by default.
    pub(super) fn switch(&mut self, name: &str, typed: Option<&str>) -> bool {
        let in_file = self.in_file(name, typed.is_some());
        let (parsed, source) = match (typed, in_file) {
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
            || self.file.get("database_url").is_some()
            || self.environment_names_database()
    }

    /// The database, by flag, environment (`DATABASE_URL` too), or file; else by libpq's variables alone.
    pub fn database(&mut self, typed: Option<String>) -> Option<DatabaseUrl> {
        let fallback = self.environment.get("DATABASE_URL").map(str::to_owned).filter(|_| typed.is_none());
        if let Some(text) = fallback {
            self.note("database_url", text.as_str().into(), Source::DatabaseUrl);
            return self.database_url("database_url", &text);
        }
        if typed.is_some() || self.file.get("database_url").is_some() {
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
        let filter = tracing_subscriber::EnvFilter::builder().parse(&text).map_err(|fault| fault.to_string());
        let filter = match text.split(',').map(str::trim).find(|part| !is_directive(part)) {
            Some(part) => Err(format!("\"{}\" is no level", shorten(part))),
            None => filter,
        };
        if let Err(fault) = &filter {
            let expected = format!(
                "needs a level (error, warn, info, debug, trace) or a filter as postrider=debug: {fault}"
            );
            self.problems.add("log", &expected, Some(&text));
        }
        filter.ok()
    }
}

/// A bare word is a level. To the filter it may be a target too: then a misspelt level would silence everything.
fn is_directive(part: &str) -> bool {
    part.is_empty() || part.contains(['=', '[']) || part.parse::<LevelFilter>().is_ok()
}
