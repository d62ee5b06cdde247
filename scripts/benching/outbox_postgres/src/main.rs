//! A peer of `scripts/bench`: the outbox of outbox-core and outbox-postgres, with a transport that is one POST.
//!
//! A manager makes one attempt at a time, so there are as many managers as shall be in flight. They share one storage,
//! that is one LISTEN, where a NOTIFY wakes one of them (and its claim the next). Together they claim about 25,000 events:
//! larger batches cost the server less, but a manager's batch waits for it alone. By trials at 64 and 1,000 in flight.

use std::io::stderr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use clap::{Parser, Subcommand};
use outbox_core::prelude::*;
use outbox_postgres::PostgresOutbox;
use reqwest::{Client, Url, header};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing_subscriber::filter::LevelFilter;

/// What the crate's README asks to be created: its migration `20260213152819_init.sql`.
const SCHEMA: &str = include_str!("../schema.sql");
/// More make the managers wait for each other's locks instead of for the pool.
const CONNECTIONS_MAX: u32 = 8;
const CLAIMED_TOTAL: u32 = 25_600;
const BATCH_MIN: u32 = 10;
const BATCH_MAX: u32 = 400;
/// The least that the crate takes; NOTIFY comes first.
const POLL_SECONDS: u64 = 1;
/// What a payload has beside its padding.
const FRAME_BYTES: usize = r#"{"at_us":1732470000000000,"pad":""}"#.len();

/// outbox-postgres, as scripts/bench needs it.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Creates what the crate needs in a fresh database.
    Setup {
        #[arg(long)]
        database_url: String,
    },
    /// Prints the SQL that inserts many events at once.
    Bulk {
        #[arg(long)]
        events: u32,
        #[arg(long)]
        bytes: usize,
    },
    /// Prints the SQL of a transaction that inserts one event; a trigger notifies.
    Single {
        #[arg(long)]
        bytes: usize,
    },
    /// Prints the SQL that counts the events that are not sent.
    Left,
    /// Works until SIGTERM.
    Run {
        #[arg(long)]
        database_url: String,
        #[arg(long)]
        url: Url,
        #[arg(long)]
        in_flight: u32,
    },
}

/// The payload of an event.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Body {
    at_us: u64,
    pad: String,
}

/// Where payloads go.
struct Receiver {
    client: Client,
    url: Url,
}

impl Receiver {
    async fn post(&self, body: &Payload<Body>) -> anyhow::Result<()> {
        let request = self.client.post(self.url.clone()).header(header::CONTENT_TYPE, "application/json");
        request.body(serde_json::to_vec(body)?).send().await?.error_for_status()?;
        Ok(())
    }
}

#[async_trait::async_trait]
impl Transport<Body> for Receiver {
    async fn publish(&self, event: Event<Body>) -> Result<(), OutboxError> {
        self.post(&event.payload).await.map_err(|error| OutboxError::BrokerError(format!("{error:#}")))
    }
}

/// The crate's storage, which collects garbage once: every manager would do so as it starts, by reading the whole table,
/// which is dear at 1,000 managers and a table of many events.
struct Storage {
    outbox: PostgresOutbox<Body>,
    has_collected: AtomicBool,
}

#[async_trait::async_trait]
impl OutboxStorage<Body> for Storage {
    async fn fetch_next_to_process(&self, limit: u32) -> Result<Vec<Event<Body>>, OutboxError> {
        self.outbox.fetch_next_to_process(limit).await
    }

    async fn update_status(&self, ids: &[EventId], status: EventStatus) -> Result<(), OutboxError> {
        self.outbox.update_status(ids, status).await
    }

    async fn delete_garbage(&self) -> Result<(), OutboxError> {
        if self.has_collected.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        self.outbox.delete_garbage().await
    }

    async fn wait_for_notification(&self, channel: &str) -> Result<(), OutboxError> {
        self.outbox.wait_for_notification(channel).await
    }
}

/// The SQL that inserts an event of about so many bytes for every row of what follows it.
fn insert(bytes: usize) -> String {
    let pad_bytes = bytes.saturating_sub(FRAME_BYTES);
    let at_us = "(extract(epoch from clock_timestamp()) * 1000000)::bigint";
    let payload = format!(r#"format('{{"at_us":%s,"pad":"%s"}}', {at_us}, repeat('x', {pad_bytes}))::jsonb"#);
    format!("insert into outbox_events (event_type, payload) select 'event', {payload}")
}

async fn run(database_url: &str, url: Url, in_flight: u32) -> anyhow::Result<()> {
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS_MAX).test_before_acquire(false);
    let pool = pool.connect(database_url).await?;
    let mut config = OutboxConfig::default();
    config.batch_size = CLAIMED_TOTAL.div_euclid(in_flight).clamp(BATCH_MIN, BATCH_MAX);
    config.poll_interval_secs = POLL_SECONDS;
    let config = Arc::new(config);
    let outbox = PostgresOutbox::new(pool, Arc::clone(&config));
    let storage = Arc::new(Storage { outbox, has_collected: AtomicBool::new(false) });
    let receiver = Arc::new(Receiver { client: Client::builder().no_proxy().build()?, url });

    let mut terminate = signal(SignalKind::terminate())?;
    let (stop, stopping) = watch::channel(false);
    let mut managers = JoinSet::new();
    for _ in 0..in_flight {
        let manager = OutboxManagerBuilder::new()
            .storage(Arc::clone(&storage))
            .publisher(Arc::clone(&receiver))
            .config(Arc::clone(&config))
            .shutdown_rx(stopping.clone())
            .build()?;
        managers.spawn(manager.run());
    }
    println!("ready");
    terminate.recv().await.context("no signals")?;
    stop.send(true)?;
    managers.join_all().await.into_iter().collect::<Result<(), _>>()?;
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_max_level(LevelFilter::ERROR).with_writer(stderr).init();
    match Arguments::parse().command {
        Command::Setup { database_url } => {
            let pool = PgPoolOptions::new().connect(&database_url).await?;
            sqlx::raw_sql(SCHEMA).execute(&pool).await?;
        }
        Command::Bulk { events, bytes } => println!("{} from generate_series(1, {events});", insert(bytes)),
        Command::Single { bytes } => println!("{};", insert(bytes)),
        Command::Left => {
            println!("select count(*) from outbox_events where status in ('Pending', 'Processing');");
        }
        Command::Run { database_url, url, in_flight } => run(&database_url, url, in_flight).await?,
    }
    Ok(())
}
