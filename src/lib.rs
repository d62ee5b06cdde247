//! Postrider: a PostgreSQL LISTEN/NOTIFY-driven event dispatcher. The binary is the product; this library exists so that
//! tests can reach its parts.
//!
//! One event, end to end:
//!
//! ```text
//!  producer: insert into postrider.outbox, commit ── a trigger sends NOTIFY only if the dispatcher sleeps
//!      │                                                │ NOTIFY, a hint
//!      │                                                ▼
//!      │        wakeup/listener ──> wakeup/bell ──> work_loop: looks for work, else sleeps
//!      ▼                                                │
//!  claimer    waiting deliveries that are due ──> claimed, as many as the endpoint has room for
//!  router     unrouted events ──> one delivery per matching endpoint, claimed where there is room
//!      ▼
//!  scheduler ──> sender ──> sinks/webhook: one signed POST ──> Outcome
//!      ▼
//!  settler    Outcome ──> complete | pending again | failed, in batches
//!      ▼
//!  write_back status of the event ──> the row of an attached table that it tells of
//!      ▼
//!  views      delivery_status, endpoint_health, backlog ...
//! ```
//!
//! Each folder is a floor. A floor uses only floors above it in this table; a test reads the `use` lines and compares them with it.
//!
//! | floor | has | uses |
//! |---|---|---|
//! | [`model`] | events, endpoints, deliveries, outcomes: plain data | |
//! | [`rules`] | decisions without database and network: retry, circuit breaker, encryption | model |
//! | [`validation`] | values as people type them, and all their problems at once | |
//! | [`store`] | the only floor that speaks SQL | model, rules |
//! | [`sinks`] | one attempt: request, signature, address rules | model, rules |
//! | [`dispatcher`] | wake, route, claim, send, settle | model, rules, store, sinks |
//! | [`operations`] | what command line and API both do | model, rules, validation, store, sinks |
//! | [`telemetry`] | log, metrics page | model, rules, store, dispatcher |
//! | [`config`] | flags, environment and file become one checked configuration | model, rules, validation, store, sinks, dispatcher, operations, telemetry |
//! | [`api`] | the admin API and the dashboard | model, rules, validation, store, sinks, dispatcher, operations, telemetry, config |
//! | [`cli`] | the commands, and the process of `postrider run` | model, rules, validation, store, dispatcher, operations, telemetry, config, api |

/// The words: plain data, and how it is read from text.
pub mod model {
    pub mod attachment;
    pub mod delivery;
    pub mod endpoint;
    pub mod event;
    pub mod header;
    mod id;
    pub(crate) mod installation;
    pub mod outcome;
    pub(crate) mod random;
    pub mod topic;
    pub(crate) mod unreadable;
}

/// Decisions without a database and without a network.
pub mod rules {
    pub(crate) mod backoff;
    pub(crate) mod circuit_breaker;
    pub(crate) mod clock;
    pub mod descriptors;
    pub(crate) mod did_you_mean;
    pub mod encryption;
    pub(crate) mod halves;
    pub(crate) mod pace;
    pub mod printable;
    pub(crate) mod redaction;
    pub mod retry;
}

/// How input is checked, and how its problems are told: all at once.
mod validation {
    pub(crate) mod named;
    mod parse;
    mod problems;
    mod time_argument;
    mod whole;

    pub(crate) use parse::{parse_address, parse_duration, parse_number};
    pub(crate) use problems::{Problems, shorten};
    pub(crate) use time_argument::TimeArgument;
    pub(crate) use whole::Whole;
}

pub mod store;

/// Sinks make attempts, each in one protocol. [`sinks::sink`] says what a new sink adds.
pub mod sinks {
    pub(crate) mod attempt;
    pub(crate) mod cloudevents;
    pub mod egress;
    pub(crate) mod sink;
    pub mod webhook;
}

pub mod dispatcher;

/// What the command line and the API both do.
pub mod operations {
    pub(crate) mod addresses;
    pub(crate) mod described;
    pub(crate) mod destination;
    pub mod endpoint_spec;
    pub(crate) mod event_spec;
    pub(crate) mod find_table;
    pub(crate) mod lookup;
    pub mod put_table;
    pub(crate) mod replay;
    pub(crate) mod rotate_secret;
    pub(crate) mod skip;
    pub mod table_spec;
    pub(crate) mod test_endpoint;
}

/// What the dispatcher tells about itself.
mod telemetry {
    pub(crate) mod exporter;
    mod log;

    pub(crate) use log::{LogFormat, start};
}

/// Flags, environment, file and defaults become one checked configuration.
pub mod config {
    pub mod args;
    mod egress;
    mod encryption;
    mod environment;
    mod file;
    mod installation;
    mod reading;
    mod run;
    mod settings;
    mod tokens;

    pub use reading::{ResolvedSetting, Source};
    pub use run::{ApiConfig, RunConfig, defaults};
    pub use settings::Settings;
    pub use tokens::ApiToken;
}

/// The admin API and the dashboard.
pub mod api {
    mod access;
    mod cache;
    mod connections;
    mod dashboard;
    mod deliveries;
    mod endpoints;
    mod events;
    mod extract;
    mod keys;
    mod openapi;
    mod paging;
    mod places;
    mod problem;
    mod server;
    mod tables;
    mod time;
    mod wait;

    pub use access::Guard;
    pub use server::{Api, listen, openapi, serve, serve_while};
}

/// The commands.
pub mod cli {
    mod adopt;
    mod ago;
    mod command;
    mod config;
    mod delivery;
    mod dev;
    mod doctor;
    mod endpoint;
    mod event;
    mod output;
    mod progress;
    mod publish;
    mod question;
    mod receive;
    mod replay;
    mod run;
    mod secret;
    mod service;
    mod signals;
    mod status;
    mod table;

    pub use command::{Failure, run};
    use command::{count, headers_json, open, parse_id};
}
