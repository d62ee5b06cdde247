//! Signals: what is in flight is finished, the rest is given back, nothing is lost.

use std::time::Duration;

use serde_json::json;

use crate::support::{Database, Dispatcher, Receiver, eventually, one_endpoint};

const SHORT_GRACE: [&str; 2] = ["--grace-period", "1s"];

#[tokio::test]
async fn sigterm_under_load_ends_with_exit_code_0() {
    let (_database, _receiver, mut dispatcher) = under_load().await;

    dispatcher.signal("TERM").await;

    assert_eq!(dispatcher.ended().await.code(), Some(0));
}

#[tokio::test]
async fn sigint_under_load_ends_with_exit_code_0() {
    let (_database, _receiver, mut dispatcher) = under_load().await;

    dispatcher.signal("INT").await;

    assert_eq!(dispatcher.ended().await.code(), Some(0));
}

#[tokio::test]
async fn sigterm_under_load_leaves_nothing_in_progress() {
    let (database, _receiver, dispatcher) = under_load().await;

    dispatcher.terminate().await;

    assert_eq!(database.count("in_progress").await, 0);
    database.assert_row("select count(*) from postrider.claim", json!({"count": 0})).await;
}

#[tokio::test]
async fn what_was_in_flight_at_sigterm_is_settled() {
    let (database, receiver, dispatcher) = under_load().await;

    dispatcher.terminate().await;

    // As many are complete as arrived: none is sent again.
    assert_eq!(database.count("complete").await, receiver.count());
    assert_eq!(receiver.webhook_ids().len(), receiver.count());
}

#[tokio::test]
async fn sigterm_under_load_loses_nothing() {
    let (database, receiver, dispatcher) = under_load().await;

    dispatcher.terminate().await;
    let before = receiver.count();
    let _next = Dispatcher::start(&database, &[]).await;
    database.until_settled().await;

    assert!(before < 2000, "it was stopped too late to show anything");
    assert_eq!((receiver.count(), receiver.webhook_ids().len()), (2000, 2000));
}

#[tokio::test]
async fn nothing_begins_after_sigterm() {
    let (database, receiver, mut dispatcher) = one_endpoint("", &[]).await;
    receiver.hold();
    database.insert("order.created", "1").await;
    receiver.next().await;
    dispatcher.signal("TERM").await;
    dispatcher.logged("SIGTERM").await;

    database.insert("order.created", "2").await;
    receiver.release();
    dispatcher.ended().await;

    assert_eq!(receiver.count(), 1);
    database
        .assert_row("select unrouted + pending as waiting from postrider.backlog", json!({"waiting": 1}))
        .await;
}

#[tokio::test]
async fn a_stopped_dispatcher_is_gone_from_the_status() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;

    dispatcher.terminate().await;

    database.assert_row("select count(*) from postrider.dispatcher_status", json!({"count": 0})).await;
}

#[tokio::test]
async fn a_stopped_leader_leaves_the_bell_to_the_next() {
    let flags = ["--wake", "notify", "--poll-interval", "200ms"];
    let (database, receiver, leader) = one_endpoint("", &flags).await;
    database.until_bell_is_armed().await;
    let next = Dispatcher::start(&database, &flags).await;

    leader.terminate().await;
    next.logged("leading").await;
    database.until_bell_is_armed().await;
    database.insert("order.created", "1").await;

    assert_eq!(receiver.next().await.text(), "1");
}

#[tokio::test]
async fn what_hangs_beyond_the_grace_period_is_given_back_at_once() {
    let (database, receiver, dispatcher) = one_endpoint("", &SHORT_GRACE).await;
    receiver.hold();
    database.insert_many("order.created", 100).await;
    eventually("some hang", || async { receiver.count() >= 10 }).await;

    let ended = dispatcher.terminate().await;

    assert_eq!(ended.code(), Some(0));
    database
        .assert_row(
            "select unrouted + pending as waiting, in_progress,
                    unrouted > 0 or oldest_due_at <= clock_timestamp() as is_one_due
             from postrider.backlog",
            json!({"waiting": 100, "in_progress": 0, "is_one_due": true}),
        )
        .await;
}

#[tokio::test]
async fn what_was_given_back_is_delivered_without_waiting_for_a_lease() {
    // An hour: whoever waited for it would still be waiting.
    let (database, receiver, dispatcher) = one_endpoint("", &["--grace-period", "1s", "--lease", "1h"]).await;
    receiver.hold();
    database.insert_many("order.created", 100).await;
    eventually("some hang", || async { receiver.count() >= 10 }).await;
    dispatcher.terminate().await;

    receiver.release();
    let _next = Dispatcher::start(&database, &[]).await;
    database.until_settled().await;

    assert_eq!(database.count("complete").await, 100);
}

#[tokio::test]
async fn an_attempt_that_was_cut_off_counts() {
    let (database, receiver, dispatcher) = one_endpoint("", &SHORT_GRACE).await;
    receiver.hold();
    database.insert("order.created", "1").await;
    receiver.next().await;

    dispatcher.terminate().await;

    let attempts: i32 = database.value("select attempts from postrider.delivery_status").await;
    assert_eq!(attempts, 1);
}

#[tokio::test]
async fn an_attempt_that_was_never_begun_does_not_count() {
    let (database, _receiver, dispatcher) = under_load().await;

    dispatcher.terminate().await;

    database
        .assert_row(
            "select distinct attempts from postrider.delivery_status where status = 'pending'",
            json!({"attempts": 0}),
        )
        .await;
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_with_exit_code_1() {
    let (database, receiver, mut dispatcher) = one_endpoint("", &["--grace-period", "1h"]).await;
    receiver.hold();
    database.insert("order.created", "1").await;
    receiver.next().await;
    dispatcher.signal("TERM").await;
    dispatcher.logged("SIGTERM").await;

    dispatcher.signal("TERM").await;

    assert_eq!(dispatcher.ended().await.code(), Some(1));
}

/// A dispatcher with 2000 events: some are delivered, 64 are under way, more are claimed and queued.
async fn under_load() -> (Database, Receiver, Dispatcher) {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    receiver.answer_after(Duration::from_millis(100));
    database.insert_many("order.created", 2000).await;
    database.until("select count(*) > 150 from postrider.delivery_status where status = 'in_progress'").await;
    (database, receiver, dispatcher)
}
