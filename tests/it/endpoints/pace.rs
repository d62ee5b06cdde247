//! A receiver that limits its pace, or asks for a pause: it is left alone as a whole, nothing fails because of it, and everything arrives.

use std::time::Duration;

use serde_json::json;

use crate::support::{Api, CommandOutput, Database, Dispatcher, Receiver, eventually, one_endpoint};

/// Two attempts, one right after the other.
const IMPATIENT: &str = "retry_schedule => '{1ms}'";

#[tokio::test]
async fn a_receiver_that_limits_gets_everything_and_no_attempt_is_used_up() {
    let (database, receiver, dispatcher) = one_endpoint(IMPATIENT, &[]).await;
    receiver.limit(10, Duration::from_millis(500));

    database.insert_many("order.created", 100).await;
    database.until_settled().await;

    assert_eq!(database.count("complete").await, 100);
    // 64 at once, until it is known that there is a limit; then few.
    let refused: i64 =
        database.value("select count(*) from postrider.attempt_log where status_code = 429").await;
    assert!((54..=300).contains(&refused), "{refused}");
    assert!(!dispatcher.log().contains("wait for a probe"), "{}", dispatcher.log());
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_wait_that_is_asked_for_holds_the_endpoint_for_all_dispatchers() {
    for (status, wait) in [(429, "60"), (503, "59.5"), (500, "60")] {
        let (database, receiver, first) = one_endpoint("", &[]).await;
        receiver.answer_once(status, &[("retry-after", wait)], b"");
        database.insert("order.created", "{}").await;
        database.until("select exists (select from postrider.endpoint_health where held_until > now() + interval '50 s')").await;

        let _second = Dispatcher::start(&database, &[]).await;
        first.terminate().await;
        database.insert_many("order.created", 20).await;
        database.until("select count(*) = 21 from postrider.delivery_status where status = 'pending'").await;
        database.make_due().await;
        others_are_served(&database).await;

        assert_eq!(receiver.count(), 1, "{status}");
        database.make_failures_older("61 s").await;
        database.make_due().await;
        database.until_settled().await;
    }
}

#[tokio::test]
async fn until_when_an_endpoint_is_held_is_shown_by_every_surface() {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    receiver.answer_once(429, &[("retry-after", "300")], b"");
    database.insert("order.created", "{}").await;
    database.until("select held_until is not null from postrider.endpoint_health").await;

    let listed = CommandOutput::run(&database.url, &["endpoint", "list", "--json"]).await.json();
    let shown = CommandOutput::run(&database.url, &["endpoint", "show", "one"]).await.stdout;
    let asked = Api::of(&dispatcher).await.get("/v1/endpoints/one").await.json();

    for held in [&listed[0]["held_until"], &asked["held_until"]] {
        let held = held.as_str().unwrap();
        assert!(database.is(&format!("select held_until = '{held}' from postrider.endpoint_health")).await);
    }
    let line = shown.lines().find(|line| line.trim_start().starts_with("held until")).unwrap();
    assert!(line.contains("(in "), "{line}");
}

#[tokio::test]
async fn of_several_waits_the_longest_counts() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    receiver.hold();
    for wait in ["5", "300", "20"] {
        receiver.answer_once(429, &[("retry-after", wait)], b"");
    }

    database.insert_many("order.created", 3).await;
    eventually("all are on their way", || async { receiver.under_way() == 3 }).await;
    receiver.release();

    database.until("select count(*) = 3 from postrider.attempt_log").await;
    database.until("select exists (select from postrider.endpoint_health where held_until > now() + interval '250 s')").await;
}

#[tokio::test]
async fn a_refusal_for_pace_is_logged_and_opens_no_circuit() {
    let (database, receiver, _dispatcher) = one_endpoint(IMPATIENT, &[]).await;
    for _ in 0..30 {
        receiver.answer_once(429, &[], b"");
    }

    database.insert_many("order.created", 30).await;
    database.until_settled().await;

    database
        .assert_row(
            "select count(*) filter (where status_code = 429 and error = 'status 429') as refused,
                    count(*) filter (where status_code = 200) as taken
             from postrider.attempt_log",
            json!({"refused": 30, "taken": 30}),
        )
        .await;
    database
        .assert_row(
            "select circuit, failed_24h from postrider.endpoint_health",
            json!({"circuit": "closed", "failed_24h": 0}),
        )
        .await;
}

#[tokio::test]
async fn without_a_wait_503_is_an_attempt_and_holds_nothing() {
    let (database, receiver, _dispatcher) = one_endpoint(IMPATIENT, &[]).await;
    receiver.answer(503);

    database.insert("order.created", "{}").await;
    database.until_settled().await;

    assert_eq!(database.count("failed").await, 1);
    database
        .assert_row("select held_until from postrider.endpoint_health", json!({"held_until": null}))
        .await;
}

#[tokio::test]
async fn a_delivery_that_meets_nothing_but_429_fails_when_its_schedule_is_over() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1h}'", &[]).await;
    receiver.answer(429);
    database.insert("order.created", "{}").await;
    database.until("select exists (select from postrider.circuit where held_until is not null)").await;

    // The schedule is one hour long. A minute before its end nothing counts yet.
    database.make_failures_older("59 minutes").await;
    database.make_due().await;
    database.until("select attempts = 2 and status = 'pending' from postrider.delivery_status").await;
    database.assert_row("select paced from postrider.delivery", json!({"paced": 2})).await;
    for attempts in 3..=4 {
        database.make_failures_older("1 hour").await;
        database.make_due().await;
        database
            .until(&format!(
                "select attempts = {attempts} and status <> 'in_progress' from postrider.delivery_status"
            ))
            .await;
    }

    database.assert_row("select status from postrider.delivery_status", json!({"status": "failed"})).await;
}

#[tokio::test]
async fn a_delivery_that_is_refused_for_pace_while_others_are_taken_fails_in_the_end() {
    let (database, receiver, _dispatcher) = one_endpoint(IMPATIENT, &[]).await;
    receiver.answer(429);
    database.insert("order.created", "{}").await;
    database.until("select count(*) = 1 from postrider.delivery_status where status = 'pending'").await;
    database.execute("update postrider.delivery set paced = 100, attempts = 100").await;

    database.execute("update postrider.circuit set held_until = now()").await;
    database.make_due().await;
    database.until_settled().await;

    assert_eq!(database.count("failed").await, 1);
}

#[tokio::test]
async fn a_test_of_a_held_endpoint_is_sent_at_once() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    receiver.answer_once(429, &[("retry-after", "3600")], b"");
    database.insert("order.created", "{}").await;
    database.until("select held_until is not null from postrider.endpoint_health").await;

    let tested = CommandOutput::run(&database.url, &["endpoint", "test", "one"]).await;

    assert_eq!(tested.code, Some(0), "{}", tested.stderr);
}

#[tokio::test]
async fn a_success_after_the_wait_leaves_nothing_on_record() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    receiver.hold();
    receiver.answer_once(429, &[("retry-after", "1")], b"");

    database.insert_many("order.created", 20).await;
    eventually("all are on their way", || async { receiver.under_way() == 20 }).await;
    receiver.release();
    database.until_settled().await;
    database.insert("order.created", "{}").await;

    database.until("select not exists (select from postrider.circuit)").await;
}

/// An event to another endpoint arrives: the dispatchers have looked at all that is due.
async fn others_are_served(database: &Database) {
    let other = Receiver::start().await;
    database.put_endpoint("other", &other.url(), "other.**", "").await;
    database
        .execute(
            "insert into postrider.outbox (topic, payload, destination) values ('other.one', '{}', 'other')",
        )
        .await;
    other.next().await;
    database.execute("select postrider.delete_endpoint('other')").await;
}
