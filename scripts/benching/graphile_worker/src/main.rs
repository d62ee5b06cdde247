//! A peer of `scripts/bench`: the job queue `graphile_worker`, with a task that is one POST of its payload.
//!
//! Settings, by trials at 64 and 1,000 in flight: jobs are fetched into one local queue, because without one a slot takes
//! one job per NOTIFY or poll, and with several every NOTIFY makes several fetches; it holds several times what is in
//! flight, because it fetches only when it is empty. Completions are written in batches of a millisecond. LISTEN is on.

use std::io::stderr;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use graphile_worker::{IntoTaskHandlerResult, LocalQueueConfig, TaskHandler, WorkerContext, WorkerOptions};
use reqwest::{Client, Url, header};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;
use tracing_subscriber::filter::LevelFilter;

const CONNECTIONS_MAX: u32 = 20;
const COMPLETION_DELAY: Duration = Duration::from_millis(1);
/// `LocalQueueConfig::size` per slot, and its least.
const FETCHED_PER_SLOT: usize = 5;
const FETCHED_MIN: usize = 1_000;
/// After so long, what is fetched and not begun is given back to be fetched anew. That is what wakes a local queue that
/// went to sleep on an empty cache, as 0.14.1 does where a slot takes the last job while the fetch is being recorded: with
/// the default of five minutes, a trial at 300 jobs a second stood still until it was given up after 160 s.
const FETCHED_TTL: Duration = Duration::from_secs(2);
/// One call of `add_jobs` takes an array of them, and a value of PostgreSQL has at most 1 GB.
const JOBS_PER_CALL: u32 = 10_000;
/// What a payload has beside its padding.
const FRAME_BYTES: usize = r#"{"at_us":1732470000000000,"pad":""}"#.len();

/// graphile_worker, as scripts/bench needs it.
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
    /// Prints the SQL that inserts many jobs at once.
    Bulk {
        #[arg(long)]
        events: u32,
        #[arg(long)]
        bytes: usize,
    },
    /// Prints the SQL of a transaction that inserts one job.
    Single {
        #[arg(long)]
        bytes: usize,
    },
    /// Prints the SQL that counts the jobs that are not done; those that are done are deleted.
    Left,
    /// Works until SIGTERM.
    Run {
        #[arg(long)]
        database_url: String,
        #[arg(long)]
        url: Url,
        #[arg(long)]
        in_flight: usize,
    },
}

/// The payload of a job.
#[derive(Deserialize, Serialize)]
struct Delivery {
    at_us: u64,
    pad: String,
}

/// Where payloads go.
#[derive(Clone, Debug)]
struct Receiver {
    client: Client,
    url: Url,
}

impl TaskHandler for Delivery {
    const IDENTIFIER: &'static str = "delivery";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        let Receiver { client, url } = context.get_ext().context("no receiver")?;
        let request = client.post(url.clone()).header(header::CONTENT_TYPE, "application/json");
        request.body(serde_json::to_vec(&self)?).send().await?.error_for_status()?;
        anyhow::Ok(())
    }
}

/// The SQL of a payload of about so many bytes.
fn payload(bytes: usize) -> String {
    let pad_bytes = bytes.saturating_sub(FRAME_BYTES);
    let at_us = "(extract(epoch from clock_timestamp()) * 1000000)::bigint";
    format!(r#"format('{{"at_us":%s,"pad":"%s"}}', {at_us}, repeat('x', {pad_bytes}))::json"#)
}

/// `add_jobs` is the crate's own way to insert many.
fn bulk(events: u32, bytes: usize) -> String {
    let identifier = Delivery::IDENTIFIER;
    let payload = payload(bytes);
    format!(
        "select count(*) from generate_series(1, {events}, {JOBS_PER_CALL}) first, \
         graphile_worker.add_jobs((select array_agg(\
         row('{identifier}', {payload}, null, null, null, null, null, null)::graphile_worker.job_spec) \
         from generate_series(first, least(first + {JOBS_PER_CALL} - 1, {events}))));"
    )
}

async fn run(database_url: &str, url: Url, in_flight: usize) -> anyhow::Result<()> {
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS_MAX).test_before_acquire(false);
    let fetched = LocalQueueConfig::default()
        .with_size(FETCHED_MIN.max(FETCHED_PER_SLOT * in_flight))
        .with_ttl(FETCHED_TTL);
    let worker = WorkerOptions::default()
        .pg_pool(pool.connect(database_url).await?)
        .concurrency(in_flight)
        .local_queue(fetched)
        .complete_job_batch_delay(COMPLETION_DELAY)
        .add_extension(Receiver { client: Client::builder().no_proxy().build()?, url })
        .define_job::<Delivery>()
        .init()
        .await?;
    println!("ready");
    Ok(worker.run().await?) // It listens for SIGTERM itself.
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_max_level(LevelFilter::ERROR).with_writer(stderr).init();
    match Arguments::parse().command {
        Command::Setup { database_url } => {
            // Migrates, and registers the task.
            WorkerOptions::default().database_url(&database_url).define_job::<Delivery>().init().await?;
        }
        Command::Bulk { events, bytes } => println!("{}", bulk(events, bytes)),
        Command::Single { bytes } => {
            println!("select graphile_worker.add_job('{}', {});", Delivery::IDENTIFIER, payload(bytes));
        }
        Command::Left => println!("select count(*) from graphile_worker._private_jobs;"),
        Command::Run { database_url, url, in_flight } => run(&database_url, url, in_flight).await?,
    }
    Ok(())
}
