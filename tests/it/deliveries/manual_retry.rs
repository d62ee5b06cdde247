//! `postrider.retry` and `postrider.retry_failed`, as SQL users call them.

use serde_json::json;
use tokio_postgres::error::SqlState;

use crate::support::{Database, Dispatcher, Receiver, one_endpoint, waiting_for_retry};

#[tokio::test]
async fn a_failed_delivery_that_is_retried_is_delivered() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1ms}'", &[]).await;
    let event = fail_one(&database, &receiver).await;

    let status = retry(&database, event).await;
    database.until_settled().await;

    assert_eq!(status, "pending");
    let requests = receiver.all();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[2].header("postrider-attempt"), "3");
    assert_eq!(requests[2].header("webhook-id"), requests[0].header("webhook-id"));
    requests[2].verify();
    database
        .assert_row(
            "select d.status as delivery_status, d.attempts, d.failed_at, o.status as event_status,
                    o.failed
             from postrider.delivery_status as d join postrider.outbox as o on o.id = d.event_id",
            json!({
                "delivery_status": "complete", "attempts": 3, "failed_at": null,
                "event_status": "complete", "failed": 0
            }),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_retried_delivery_has_its_whole_schedule_before_it_again() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1ms,1ms,1ms}'", &[]).await;
    let event = fail_one(&database, &receiver).await;
    receiver.answer(500);

    retry(&database, event).await;
    database.until_settled().await;

    database
        .assert_row(
            "select d.status, d.attempts, (select array_agg(attempt order by attempt) from postrider.attempt_log) as logged
             from postrider.delivery_status as d",
            json!({"status": "failed", "attempts": 8, "logged": [1, 2, 3, 4, 5, 6, 7, 8]}),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn the_event_is_in_progress_while_its_failed_delivery_is_retried() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1ms}'", &[]).await;
    let event = fail_one(&database, &receiver).await;
    receiver.hold();

    retry(&database, event).await;
    receiver.next().await;

    database
        .assert_row(
            "select status, open_deliveries, failed, completed_at from postrider.outbox",
            json!({"status": "in_progress", "open_deliveries": 1, "failed": 0, "completed_at": null}),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_waiting_delivery_that_is_retried_is_due_now() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1h}'", &[]).await;
    let event = waiting_for_retry(&database, &receiver).await;

    retry(&database, event).await;
    database.until_settled().await;

    database
        .assert_row(
            "select status, attempts from postrider.delivery_status",
            json!({"status": "complete", "attempts": 2}),
        )
        .await;
}

#[tokio::test]
async fn a_waiting_delivery_that_is_retried_keeps_its_place_in_the_schedule() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1h}'", &[]).await;
    let event = waiting_for_retry(&database, &receiver).await;
    receiver.answer(500);

    retry(&database, event).await;
    database.until_settled().await;

    database
        .assert_row(
            "select status, attempts from postrider.delivery_status",
            json!({"status": "failed", "attempts": 2}),
        )
        .await;
}

#[tokio::test]
async fn a_retry_wakes_a_sleeping_dispatcher() {
    let flags = ["--wake", "notify", "--poll-interval", "1h"];
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1ms}'", &flags).await;
    let event = fail_one(&database, &receiver).await;
    database.until_bell_is_armed().await;

    retry(&database, event).await;

    database.until_settled().await;
}

#[tokio::test]
async fn a_complete_delivery_is_not_retried() {
    let (database, _receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.insert("order.created", "{}").await;
    database.until_settled().await;

    let fault = database.refusal("select postrider.retry(delivery_id) from postrider.delivery_status").await;

    assert_eq!(fault.code(), &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    assert!(fault.message().ends_with(" is complete"), "{fault:?}");
    assert!(fault.hint().unwrap().contains("postrider.replay"), "{fault:?}");
}

#[tokio::test]
async fn a_delivery_whose_attempt_is_under_way_is_not_retried() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    receiver.hold();
    database.insert("order.created", "{}").await;
    receiver.next().await;

    let fault = database.refusal("select postrider.retry(delivery_id) from postrider.delivery_status").await;

    assert_eq!(fault.code(), &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    assert_eq!(fault.hint(), Some("An attempt is under way."));
}

#[tokio::test]
async fn a_delivery_whose_endpoint_was_deleted_is_not_retried() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    given_up(&database, 1).await;
    database.execute("select postrider.delete_endpoint('one')").await;

    let fault = database.refusal("select postrider.retry(delivery_id) from postrider.delivery_status").await;

    assert_eq!(fault.code(), &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    assert!(fault.message().ends_with("its endpoint was deleted"), "{fault:?}");
}

#[tokio::test]
async fn an_unknown_delivery_is_an_error() {
    let database = Database::new().await;

    for call in ["select postrider.retry(42)", "select postrider.retry(null)"] {
        let fault = database.refusal(call).await;

        assert_eq!(fault.code(), &SqlState::NO_DATA_FOUND, "{call}");
    }
}

#[tokio::test]
async fn a_delivery_that_is_retried_is_cancelled_no_longer() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1h}'", &[]).await;
    let event = waiting_for_retry(&database, &receiver).await;
    database.execute(&format!("select postrider.cancel({event})")).await;

    retry(&database, event).await;
    database.until_settled().await;

    database
        .assert_row(
            "select d.status as delivery_status, d.cancelled_at as delivery_cancelled_at,
                    o.status as event_status, o.cancelled_at as event_cancelled_at
             from postrider.delivery_status as d join postrider.outbox as o on o.id = d.event_id",
            json!({
                "delivery_status": "complete", "delivery_cancelled_at": null,
                "event_status": "complete", "event_cancelled_at": null
            }),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn two_retries_at_once_are_one() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    given_up(&database, 1).await;
    let (one, two) = (database.connect().await, database.connect().await);
    let retry = "select postrider.retry(delivery_id) from postrider.delivery_status";
    one.batch_execute("begin").await.unwrap();
    one.batch_execute(retry).await.unwrap();

    let commit = async {
        database.until_somebody_waits_for_a_lock().await;
        one.batch_execute("commit").await.unwrap();
    };
    let (second, ()) = tokio::join!(two.batch_execute(retry), commit);

    second.unwrap();
    database
        .assert_row(
            "select open_deliveries, failed from postrider.outbox",
            json!({"open_deliveries": 1, "failed": 0}),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_retry_locks_events_in_the_order_in_which_they_are_settled() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    given_up(&database, 20).await;
    // The first event failed last, and has the last delivery.
    database
        .execute(
            "update postrider.delivery set event_id = -event_id;
             update postrider.delivery set event_id = 21 + event_id, failed_at = now() + event_id * interval '1 s'",
        )
        .await;

    let (asked, settled) = database.run_beside_settling("select postrider.retry_failed('one')").await;

    assert!(asked.is_ok() && settled.is_ok(), "{asked:?} {settled:?}");
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn retry_failed_retries_all_that_was_given_up() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1ms}'", &[]).await;
    receiver.answer(400);
    database.insert_many("order.created", 30).await;
    database.until_settled().await;
    receiver.answer(200);

    let retried: i64 = database.value("select postrider.retry_failed('one')").await;
    database.until_settled().await;

    assert_eq!(retried, 30);
    database
        .assert_row("select count(*) from postrider.outbox where status = 'complete'", json!({"count": 30}))
        .await;
    database
        .assert_row(
            "select count(*) from postrider.delivery_status where status = 'complete' and attempts = 3",
            json!({"count": 30}),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn retry_failed_leaves_alone_what_was_given_up_before_since() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    given_up(&database, 5).await;

    let retried: i64 = database.value("select postrider.retry_failed('one', '2026-01-01 00:03:00+00')").await;

    assert_eq!(retried, 3);
    database
        .assert_row(
            "select max(failed_at) at time zone 'utc' as failed_at
             from postrider.delivery_status where failed_at is not null",
            json!({"failed_at": "2026-01-01T00:02:00"}),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn retry_failed_begins_with_the_oldest_and_can_be_called_again() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    given_up(&database, 5).await;
    let retry = "select postrider.retry_failed('one', up_to => 2)";

    let first: i64 = database.value(retry).await;
    let is_oldest = database
        .is("select min(failed_at) = '2026-01-01 00:03:00+00' from postrider.delivery_status where failed_at is not null")
        .await;
    let (second, third, fourth): (i64, i64, i64) =
        (database.value(retry).await, database.value(retry).await, database.value(retry).await);

    assert!(is_oldest);
    assert_eq!([first, second, third, fourth], [2, 2, 1, 0]);
}

#[tokio::test]
async fn retry_failed_leaves_alone_what_was_cancelled() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    given_up(&database, 3).await;
    database
        .execute(
            "update postrider.delivery set cancelled_at = failed_at where id = (select min(id) from postrider.delivery)",
        )
        .await;

    let retried: i64 = database.value("select postrider.retry_failed('one')").await;

    assert_eq!(retried, 2);
    assert_eq!(database.count("failed").await, 1);
}

#[tokio::test]
async fn retry_failed_leaves_other_endpoints_alone() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database.put_endpoint("two", "https://example.com/", "**", "").await;
    given_up(&database, 3).await;

    let retried: i64 = database.value("select postrider.retry_failed('two')").await;

    assert_eq!((retried, database.count("failed").await), (0, 3));
}

#[tokio::test]
async fn what_is_retried_for_a_paused_endpoint_waits_until_it_is_resumed() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    database.put_endpoint("marker", &receiver.url(), "marker", "").await;
    given_up(&database, 3).await;
    // Or they were old enough to be deleted.
    database.execute("update postrider.outbox set completed_at = now()").await;
    database.execute("select postrider.pause_endpoint('one')").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    database.execute("select postrider.retry_failed('one')").await;
    database
        .execute(
            "insert into postrider.outbox (topic, payload, destination) values ('a', '\"marker\"', 'marker')",
        )
        .await;
    let first = receiver.next().await;
    database.execute("select postrider.resume_endpoint('one')").await;
    database.until_settled().await;

    assert_eq!(first.text(), "\"marker\"");
    assert_eq!(receiver.count(), 4);
}

#[tokio::test]
async fn an_invalid_argument_of_retry_failed_is_an_error() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;

    for arguments in ["since => null", "up_to => 0", "up_to => 100001", "up_to => null"] {
        let fault = database.refusal(&format!("select postrider.retry_failed('one', {arguments})")).await;

        assert_eq!(fault.code(), &SqlState::INVALID_PARAMETER_VALUE, "{arguments}");
        let (name, _) = arguments.split_once(' ').unwrap();
        assert!(fault.detail().unwrap().starts_with(&format!("Allowed is {name}: ")), "{fault:?}");
    }
}

/// Inserts an event that is given up; from then on the receiver answers 200.
async fn fail_one(database: &Database, receiver: &Receiver) -> i64 {
    receiver.answer(500);
    let event = database.insert("order.created", "{}").await;
    database.until_settled().await;
    receiver.answer(200);
    while receiver.arrived().is_some() {}
    event
}

/// Retries the one delivery of an event.
async fn retry(database: &Database, event: i64) -> String {
    database
        .value(&format!(
            "select (postrider.retry(delivery_id)).status::text from postrider.delivery_status where event_id = {event}"
        ))
        .await
}

/// Events that were given up for the endpoint `one`, one a minute from 2026-01-01 00:01 on.
async fn given_up(database: &Database, count: u32) {
    database
        .execute(&format!(
            "insert into postrider.outbox (topic, payload, status, deliveries, open_deliveries, failed, created_at, completed_at)
             select 'order.created', '{{}}', 'failed', 1, 0, 1, at, at
             from (select timestamptz '2026-01-01 00:00:00+00' + n * interval '1 minute' as at
                   from generate_series(1, {count}) as n) as minutes;
             insert into postrider.delivery (event_id, endpoint_no, status, attempts, created_at, completed_at, failed_at)
             select o.id, e.endpoint_no, 'failed', 1, o.created_at, o.created_at, o.created_at
             from postrider.outbox as o cross join postrider.endpoint as e where e.id = 'one' order by o.id"
        ))
        .await;
}
