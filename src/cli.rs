//! What was typed: the command line as clap reads it, nothing decided. Values stay text, so that `config` can report
//! all that is wrong with them at once, wherever they came from.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Delivers rows of postrider.outbox as signed webhooks.
#[derive(Debug, Parser)]
#[command(
    name = "postrider",
    version,
    about = "Insert a row into postrider.outbox in your own transaction; it is delivered by signed HTTP POST",
    after_help = "Every flag --some-flag is also POSTRIDER_SOME_FLAG, and some_flag in postrider.toml (--config).\n\
                  Order: flag, environment, file, default. Exit codes: 0 done; 1 failed; 64 wrong usage or configuration.",
    disable_help_subcommand = true
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
    #[arg(long, global = true, env = "POSTRIDER_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// TOML file with settings [default: ./postrider.toml if it exists]
    #[arg(long, global = true, env = "POSTRIDER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to log to stderr, as info or postrider=debug [default: info]
    #[arg(long, global = true, env = "POSTRIDER_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// How log lines look: text for people, json for programs [default: text]
    #[arg(long, global = true, env = "POSTRIDER_LOG_FORMAT", value_name = "text|json")]
    pub log_format: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Deliver events until stopped; several may run on one database
    #[command(
        after_help = "SIGTERM or SIGINT: finishes what is in flight, gives the rest back, exits 0; a second one exits at once.\n\n\
        Example: postrider run --database-url postgres://postrider@db/app"
    )]
    Run(Run),
    /// Create or update the schema
    Migrate(Migrate),
    /// Create, show and pause endpoints
    #[command(subcommand)]
    Endpoint(Endpoint),
    /// Insert one event and print its id
    #[command(after_help = "Example: postrider publish order.created '{\"order_id\": 42}'")]
    Publish(Publish),
    /// Show backlog, endpoints and dispatchers
    Status(Status),
    /// Receive webhooks on this machine, verify their signatures, and misbehave if asked
    #[command(
        after_help = "Example: postrider receive --listen 127.0.0.1:9000 --secret whsec_... --fail-rate 0.1"
    )]
    Receive(Receive),
    /// Try it all on this machine: a database if none is given, a dispatcher, a receiver, sample events
    Dev(Dev),
}

/// `postrider run`
#[derive(Args, Debug, Default)]
pub struct Run {
    /// Direct connection for LISTEN, where --database-url goes through a transaction pooler [default: --database-url]
    #[arg(long, env = "POSTRIDER_LISTEN_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub listen_database_url: Option<String>,
    /// Address of the admin API, with GET /healthz and /readyz [default: 127.0.0.1:7678]
    #[arg(long, env = "POSTRIDER_API_LISTEN", value_name = "ADDRESS")]
    pub api_listen: Option<String>,
    /// File with the API's tokens, one a line; needed for an address that is not loopback
    #[arg(long, env = "POSTRIDER_API_TOKEN_FILE", value_name = "FILE")]
    pub api_token_file: Option<String>,
    /// Name that the Host header of a request may have, beside addresses and localhost; repeatable; not looked at where
    /// there are tokens
    #[arg(long, env = "POSTRIDER_API_HOST", value_name = "NAME", value_delimiter = ',')]
    pub api_host: Vec<String>,
    /// What may be called.
    #[command(flatten)]
    pub egress: Egress,
    /// Requests under way at once, 1 to 10000 [default: 512]
    #[arg(long, env = "POSTRIDER_MAX_IN_FLIGHT", value_name = "N")]
    pub max_in_flight: Option<String>,
    /// Look for work at least this often, 10ms to 1h [default: 1s]
    #[arg(long, env = "POSTRIDER_POLL_INTERVAL", value_name = "DURATION")]
    pub poll_interval: Option<String>,
    /// After a crash, claims are taken back when this has passed, 1s to 1h, at least twice --request-timeout [default: 60s]
    #[arg(long, env = "POSTRIDER_LEASE", value_name = "DURATION")]
    pub lease: Option<String>,
    /// When stopped, wait this long for requests under way, 0s to 1h [default: 20s]
    #[arg(long, env = "POSTRIDER_GRACE_PERIOD", value_name = "DURATION")]
    pub grace_period: Option<String>,
    /// notify: woken by LISTEN/NOTIFY, with the poll as a fallback; poll: by the poll alone [default: notify]
    #[arg(long, env = "POSTRIDER_WAKE", value_name = "notify|poll")]
    pub wake: Option<String>,
    /// Deadline of one attempt, body included, 100ms to 5m [default: 15s]
    #[arg(long, env = "POSTRIDER_REQUEST_TIMEOUT", value_name = "DURATION")]
    pub request_timeout: Option<String>,
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

/// What may be called.
#[derive(Args, Clone, Debug, Default)]
pub struct Egress {
    /// Allow plain http
    #[arg(long, env = "POSTRIDER_ALLOW_HTTP", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
    pub allow_http: Option<String>,
    /// Allow a special range (loopback, private, ...), as 10.0.0.0/8; repeatable
    #[arg(long, env = "POSTRIDER_ALLOW_CIDR", value_name = "CIDR", value_delimiter = ',')]
    pub allow_cidr: Vec<String>,
}

/// `postrider migrate`
#[derive(Args, Debug)]
pub struct Migrate {
    /// Change nothing; exit 1 unless the schema is exactly this version's
    #[arg(long, conflicts_with = "print")]
    pub check: bool,
    /// Print the migrations as SQL; needs no database
    #[arg(long)]
    pub print: bool,
}

/// `postrider endpoint …`
#[derive(Debug, Subcommand)]
pub enum Endpoint {
    /// Create or replace an endpoint; the same call twice changes nothing
    #[command(
        after_help = "Example: postrider endpoint put orders --url https://example.com/hook --topics 'order.*'"
    )]
    Put(Box<EndpointPut>),
    /// List endpoints and their health
    List(Json),
    /// Show one endpoint, without its secret
    Show(EndpointShow),
    /// Stop attempts; deliveries wait
    Pause(EndpointPause),
    /// Enable a paused or disabled endpoint
    Resume(EndpointId),
}

/// `postrider endpoint put`
#[derive(Args, Debug)]
pub struct EndpointPut {
    /// Chosen by you: 1 to 64 of A-Z a-z 0-9 . _ -
    pub id: String,
    /// Where to POST, as `https://host/path`
    #[arg(long)]
    pub url: String,
    /// Patterns, comma separated: words, * (one word), ** at the end (one or more)
    #[arg(long, value_delimiter = ',', default_value = "**", value_name = "PATTERNS")]
    pub topics: Vec<String>,
    /// Signing secret, whsec_ and base64 of 24 to 64 bytes; kept if not given, generated and shown once for a new endpoint
    #[arg(long, env = "POSTRIDER_SECRET", hide_env_values = true, value_name = "whsec_...")]
    pub secret: Option<String>,
    /// Requests under way at once over all dispatchers, 1 to 10000
    #[arg(long, default_value = "64", value_name = "N")]
    pub max_in_flight: String,
    /// Requests per s, m or h over all dispatchers, as 50/s
    #[arg(long, value_name = "RATE")]
    pub rate_limit: Option<String>,
    /// Deadline of one attempt, 100ms to 5m [default: that of run --request-timeout]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// Delays before the 2nd, 3rd ... attempt [default: 5s,5m,30m,2h,5h,10h,14h,20h,24h]
    #[arg(long, value_delimiter = ',', value_name = "DURATIONS")]
    pub retry_schedule: Option<Vec<String>>,
    /// Reserved: order per key is not available yet
    #[arg(long)]
    pub ordered: bool,
    /// Header of every request; repeatable
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// What may be called.
    #[command(flatten)]
    pub egress: Egress,
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

/// `postrider endpoint show`
#[derive(Args, Debug)]
pub struct EndpointShow {
    /// The endpoint
    pub id: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `postrider endpoint pause`
#[derive(Args, Debug)]
pub struct EndpointPause {
    /// The endpoint
    pub id: String,
    /// Shown in `postrider.endpoint_health`
    #[arg(long)]
    pub reason: Option<String>,
}

/// An endpoint.
#[derive(Args, Debug)]
pub struct EndpointId {
    /// The endpoint
    pub id: String,
}

/// `postrider publish`
#[derive(Args, Debug)]
pub struct Publish {
    /// Event type: dotted words
    pub topic: String,
    /// JSON, sent byte for byte; - reads stdin
    #[arg(default_value = "{}")]
    pub payload: String,
    /// Ordering key
    #[arg(long)]
    pub key: Option<String>,
    /// Unique: a repeat inserts nothing
    #[arg(long)]
    pub idempotency_key: Option<String>,
    /// Deliver to this endpoint alone
    #[arg(long, value_name = "ENDPOINT")]
    pub destination: Option<String>,
    /// Not before this has passed
    #[arg(long, value_name = "DURATION")]
    pub delay: Option<String>,
    /// Header sent with it; repeatable
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `postrider status`
#[derive(Args, Debug)]
pub struct Status {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Show it again every two seconds
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
}

/// `postrider receive`
#[derive(Args, Debug)]
pub struct Receive {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:9000", env = "POSTRIDER_LISTEN", value_name = "ADDRESS")]
    pub listen: String,
    /// Verify signatures with it; a wrong one is answered with 401
    #[arg(long, env = "POSTRIDER_SECRET", hide_env_values = true, value_name = "whsec_...")]
    pub secret: Option<String>,
    /// Answer with this status
    #[arg(long, default_value = "200", value_name = "CODE")]
    pub status: String,
    /// Answer this part of the requests with 500, 0 to 1
    #[arg(long, default_value = "0", value_name = "PART")]
    pub fail_rate: String,
    /// Answer after this
    #[arg(long, default_value = "0s", value_name = "DURATION")]
    pub delay: String,
    /// Print one JSON object per request
    #[arg(long)]
    pub json: bool,
}

/// `postrider dev`
#[derive(Args, Debug)]
pub struct Dev {
    /// Address of the receiver
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub receive_listen: String,
    /// Insert a sample event this often
    #[arg(long, default_value = "5s", value_name = "DURATION")]
    pub every: String,
    /// Stop after so many sample events were delivered
    #[arg(long, value_name = "N")]
    pub events: Option<u32>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
