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

pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod outcome;
pub mod spelling;

pub mod backoff;
pub mod circuit;
pub mod clock;
pub mod cloudevents;
pub mod descriptors;
pub mod egress;
pub mod excerpt;
pub mod halves;
pub mod headers;
pub mod printable;
pub mod retry;
pub mod signature;
pub mod topics;
pub mod vault;

pub mod store;

pub mod desk;
pub mod directory;
pub mod metrics;
pub mod trouble;

pub mod attempts;
pub mod bell;
pub mod breaker;
pub mod deliver;
pub mod dispatch;
pub mod housekeeping;
pub mod lease;
pub mod listener;
pub mod rounds;
pub mod route;
pub mod settle;

pub mod api;
pub mod cli;
pub mod commands;
pub mod registration;
pub mod scrape;

pub mod config;
pub mod serve;
pub mod shutdown;
pub mod telemetry;
