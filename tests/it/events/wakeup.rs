//! How a dispatcher learns of new events: the ring, the poll, and what happens when the listening connection is lost. The
//! bell under load is in `bell`, listening under trouble in `listen_connection`, the leadership in `dispatchers::leadership`.

use crate::support::{Database, Dispatcher, Listener, Receiver, one_endpoint, skip};

/// Notifications, and a fallback poll that comes too late for any test.
const RING_ALONE: [&str; 4] = ["--wake", "notify", "--poll-interval", "1h"];
/// Notifications, and a fallback poll soon enough for a test.
const RING_AND_POLL: [&str; 4] = ["--wake", "notify", "--poll-interval", "200ms"];

const LISTENER: &str = "select pid from pg_stat_activity \
    where datname = current_database() and application_name = 'postrider listener'";

#[tokio::test]
async fn a_ring_alone_delivers() {
    let (database, receiver, _dispatcher) = one_endpoint("", &RING_ALONE).await;

    // Each insert meets the dispatcher at another point of its way to sleep.
    for number in 0..200 {
        let payload = number.to_string();
        database.insert("order.created", &payload).await;

        assert_eq!(receiver.next().await.text(), payload);
    }
}

#[tokio::test]
async fn a_ring_wakes_a_dispatcher_that_sleeps() {
    let (database, receiver, _dispatcher) = one_endpoint("", &RING_ALONE).await;

    for number in 0..20 {
        let payload = number.to_string();
        database.until_bell_is_armed().await;
        database.insert("order.created", &payload).await;

        assert_eq!(receiver.next().await.text(), payload);
    }
}

#[tokio::test]
async fn an_insert_of_a_mere_producer_rings() {
    let (database, receiver, _dispatcher) = one_endpoint("", &RING_ALONE).await;
    let producer = database.connect().await;
    producer.batch_execute("set role postrider_producer").await.unwrap();
    database.until_bell_is_armed().await;

    producer
        .batch_execute("insert into postrider.outbox (topic, payload) values ('order.created', '1')")
        .await
        .unwrap();

    assert_eq!(receiver.next().await.text(), "1");
}

#[tokio::test]
async fn the_poll_alone_delivers() {
    let (database, receiver, _dispatcher) =
        one_endpoint("", &["--wake", "poll", "--poll-interval", "100ms"]).await;

    for number in 0..10 {
        let payload = number.to_string();
        database.insert("order.created", &payload).await;

        assert_eq!(receiver.next().await.text(), payload);
    }
}

#[tokio::test]
async fn a_dispatcher_told_to_poll_does_not_listen() {
    let (database, receiver, _dispatcher) =
        one_endpoint("", &["--wake", "poll", "--poll-interval", "100ms"]).await;

    database.insert("order.created", "1").await;
    receiver.next().await;

    database.assert_rows(LISTENER, vec![]).await;
}

#[tokio::test]
async fn a_dispatcher_told_to_sleep_leaves_the_database_alone_between_two_polls() {
    let flags = ["--wake", "sleep", "--poll-interval", "20s", "--lease", "1h"];
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    let _dispatcher = Dispatcher::spawn(&database.url, &flags);
    database.until("select count(*) = 1 from postrider.dispatcher_status where wake_mode = 'sleep' and wake_reason is null").await;

    // Longer than maintenance otherwise lets it be.
    database
        .until(
            "select now() - max(state_change) > interval '14 s' from pg_stat_activity
             where datname = current_database() and application_name like 'postrider%'",
        )
        .await;
    database.insert("order.created", "1").await;

    assert_eq!(receiver.next().await.text(), "1");
}

#[tokio::test]
async fn after_idling_an_insert_rings_once() {
    let (database, receiver, _dispatcher) = one_endpoint("", &RING_ALONE).await;
    database.insert_many("order.created", 100).await;
    database.until_settled().await;
    let listener = Listener::listen(&database).await;
    database.until_bell_is_armed().await;

    database.insert_many("order.created", 100).await;
    database.until_settled().await;

    assert_eq!(listener.rings().await, 1);
    assert_eq!(receiver.count(), 200);
}

#[tokio::test]
async fn nobody_rings_while_no_dispatcher_runs() {
    let database = Database::new().await;
    let listener = Listener::listen(&database).await;

    database.insert("order.created", "1").await;

    assert_eq!(listener.rings().await, 0);
}

#[tokio::test]
async fn a_session_that_switched_the_ring_off_rings_nobody() {
    let (database, _receiver, _dispatcher) = one_endpoint("", &RING_ALONE).await;
    let listener = Listener::listen(&database).await;
    database.until_bell_is_armed().await;

    database
        .execute("set postrider.ring = off; insert into postrider.outbox (topic, payload) values ('order.created', '1')")
        .await;

    assert_eq!(listener.rings().await, 0);
}

#[tokio::test]
async fn a_session_that_switched_the_ring_off_may_prepare_a_transaction() {
    let (database, receiver, _dispatcher) = one_endpoint("", &RING_AND_POLL).await;
    let producer = database.connect().await;
    let prepare = |id: &str| {
        format!(
            "begin; insert into postrider.outbox (topic, payload) values ('order.created', '1'); prepare transaction '{id}'"
        )
    };
    if database.is("select current_setting('max_prepared_transactions') = '0'").await {
        skip(
            "events::wakeup::a_session_that_switched_the_ring_off_may_prepare_a_transaction",
            "max_prepared_transactions is 0",
        );
        return;
    }
    // A transaction id is the cluster's, not the database's.
    let id: String = database.value("select current_database()::text").await;
    database.until_bell_is_armed().await;

    producer.batch_execute("set postrider.ring = off").await.unwrap();
    producer.batch_execute(&prepare(&id)).await.unwrap();
    producer.batch_execute(&format!("commit prepared '{id}'")).await.unwrap();

    assert_eq!(receiver.next().await.text(), "1");
}

#[tokio::test]
async fn a_ring_that_fails_does_not_fail_the_insert() {
    let (database, receiver, _dispatcher) = one_endpoint("", &RING_AND_POLL).await;
    database
        .execute(
            "create or replace function postrider.bell_key() returns bigint language plpgsql as \
             $$ begin raise exception 'out of order'; end $$",
        )
        .await;

    database.insert("order.created", "1").await;

    assert_eq!(receiver.next().await.text(), "1");
}

#[tokio::test]
async fn a_dispatcher_that_leads_later_than_it_listens_arms_the_bell() {
    let database = Database::new().await;
    // The lock is asked for on the listening connection, the first look goes over another.
    database
        .execute(
            "create or replace function postrider.leader_key() returns bigint language plpgsql immutable as \
             $$ begin perform pg_sleep(0.5); return hashtextextended('postrider.leader', 0); end $$",
        )
        .await;

    let _dispatcher = Dispatcher::start(&database, &RING_ALONE).await;

    database.until_bell_is_armed().await;
}

#[tokio::test]
async fn events_are_delivered_while_and_after_the_listening_connection_is_lost() {
    let (database, receiver, _dispatcher) = one_endpoint("", &RING_ALONE).await;
    let lost: i32 = database.value(LISTENER).await;

    database.execute(&format!("select pg_terminate_backend({lost})")).await;
    database.insert("order.created", "1").await;
    let first = receiver.next().await;
    until_listening_again(&database, lost).await;
    database.until_bell_is_armed().await;
    database.insert("order.created", "2").await;
    let second = receiver.next().await;

    assert_eq!((first.text(), second.text()), ("1", "2"));
}

#[tokio::test]
async fn an_event_committed_while_nobody_listens_is_found_as_soon_as_somebody_does() {
    let (database, receiver, _dispatcher) = one_endpoint("", &RING_ALONE).await;
    let lost: i32 = database.value(LISTENER).await;
    database.admit_connections(false).await;
    database.execute(&format!("select pg_terminate_backend({lost})")).await;
    database.until("select wake_mode = 'poll' from postrider.dispatcher_status").await;

    database.insert("order.created", "1").await;
    database.admit_connections(true).await;

    assert_eq!(receiver.next().await.text(), "1");
    until_listening_again(&database, lost).await;
}

#[tokio::test]
async fn a_dispatcher_that_cannot_listen_polls_and_says_why() {
    let (database, receiver, _dispatcher) = one_endpoint("", &RING_AND_POLL).await;
    let lost: i32 = database.value(LISTENER).await;
    database.admit_connections(false).await;
    database.execute(&format!("select pg_terminate_backend({lost})")).await;
    database
        .until("select wake_mode = 'poll' and wake_reason like '%connect%' from postrider.dispatcher_status")
        .await;

    database.insert("order.created", "1").await;

    assert_eq!(receiver.next().await.text(), "1");
}

async fn until_listening_again(database: &Database, lost: i32) {
    database
        .until(&format!(
            "select wake_mode = 'notify' and exists ({LISTENER} and pid <> {lost}) from postrider.dispatcher_status"
        ))
        .await;
}
