//! Who works on what: dispatchers beside each other, endpoints beside each other, and the limits of an endpoint.

use std::time::Duration;

use serde_json::json;

use crate::support::{Database, Dispatcher, Receiver, eventually, one_endpoint};

#[tokio::test]
async fn two_dispatchers_deliver_each_event_once() {
    let (database, receiver, one) = one_endpoint("", &[]).await;
    let two = Dispatcher::start(&database, &[]).await;

    for _ in 0..20 {
        database.insert_many("order.created", 100).await;
    }
    database.until_settled().await;

    assert_eq!((receiver.count(), receiver.webhook_ids().len()), (2000, 2000));
    assert_eq!((warnings(&one), warnings(&two)), (String::new(), String::new()));
}

#[tokio::test]
async fn two_dispatchers_both_work() {
    let (database, receiver, _one) = one_endpoint("", &[]).await;
    let _two = Dispatcher::start(&database, &[]).await;
    database.until("select count(*) = 2 from postrider.dispatcher_status").await;
    receiver.hold();

    database.insert_many("order.created", 3000).await;

    database.until("select count(distinct dispatcher_id) = 2 from postrider.claim").await;
}

#[tokio::test]
async fn an_awake_leader_tells_a_sleeping_sibling_of_work() {
    let flags = ["--wake", "notify", "--poll-interval", "1h", "--lease", "6s", "--request-timeout", "3s"];
    let (database, receiver, leader) = one_endpoint("", &flags).await;
    database.until_bell_is_armed().await;
    let _sibling = Dispatcher::start(&database, &flags).await;
    leader.logged("2 dispatchers share the endpoints").await;
    let _producer = database.keep_the_leader_awake().await;
    for _ in 0..10 {
        // Whoever was rung last has gone to sleep again.
        database.insert("order.created", "{}").await;
        receiver.next().await;
    }
    receiver.hold();

    // Producers do not ring while the leader is awake.
    database.insert_many("order.created", 3000).await;

    database.until("select count(distinct dispatcher_id) = 2 from postrider.claim").await;
}

#[tokio::test]
async fn two_dispatchers_that_know_of_each_other_keep_to_the_limit_together() {
    let flags = ["--lease", "6s", "--request-timeout", "3s"];
    let (database, receiver, one) = one_endpoint("max_in_flight => 4", &flags).await;
    let two = Dispatcher::start(&database, &flags).await;
    one.logged("2 dispatchers share the endpoints").await;
    two.logged("2 dispatchers share the endpoints").await;
    receiver.answer_after(Duration::from_millis(20));

    // More than one of them would take for itself.
    database.insert_many("order.created", 3000).await;
    database.until("select count(distinct dispatcher_id) = 2 from postrider.claim").await;
    let before = receiver.count();
    eventually("both go on", || async { receiver.count() >= before + 100 }).await;

    assert_eq!(receiver.under_way_max(), 4);
}

#[tokio::test]
async fn a_paused_endpoint_receives_nothing_while_another_does() {
    let (database, paused, other, _dispatcher) = two_endpoints("").await;

    database.execute("select postrider.pause_endpoint('first', 'maintenance')").await;
    database.insert_many("order.created", 20).await;
    eventually("the other one has them", || async { other.count() >= 20 }).await;
    database.until("select count(*) = 20 from postrider.delivery_status where status = 'complete'").await;

    assert_eq!(paused.count(), 0);
    assert_eq!(database.count("pending").await, 20);
}

#[tokio::test]
async fn a_paused_endpoint_loses_nothing() {
    let (database, paused, other, _dispatcher) = two_endpoints("").await;
    paused.hold();
    // Some are under way or queued when it is paused.
    database.insert_many("order.created", 200).await;
    paused.next().await;
    database.execute("select postrider.pause_endpoint('first', 'maintenance')").await;
    paused.release();
    database.insert_many("order.created", 20).await;
    eventually("the other one has them", || async { other.count() >= 220 }).await;

    database.execute("select postrider.resume_endpoint('first')").await;
    database.until_settled().await;

    assert_eq!(paused.webhook_ids().len(), 220);
}

#[tokio::test]
async fn an_endpoint_that_hangs_does_not_delay_another() {
    let (database, hanging, other, _dispatcher) = two_endpoints("").await;
    hanging.hold();
    database.insert_many("order.created", 1000).await;
    eventually("the other one has them", || async { other.count() >= 1000 }).await;
    hanging.next().await;

    // Nothing of the hanging one has come to an end, and it has all its requests under way.
    for number in 0..20 {
        database.insert("order.created", &format!("\"fresh {number}\"")).await;
    }
    eventually("the other one has these too", || async { other.count() >= 1020 }).await;

    database
        .assert_row(
            "select count(*)
             from postrider.delivery_status where endpoint_id = 'first' and status <> 'complete'",
            json!({"count": 1020}),
        )
        .await;
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_max_in_flight() {
    let (database, receiver, _dispatcher) = one_endpoint("max_in_flight => 3", &[]).await;
    receiver.answer_after(Duration::from_millis(20));

    database.insert_many("order.created", 60).await;
    database.until_settled().await;

    assert_eq!(receiver.under_way_max(), 3);
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_the_dispatcher_may_have() {
    let (database, first, second, _dispatcher) = two_endpoints_and("", &["--max-in-flight", "5"]).await;
    first.answer_after(Duration::from_millis(20));
    second.answer_after(Duration::from_millis(20));

    database.insert_many("order.created", 60).await;
    database.until_settled().await;

    assert!(first.under_way_max() <= 5 && second.under_way_max() <= 5);
    assert!(first.under_way_max() + second.under_way_max() >= 5);
}

#[tokio::test]
async fn requests_keep_the_distance_of_the_rate_limit() {
    let (database, receiver, _dispatcher) = one_endpoint("rate_limit => '20/s'", &[]).await;

    database.insert_many("order.created", 41).await;
    database.until_settled().await;

    // 40 distances of 50 ms; the first request may have been slow to arrive.
    let all = receiver.all();
    let took = all[40].at - all[0].at;
    assert!(took >= Duration::from_millis(1700), "{took:?}");
}

#[tokio::test]
async fn the_rate_limit_of_one_endpoint_does_not_slow_another() {
    let (database, _slow, other, _dispatcher) = two_endpoints("rate_limit => '1/m'").await;

    database.insert_many("order.created", 100).await;
    eventually("the other one has them", || async { other.count() >= 100 }).await;

    assert!(
        database
            .is("select count(*) >= 98 from postrider.delivery_status where endpoint_id = 'first' and status <> 'complete'")
            .await
    );
}

/// `first`, with `more`, and `second`; both subscribe to everything.
async fn two_endpoints(more: &str) -> (Database, Receiver, Receiver, Dispatcher) {
    two_endpoints_and(more, &[]).await
}

async fn two_endpoints_and(more: &str, flags: &[&str]) -> (Database, Receiver, Receiver, Dispatcher) {
    let database = Database::new().await;
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    database.put_endpoint("first", &first.url(), "**", more).await;
    database.put_endpoint("second", &second.url(), "**", "").await;
    let dispatcher = Dispatcher::start(&database, flags).await;
    (database, first, second, dispatcher)
}

/// The lines in which a dispatcher complains.
fn warnings(dispatcher: &Dispatcher) -> String {
    let log = dispatcher.log();
    log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect()
}

#[tokio::test]
async fn an_endpoint_that_hangs_with_large_payloads_does_not_delay_another() {
    let (database, first, second, _dispatcher) =
        two_endpoints_and("", &["--request-timeout", "2m", "--lease", "4m", "--max-payload", "2MiB"]).await;
    first.hold();
    database
        .execute(
            "insert into postrider.outbox (topic, payload, destination)
             select 'a', to_json(repeat(md5(n::text), 32768)), 'first' from generate_series(1, 100) as n",
        )
        .await;
    eventually("payloads of a mebibyte are under way", || async { first.under_way() >= 8 }).await;

    database
        .execute("insert into postrider.outbox (topic, payload, destination) values ('a', '{}', 'second')")
        .await;

    second.next().await;
    first.release();
    database.until_settled().await;
    assert_eq!(first.webhook_ids().len(), 100);
}
