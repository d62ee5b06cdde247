//! The command line as clap reads it; nothing is decided here. Values stay text, so that `config` can report all wrong
//! values at once, wherever they came from.

mod adopt;
mod delivery;
mod doctor;
mod egress;
mod endpoint;
mod receive;
mod secret;
mod sourced;
mod table;
mod variables;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use adopt::Adopt;
pub use delivery::{
    Delivery, DeliveryList, DeliveryRetry, DeliveryShow, DeliverySkip, EventArgs, EventIdArgs, ReplayArgs,
};
pub use doctor::{Completions, ConfigCommand, ConfigShow, Doctor};
pub use egress::Egress;
pub use endpoint::{
    EndpointArgs, EndpointDelete, EndpointId, EndpointList, EndpointPause, EndpointPut, EndpointRotateSecret,
    EndpointSet, EndpointSkipKey, EndpointTest, LoginArgs,
};
pub use receive::{Dev, Receive};
pub use secret::{Encryption, SecretArgs, SecretSeal};
pub use sourced::Sourced;
pub use table::{TableArgs, TableAttach, TableDetach, TableList, TableName, TablePause, TableResume};
pub use variables::variables;

/// Delivers rows of postrider.outbox as signed webhooks.
#[derive(Debug, Parser)]
#[command(
    name = "postrider",
    version,
    about = "Insert a row into postrider.outbox in your own transaction; it is delivered by signed HTTP POST",
    after_help = "Every setting --some-flag of run is also POSTRIDER_SOME_FLAG, and some_flag in postrider.toml (--config).\n\
                  Order: flag, environment, file, default; postrider config show prints each value and its source.\n\
                  Exit codes: 0 done; 1 failed; 64 wrong usage or configuration.\n\n\
                  Example: postrider run --database-url postgres://postrider@db/app"
)]
pub struct Cli {
    /// Settings of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Settings of every command.
#[derive(Args, Debug, Default)]
pub struct Global {
    /// Database, as `postgres://user:password@host:port/database` or `host=… dbname=…`, with libpq's options; `DATABASE_URL`
    /// is read too, and without it libpq's variables (`PGHOST`, `PGSERVICE`, ...)
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        env = "POSTRIDER_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: Option<String>,
    /// TOML file with settings [default: ./postrider.toml if it exists]
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        env = "POSTRIDER_CONFIG",
        value_name = "FILE"
    )]
    pub config: Option<PathBuf>,
    /// What to log to stderr, as info or postrider=debug [default: info]
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        env = "POSTRIDER_LOG",
        value_name = "FILTER"
    )]
    pub log: Option<String>,
    /// How log lines look: text for people, json for programs [default: text]
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        env = "POSTRIDER_LOG_FORMAT",
        value_name = "text|json"
    )]
    pub log_format: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Deliver events until stopped; several may run on one database
    #[command(
        after_help = "SIGTERM or SIGINT finishes the requests under way, releases the other deliveries and exits 0; a second one exits at once.\n\n\
        Example: postrider run --database-url postgres://postrider@db/app"
    )]
    Run(Box<Run>),
    /// Create, update, verify or print the schema
    #[command(after_help = "Example: postrider migrate --check")]
    Migrate(Migrate),
    /// Register, show, pause, test and delete endpoints
    #[command(subcommand, after_help = "Example: postrider endpoint list")]
    Endpoint(EndpointArgs),
    /// Attach tables of your own: changes of their rows become events, and their status is written back
    #[command(subcommand, after_help = "Example: postrider table list")]
    Table(TableArgs),
    /// Make an encryption key for the secrets of endpoints; encrypt stored secrets with it
    #[command(subcommand, after_help = "Example: postrider secret new-key")]
    Secret(SecretArgs),
    /// Insert one event and print its id
    #[command(after_help = "Example: postrider publish order.created '{\"order_id\": 42}'")]
    Publish(Publish),
    /// Show or cancel one event
    #[command(subcommand, after_help = "Example: postrider event show 42")]
    Event(EventArgs),
    /// List, show and retry deliveries
    #[command(subcommand, after_help = "Example: postrider delivery list --status failed")]
    Delivery(Delivery),
    /// Send an endpoint every event of a period again, also those it never got
    #[command(
        after_help = "Works in steps of 1000 events. If interrupted, it finishes its step and prints the command that continues.\n\n\
        Example: postrider replay orders --since 2h --topics 'order.*' --dry-run"
    )]
    Replay(ReplayArgs),
    /// Show backlog, endpoints, blocked keys and dispatchers
    #[command(after_help = "Example: postrider status --watch")]
    Status(StatusArgs),
    /// Check database, grants, notifications, tables, dispatchers and endpoints; name a remedy for each problem
    #[command(
        after_help = "Takes the settings of run, and checks what run would find with them. Exit code 1 if a check failed; \
        warnings do not count.\n\n\
        Example: postrider doctor --database-url postgres://postrider@db/app"
    )]
    Doctor(Box<Doctor>),
    /// Say what a database is that was copied, moved or restored, so that dispatchers send from it
    #[command(
        after_help = "Nothing is sent from a database that is not where it was delivered from before. As original it goes on as it was. \
        As copy it is a new installation: what waits is cancelled, and every endpoint is paused until you resume it.\n\n\
        Example: postrider adopt --as original"
    )]
    Adopt(Adopt),
    /// Show the settings that run would use
    #[command(subcommand, after_help = "Example: postrider config show")]
    Config(ConfigCommand),
    /// Receive webhooks on this machine, verify their signatures, and misbehave if asked
    #[command(
        after_help = "Example: postrider receive --listen 127.0.0.1:9000 --secret whsec_... --fail-rate 0.1"
    )]
    Receive(Receive),
    /// Try everything on this machine: a private database, a dispatcher, a receiver, sample events
    #[command(
        after_help = "Uses a database of yours only if --database-url stands on the command line: DATABASE_URL, the PG... variables and \
        the file with settings are ignored. In such a database it routes and delivers only events for its own endpoint, dev, and takes \
        that endpoint and its samples away at the end.\n\n\
        Example: postrider dev --events 3"
    )]
    Dev(Sourced<Dev>),
    /// Print a completion script for a shell
    #[command(after_help = "Example: postrider completions bash > /etc/bash_completion.d/postrider")]
    Completions(Completions),
}

/// `postrider run`
#[derive(Args, Debug, Default)]
pub struct Run {
    /// Direct connection for LISTEN, where --database-url goes through a transaction pooler [default: --database-url]
    #[arg(long, env = "POSTRIDER_LISTEN_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub listen_database_url: Option<String>,
    /// Name of the installation, as the database has it; where it has another one, nothing is sent (postrider adopt)
    #[arg(long, env = "POSTRIDER_INSTALLATION", value_name = "NAME")]
    pub installation: Option<String>,
    /// Address of the admin API, with GET /healthz and /readyz [default: 127.0.0.1:7678]
    #[arg(long, env = "POSTRIDER_API_LISTEN", value_name = "ADDRESS")]
    pub api_listen: Option<String>,
    /// File with the API's tokens, one per line; required if the address is not loopback
    #[arg(long, env = "POSTRIDER_API_TOKEN_FILE", value_name = "FILE")]
    pub api_token_file: Option<String>,
    /// Additional host name accepted in the Host header, beside addresses and localhost; repeatable; ignored if tokens are
    /// configured
    #[arg(long, env = "POSTRIDER_API_HOST", value_name = "NAME", value_delimiter = ',')]
    pub api_host: Vec<String>,
    /// Addresses that may be called.
    #[command(flatten)]
    pub egress: Egress,
    /// Encryption keys.
    #[command(flatten)]
    pub encryption: Encryption,
    /// Source of CloudEvents, a URI reference [default: /postrider]
    #[arg(long, env = "POSTRIDER_CLOUDEVENTS_SOURCE", value_name = "URI")]
    pub cloudevents_source: Option<String>,
    /// Requests under way at once, 1 to 10000 [default: 512]
    #[arg(long, env = "POSTRIDER_MAX_IN_FLIGHT", value_name = "N")]
    pub max_in_flight: Option<String>,
    /// Look for work at least this often, 10ms to 1h [default: 1s]
    #[arg(long, env = "POSTRIDER_POLL_INTERVAL", value_name = "DURATION")]
    pub poll_interval: Option<String>,
    /// Return the deliveries of a crashed dispatcher after this time, 1s to 1h, at least twice --request-timeout [default: 60s]
    #[arg(long, env = "POSTRIDER_LEASE", value_name = "DURATION")]
    pub lease: Option<String>,
    /// When stopped, wait at most this long for requests under way, 0s to 1h [default: 20s]
    #[arg(long, env = "POSTRIDER_GRACE_PERIOD", value_name = "DURATION")]
    pub grace_period: Option<String>,
    /// Wake-up: notify (LISTEN/NOTIFY, with the poll as a fallback), poll (the poll alone) or sleep (the poll alone, and while
    /// idle the database is left alone in between, but for the lease, which is renewed six times per --lease) [default: notify]
    #[arg(long, env = "POSTRIDER_WAKE", value_name = "notify|poll|sleep")]
    pub wake: Option<String>,
    /// Deadline of one attempt, body included, 100ms to 5m [default: 15s]
    #[arg(long, env = "POSTRIDER_REQUEST_TIMEOUT", value_name = "DURATION")]
    pub request_timeout: Option<String>,
    /// Use a connection to an endpoint no longer than this, 1s to 24h, so that changed names are followed [default: 5m]
    #[arg(long, env = "POSTRIDER_CONNECTION_MAX_AGE", value_name = "DURATION")]
    pub connection_max_age: Option<String>,
    /// Give up deliveries with a larger payload, 1KiB to 32MiB [default: 1MiB]
    #[arg(long, env = "POSTRIDER_MAX_PAYLOAD", value_name = "SIZE")]
    pub max_payload: Option<String>,
    /// Disable an endpoint after this long without a success, 1s to 365days; its deliveries wait [default: 5d]
    #[arg(long, env = "POSTRIDER_DISABLE_AFTER", value_name = "DURATION")]
    pub disable_after: Option<String>,
    /// Delete complete events after this, 1s to 3650days [default: 7d]
    #[arg(long, env = "POSTRIDER_RETAIN_COMPLETE", value_name = "DURATION")]
    pub retain_complete: Option<String>,
    /// Delete failed events after this, 1s to 3650days [default: 30d]
    #[arg(long, env = "POSTRIDER_RETAIN_FAILED", value_name = "DURATION")]
    pub retain_failed: Option<String>,
    /// Do not migrate; refuse a schema that is not exactly this version's
    #[arg(long, env = "POSTRIDER_NO_MIGRATE", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
    pub no_migrate: Option<String>,
}

/// `postrider migrate`
#[derive(Args, Debug)]
pub struct Migrate {
    /// Change nothing; exit 1 unless the schema is exactly this version's
    #[arg(long, conflicts_with = "print")]
    pub check: bool,
    /// Print the migrations as SQL; needs no database
    #[arg(long, conflicts_with = "json")]
    pub print: bool,
    /// Print only the migrations after this schema version, which migrate --check names
    #[arg(long, requires = "print", value_name = "VERSION")]
    pub after: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `--json`
#[derive(Args, Debug)]
pub struct Json {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `postrider publish`
#[derive(Args, Debug)]
pub struct Publish {
    /// Event type: dotted words
    pub topic: String,
    /// JSON, sent byte for byte; - reads stdin
    #[arg(default_value = "{}")]
    pub payload: String,
    /// Ordering key: an ordered endpoint gets the events of one key one after the other
    #[arg(long)]
    pub key: Option<String>,
    /// Unique key: a repeat inserts nothing
    #[arg(long)]
    pub idempotency_key: Option<String>,
    /// Deliver to this endpoint alone, which must exist
    #[arg(long, value_name = "ENDPOINT")]
    pub destination: Option<String>,
    /// Deliver after this time, not before
    #[arg(long, value_name = "DURATION")]
    pub delay: Option<String>,
    /// HTTP header sent with the event; repeatable
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `postrider status`
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Refresh every two seconds; with --json, print one object per line
    #[arg(long)]
    pub watch: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_has_a_description() {
        let mut bare = Vec::new();
        for (name, command) in commands() {
            if command.get_about().is_none() {
                bare.push(name.clone());
            }
            let nameless = command.get_arguments().filter(|arg| arg.get_help().is_none());
            bare.extend(nameless.map(|arg| format!("{name} {}", arg.get_id())));
        }

        assert_eq!(bare, Vec::<String>::new());
    }

    #[test]
    fn every_command_has_an_example_that_begins_with_its_name() {
        for (name, command) in commands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();

            assert!(help.contains(&format!("Example: {name}")), "{name}: {help}");
        }
    }

    #[test]
    fn every_command_with_output_takes_json() {
        // They print a log, an introduction for newcomers, and a script.
        const WITHOUT: [&str; 3] = ["postrider run", "postrider dev", "postrider completions"];
        let does_something = |command: &clap::Command| !command.has_subcommands();

        let lacking: Vec<String> = commands()
            .into_iter()
            .filter(|(_, command)| does_something(command))
            .filter(|(_, command)| command.get_arguments().all(|arg| arg.get_id() != "json"))
            .map(|(name, _)| name)
            .collect();

        assert_eq!(lacking, WITHOUT);
    }

    #[test]
    fn every_setting_of_run_has_its_environment_name() {
        let cli = Cli::command();
        let run = cli.find_subcommand("run").unwrap();

        for arg in run.get_arguments().chain(cli.get_arguments()) {
            let Some(long) = arg.get_long().filter(|long| !["help", "version"].contains(long)) else {
                continue;
            };

            let expected = format!("POSTRIDER_{}", long.replace('-', "_").to_uppercase());
            assert_eq!(arg.get_env().and_then(|name| name.to_str()), Some(expected.as_str()));
        }
    }

    /// All commands by their full name, `postrider` itself among them.
    fn commands() -> Vec<(String, clap::Command)> {
        fn collect(name: &str, command: &clap::Command, into: &mut Vec<(String, clap::Command)>) {
            into.push((name.to_owned(), command.clone()));
            for child in command.get_subcommands() {
                collect(&format!("{name} {}", child.get_name()), child, into);
            }
        }
        let mut all = Vec::new();
        collect("postrider", &Cli::command(), &mut all);
        all
    }
}
