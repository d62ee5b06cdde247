//! A test of an endpoint is attempted once, and leaves the error that it met, however its caller and its dispatcher end.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    Api, Database, Dispatcher, Receiver, RunningCommand, SHORT_LEASE, command, eventually, one_endpoint,
};

const INSERT: &str =
    "insert into postrider.outbox (topic, payload, destination) values ('postrider.test', '{}', 'one')";

/// The one delivery is failed after one attempt with this error.
async fn assert_failed_once(database: &Database, error: &str) {
    database.until_settled().await;
    database
        .assert_row(
            "select status, attempts, next_attempt_at, last_error from postrider.delivery_status",
            json!({"status": "failed", "attempts": 1, "next_attempt_at": null, "last_error": error}),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_test_that_fails_is_told_by_the_api_as_by_the_view() {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    receiver.answer(503);
    let api = Api::of(&dispatcher).await;

    let tested = api.post("/v1/endpoints/one/test?wait=50s").await.json();

    // The same as the command, and as the view.
    let said = (&tested["status"], &tested["last_error"], &tested["next_attempt_at"]);
    assert_eq!(said, (&json!("failed"), &json!("status 503"), &json!(null)));
    assert_eq!(tested["attempt_log"][0]["error"], "status 503");
    database
        .assert_row(
            "select status, attempts, last_error from postrider.delivery_status",
            json!({"status": "failed", "attempts": 1, "last_error": "status 503"}),
        )
        .await;
}

#[tokio::test]
async fn a_test_whose_command_is_killed_leaves_the_error_that_it_meets_and_is_not_retried() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1h}'", &[]).await;
    receiver.answer(500);
    receiver.hold();
    let mut test = command(&["endpoint", "test", "one"]);
    test.env("DATABASE_URL", &database.url);
    let test = RunningCommand::start(test);
    eventually("it is on its way", || async { receiver.under_way() == 1 }).await;

    test.stop("KILL").await;
    receiver.release();

    assert_failed_once(&database, "status 500").await;
}

#[tokio::test]
async fn a_test_whose_client_hangs_up_leaves_the_error_that_it_meets_and_is_not_retried() {
    let (database, receiver, dispatcher) = one_endpoint("retry_schedule => '{1h}'", &[]).await;
    receiver.answer(500);
    receiver.hold();
    let api = Api::of(&dispatcher).await;
    let request = api.request("POST", "/v1/endpoints/one/test").timeout(Duration::from_secs(20)).send();
    tokio::select! {
        _ = request => panic!("the endpoint does not answer"),
        () = eventually("it is on its way", || async { receiver.under_way() == 1 }) => {}
    }

    receiver.release();

    assert_failed_once(&database, "status 500").await;
}

#[tokio::test]
async fn an_endpoint_that_asks_to_be_tested_later_is_not() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1h}'", &[]).await;
    receiver.answer_once(429, &[("retry-after", "1")], b"");

    database.execute(INSERT).await;

    assert_failed_once(&database, "status 429").await;
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_disabled_by_its_test_and_does_not_get_it_when_it_is_resumed() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1ms}'", &[]).await;
    receiver.answer_once(410, &[], b"");

    database.execute(INSERT).await;
    database.until("select state = 'disabled' from postrider.endpoint_health").await;
    database.execute("select postrider.resume_endpoint('one')").await;

    assert_failed_once(&database, "status 410").await;
}

#[tokio::test]
async fn a_test_whose_dispatcher_is_killed_is_not_attempted_by_another_one() {
    let (database, receiver, dispatcher) = one_endpoint("", &SHORT_LEASE).await;
    receiver.hold();
    database.execute(INSERT).await;
    eventually("it is on its way", || async { receiver.under_way() == 1 }).await;
    dispatcher.kill().await;

    let _other = Dispatcher::start(&database, &SHORT_LEASE).await;
    database.until_settled().await;

    assert_eq!(receiver.count(), 1);
    database
        .assert_row(
            "select status, last_error from postrider.delivery_status",
            json!({
                "status": "failed",
                "last_error": "a test is attempted once, and the outcome of that attempt was lost",
            }),
        )
        .await;
    receiver.release();
}

#[tokio::test]
async fn a_failed_test_is_sent_again_to_who_asks_for_it_alone() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    receiver.answer_once(500, &[], b"");
    database.execute(INSERT).await;
    assert_failed_once(&database, "status 500").await;

    let retried: i64 = database.value("select postrider.retry_failed('one')").await;
    let replayed: i64 = database.value("select replayed from postrider.replay('one', '-infinity')").await;
    database.execute("select postrider.retry(delivery_id) from postrider.delivery_status").await;
    database.until_settled().await;

    assert_eq!((retried, replayed, receiver.count()), (0, 0, 2));
    assert_eq!(database.count("complete").await, 1);
}

#[tokio::test]
async fn what_is_cancelled_or_loses_its_endpoint_keeps_the_error_of_its_last_attempt() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    receiver.answer(500);
    for id in ["cancelled", "deleted"] {
        database.put_endpoint(id, &receiver.url(), id, "retry_schedule => '{1h}'").await;
        database.insert(id, "{}").await;
    }
    let _dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;
    database.until("select count(*) = 2 from postrider.attempt_log").await;

    database.execute("select postrider.cancel(event_id) from postrider.delivery_status where endpoint_id = 'cancelled'").await;
    database.execute("select postrider.delete_endpoint('deleted')").await;
    database.until_settled().await;

    database
        .assert_rows(
            "select topic, last_error, cancelled_at is not null as is_cancelled from postrider.delivery_status order by topic",
            vec![
                json!({"topic": "cancelled", "last_error": "status 500", "is_cancelled": true}),
                json!({"topic": "deleted", "last_error": "status 500; then the endpoint was deleted", "is_cancelled": false}),
            ],
        )
        .await;
}
