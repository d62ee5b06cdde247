//! What people and producers do to the head of a key: retry, replay, cancel, `deliver_after`, `destination`, and what retention does.

use serde_json::json;
use tokio_postgres::error::SqlState;

use super::scene::{
    HOURS, delivery, event, has_failed, has_status, insert, lane_events, ordered_database, ordered_endpoint,
    retry, until_routed,
};
use crate::support::{Dispatcher, Rules, SHORT_RETENTION, soon};

#[tokio::test]
async fn a_retried_delivery_that_its_key_has_passed_goes_behind_what_waits() {
    let rules = Rules { is_doomed: |_, number| number == 1, tries_min: 2, has_faults: true };
    let more = "retry_schedule => '{1ms}', on_failed => 'continue'";
    let (database, receiver) = ordered_database(more, rules).await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    receiver.answer_once("a", 1, 500);
    receiver.answer_once("a", 1, 500);
    insert(&database, "a", 1..=3).await;
    database.until_settled().await;
    receiver.hold("a");
    insert(&database, "a", 4..=6).await;
    receiver.until_number("a", 4).await;
    until_routed(&database).await;

    retry(&database, "a", 1).await;
    receiver.release("a");
    database.until_settled().await;

    assert_eq!(receiver.numbers("a"), [1, 1, 2, 3, 4, 5, 6, 1]);
    database.assert_row("select distinct status from postrider.outbox", json!({"status": "complete"})).await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_follower_cannot_be_retried_past_its_head() {
    let (database, receiver, _dispatcher) = ordered_endpoint(HOURS, &[]).await;
    receiver.answer_once("a", 1, 500);
    insert(&database, "a", 1..=5).await;
    database.until(&has_failed("a", 1, 1)).await;

    let refusal = database.refusal(&format!("select postrider.retry({})", delivery("a", 3))).await;
    insert(&database, "b", 1..=5).await;
    database.until(&has_status("b", 5, "complete")).await;
    let sent = receiver.numbers("a");
    database.make_due().await;
    database.until_settled().await;

    assert_eq!(refusal.code(), &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    assert_eq!(sent, [1]);
    receiver.assert_in_order(&[("a", 5), ("b", 5)]);
}

#[tokio::test]
async fn replayed_events_come_behind_what_waits_in_order_of_their_ids() {
    let (database, receiver) = ordered_database(HOURS, Rules::AFTER_FAULTS).await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    insert(&database, "a", 1..=3).await;
    insert(&database, "b", 1..=3).await;
    database.until_settled().await;
    receiver.hold("a");
    insert(&database, "a", 4..=6).await;
    receiver.until_number("a", 4).await;
    until_routed(&database).await;

    let before = event("a", 4);
    database
        .execute(&format!(
            "select postrider.replay('one', '-infinity', (select created_at from postrider.outbox where id = {before}))"
        ))
        .await;
    receiver.until_numbers("b", 6).await;
    receiver.release("a");
    database.until_settled().await;

    assert_eq!(receiver.numbers("a"), [1, 2, 3, 4, 5, 6, 1, 2, 3]);
    assert_eq!(receiver.numbers("b"), [1, 2, 3, 1, 2, 3]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn what_follows_a_cancelled_head_comes_at_once() {
    let rules = Rules { is_doomed: |_, number| number == 1 || number == 3, tries_min: 0, has_faults: false };
    let (database, receiver) = ordered_database(HOURS, rules).await;
    let dispatcher = Dispatcher::start(&database, &["--poll-interval", "1h", "--wake", "notify"]).await;
    receiver.answer_once("a", 1, 500);
    insert(&database, "a", 1..=5).await;
    database.until(&has_failed("a", 1, 1)).await;

    // A follower, and then the head.
    for number in [3, 1] {
        database.execute(&format!("select * from postrider.cancel({})", event("a", number))).await;
    }
    soon(&database, &dispatcher, &has_status("a", 5, "complete")).await;

    assert_eq!(receiver.numbers("a"), [1, 2, 4, 5]);
    database.until_settled().await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn what_follows_a_head_that_is_cancelled_on_its_way_comes_after_its_answer() {
    let (database, receiver, _dispatcher) = ordered_endpoint(HOURS, &[]).await;
    receiver.hold("a");
    insert(&database, "a", 1..=3).await;
    receiver.until_number("a", 1).await;

    database.execute(&format!("select * from postrider.cancel({})", event("a", 1))).await;
    insert(&database, "b", 1..=3).await;
    database.until(&has_status("b", 3, "complete")).await;
    let sent = receiver.numbers("a");
    receiver.release("a");
    database.until_settled().await;

    assert_eq!(sent, [1]);
    receiver.assert_in_order(&[("a", 3), ("b", 3)]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_head_that_is_to_be_delivered_later_holds_up_its_key_and_no_other() {
    let (database, receiver, dispatcher) = ordered_endpoint(HOURS, &[]).await;
    database
        .execute(&format!(
            "begin; {}; update postrider.outbox set deliver_after = now() + interval '1 h'; commit",
            lane_events("a", 1..=1)
        ))
        .await;
    insert(&database, "a", 2..=5).await;
    insert(&database, "b", 1..=5).await;
    soon(&database, &dispatcher, &has_status("b", 5, "complete")).await;
    until_routed(&database).await;
    let sent = receiver.numbers("a");

    database.make_due().await;
    database.until_settled().await;

    assert_eq!(sent, Vec::<u64>::new());
    receiver.assert_in_order(&[("a", 5), ("b", 5)]);
}

#[tokio::test]
async fn a_follower_that_is_to_be_delivered_later_waits_for_its_time_when_it_is_the_head() {
    let (database, receiver, dispatcher) = ordered_endpoint(HOURS, &[]).await;
    receiver.hold("a");
    insert(&database, "a", 1..=2).await;
    database
        .execute(&format!(
            "begin; {}; update postrider.outbox set deliver_after = now() + interval '1 h' where id = {}; commit",
            lane_events("a", 3..=3),
            event("a", 3)
        ))
        .await;
    insert(&database, "a", 4..=5).await;
    until_routed(&database).await;

    receiver.release("a");
    soon(&database, &dispatcher, &has_status("a", 2, "complete")).await;
    let is_due_later = format!(
        "select d.next_attempt_at > clock_timestamp() + interval '50 min' from postrider.delivery_status as d
         where d.delivery_id = {}",
        delivery("a", 3)
    );
    soon(&database, &dispatcher, &is_due_later).await;
    let sent = receiver.numbers("a");
    database.make_due().await;
    database.until_settled().await;

    assert_eq!(sent, [1, 2]);
    receiver.assert_in_order(&[("a", 5)]);
    assert!(database.is("select bool_and(attempts = 1) from postrider.delivery_status").await);
}

#[tokio::test]
async fn an_event_with_a_destination_has_its_place_among_the_others_of_its_key() {
    let (database, receiver, _dispatcher) = ordered_endpoint(HOURS, &[]).await;
    receiver.hold("a");
    for number in 1..=12 {
        // Every third is for this endpoint alone, by its name.
        let destination = if number % 3 == 0 { "'one'" } else { "null" };
        database
            .execute(&format!(
                "insert into postrider.outbox (topic, key, destination, payload)
                 values ('lane.event', 'a', {destination}, json_build_object('key', 'a', 'number', {number}))"
            ))
            .await;
    }
    receiver.until_number("a", 1).await;
    until_routed(&database).await;
    let sent = receiver.numbers("a");

    receiver.release("a");
    database.until_settled().await;

    assert_eq!(sent, [1]);
    receiver.assert_in_order(&[("a", 12)]);
}

#[tokio::test]
async fn retention_deletes_no_event_that_holds_up_its_key() {
    let (database, receiver, _dispatcher) =
        ordered_endpoint("retry_schedule => '{1ms}'", &SHORT_RETENTION).await;
    receiver.answer("a", 500);
    insert(&database, "a", 1..=3).await;
    database.until(&has_status("a", 1, "failed")).await;
    insert(&database, "b", 1..=1).await;
    database.until(&has_status("b", 1, "complete")).await;
    database.make_older(400).await;

    // It comes after them in order of id: when it is gone, they have been looked at.
    database.until("select not exists (select from postrider.outbox where key = 'b')").await;
    let sent = receiver.numbers("a");
    receiver.answer("a", 200);
    retry(&database, "a", 1).await;
    database.until("select count(*) = 3 from postrider.delivery_status where status = 'complete'").await;

    assert_eq!(sent, [1, 1]);
    receiver.assert_in_order(&[("a", 3)]);
}
