//! An endpoint that is changed while keys wait for it.

use serde_json::json;

use super::scene::{
    HOURS, SHORT_LEASE, has_failed, has_status, insert, ordered_database, ordered_endpoint, put_ordered,
    until_routed,
};
use crate::support::{Database, Dispatcher, LaneReceiver, Rules};

#[tokio::test]
async fn what_comes_after_an_endpoint_became_ordered_is_in_order() {
    let database = Database::new().await;
    let receiver = LaneReceiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", HOURS).await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    insert(&database, "b", 1..=1).await;
    receiver.until_number("b", 1).await;

    database.execute("select postrider.set_endpoint('one', '{\"ordered\": true}')").await;
    receiver.hold("a");
    insert(&database, "a", 1..=20).await;
    receiver.until_number("a", 1).await;
    until_routed(&database).await;
    let sent = receiver.numbers("a");
    receiver.release("a");
    database.until_settled().await;

    assert_eq!(sent, [1]);
    receiver.assert_in_order(&[("a", 20), ("b", 1)]);
}

#[tokio::test]
async fn events_that_waited_when_their_endpoint_became_ordered_are_all_sent() {
    let database = Database::new().await;
    let receiver = LaneReceiver::start_with(Rules::AFTER_FAULTS).await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    database.execute("select postrider.pause_endpoint('one')").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    insert(&database, "a", 1..=20).await;
    until_routed(&database).await;

    database.execute("select postrider.set_endpoint('one', '{\"ordered\": true}')").await;
    insert(&database, "a", 21..=40).await;
    until_routed(&database).await;
    database.execute("select postrider.resume_endpoint('one')").await;
    database.until_settled().await;

    let mut later = receiver.numbers("a");
    later.retain(|number| *number > 20);
    assert_eq!(later, (21..=40).collect::<Vec<_>>());
    assert_eq!(receiver.all().len(), 40);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn what_waits_behind_a_head_is_sent_when_its_endpoint_becomes_unordered() {
    let (database, receiver) = ordered_database(HOURS, Rules::AFTER_FAULTS).await;
    let _dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;
    receiver.answer_once("a", 1, 500);
    receiver.answer_once("b", 1, 500);
    insert(&database, "a", 1..=20).await;
    insert(&database, "b", 1..=20).await;
    database.until(&has_failed("a", 1, 1)).await;
    database.until(&has_failed("b", 1, 1)).await;

    database.execute("select postrider.set_endpoint('one', '{\"ordered\": false}')").await;
    receiver.until_numbers("a", 20).await;
    receiver.until_numbers("b", 20).await;
    database.until("select count(*) = 38 from postrider.delivery_status where status = 'complete'").await;
    database.make_due().await;
    database.until_settled().await;

    database
        .assert_row(
            "select count(*) filter (where lane is not null) as in_lanes, count(*) from postrider.delivery",
            json!({"in_lanes": 0, "count": 40}),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn what_waits_behind_a_failed_head_is_sent_when_its_endpoint_becomes_unordered() {
    let (database, receiver) = ordered_database("retry_schedule => '{1ms}'", Rules::AFTER_FAULTS).await;
    let _dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;
    receiver.answer_once("a", 1, 500);
    receiver.answer_once("a", 1, 500);
    insert(&database, "a", 1..=20).await;
    database.until(&has_status("a", 1, "failed")).await;

    database.execute("select postrider.set_endpoint('one', '{\"ordered\": false}')").await;
    database.until_settled().await;

    assert_eq!(database.count("complete").await, 19);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn an_endpoint_that_is_unordered_for_a_moment_loses_nothing() {
    let (database, receiver) = ordered_database(HOURS, Rules::AFTER_FAULTS).await;
    let _dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;
    receiver.hold("a");
    insert(&database, "a", 1..=50).await;
    receiver.until_number("a", 1).await;

    database.execute("select postrider.set_endpoint('one', '{\"ordered\": false}')").await;
    insert(&database, "a", 51..=60).await;
    database.execute("select postrider.set_endpoint('one', '{\"ordered\": true}')").await;
    insert(&database, "a", 61..=70).await;
    receiver.release("a");
    database.until_settled().await;

    // Whatever came while nobody asked for order may have come anyhow; what came later is in order.
    let mut later = receiver.numbers("a");
    later.retain(|number| *number > 60);
    later.dedup();
    assert_eq!(later, (61..=70).collect::<Vec<_>>());
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_pause_and_its_end_keep_the_order_of_what_waits() {
    let (database, receiver, _dispatcher) = ordered_endpoint(HOURS, &[]).await;
    receiver.hold("a");
    insert(&database, "a", 1..=20).await;
    receiver.until_number("a", 1).await;
    database.execute("select postrider.pause_endpoint('one')").await;
    insert(&database, "a", 21..=30).await;
    insert(&database, "b", 1..=10).await;
    until_routed(&database).await;
    receiver.release("a");
    database.until("select not exists (select from postrider.claim)").await;

    let sent = receiver.all().len();
    database.execute("select postrider.resume_endpoint('one')").await;
    database.until_settled().await;

    assert!(sent < 20, "{sent}");
    receiver.assert_in_order(&[("a", 30), ("b", 10)]);
    assert!(database.is("select bool_and(attempts = 1) from postrider.delivery_status").await);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn what_was_routed_keeps_its_order_when_its_endpoint_gets_other_topics() {
    let (database, receiver, _dispatcher) = ordered_endpoint(HOURS, &[]).await;
    receiver.hold("a");
    insert(&database, "a", 1..=20).await;
    receiver.until_number("a", 1).await;
    until_routed(&database).await;

    database.execute("select postrider.set_endpoint('one', '{\"topics\": [\"other.topic\"]}')").await;
    insert(&database, "a", 21..=22).await;
    until_routed(&database).await;
    database.execute("select postrider.set_endpoint('one', '{\"topics\": [\"**\"]}')").await;
    database
        .execute(
            "insert into postrider.outbox (topic, key, payload)
             select 'lane.event', 'a', json_build_object('key', 'a', 'number', n) from generate_series(21, 25) as n order by n",
        )
        .await;
    receiver.release("a");
    database.until_settled().await;

    receiver.assert_in_order(&[("a", 25)]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn an_endpoint_that_is_deleted_and_made_again_owes_nothing_to_its_old_keys() {
    let (database, old) = ordered_database(HOURS, Rules::AFTER_FAULTS).await;
    let _dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;
    old.answer("a", 500);
    insert(&database, "a", 1..=20).await;
    database.until(&has_failed("a", 1, 1)).await;

    let receiver = LaneReceiver::start().await;
    database.execute("select postrider.delete_endpoint('one')").await;
    put_ordered(&database, "one", &receiver, HOURS).await;
    insert(&database, "b", 1..=20).await;
    database
        .execute(
            "insert into postrider.outbox (topic, key, payload)
             select 'lane.event', 'a', json_build_object('key', 'a', 'number', n) from generate_series(1, 20) as n order by n",
        )
        .await;
    database.until_settled().await;

    receiver.assert_in_order(&[("a", 20), ("b", 20)]);
    assert_eq!(old.numbers("a"), [1]);
    database
        .assert_rows(
            "select d.status, count(*), bool_or(r.lane is not null) as in_lanes
             from postrider.delivery_status as d join postrider.delivery as r on r.id = d.delivery_id
             group by d.status order by d.status",
            vec![
                json!({"status": "complete", "count": 40, "in_lanes": false}),
                json!({"status": "failed", "count": 20, "in_lanes": false}),
            ],
        )
        .await;
    database.assert_counts_agree().await;
}
