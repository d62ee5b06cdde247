//! Routing and claiming by several dispatchers: batches are cut anywhere, locked rows are skipped, and order is kept.

use serde_json::json;

use super::scene::{
    HOURS, SHORT_LEASE, TWO, delivery, dispatchers, event, has_status, insert, ordered_database,
    ordered_endpoint, until_routed,
};
use crate::support::{Database, Dispatcher, LaneReceiver, Rules, Stranger, eventually, soon};

/// More than ten batches of routing.
const EVENTS: u64 = 6_000;

#[tokio::test]
async fn two_dispatchers_that_route_a_backlog_side_by_side_keep_the_order_of_every_key() {
    let (database, receiver) = ordered_database("max_in_flight => 200", Rules::STRICT).await;
    // No length of a batch is a multiple of this.
    insert_round_robin(&database, 37).await;

    let _dispatchers = dispatchers(&database, TWO, &[]).await;
    database.until_settled().await;

    assert_all_in_order(&receiver, 37);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_batch_that_ends_between_two_events_of_a_key_keeps_their_order() {
    let (database, receiver) = ordered_database("", Rules::STRICT).await;
    // Every batch is cut within both keys.
    insert_round_robin(&database, 2).await;

    let _dispatchers = dispatchers(&database, TWO, &[]).await;
    database.until_settled().await;

    assert_all_in_order(&receiver, 2);
}

#[tokio::test]
async fn a_backlog_in_many_small_transactions_keeps_its_order() {
    let (database, receiver) = ordered_database("max_in_flight => 200", Rules::STRICT).await;
    // Ids go up and transactions go down within pairs: the later of two has the lock first.
    let clients = (database.connect().await, database.connect().await);
    for number in (1..=200).step_by(2) {
        let (earlier, later) = &clients;
        earlier.batch_execute("begin; select pg_current_xact_id()").await.unwrap();
        for key in ["a", "b", "c"] {
            later.batch_execute(&super::scene::lane_events(key, number..=number)).await.unwrap();
            earlier.batch_execute(&super::scene::lane_events(key, number + 1..=number + 1)).await.unwrap();
        }
        earlier.batch_execute("commit").await.unwrap();
    }

    let _dispatchers = dispatchers(&database, TWO, &[]).await;
    database.until_settled().await;

    receiver.assert_in_order(&[("a", 200), ("b", 200), ("c", 200)]);
}

#[tokio::test]
async fn an_event_that_somebody_holds_holds_up_its_key_and_no_other() {
    let (database, receiver, dispatcher) = ordered_endpoint("", &[]).await;
    // Routed by nobody before it is held: the dispatcher stands still.
    dispatcher.signal("STOP").await;
    for key in ["a", "b", "c"] {
        insert(&database, key, 1..=10).await;
    }
    let held = format!("select from postrider.outbox as o where o.id = {} for update", event("a", 4));
    let stranger = Stranger::begin(&database, &held).await;

    dispatcher.signal("CONT").await;
    soon(&database, &dispatcher, &has_status("c", 10, "complete")).await;
    insert(&database, "a", 11..=12).await;
    insert(&database, "d", 1..=10).await;
    soon(&database, &dispatcher, &has_status("d", 10, "complete")).await;
    soon(&database, &dispatcher, &has_status("a", 3, "complete")).await;
    let sent = receiver.numbers("a");
    stranger.commit().await;
    database.until_settled().await;

    assert_eq!(sent, [1, 2, 3]);
    receiver.assert_in_order(&[("a", 12), ("b", 10), ("c", 10), ("d", 10)]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_router_that_stands_still_over_a_batch_holds_up_the_keys_in_it_and_no_others() {
    let (database, receiver) = ordered_database("", Rules::STRICT).await;
    insert(&database, "a", 1..=700).await;
    // What a dispatcher locks that is frozen in the middle of its routing.
    let batch = "select from postrider.outbox where id <= 500 for update";
    let stranger = Stranger::begin(&database, batch).await;

    let dispatcher = Dispatcher::start(&database, &[]).await;
    insert(&database, "b", 1..=20).await;
    soon(&database, &dispatcher, &has_status("b", 20, "complete")).await;
    let sent = receiver.numbers("a");
    stranger.rollback().await;
    database.until_settled().await;

    assert_eq!(sent, Vec::<u64>::new());
    receiver.assert_in_order(&[("a", 700), ("b", 20)]);
}

#[tokio::test]
async fn a_held_event_holds_up_nothing_of_a_backlog_that_is_larger_than_a_dispatcher_remembers() {
    let (database, _receiver) = ordered_database("", Rules::STRICT).await;
    database.execute("select postrider.pause_endpoint('one')").await;
    insert(&database, "a", 1..=3).await;
    insert(&database, "b", 1..=51_000).await;
    let stranger = Stranger::begin(&database, "select from postrider.outbox where id = 1 for update").await;

    let _dispatcher = Dispatcher::start(&database, &[]).await;
    database
        .until("select count(*) = 51000 from postrider.outbox where key = 'b' and status = 'in_progress'")
        .await;
    let held = "select count(*) from postrider.outbox where key = 'a' and status = 'pending'";
    let held: i64 = database.value(held).await;
    stranger.rollback().await;

    assert_eq!(held, 3);
    until_routed(&database).await;
}

#[tokio::test]
async fn while_a_transaction_routes_events_with_a_key_no_other_does() {
    let (database, receiver, _dispatcher) = ordered_endpoint("", &[]).await;
    // What a dispatcher holds that is frozen in the middle of its routing.
    let router = Stranger::begin(&database, "select pg_advisory_xact_lock(postrider.order_key())").await;
    insert(&database, "a", 1..=3).await;

    database.insert("lane.event", r#"{"key": "none", "number": 1}"#).await;
    database
        .until("select exists (select from postrider.outbox where key is null and status = 'complete')")
        .await;
    let sent = receiver.numbers("a");
    router.rollback().await;
    database.until_settled().await;

    assert_eq!(sent, Vec::<u64>::new());
    receiver.assert_in_order(&[("a", 3), ("none", 1)]);
}

#[tokio::test]
async fn a_follower_that_somebody_holds_holds_up_its_key_and_no_other() {
    let (database, receiver, dispatcher) = ordered_endpoint(HOURS, &[]).await;
    receiver.hold("a");
    insert(&database, "a", 1..=10).await;
    receiver.until_number("a", 1).await;
    database.until(&has_status("a", 10, "pending")).await;
    let held = format!("select from postrider.delivery as d where d.id = {} for update", delivery("a", 4));
    let stranger = Stranger::begin(&database, &held).await;

    receiver.release("a");
    insert(&database, "b", 1..=10).await;
    soon(&database, &dispatcher, &has_status("b", 10, "complete")).await;
    stranger.rollback().await;
    soon(&database, &dispatcher, &has_status("a", 10, "complete")).await;

    // None of them has passed the held one.
    receiver.assert_in_order(&[("a", 10), ("b", 10)]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_head_that_somebody_holds_while_it_is_under_way_holds_up_its_key_and_no_other() {
    let (database, receiver, dispatcher) = ordered_endpoint(HOURS, &[]).await;
    receiver.hold("a");
    insert(&database, "a", 1..=3).await;
    receiver.until_number("a", 1).await;
    let held = format!("select from postrider.delivery as d where d.id = {} for update", delivery("a", 1));
    let stranger = Stranger::begin(&database, &held).await;

    receiver.release("a");
    insert(&database, "b", 1..=10).await;
    soon(&database, &dispatcher, &has_status("b", 10, "complete")).await;
    stranger.rollback().await;
    database.until_settled().await;

    receiver.assert_in_order(&[("a", 3), ("b", 10)]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn an_event_that_is_refused_by_a_trigger_holds_up_its_key_and_no_other() {
    let (database, receiver, dispatcher) = ordered_endpoint("", &[]).await;
    dispatcher.signal("STOP").await;
    let condition = "new.key = 'a' and (new.payload ->> 'number')::int = 3";
    crate::support::refuse(&database, "outbox", "before update", condition, "raise exception 'not this one'")
        .await;
    insert(&database, "a", 1..=6).await;
    insert(&database, "b", 1..=6).await;

    dispatcher.signal("CONT").await;
    soon(&database, &dispatcher, &has_status("b", 6, "complete")).await;
    eventually("what is before it is sent", || async { receiver.numbers("a").len() >= 2 }).await;
    let sent = receiver.numbers("a");
    crate::support::refuse_no_more(&database).await;
    database.execute("select postrider.retry_set_aside()").await;
    database.until_settled().await;

    assert_eq!(sent, [1, 2]);
    receiver.assert_in_order(&[("a", 6), ("b", 6)]);
}

#[tokio::test]
async fn a_dispatcher_that_is_killed_while_it_routes_leaves_the_order_to_another() {
    let (database, receiver) = ordered_database("", Rules::AFTER_FAULTS).await;
    insert_round_robin(&database, 10).await;

    for _ in 0..3 {
        let killed = Dispatcher::start(&database, &SHORT_LEASE).await;
        let before = receiver.all().len();
        eventually("some arrive", || async { receiver.all().len() > before + 20 }).await;
        killed.kill().await;
    }
    let _last = Dispatcher::start(&database, &SHORT_LEASE).await;
    database.until_settled().await;

    assert_all_in_order(&receiver, 10);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn keys_that_came_once_leave_nothing_behind() {
    let (database, receiver, _dispatcher) = ordered_endpoint("max_in_flight => 200", &[]).await;
    insert_round_robin(&database, EVENTS).await;
    database.until_settled().await;
    until_routed(&database).await;

    database
        .assert_row(
            "select count(*) filter (where lane is not null or place is not null) as in_lanes,
                    count(*) as deliveries from postrider.delivery",
            json!({"in_lanes": 0, "deliveries": EVENTS}),
        )
        .await;
    assert_all_in_order(&receiver, EVENTS);
}

/// Inserts all events in one transaction: each next one is of the next key.
async fn insert_round_robin(database: &Database, keys: u64) {
    database
        .execute(&format!(
            "insert into postrider.outbox (topic, key, payload)
             select 'lane.event', 'k' || n % {keys}, json_build_object('key', 'k' || n % {keys}, 'number', n / {keys} + 1)
             from generate_series(0, {EVENTS} - 1) as n order by n"
        ))
        .await;
}

fn assert_all_in_order(receiver: &LaneReceiver, keys: u64) {
    let names: Vec<_> = (0..keys).map(|key| format!("k{key}")).collect();
    let count = |key: u64| (EVENTS - key).div_ceil(keys);
    let counts: Vec<_> =
        (0..keys).map(|key| (names[usize::try_from(key).unwrap()].as_str(), count(key))).collect();
    receiver.assert_in_order(&counts);
}
