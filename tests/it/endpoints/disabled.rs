//! An endpoint that has done nothing but fail for days is disabled, and nothing is lost by it.

use serde_json::json;

use crate::support::{CommandOutput, Database, Dispatcher, Receiver, one_endpoint};

/// No retry is due before the test says so.
const PATIENT: &str = "retry_schedule => array_fill(interval '1 h', array[20])";

#[tokio::test]
async fn five_days_of_nothing_but_failures_disable_an_endpoint() {
    let (database, _receiver, dispatcher) = failing_since("5 days").await;

    database.make_due().await;
    database.until("select state = 'disabled' from postrider.endpoint_health").await;

    database
        .assert_row(
            "select reason, disabled_at > now() - interval '1 minute' as is_disabled_now from postrider.endpoint_health",
            json!({"reason": "no attempt succeeded for 5days", "is_disabled_now": true}),
        )
        .await;
    dispatcher.logged("no attempt succeeded for 5days: endpoint one is disabled; its deliveries wait").await;
}

#[tokio::test]
async fn less_than_five_days_of_failures_disable_nothing() {
    let (database, _receiver, _dispatcher) = failing_since("4 days 23 hours").await;

    database.make_due().await;
    database.until("select attempts = 2 and status = 'pending' from postrider.delivery_status").await;
    database.until("select exists (select from postrider.circuit where failures = 2)").await;

    database
        .assert_row(
            "select state, disabled_at from postrider.endpoint_health",
            json!({"state": "enabled", "disabled_at": null}),
        )
        .await;
}

#[tokio::test]
async fn answers_about_the_request_are_failures_too_in_the_long_run() {
    let (database, receiver, _dispatcher) = failing_since("5 days").await;
    receiver.answer(401);

    database.make_due().await;

    database.until("select state = 'disabled' from postrider.endpoint_health").await;
}

#[tokio::test]
async fn deliveries_of_a_disabled_endpoint_are_kept() {
    let (database, receiver, _dispatcher) = failing_since("5 days").await;
    database.make_due().await;
    database.until("select state = 'disabled' from postrider.endpoint_health").await;
    let before = receiver.count();

    database.insert_many("order.created", 20).await;
    database.until("select count(*) = 21 from postrider.delivery_status where status = 'pending'").await;

    assert_eq!(receiver.count(), before);
}

#[tokio::test]
async fn a_resumed_endpoint_receives_what_waited_and_begins_anew() {
    let (database, receiver, _dispatcher) = failing_since("5 days").await;
    database.make_due().await;
    database.until("select state = 'disabled' from postrider.endpoint_health").await;
    database.insert_many("order.created", 20).await;
    receiver.answer(200);

    database.execute("select postrider.resume_endpoint('one')").await;
    database.make_due().await;
    database.until_settled().await;

    database
        .assert_row(
            "select state, disabled_at, failing_since, complete_24h from postrider.endpoint_health",
            json!({"state": "enabled", "disabled_at": null, "failing_since": null, "complete_24h": 21}),
        )
        .await;
}

#[tokio::test]
async fn a_success_that_another_dispatcher_had_meanwhile_keeps_an_endpoint_enabled() {
    let (database, _receiver, _dispatcher) = failing_since("5 days").await;
    // What its settle leaves.
    database
        .execute(
            "insert into postrider.endpoint_stat (endpoint_no, complete, failed, last_success_at)
             select endpoint_no, 1, 0, now() - interval '1 day' from postrider.endpoint",
        )
        .await;

    database.make_due().await;
    database.until("select attempts = 2 and status = 'pending' from postrider.delivery_status").await;
    database.until("select exists (select from postrider.circuit where failures = 2)").await;

    database.assert_row("select state from postrider.endpoint_health", json!({"state": "enabled"})).await;
}

#[tokio::test]
async fn how_long_it_may_fail_is_a_setting() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    receiver.answer(500);
    database
        .put_endpoint(
            "one",
            &receiver.url(),
            "**",
            "retry_schedule => array_fill(interval '100 ms', array[50])",
        )
        .await;
    let _dispatcher = Dispatcher::start(&database, &["--disable-after", "2s"]).await;

    database.insert("order.created", "{}").await;

    database.until("select state = 'disabled' and reason = 'no attempt succeeded for 2s' from postrider.endpoint_health").await;
}

#[tokio::test]
async fn an_endpoint_that_was_gone_says_since_when() {
    let (database, receiver, _dispatcher) = one_endpoint(PATIENT, &[]).await;
    receiver.answer(410);

    database.insert("order.created", "{}").await;
    database.until("select state = 'disabled' from postrider.endpoint_health").await;

    let shown = CommandOutput::run(&database.url, &["endpoint", "show", "one", "--json"]).await.json();
    assert_eq!(shown["reason"], "answered 410 Gone");
    assert!(shown["disabled_at"].is_string(), "{shown}");
}

#[tokio::test]
async fn a_blip_on_either_side_of_a_quiet_week_disables_nothing() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1ms}'", &[]).await;
    receiver.answer(500);
    database.insert("order.created", "{}").await;
    database.until("select count(*) = 1 from postrider.delivery_status where status = 'failed'").await;
    database.until("select failures = 2 from postrider.circuit").await;
    database.make_failures_older("7 days").await;

    receiver.answer(200);
    receiver.answer_once(500, &[], b"");
    receiver.hold();
    database.insert("order.created", "{}").await;
    receiver.let_pass(1).await;
    database
        .until("select exists (select from postrider.circuit where failed_at > now() - interval '1 minute')")
        .await;
    database.assert_row("select state from postrider.endpoint_health", json!({"state": "enabled"})).await;
    receiver.release();

    database.until_settled().await;
    assert_eq!(database.count("complete").await, 1);
}

#[tokio::test]
async fn a_week_of_which_most_was_quiet_disables_nothing_but_five_days_of_attempts_do() {
    let (database, _receiver, _dispatcher) = failing_since("7 days").await;
    database.execute("update postrider.circuit set quiet = interval '2 days 1 hour'").await;

    database.make_due().await;
    database.until("select exists (select from postrider.circuit where failures = 2)").await;
    let before: String = database.value("select state from postrider.endpoint_health").await;
    database.make_failures_older("1 hour").await;
    database.make_due().await;

    database.until("select state = 'disabled' from postrider.endpoint_health").await;
    assert_eq!(before, "enabled");
}

#[tokio::test]
async fn answers_about_the_delivery_alone_disable_nothing() {
    let (database, receiver, _dispatcher) = failing_since("5 days").await;
    for status in [400, 409, 413, 422] {
        receiver.answer_once(status, &[], b"");
    }

    for attempts in 2..=5 {
        database.make_due().await;
        database
            .until(&format!(
                "select attempts = {attempts} and status = 'pending' from postrider.delivery_status"
            ))
            .await;
    }
    // The recorder has written of all of them when the next failure is on record.
    database.until("select failures = 0 from postrider.circuit").await;

    database.assert_row("select state from postrider.endpoint_health", json!({"state": "enabled"})).await;
}

/// An endpoint whose one delivery has failed once, and which is made to have failed since then.
async fn failing_since(ago: &str) -> (Database, Receiver, Dispatcher) {
    let (database, receiver, dispatcher) = one_endpoint(PATIENT, &[]).await;
    receiver.answer(500);
    database.insert("order.created", "{}").await;
    database.until("select exists (select from postrider.circuit)").await;
    database.until("select count(*) = 1 from postrider.delivery_status where status = 'pending'").await;
    database.execute(&format!("update postrider.circuit set failing_since = now() - interval '{ago}'")).await;
    (database, receiver, dispatcher)
}
