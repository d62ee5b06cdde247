//! The listening connection in trouble: it is missed soon, it hears everything, and it never holds up producers.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::{Database, Dispatcher, Proxy, Receiver, Scraped, Toxic, Toxics, connect, one_endpoint};

/// Notifications, and a fallback poll that comes too late for any test.
const RING_ALONE: [&str; 4] = ["--wake", "notify", "--poll-interval", "1h"];
/// Notifications, and a fallback poll soon enough for a test.
const RING_AND_POLL: [&str; 4] = ["--wake", "notify", "--poll-interval", "200ms"];
const LISTENER: &str = "select from pg_stat_activity \
    where datname = current_database() and application_name = 'postrider listener'";
/// How often unrouted events were looked for.
const LOOKS: &str =
    "(select idx_scan from pg_stat_user_indexes where indexrelname = 'outbox_by_transaction')";
const HOLE: Toxic = Toxic {
    latency: Duration::ZERO,
    jitter: Duration::ZERO,
    slice: None,
    bytes_per_s: None,
    is_hole: true,
    cut_after: None,
};

#[tokio::test]
async fn a_half_open_listening_connection_is_given_up_within_30_s() {
    let (database, _receiver, proxy, dispatcher) = listening_through_a_proxy(&RING_ALONE).await;
    let begun = Instant::now();

    proxy.set(Toxics { up: HOLE, down: HOLE, ..Toxics::default() });
    database
        .until("select wake_mode = 'poll' and wake_reason like '%does not answer%' from postrider.dispatcher_status")
        .await;

    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert!(dispatcher.log().contains("polling until notifications work again"), "{}", dispatcher.log());
}

#[tokio::test]
async fn what_was_inserted_while_the_listening_connection_was_half_open_is_delivered_when_it_is_back() {
    let (database, receiver, proxy, _dispatcher) = listening_through_a_proxy(&RING_ALONE).await;
    proxy.set(Toxics { up: HOLE, down: HOLE, ..Toxics::default() });
    database.until("select wake_mode = 'poll' from postrider.dispatcher_status").await;

    database.insert("order.created", "1").await;
    proxy.heal();

    assert_eq!(receiver.next().await.text(), "1");
}

#[tokio::test]
async fn a_connection_that_does_not_listen_any_more_is_noticed_within_60_s() {
    let (database, receiver, proxy, dispatcher) = listening_through_a_proxy(&RING_AND_POLL).await;

    proxy.set(Toxics { is_deaf: true, ..Toxics::default() });
    database
        .until("select wake_mode = 'poll' and wake_reason like '%do not come back%' from postrider.dispatcher_status")
        .await;
    database.insert("order.created", "1").await;

    assert_eq!(receiver.next().await.text(), "1");
    assert!(dispatcher.log().contains("polling until notifications work again"), "{}", dispatcher.log());
}

#[tokio::test]
async fn every_notification_is_heard_while_the_connection_is_asked_for_other_things() {
    let (database, _receiver, dispatcher) = one_endpoint("", &RING_ALONE).await;

    // Each wakes the dispatcher, which disarms and arms the bell over the same connection, and three heartbeats pass.
    for _ in 0..2000 {
        database.execute("select pg_notify('postrider', ''), pg_sleep(0.0015)").await;
    }

    Scraped::until(&dispatcher, "all are heard", |scraped| {
        scraped.value("postrider_notifications_received_total") == Some(2000.0)
    })
    .await;
}

#[tokio::test]
async fn a_dispatcher_that_does_not_read_does_not_fill_the_notification_queue() {
    let (database, receiver, dispatcher) = one_endpoint("", &RING_ALONE).await;
    dispatcher.signal("STOP").await;

    // More than the socket takes on both sides.
    database
        .execute("select pg_notify('postrider', repeat('x', 7900) || n) from generate_series(1, 8000) as n")
        .await;
    database.until("select pg_notification_queue_usage() > 0.001").await;
    database.insert("order.created", "1").await;
    database.until(&format!("select not exists ({LISTENER})")).await;
    database.until("select pg_notification_queue_usage() = 0").await;
    dispatcher.signal("CONT").await;

    assert_eq!(receiver.next().await.text(), "1");
}

#[tokio::test]
async fn a_flood_of_strange_notifications_is_no_data_and_a_few_looks() {
    let (database, receiver, dispatcher) = one_endpoint("", &RING_ALONE).await;
    let stranger = connect(&database.login(None).await).await;

    for round in 0..40 {
        stranger
            .batch_execute(&format!(
                "select pg_notify('postrider', '{{\"id\": ' || n || '}} '' -- ; drop table \\ {round}') \
                 from generate_series(1, 1000) as n"
            ))
            .await
            .unwrap();
        if round % 10 == 0 {
            database.insert("order.created", &round.to_string()).await;
            assert_eq!(receiver.next().await.text(), round.to_string());
        }
    }
    Scraped::until(&dispatcher, "all are heard", |scraped| {
        scraped.value("postrider_notifications_received_total") >= Some(40_000.0)
    })
    .await;
    database.until_bell_is_armed().await;
    assert!(dispatcher.terminate().await.success());
    // A session tells what it did when it ends.
    database.until(&format!("select {LOOKS} >= 4")).await;

    let looks: i64 = database.value(&format!("select {LOOKS}")).await;
    assert!(looks < 4000, "{looks} looks after 40,000 notifications");
    assert_eq!(receiver.count(), 4);
}

#[tokio::test]
async fn a_notification_queue_that_fills_up_is_warned_about() {
    let database = Database::new().await;
    database
        .execute(
            "set allow_system_table_mods = on;
             alter function pg_notification_queue_usage() rename to pg_notification_queue_usage_in_truth;
             create function pg_catalog.pg_notification_queue_usage() returns float8 language sql return 0.2",
        )
        .await;

    let dispatcher = Dispatcher::start(&database, &RING_ALONE).await;

    dispatcher.logged("notification queue is 20 % full").await;
}

/// A dispatcher that listens through a proxy, and does all else without one.
async fn listening_through_a_proxy(flags: &[&str]) -> (Database, Receiver, Proxy, Dispatcher) {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    let proxy = Proxy::to_postgres(&database.url).await;
    let url = proxy.url(&database.url);
    let dispatcher = Dispatcher::start(&database, &[flags, &["--listen-database-url", &url]].concat()).await;
    (database, receiver, proxy, dispatcher)
}
