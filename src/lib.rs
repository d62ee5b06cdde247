//! Postrider: a PostgreSQL LISTEN/NOTIFY-driven event dispatcher. The binary is the product; this library exists so that
//! tests can reach its parts.
//!
//! One event, end to end:
//!
//! ```text
//!  producer: insert into postrider.outbox, commit ── trigger rings only if a dispatcher sleeps
//!      │                                                │ NOTIFY, a hint
//!      │                                                ▼
//!      │                          listener ──> bell ──> rounds: look now, else sleep
//!      ▼                                                │
//!  route      unrouted events ──> one delivery per matching endpoint, claimed where there is room
//!  dispatch   what waits and is due ──> claimed, as many as the endpoint has room for
//!      ▼
//!  desk ──> attempts ──> deliver: one signed POST ──> Outcome
//!      ▼
//!  settle     Outcome ──> complete | pending again | failed, in batches
//!      ▼
//!  views      delivery_status, endpoint_health, backlog ...
//! ```
//!
//! | layer | modules | may use |
//! |---|---|---|
//! | words | [`event`], [`endpoint`], [`delivery`], [`outcome`], [`spelling`] | each other, [`topics`], [`vault`] |
//! | rules | [`topics`], [`retry`], [`signature`], [`cloudevents`], [`vault`], [`egress`], [`excerpt`], [`halves`], [`headers`], [`printable`], [`circuit`], [`clock`], [`backoff`], [`descriptors`] | words |
//! | store | [`store`] | words |
//! | desk | [`desk`], [`directory`], [`metrics`], [`trouble`] | words, store's rows |
//! | stages | [`listener`], [`bell`], [`rounds`], [`route`], [`dispatch`], [`attempts`], [`deliver`], [`settle`], [`breaker`], [`lease`], [`housekeeping`] | all above |
//! | edges | [`api`], [`scrape`], [`cli`], [`commands`], [`registration`] | all above |
//! | assembly | [`config`], [`telemetry`], [`shutdown`], [`serve`] | all above |

/// The words: plain data, and how it is read from text.
pub mod model {
    pub mod delivery;
    pub mod endpoint;
    pub mod event;
    pub mod header;
    pub mod outcome;
    pub mod topic;
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
    mod moment;
    mod parse;
    mod problems;
    mod whole;

    pub use moment::Moment;
    pub use parse::{parse_address, parse_duration, parse_number};
    pub use problems::{Problem, Problems, shorten};
    pub use whole::Whole;
}

pub mod store;

/// What makes an attempt.
pub mod sinks {
    pub mod cloudevents;
    pub mod egress;
    pub mod webhook;
}

pub mod dispatcher;

/// What the command line and the API both do.
pub mod operations {
    pub(crate) mod described;
    pub mod endpoint_spec;
    pub mod event_spec;
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

    pub use reading::{Reading, Source};
    pub use run::{RunConfig, defaults};
    pub use settings::Settings;
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

    pub use access::{Guard, Token};
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
    mod signals;
    mod status;

    pub use command::{Failure, run};
    use command::{count, headers_json, open, parse_id, resolve};
}
