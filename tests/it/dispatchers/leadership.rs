//! The leadership: one dispatcher arms the bell, the loop hears of it, and another one leads soon when it is lost.

use std::sync::Arc;
use std::time::Duration;

use postrider::dispatcher::wakeup::bell::{Armed, Bell, ListenSession};
use postrider::store::{WakeMode, WakeState};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::{Database, Dispatcher, Proxy, Receiver, Toxic, Toxics, one_endpoint};

/// Notifications, and a fallback poll that comes too late for any test.
const RING_ALONE: [&str; 4] = ["--wake", "notify", "--poll-interval", "1h"];
/// Eight seconds of silence, and patience with a busy machine.
const SECONDS: Duration = Duration::from_secs(30);

#[tokio::test]
async fn one_dispatcher_of_two_arms_the_bell() {
    let database = Database::new().await;
    let (one, two) = (connected(&database).await, connected(&database).await);

    one.seek_leadership().await;
    two.seek_leadership().await;

    assert_eq!((one.arm().await, two.arm().await), (Armed::Yes, Armed::NotOurs));
}

#[tokio::test]
async fn a_dispatcher_that_became_the_leader_looks_once_more() {
    let database = Database::new().await;
    let bell = connected(&database).await;
    let mut looks = bell.looks();
    // The loop has looked since the connection was made, found nothing, and sleeps: it could not arm the bell.
    assert_eq!(bell.arm().await, Armed::NotOurs);
    looks.mark_unchanged();

    bell.seek_leadership().await;

    assert!(looks.has_changed().unwrap());
}

#[tokio::test]
async fn the_bell_is_not_armed_while_a_producer_that_did_not_ring_is_in_flight() {
    let database = Database::new().await;
    let bell = connected(&database).await;
    bell.seek_leadership().await;
    database.execute("begin; insert into postrider.outbox (topic, payload) values ('a', '{}')").await;

    let during = bell.arm().await;
    database.execute("commit").await;
    let after = bell.arm().await;

    assert_eq!((during, after), (Armed::ProducersInFlight, Armed::Yes));
}

#[tokio::test]
async fn a_producer_does_not_hold_the_bell_for_what_it_rolled_back_to_a_savepoint() {
    let database = Database::new().await;
    let bell = connected(&database).await;
    bell.seek_leadership().await;
    database
        .execute(
            "begin; savepoint before; insert into postrider.outbox (topic, payload) values ('a', '{}');
             rollback to before",
        )
        .await;

    let armed = bell.arm().await;

    assert_eq!(armed, Armed::Yes);
}

#[tokio::test]
async fn the_only_dispatcher_leads() {
    let (database, _receiver, dispatcher) = one_endpoint("", &RING_ALONE).await;

    until_leading(&database, &dispatcher).await;
}

#[tokio::test]
async fn of_two_dispatchers_one_leads() {
    let (database, _receiver, first) = one_endpoint("", &RING_ALONE).await;
    until_leading(&database, &first).await;

    let _second = Dispatcher::start(&database, &RING_ALONE).await;
    database.until_bell_is_armed().await;

    database
        .assert_row(
            "select count(*), count(*) filter (where is_leader) as leaders from postrider.dispatcher_status",
            json!({"count": 2, "leaders": 1}),
        )
        .await;
}

#[tokio::test]
async fn leadership_moves_when_the_leader_is_killed() {
    let (database, receiver, first) = one_endpoint("", &RING_ALONE).await;
    until_leading(&database, &first).await;
    let second = Dispatcher::start(&database, &RING_ALONE).await;

    first.kill().await;
    until_leading(&database, &second).await;
    database.until_bell_is_armed().await;
    database.insert("order.created", "1").await;

    assert_eq!(receiver.next().await.text(), "1");
}

#[tokio::test]
async fn leadership_moves_within_seconds_when_the_leader_is_frozen() {
    let (database, receiver, _proxy, first, second) = two_dispatchers().await;
    let frozen_at = Instant::now();

    first.signal("STOP").await;
    until_leading(&database, &second).await;
    let took = frozen_at.elapsed();
    database.until_bell_is_armed().await;
    database.insert("order.created", "1").await;

    assert_eq!(receiver.next().await.text(), "1");
    assert!(took < SECONDS, "{took:?}");
}

#[tokio::test]
async fn leadership_moves_within_seconds_when_the_leader_is_cut_off() {
    let (database, receiver, proxy, _first, second) = two_dispatchers().await;
    let cut_at = Instant::now();

    // No end of the connection arrives anywhere.
    let hole = Toxic { is_hole: true, ..Toxic::default() };
    proxy.set(Toxics { up: hole, down: hole, ..Toxics::default() });
    until_leading(&database, &second).await;
    let took = cut_at.elapsed();
    database.until_bell_is_armed().await;
    database.insert("order.created", "1").await;

    assert_eq!(receiver.next().await.text(), "1");
    assert!(took < SECONDS, "{took:?}");
}

#[tokio::test]
async fn an_event_that_is_inserted_while_the_leader_is_frozen_is_delivered_without_a_poll() {
    let (database, receiver, _proxy, first, _second) = two_dispatchers().await;
    // Awake: no producer rings.
    let producer = database.keep_the_leader_awake().await;

    first.signal("STOP").await;
    database.insert("order.created", "1").await;

    assert_eq!(receiver.next().await.text(), "1");
    drop(producer);
}

#[tokio::test]
async fn a_leader_that_was_frozen_follows_when_it_goes_on() {
    let (database, receiver, _proxy, first, second) = two_dispatchers().await;
    first.signal("STOP").await;
    until_leading(&database, &second).await;

    first.signal("CONT").await;
    first.logged("polling until notifications work again").await;
    database
        .until("select count(*) filter (where wake_mode = 'notify') = 2 and count(*) filter (where is_leader) = 1 from postrider.dispatcher_status")
        .await;
    second.kill().await;
    until_leading(&database, &first).await;
    database.until_bell_is_armed().await;
    database.insert("order.created", "1").await;

    assert_eq!(receiver.next().await.text(), "1");
}

/// A bell with a listening connection, as after a start.
async fn connected(database: &Database) -> Bell {
    let bell = Bell::new(WakeState::at_start(WakeMode::Notify));
    let session = ListenSession::new(database.connect().await, CancellationToken::new()).await.unwrap();
    bell.connect(Arc::new(session));
    bell
}

/// One that leads and listens through a proxy, and another one.
async fn two_dispatchers() -> (Database, Receiver, Proxy, Dispatcher, Dispatcher) {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    let proxy = Proxy::to_postgres(&database.url).await;
    let url = proxy.url(&database.url);
    let first =
        Dispatcher::start(&database, &[&RING_ALONE[..], &["--listen-database-url", &url]].concat()).await;
    until_leading(&database, &first).await;
    let second = Dispatcher::start(&database, &RING_ALONE).await;
    (database, receiver, proxy, first, second)
}

async fn until_leading(database: &Database, dispatcher: &Dispatcher) {
    let pid = dispatcher.pid();
    database
        .until(&format!(
            "select exists (select from postrider.dispatcher_status where host like '%:{pid}' and is_leader)"
        ))
        .await;
}
