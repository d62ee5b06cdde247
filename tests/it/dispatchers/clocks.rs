//! Clocks that are wrong and times that are odd: leases, due times and order follow the database's clock alone.

use std::path::Path;

use tokio::process::Command;

use crate::support::{Database, Dispatcher, Folder, Receiver, command, one_endpoint, skip};

#[tokio::test]
async fn a_dispatcher_whose_clock_is_ten_years_ahead_dates_its_requests_by_the_database() {
    let Some(clock) = Clock::set("+10y").await else { return };
    let (database, receiver) = before_start().await;
    let _dispatcher = clock.start(&database, &[]).await;

    database.insert("order.created", "1").await;

    let sent_at: i64 = receiver.next().await.header("webhook-timestamp").parse().unwrap();
    let now: i64 = database.value("select extract(epoch from now())::bigint").await;
    assert!((now - 60..=now + 1).contains(&sent_at), "{sent_at}, now {now}");
}

#[tokio::test]
async fn a_dispatcher_whose_clock_is_not_the_databases_says_by_how_much() {
    let database = Database::new().await;
    for (off, than) in [("+3630s", Some("behind")), ("-3630s", Some("ahead of")), ("+0s", None)] {
        let Some(clock) = Clock::set(off).await else { return };

        let dispatcher = clock.start(&database, &[]).await;

        dispatcher.logged(" runs, schema version").await;
        let log = dispatcher.log();
        let said = log.lines().find_map(|line| line.split_once("the database's clock is "));
        // Less what the question took.
        let is_said = |than| said.is_some_and(|(_, says)| says.starts_with("1h") && says.contains(than));
        assert_eq!(than.is_some(), said.is_some(), "{off}: {log}");
        assert!(than.is_none_or(is_said), "{off}: {log}");
    }
}

#[tokio::test]
async fn a_dispatcher_whose_clock_jumps_while_it_runs_keeps_its_lease_and_delivers() {
    let Some(clock) = Clock::set("+0s").await else { return };
    let (database, receiver) = before_start().await;
    let dispatcher = clock.start(&database, &["--lease", "3s", "--request-timeout", "1s"]).await;
    database.insert("order.created", "0").await;
    receiver.next().await;

    for (jump, payload) in [("+1h", "1"), ("-10y", "2"), ("+10y", "3")] {
        clock.jump(jump);
        database
            .execute("create table if not exists seen as select lease_until from postrider.dispatcher")
            .await;
        database
            .execute("update seen set lease_until = (select lease_until from postrider.dispatcher)")
            .await;
        database
            .until("select d.lease_until > s.lease_until from postrider.dispatcher as d, seen as s")
            .await;
        database.insert("order.created", payload).await;

        assert_eq!(receiver.next().await.text(), payload, "{jump}");
    }
    assert!(!dispatcher.log().contains("lease lost"), "{}", dispatcher.log());
}

#[tokio::test]
async fn dispatchers_whose_clocks_differ_take_nothing_from_each_other() {
    let Some(behind) = Clock::set("-5m").await else { return };
    let Some(ahead) = Clock::set("+5m").await else { return };
    let (database, receiver) = before_start().await;
    let holder = behind.start(&database, &[]).await;
    receiver.hold();
    database.insert("order.created", "1").await;
    receiver.next().await;
    holder.signal("STOP").await;

    // The holder stands still: only the other can clear this away, and what else it takes for dead.
    let dead = "insert into postrider.dispatcher (host, version, lease_until, wake_mode)
                values ('dead', '0', now() - interval '1 second', 'poll')";
    database.execute(dead).await;
    let _other = ahead.start(&database, &[]).await;
    database.until("select not exists (select from postrider.dispatcher where host = 'dead')").await;
    holder.signal("CONT").await;
    receiver.release();
    database.until_settled().await;

    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn events_for_odd_times_do_not_hold_up_each_other() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;

    database
        .execute(
            // New endpoints are read after the events were claimed: the clock goes on before their due times are set.
            "select postrider.put_endpoint('two-' || n, 'https://example.com', '{nothing}') from generate_series(1, 1000) as n;
             set timezone = 'Europe/Berlin';
             insert into postrider.outbox (topic, payload, deliver_after) values
                 ('order.created', '\"the last moment\"', '294276-12-31 23:59:59.999999+00'),
                 ('order.created', '\"the first moment\"', '4714-11-24 00:00:00+00 BC'),
                 ('order.created', '\"a leap second\"', '2016-12-31 23:59:60+00'),
                 ('order.created', '\"an hour that did not exist\"', '2026-03-29 02:30:00'),
                 ('order.created', '\"an hour that came twice\"', '2025-10-26 02:30:00')",
        )
        .await;
    let mut arrived = Vec::new();
    for _ in 0..4 {
        arrived.push(receiver.next().await.text().to_owned());
    }
    arrived.sort();

    assert_eq!(
        arrived,
        [
            r#""a leap second""#,
            r#""an hour that came twice""#,
            r#""an hour that did not exist""#,
            r#""the first moment""#
        ]
    );
    let waits = "select count(*) = 1 from postrider.delivery_status where status = 'pending' and next_attempt_at > now() + interval '10000 years'";
    database.until(waits).await;
}

/// A wall clock of one process, by libfaketime; what waits and deadlines are measured with goes on as it is.
struct Clock {
    folder: Folder,
    library: String,
}

impl Clock {
    /// One that is so far off; none: there is no libfaketime here, which is said.
    async fn set(off: &str) -> Option<Self> {
        let library = library().await;
        if library.is_none() {
            skip("clocks", "no libfaketime here (Debian's package has that name)");
        }
        let clock = Self { folder: Folder::new(), library: library? };
        clock.jump(off);
        Some(clock)
    }

    fn jump(&self, off: &str) {
        // In one step: a reader never sees half of it.
        let (next, now) = (self.folder.path().join("next"), self.folder.path().join("off"));
        std::fs::write(&next, off).unwrap();
        std::fs::rename(next, now).unwrap();
    }

    async fn start(&self, database: &Database, flags: &[&str]) -> Dispatcher {
        let mut run =
            command(&["run", "--allow-http", "--allow-cidr", "127.0.0.0/8", "--api-listen", "127.0.0.1:0"]);
        run.args(flags)
            .env("DATABASE_URL", &database.url)
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", self.folder.path().join("off"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let dispatcher = Dispatcher::of(run);
        dispatcher.logged("listening for notifications").await;
        dispatcher
    }
}

/// Where libfaketime for threads is.
async fn library() -> Option<String> {
    let machine = Command::new("uname").arg("-m").output().await.ok()?;
    let machine = String::from_utf8(machine.stdout).ok()?;
    [
        format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", machine.trim()),
        "/usr/lib64/faketime/libfaketimeMT.so.1".to_owned(),
    ]
    .into_iter()
    .find(|path| Path::new(path).exists())
}

async fn before_start() -> (Database, Receiver) {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    (database, receiver)
}
