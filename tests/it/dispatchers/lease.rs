//! The lease: what keeps it, what ends it, and what it limits.

use std::sync::{Arc, mpsc};

use clap::Parser;
use postrider::config::args::{Cli, Command};
use postrider::config::{RunConfig, Settings};
use postrider::dispatcher::{Dispatcher as InProcess, DispatcherConfig};
use tokio::runtime::Runtime;

use crate::support::{Database, Dispatcher, eventually, one_endpoint};

const SHORT_LEASE: [&str; 4] = ["--lease", "2s", "--request-timeout", "1s"];
/// Two leases of two seconds.
const FOR_LONG: &str =
    "select clock_timestamp() > started_at + interval '4 s' from postrider.dispatcher_status";

#[tokio::test]
async fn a_dispatcher_whose_runtime_is_blocked_keeps_its_lease() {
    let database = Database::new().await;
    let blocked = Blocked::start(&database).await;

    database.until(FOR_LONG).await;

    let is_valid = "select lease_until > clock_timestamp() from postrider.dispatcher_status";
    assert!(database.is(is_valid).await);
    blocked.release();
    // Nobody had to register anew.
    assert_eq!(database.value::<i64>("select max(id) from postrider.dispatcher").await, 1);
}

#[tokio::test]
async fn a_dispatcher_whose_runtime_hangs_for_good_loses_its_lease() {
    let database = Database::new().await;
    let _blocked = Blocked::start(&database).await;

    database.until("select lease_until < clock_timestamp() from postrider.dispatcher_status").await;
}

#[tokio::test]
async fn a_dispatcher_that_lost_its_lease_says_so_once() {
    let (database, receiver, still) = one_endpoint("", &SHORT_LEASE).await;
    receiver.hold();
    database.insert_many("order.created", 20).await;
    eventually("some are under way", || async { receiver.under_way() >= 10 }).await;
    still.signal("STOP").await;
    let other = Dispatcher::start(&database, &SHORT_LEASE).await;
    other.logged("took back").await;
    still.signal("CONT").await;
    receiver.release();

    database.until("select count(*) = 2 from postrider.dispatcher_status").await;
    database.until_settled().await;
    database.insert_many("order.created", 20).await;
    database.until_settled().await;
    // The other one may have settled everything before this one has read the answers.
    still.logged("their claims were lost").await;

    let log = still.log();
    let said = ["lease lost", "their claims were lost"].map(|line| log.matches(line).count());
    assert_eq!(said, [1, 1], "{log}");
}

#[tokio::test]
async fn no_attempt_lasts_longer_than_half_of_the_lease() {
    let (database, receiver, _dispatcher) = one_endpoint("timeout => '30s'", &SHORT_LEASE).await;
    receiver.hold();

    database.insert("order.created", "1").await;
    database.until("select exists (select from postrider.attempt_log)").await;

    let error: String =
        database.value("select error from postrider.attempt_log order by attempt limit 1").await;
    assert_eq!(error, "timeout: no answer within 1s");
}

#[tokio::test]
async fn what_a_killed_dispatcher_held_is_taken_back_within_15_s_after_its_lease() {
    let (database, receiver, killed) = one_endpoint("", &[]).await;
    receiver.hold();
    database.insert("order.created", "1").await;
    receiver.next().await;
    let other = Dispatcher::start(&database, &[]).await;
    killed.kill().await;
    // Its minute has passed.
    database
        .execute(
            "create table public.ended as select clock_timestamp() as at;
             update postrider.dispatcher set lease_until = clock_timestamp() where id = 1",
        )
        .await;

    other.logged("took back 1 deliveries").await;

    assert!(database.is("select clock_timestamp() < at + interval '15 s' from public.ended").await);
}

/// A dispatcher in this process, on a runtime of which every thread waits for nothing.
struct Blocked {
    holds: Vec<mpsc::Sender<()>>,
    runtime: Option<Runtime>,
    _dispatcher: InProcess,
}

impl Blocked {
    async fn start(database: &Database) -> Self {
        const THREADS: usize = 2;
        let url = database.url.clone();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        let start = move || {
            handle.block_on(async {
                let config = config(&url);
                InProcess::prepare_schema(&config).await.unwrap();
                let descriptors = InProcess::share_descriptors(&config);
                InProcess::start(config, descriptors, Arc::default()).await.unwrap()
            })
        };
        let dispatcher = tokio::task::spawn_blocking(start).await.unwrap();
        let (blocks, blocked) = mpsc::channel();
        let mut holds = Vec::new();
        for _ in 0..THREADS {
            let (hold, ended) = mpsc::channel::<()>();
            let blocks = blocks.clone();
            holds.push(hold);
            runtime.spawn(async move {
                blocks.send(()).unwrap();
                // Ends when its sender is dropped.
                assert!(ended.recv().is_err());
            });
        }
        tokio::task::spawn_blocking(move || (0..THREADS).for_each(|_| blocked.recv().unwrap()))
            .await
            .unwrap();
        Self { holds, runtime: Some(runtime), _dispatcher: dispatcher }
    }

    /// Its threads go on.
    fn release(mut self) {
        self.holds.clear();
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.holds.clear();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn config(url: &str) -> DispatcherConfig {
    let arguments =
        ["postrider", "run", "--database-url", url, "--api-listen", "127.0.0.1:0", "--log", "off"];
    let cli = Cli::try_parse_from(arguments.iter().chain(&SHORT_LEASE)).unwrap();
    let settings = Settings::load(&cli.global);
    let Command::Run(typed) = cli.command else { unreachable!() };
    RunConfig::check(settings, cli.global.database_url, *typed).unwrap().dispatcher
}
