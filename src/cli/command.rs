//! Runs a command: checks the arguments, does the work, prints the result.

use std::error::Error;

use clap::CommandFactory;

use super::{
    adopt, config, delivery, dev, doctor, endpoint, event, output, publish, receive, replay, secret, status,
    table,
};
use crate::config::Settings;
use crate::config::args::{Cli, Command, Completions};
use crate::operations::lookup::LookupError;
use crate::store::{self, DatabaseUrl, Session, Store, StoreError};
use crate::telemetry;
use crate::validation::Problems;

/// Why a command failed, in lines for a person.
#[derive(Debug)]
pub enum Failure {
    /// Wrong usage or configuration: exit code 64.
    Usage(String),
    /// The command failed while running: exit code 1.
    Failed(String),
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Usage(problems.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(fault: StoreError) -> Self {
        Self::Failed(store::one_line(&fault))
    }
}

impl From<LookupError> for Failure {
    fn from(fault: LookupError) -> Self {
        match fault {
            LookupError::Store(fault) => fault.into(),
            LookupError::Endpoint(_) | LookupError::Event(_) => Self::Failed(fault.to_string()),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(fault: anyhow::Error) -> Self {
        let fault: &(dyn Error + 'static) = fault.as_ref();
        Self::Failed(store::one_line(fault))
    }
}

impl From<std::io::Error> for Failure {
    fn from(fault: std::io::Error) -> Self {
        Self::Failed(fault.to_string())
    }
}

/// Runs a command to its end.
///
/// # Errors
/// [`Failure`].
pub fn run(cli: Cli) -> Result<(), Failure> {
    let mut settings = Settings::load(&cli.global);
    let format = settings.log_format(cli.global.log_format);
    if let Some(filter) = settings.log(cli.global.log) {
        telemetry::start(filter, format);
    }
    settings.warn_of_unknown_variables();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let url = cli.global.database_url;
    let done = runtime.block_on(async {
        match cli.command {
            Command::Run(typed) => super::run::run(settings, url, *typed).await,
            Command::Migrate(typed) => super::run::migrate(settings, url, &typed).await,
            Command::Endpoint(typed) => endpoint::run(settings, url, typed).await,
            Command::Table(typed) => table::run(settings, url, typed).await,
            Command::Secret(typed) => secret::run(settings, url, typed).await,
            Command::Publish(typed) => publish::run(settings, url, typed).await,
            Command::Event(typed) => event::run(settings, url, typed).await,
            Command::Delivery(typed) => delivery::run(settings, url, typed).await,
            Command::Replay(typed) => replay::run(settings, url, typed).await,
            Command::Status(typed) => status::run(settings, url, &typed).await,
            Command::Doctor(typed) => doctor::run(settings, url, *typed).await,
            Command::Adopt(typed) => adopt::run(settings, url, typed).await,
            Command::Config(typed) => config::run(settings, url, typed),
            Command::Completions(typed) => print_completions(&typed),
            Command::Receive(typed) => receive::run(settings, &typed).await,
            Command::Dev(typed) => dev::run(settings, url, typed).await,
        }
    });
    // A second signal, or a receiver with open connections, waits for nothing.
    runtime.shutdown_background();
    done
}

/// A store for one command.
pub(super) fn open(mut settings: Settings, url: Option<String>) -> Result<(Store, DatabaseUrl), Failure> {
    let url = settings.database(url);
    let url = settings.problems.unless_any(url)?;
    let store = Store::new(&url, Session::Command, 2).map_err(anyhow::Error::from)?;
    Ok((store, url))
}

/// Prints a script that completes commands and flags.
fn print_completions(typed: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(typed.shell, &mut Cli::command(), "postrider", &mut script);
    Ok(output::line(String::from_utf8_lossy(&script).trim_end())?)
}

/// Parses the id of an event or a delivery.
pub(super) fn parse_id(name: &str, text: &str, problems: &mut Problems) -> Option<i64> {
    let parsed = text.trim().parse().ok().filter(|id| *id >= 0);
    if parsed.is_none() {
        problems.add(name, "needs an id, a whole number", Some(text));
    }
    parsed
}

/// Formats a number with its noun.
pub(super) fn count(number: i64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Turns `Name: value` lines into the JSON object that `put_endpoint` and `outbox` take. The specs in `operations` check
/// whether these headers may be sent.
pub(super) fn headers_json(
    lines: &[String],
    problems: &mut Problems,
) -> serde_json::Map<String, serde_json::Value> {
    let mut map = serde_json::Map::new();
    for line in lines {
        // A line without a name is not shown: it may be a secret in the wrong place.
        let Some((name, value)) = line.split_once(':') else {
            problems.add("headers", "needs the form 'Name: value'", None);
            continue;
        };
        map.insert(name.trim().to_owned(), value.trim_matches(' ').into());
    }
    map
}
