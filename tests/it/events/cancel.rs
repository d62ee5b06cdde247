//! `postrider.cancel`, as SQL users call it.

use postrider::store::STATEMENTS;
use serde_json::json;
use tokio_postgres::error::SqlState;

use crate::support::{Database, Dispatcher, Receiver, one_endpoint, waiting_for_retry};

#[tokio::test]
async fn an_event_that_is_cancelled_before_it_is_routed_is_never_sent() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    let cancelled = database.insert("order.created", "\"cancelled\"").await;

    let said = cancel(&database, cancelled).await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    database.insert("order.created", "\"marker\"").await;
    let first = receiver.next().await;
    database.until_settled().await;

    assert_eq!(said, ("failed".to_owned(), 0, 0));
    assert_eq!((first.text(), receiver.count()), ("\"marker\"", 1));
    database
        .assert_row(
            &format!(
                "select status, deliveries, cancelled_at is not null as is_cancelled,
                    completed_at is not null as is_completed
             from postrider.outbox where id = {cancelled}"
            ),
            json!({"status": "failed", "deliveries": 0, "is_cancelled": true, "is_completed": true}),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn an_event_whose_open_deliveries_somebody_deleted_is_settled_by_cancel() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.put_endpoint("away", "http://127.0.0.1:1/", "**", "retry_schedule => '{1h}'").await;
    let event = database.insert("order.created", "1").await;
    receiver.next().await;
    database
        .until("select array_agg(status::text || attempts order by endpoint_no) = '{complete1,pending1}' from postrider.delivery")
        .await;
    database.execute("delete from postrider.delivery where status = 'pending'").await;

    let first = cancel(&database, event).await;
    let again = cancel(&database, event).await;

    assert_eq!((first, again), (("failed".to_owned(), 0, 0), ("failed".to_owned(), 0, 0)));
    database
        .assert_row(
            "select status, open_deliveries, failed, completed_at is not null as is_completed from postrider.outbox",
            json!({"status": "failed", "open_deliveries": 0, "failed": 1, "is_completed": true}),
        )
        .await;
}

#[tokio::test]
async fn a_waiting_delivery_of_a_cancelled_event_is_given_up() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1h}'", &[]).await;
    let event = waiting_for_retry(&database, &receiver).await;

    let said = cancel(&database, event).await;

    assert_eq!(said, ("failed".to_owned(), 1, 0));
    database
        .assert_row(
            "select d.status as delivery_status,
                    d.cancelled_at is not null as is_delivery_cancelled, d.last_error,
                    o.status as event_status, o.failed,
                    o.cancelled_at is not null as is_event_cancelled
             from postrider.delivery_status as d join postrider.outbox as o on o.id = d.event_id",
            json!({
                "delivery_status": "failed", "is_delivery_cancelled": true, "last_error": "status 500",
                "event_status": "failed", "failed": 1, "is_event_cancelled": true
            }),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn an_attempt_that_fails_after_its_event_was_cancelled_is_not_followed_by_another() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1ms}'", &[]).await;
    let event = hold_one(&database, &receiver, 500).await;

    let said = cancel(&database, event).await;
    receiver.release();
    database.until_settled().await;

    assert_eq!(said, ("in_progress".to_owned(), 0, 1));
    assert_eq!(receiver.count(), 1);
    database
        .assert_row(
            "select d.status as delivery_status, d.attempts, d.last_status_code, d.next_attempt_at,
                    o.status as event_status, o.failed
             from postrider.delivery_status as d join postrider.outbox as o on o.id = d.event_id",
            json!({
                "delivery_status": "failed", "attempts": 1, "last_status_code": 500,
                "next_attempt_at": null, "event_status": "failed", "failed": 1
            }),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn an_attempt_that_succeeds_after_its_event_was_cancelled_is_complete() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    let event = hold_one(&database, &receiver, 200).await;

    cancel(&database, event).await;
    receiver.release();
    database.until_settled().await;

    database
        .assert_row(
            "select d.status as delivery_status, o.status as event_status, o.failed,
                    o.cancelled_at is not null as is_cancelled
             from postrider.delivery_status as d join postrider.outbox as o on o.id = d.event_id",
            json!({
                "delivery_status": "complete", "event_status": "complete", "failed": 0,
                "is_cancelled": true
            }),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn an_endpoint_that_is_gone_when_its_is_event_cancelled_keeps_nothing_of_it() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    let event = hold_one(&database, &receiver, 410).await;

    cancel(&database, event).await;
    receiver.release();
    database.until_settled().await;

    database.assert_row("select status from postrider.delivery_status", json!({"status": "failed"})).await;
}

#[tokio::test]
async fn a_complete_event_cannot_be_cancelled_any_more() {
    let (database, _receiver, _dispatcher) = one_endpoint("", &[]).await;
    let event = database.insert("order.created", "{}").await;
    database.until_settled().await;

    let said = cancel(&database, event).await;

    assert_eq!(said, ("complete".to_owned(), 0, 0));
    database
        .assert_row(
            "select status, cancelled_at from postrider.outbox",
            json!({"status": "complete", "cancelled_at": null}),
        )
        .await;
}

#[tokio::test]
async fn an_unknown_event_is_an_error() {
    let database = Database::new().await;

    for call in ["select postrider.cancel(42)", "select postrider.cancel(null)"] {
        let fault = database.refusal(call).await;

        assert_eq!(fault.code(), &SqlState::NO_DATA_FOUND, "{call}");
    }
}

#[tokio::test]
async fn what_is_settled_when_an_is_event_cancelled_stays_as_it_is() {
    let database = Database::new().await;
    let (good, bad, hanging) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    database.put_endpoint("good", &good.url(), "**", "").await;
    database.put_endpoint("bad", &bad.url(), "**", "retry_schedule => '{1h}'").await;
    database.put_endpoint("hanging", &hanging.url(), "**", "").await;
    bad.answer(500);
    hanging.hold();
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    let event = database.insert("order.created", "{}").await;
    hanging.next().await;
    database.until("select count(*) = 2 from postrider.attempt_log").await;

    let said = cancel(&database, event).await;
    hanging.release();
    database.until_settled().await;

    assert_eq!(said, ("in_progress".to_owned(), 1, 1));
    database
        .assert_rows(
            "select endpoint_id, status, cancelled_at is not null as is_cancelled
             from postrider.delivery_status order by endpoint_id",
            vec![
                json!({"endpoint_id": "bad", "status": "failed", "is_cancelled": true}),
                json!({"endpoint_id": "good", "status": "complete", "is_cancelled": false}),
                json!({"endpoint_id": "hanging", "status": "complete", "is_cancelled": true}),
            ],
        )
        .await;
    database
        .assert_row("select status, failed from postrider.outbox", json!({"status": "failed", "failed": 1}))
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn an_event_that_is_cancelled_twice_is_cancelled() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1h}'", &[]).await;
    let event = waiting_for_retry(&database, &receiver).await;

    cancel(&database, event).await;
    let said = cancel(&database, event).await;

    assert_eq!(said, ("failed".to_owned(), 0, 0));
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn what_a_killed_dispatcher_held_of_a_cancelled_event_is_given_up() {
    let flags = ["--lease", "2s", "--request-timeout", "1s"];
    let (database, receiver, killed) = one_endpoint("", &flags).await;
    let event = hold_one(&database, &receiver, 200).await;
    killed.kill().await;

    cancel(&database, event).await;
    receiver.release();
    let _other = Dispatcher::start(&database, &flags).await;
    database.until_settled().await;

    assert_eq!(receiver.count(), 1);
    database
        .assert_row(
            "select status, last_error, attempts from postrider.delivery_status",
            json!({"status": "failed", "last_error": "cancelled", "attempts": 1}),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn what_was_given_back_of_a_cancelled_event_is_not_claimed() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database
        .execute(
            "insert into postrider.delivery (event_id, endpoint_no, status, due_at, cancelled_at)
             values (1, 1, 'pending', now(), now()), (2, 1, 'pending', now(), null);
             insert into postrider.dispatcher (host, version, lease_until, wake_mode) values ('test', '0', now(), 'poll')",
        )
        .await;
    let claim = STATEMENTS.iter().find(|statement| statement.name == "claim_deliveries").unwrap();

    let claimed = database
        .rows(claim.sql, &[&1_i64, &vec![1_i32], &vec![10_i64], &vec![0_i64], &false, &vec![0_i64], &0_i64])
        .await;

    let events: Vec<i64> = claimed.iter().map(|row| row.get("event_id")).collect();
    assert_eq!(events, [2]);
}

#[tokio::test]
async fn an_event_that_is_cancelled_while_it_is_routed_does_not_stand_in_the_way_of_its_settling() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    let event = database.insert("order.created", "{}").await;
    let delivery = "insert into postrider.delivery (event_id, endpoint_no, status, due_at) select id, 1, 'pending', now() from postrider.outbox";
    database.execute(delivery).await;
    let (router, settler, other) =
        (database.connect().await, database.connect().await, database.connect().await);
    let route = "begin; update postrider.outbox set status = 'in_progress', deliveries = 1, open_deliveries = 1, failed = 0";
    router.batch_execute(route).await.unwrap();
    settler.batch_execute("begin; select from postrider.delivery for update").await.unwrap();

    let settle = async {
        database.until_somebody_waits_for_a_lock().await;
        router.batch_execute("commit").await.unwrap();
        database.until_somebody_waits_for_a_lock().await;
        let settled = settler.batch_execute("select from postrider.outbox for update").await;
        settler.batch_execute("commit").await.unwrap();
        settled
    };
    let cancel = format!("select postrider.cancel({event})");
    let (cancelled, settled) = tokio::join!(other.batch_execute(&cancel), settle);

    assert!(cancelled.is_ok() && settled.is_ok(), "{cancelled:?} {settled:?}");
    assert_eq!(database.count("failed").await, 1);
}

#[tokio::test]
async fn what_was_given_back_of_a_cancelled_event_is_found_without_a_walk_through_all_that_was_ever_cancelled()
 {
    let database = Database::new().await;

    assert!(
        database
            .is("select bool_or(pg_get_expr(indpred, indrelid) like '%due_at IS NOT NULL%' and pg_get_expr(indpred, indrelid) like '%cancelled_at IS NOT NULL%')
                 from pg_index where indrelid = 'postrider.delivery'::regclass")
            .await
    );
}

/// Cancels an event: its status, and how many were cancelled and under way.
async fn cancel(database: &Database, event: i64) -> (String, i32, i32) {
    let rows =
        database.rows("select status::text, cancelled, under_way from postrider.cancel($1)", &[&event]).await;
    (rows[0].get(0), rows[0].get(1), rows[0].get(2))
}

/// Inserts an event whose first attempt is under way until the receiver is released, and then answered with a status.
async fn hold_one(database: &Database, receiver: &Receiver, status: u16) -> i64 {
    receiver.answer(status);
    receiver.hold();
    let event = database.insert("order.created", "{}").await;
    receiver.next().await;
    event
}
