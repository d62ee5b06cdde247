//! When a failed attempt is followed by the next one, and when by none.

use std::time::Duration;

use serde_json::json;

use crate::support::{Database, Dispatcher, Receiver, one_endpoint};

/// The default schedule of the contract, in seconds: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
const DEFAULT_S: [f64; 9] = [5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0];

/// How much later than asked for a busy machine may settle an attempt.
const SETTLE_S: f64 = 3.0;

#[tokio::test]
async fn retries_follow_the_default_schedule_give_or_take_a_fifth() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    receiver.answer(500);
    database.insert("order.created", "{}").await;

    for (attempt, scheduled) in (1..).zip(DEFAULT_S) {
        let delay = delay_after(&database, attempt).await;

        assert!(
            (scheduled * 0.8 - 0.01..=scheduled * 1.2 + SETTLE_S).contains(&delay),
            "after attempt {attempt}: {delay} s instead of {scheduled} s",
        );
        database.make_due().await;
    }
}

#[tokio::test]
async fn the_delivery_has_failed_after_the_tenth_attempt() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    receiver.answer(500);
    database.insert("order.created", "{}").await;

    for attempt in 1..=9 {
        delay_after(&database, attempt).await;
        database.make_due().await;
    }
    database.until_settled().await;

    assert_eq!(receiver.count(), 10);
    database
        .assert_row(
            "select d.status as delivery_status, d.attempts, d.next_attempt_at, o.status as event_status,
                    (select count(*) from postrider.attempt_log) as logged
             from postrider.delivery_status as d join postrider.outbox as o on o.id = d.event_id",
            json!({
                "delivery_status": "failed", "attempts": 10, "next_attempt_at": null, "event_status": "failed",
                "logged": 10
            }),
        )
        .await;
}

#[tokio::test]
async fn an_endpoint_may_have_a_schedule_of_its_own() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{40min,3h}'", &[]).await;
    receiver.answer(500);
    database.insert("order.created", "{}").await;

    let first = delay_after(&database, 1).await;
    database.make_due().await;
    let second = delay_after(&database, 2).await;
    database.make_due().await;
    database.until_settled().await;

    assert!((1919.9..=2880.0 + SETTLE_S).contains(&first), "{first} s");
    assert!((8639.9..=12_960.0 + SETTLE_S).contains(&second), "{second} s");
    assert_eq!(database.count("failed").await, 1);
    assert_eq!(receiver.count(), 3);
}

#[tokio::test]
async fn what_an_ordered_endpoint_refuses_waits_five_minutes_at_most_and_is_not_given_up_sooner() {
    let (database, receiver, _dispatcher) = one_endpoint("ordered => true", &[]).await;
    // About this one event: no circuit opens.
    receiver.answer(400);
    database
        .execute(
            "insert into postrider.outbox (topic, payload, key) values ('order.created', '{}', 'order-1')",
        )
        .await;

    for attempt in 1..=12 {
        let delay = delay_after(&database, attempt).await;

        let least = if attempt == 1 { 4.0 } else { 200.0 };
        assert!((least - 0.01..=300.0 + SETTLE_S).contains(&delay), "after attempt {attempt}: {delay} s");
        database.make_due().await;
    }
}

#[tokio::test]
async fn an_endpoint_of_an_ordered_template_waits_no_longer() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    let url = receiver.url().replace("/hook", "/{id}");
    database.put_endpoint("devices", &url, "", "ordered => true").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    receiver.answer(400);
    let insert = "insert into postrider.outbox (topic, payload, key, destination)
                  values ('config.updated', '{}', 'a', 'devices/a')";
    database.execute(insert).await;

    for attempt in 1..=2 {
        delay_after(&database, attempt).await;
        database.make_due().await;
    }

    let third = delay_after(&database, 3).await;
    assert!((199.9..=300.0 + SETTLE_S).contains(&third), "{third} s");
}

#[tokio::test]
async fn an_ordered_endpoint_may_have_a_schedule_of_its_own_and_ask_for_more() {
    let (database, receiver, _dispatcher) =
        one_endpoint("ordered => true, retry_schedule => '{2h,5s}'", &[]).await;
    receiver.answer_once(400, &[], b"");
    receiver.answer_once(503, &[("retry-after", "3600")], b"");
    database.insert("order.created", "{}").await;

    let own = delay_after(&database, 1).await;
    database.make_due().await;
    let asked = delay_after(&database, 2).await;

    assert!((5759.9..=8640.0 + SETTLE_S).contains(&own), "{own} s");
    assert!((3599.9..=3600.0 + SETTLE_S).contains(&asked), "{asked} s");
}

#[tokio::test]
async fn delays_are_spread() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1h}'", &[]).await;
    receiver.answer(500);

    database.insert_many("order.created", 30).await;
    database.until("select count(*) = 30 from postrider.attempt_log").await;

    // Evenly over 24 minutes; that all of 30 lie within 6 happens once in 10^15 runs.
    assert!(
        database
            .is("select max(next_attempt_at) - min(next_attempt_at) > interval '6 minutes' from postrider.delivery_status")
            .await
    );
}

#[tokio::test]
async fn a_retry_is_made_when_it_is_due_without_a_ring_or_a_poll() {
    let (database, receiver, _dispatcher) =
        one_endpoint("retry_schedule => '{500ms}'", &["--wake", "notify", "--poll-interval", "1h"]).await;
    receiver.answer_once(500, &[], b"");

    database.insert("order.created", "{}").await;
    let waited = [receiver.next().await.at, receiver.next().await.at];

    assert!(waited[1] - waited[0] >= Duration::from_millis(400));
}

#[tokio::test]
async fn retry_after_in_seconds_is_never_undercut() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    receiver.answer_once(503, &[("retry-after", "120")], b"");

    database.insert("order.created", "{}").await;
    let delay = delay_after(&database, 1).await;

    assert!((119.99..=120.0 + SETTLE_S).contains(&delay), "{delay} s");
}

#[tokio::test]
async fn a_retry_after_that_ends_before_the_schedule_does_not_shorten_it() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1h}'", &[]).await;
    receiver.answer_once(500, &[("retry-after", "1")], b"");

    database.insert("order.created", "{}").await;
    let delay = delay_after(&database, 1).await;

    assert!((2879.9..=4320.0 + SETTLE_S).contains(&delay), "{delay} s");
}

#[tokio::test]
async fn gone_disables_the_endpoint_and_keeps_its_deliveries() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1ms}'", &[]).await;
    receiver.answer_once(410, &[], b"");

    database.insert("order.created", "1").await;
    until_disabled(&database).await;
    database.insert("order.created", "2").await;
    database.until("select count(*) = 2 from postrider.delivery_status where status = 'pending'").await;
    database.make_due().await;
    // The dispatcher has looked at all of it when an event to another endpoint is through.
    marker_is_delivered(&database).await;

    assert_eq!(receiver.count(), 1);
    assert_eq!(database.count("pending").await, 2);
    assert!(
        database
            .is("select reason like '%410%' from postrider.endpoint_health where endpoint_id = 'one'")
            .await
    );
}

#[tokio::test]
async fn a_resumed_endpoint_receives_what_waited_since_it_was_gone() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1ms}'", &[]).await;
    receiver.answer_once(410, &[], b"");
    database.insert("order.created", "1").await;
    until_disabled(&database).await;
    database.insert("order.created", "2").await;

    database.execute("select postrider.resume_endpoint('one')").await;
    database.until_settled().await;

    assert_eq!(database.count("complete").await, 2);
    assert_eq!(receiver.webhook_ids().len(), 2);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_not_asked_again_while_it_is_being_disabled() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1ms,1ms,1ms}'", &[]).await;
    let lock = database.connect().await;
    lock.batch_execute("begin; select from postrider.endpoint for no key update").await.unwrap();
    receiver.answer_once(410, &[], b"");

    database.insert("order.created", "1").await;
    // The outcome is written, and the dispatcher is kept from disabling the endpoint.
    database
        .until("select exists (select from postrider.delivery_status where last_status_code = 410)")
        .await;
    for _ in 0..5 {
        marker_is_delivered(&database).await;
    }
    let asked = receiver.count();
    lock.batch_execute("rollback").await.unwrap();
    until_disabled(&database).await;

    assert_eq!(asked, 1);
}

#[tokio::test]
async fn gone_on_the_last_attempt_keeps_the_delivery_too() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1ms}'", &[]).await;
    receiver.answer_once(500, &[], b"");
    receiver.answer_once(410, &[], b"");

    database.insert("order.created", "1").await;
    until_disabled(&database).await;
    database.until("select count(*) >= 2 from postrider.attempt_log").await;

    assert_eq!(database.count("pending").await, 1);
}

#[tokio::test]
async fn an_event_is_in_progress_until_its_last_delivery_is_settled() {
    let (database, _good, _bad, _dispatcher) = one_good_and_one_bad_endpoint().await;

    database.insert("order.created", "{}").await;
    database.until("select count(*) = 2 from postrider.attempt_log").await;

    database
        .assert_row(
            "select status, open_deliveries, completed_at from postrider.outbox",
            json!({"status": "in_progress", "open_deliveries": 1, "completed_at": null}),
        )
        .await;
}

#[tokio::test]
async fn an_event_with_one_failed_delivery_is_failed_although_another_succeeded() {
    let (database, _good, _bad, _dispatcher) = one_good_and_one_bad_endpoint().await;
    database.insert("order.created", "{}").await;
    database.until("select count(*) = 2 from postrider.attempt_log").await;

    database.make_due().await;
    database.until_settled().await;

    database
        .assert_row(
            "select status, failed, open_deliveries, completed_at is not null as is_completed,
                    (select count(*) from postrider.delivery_status where status = 'complete') as complete
             from postrider.outbox",
            json!({"status": "failed", "failed": 1, "open_deliveries": 0, "is_completed": true, "complete": 1}),
        )
        .await;
}

/// Waits for the end of attempt number `attempt` of the one delivery; the seconds from there to the next.
async fn delay_after(database: &Database, attempt: i32) -> f64 {
    database
        .until(&format!(
            "select exists (select from postrider.delivery_status as d join postrider.attempt_log as a using (delivery_id) \
             where a.attempt = {attempt} and d.attempts = {attempt} and d.status = 'pending')"
        ))
        .await;
    database
        .value(&format!(
            "select extract(epoch from d.next_attempt_at - a.started_at - a.duration_ms * interval '1 millisecond')::float8 \
             from postrider.delivery_status as d join postrider.attempt_log as a using (delivery_id) \
             where a.attempt = {attempt}"
        ))
        .await
}

async fn until_disabled(database: &Database) {
    database
        .until("select state = 'disabled' from postrider.endpoint_health where endpoint_id = 'one'")
        .await;
}

async fn marker_is_delivered(database: &Database) {
    let receiver = Receiver::start().await;
    database.put_endpoint("marker", &receiver.url(), "", "").await;
    database
        .execute(
            "insert into postrider.outbox (topic, payload, destination) values ('marker', '{}', 'marker')",
        )
        .await;
    receiver.next().await;
}

/// The bad one answers 500 and is tried twice, an hour apart.
async fn one_good_and_one_bad_endpoint() -> (Database, Receiver, Receiver, Dispatcher) {
    let database = Database::new().await;
    let (good, bad) = (Receiver::start().await, Receiver::start().await);
    bad.answer(500);
    database.put_endpoint("good", &good.url(), "**", "").await;
    database.put_endpoint("bad", &bad.url(), "**", "retry_schedule => '{1h}'").await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    (database, good, bad, dispatcher)
}
