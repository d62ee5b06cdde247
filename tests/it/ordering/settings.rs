//! `on_failed`, named early or changed late.

use super::scene::{SHORT_LEASE, has_status, insert, ordered_database};
use crate::support::{Database, Dispatcher, LaneReceiver, Rules};

/// Events 1 of key a that are given up.
const DOOMED: Rules =
    Rules { is_doomed: |key, number| key == "a" && number == 1, tries_min: 2, has_faults: false };

#[tokio::test]
async fn on_failed_that_was_named_before_the_endpoint_was_ordered_counts_once_it_is() {
    let database = Database::new().await;
    let receiver = LaneReceiver::start_with(DOOMED).await;
    let more = "on_failed => 'continue', retry_schedule => '{1ms}'";
    database.put_endpoint("one", &receiver.url(), "**", more).await;
    database.execute("select postrider.set_endpoint('one', '{\"ordered\": true}')").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    for _ in 0..2 {
        receiver.answer_once("a", 1, 500);
    }

    insert(&database, "a", 1..=5).await;
    database.until_settled().await;

    receiver.assert_in_order(&[("a", 5)]);
    assert_eq!((database.count("failed").await, database.count("complete").await), (1, 4));
}

#[tokio::test]
async fn a_key_that_is_held_up_goes_on_when_its_endpoint_is_told_to_continue() {
    let (database, receiver) = ordered_database("retry_schedule => '{1ms}'", DOOMED).await;
    let _dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;
    for _ in 0..2 {
        receiver.answer_once("a", 1, 500);
    }
    insert(&database, "a", 1..=5).await;
    database.until(&has_status("a", 1, "failed")).await;
    let sent = receiver.numbers("a");

    database.execute("select postrider.set_endpoint('one', '{\"on_failed\": \"continue\"}')").await;
    database.until_settled().await;

    assert_eq!(sent, [1, 1]);
    receiver.assert_in_order(&[("a", 5)]);
    assert_eq!(database.count("complete").await, 4);
}
