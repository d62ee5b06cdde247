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
//!  router     unrouted events ──> one delivery per matching endpoint, claimed where there is room
//!  claimer    waiting deliveries that are due ──> claimed, as many as the endpoint has room for
//!      ▼
//!  scheduler ──> sender ──> sinks/webhook: one signed POST ──> Outcome
//!      ▼
//!  settler    Outcome ──> complete | pending again | failed, in batches
//!      ▼
//!  views      delivery_status, endpoint_health, backlog ...
//! ```
//!
//! The folders are the rooms. A room uses only rooms above it; a test reads the `use` lines and compares them with this table.
//!
//! | room | holds | uses |
//! |---|---|---|
//! | [`model`] | events, endpoints, deliveries, outcomes: plain data | |
//! | [`rules`] | decisions without database and network: retry, circuit breaker, encryption | model |
//! | [`validation`] | values as people type them, and all their problems at once | |
//! | [`store`] | the only room that speaks SQL | model, rules |
//! | [`sinks`] | one attempt: request, signature, address rules | model, rules |
//! | [`dispatcher`] | wake, route, claim, send, settle | model, rules, store, sinks |
//! | [`operations`] | what command line and API both do | model, rules, validation, store, sinks |
//! | [`telemetry`] | log, metrics page | rules, store, dispatcher |
//! | [`config`] | flags, environment and file become one checked configuration | rules, validation, store, sinks, dispatcher, operations, telemetry |
//! | [`api`] | the admin API and the dashboard | model, rules, validation, store, sinks, dispatcher, operations, telemetry, config |
//! | [`cli`] | the commands, and the process of `postrider run` | model, rules, validation, store, dispatcher, operations, telemetry, config, api |

/// The words: plain data, and how it is read from text.
pub mod model {
    pub mod delivery;
    pub mod endpoint;
    pub mod event;
    pub mod header;
    mod id;
    pub mod outcome;
    pub mod random;
    pub mod topic;
    pub mod unreadable;
}

/// Decisions without a database and without a network.
pub mod rules {
    pub mod backoff;
    pub mod circuit_breaker;
    pub mod clock;
    pub mod descriptors;
    pub mod did_you_mean;
    pub mod encryption;
    pub mod halves;
    pub mod printable;
    pub mod redaction;
    pub mod retry;
}

/// How input is checked, and how its problems are told: all at once.
pub mod validation {
    mod parse;
    mod problems;
    mod time_argument;
    mod whole;

    pub use parse::{parse_address, parse_duration, parse_number};
    pub use problems::{InvalidInput, Problems, shorten};
    pub use time_argument::TimeArgument;
    pub use whole::Whole;
}

pub mod store;

/// Sinks make attempts, each in one protocol. [`sinks::sink`] says what a new sink adds.
pub mod sinks {
    pub mod attempt;
    pub mod cloudevents;
    pub mod egress;
    pub mod sink;
    pub mod webhook;
}

pub mod dispatcher;

/// What the command line and the API both do.
pub mod operations {
    pub(crate) mod described;
    pub mod endpoint_spec;
    pub mod event_spec;
    pub mod replay;
    pub mod rotate_secret;
    pub mod test_endpoint;
}

/// What the dispatcher tells about itself.
pub mod telemetry {
    pub mod exporter;
    mod log;

    pub use log::{LogFormat, start};
}

/// Flags, environment, file and defaults become one checked configuration.
pub mod config {
    pub mod args;
    mod egress;
    mod encryption;
    mod environment;
    mod file;
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
    mod openapi;
    mod paging;
    mod places;
    mod problem;
    mod server;
    mod time;
    mod wait;

    pub use access::Guard;
    pub use server::{Api, listen, openapi, serve, serve_while};
}

/// The commands.
pub mod cli {
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
    mod receive;
    mod replay;
    mod run;
    mod secret;
    mod service;
    mod signals;
    mod status;

    pub use command::{Failure, run};
    use command::{count, headers_json, open, parse_id};
}
