//! `postrider.skip`: gives up one delivery, and its key goes on.

use serde_json::json;
use tokio_postgres::error::SqlState;

use crate::support::{Database, Dispatcher, Receiver};

#[tokio::test]
async fn a_failed_delivery_that_is_skipped_holds_up_its_key_no_longer() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["held_up", "pending", "pending"]).await;
    assert_eq!(database.deliveries().await, ["1 failed", "2 waits", "3 waits"]);

    let status = skip(&database, 1, "their order was deleted").await;

    assert_eq!(status, "failed");
    assert_eq!(database.deliveries().await, ["1 failed", "2 due", "3 waits"]);
    database
        .assert_row(
            "select last_error, last_status_code, attempts from postrider.delivery_status where delivery_id = 1",
            json!({"last_error": "status 500; then skipped: their order was deleted", "last_status_code": 500, "attempts": 1}),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_delivery_that_waits_for_its_retry_is_given_up_when_it_is_skipped() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["retry", "pending"]).await;
    assert_eq!(database.deliveries().await, ["1 later", "2 waits"]);

    skip(&database, 1, "wrong").await;

    assert_eq!(database.deliveries().await, ["1 failed", "2 due"]);
    database
        .assert_row(
            "select o.status, o.open_deliveries, o.failed, o.completed_at is not null as is_completed, o.cancelled_at,
                    d.failed_at is not null as has_failed, d.cancelled_at is not null as is_cancelled
             from postrider.outbox as o join postrider.delivery_status as d on d.event_id = o.id where o.id = 1",
            json!({"status": "failed", "open_deliveries": 0, "failed": 1, "is_completed": true, "cancelled_at": null,
                   "has_failed": true, "is_cancelled": true}),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_delivery_that_is_skipped_in_the_midst_of_its_key_leaves_the_order_of_the_others() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["retry", "pending", "pending"]).await;

    skip(&database, 2, "wrong").await;

    assert_eq!(database.deliveries().await, ["1 later", "2 failed", "3 waits"]);
    assert_eq!(database.lane("k").await, [1, 3]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn other_keys_and_other_deliveries_of_the_event_stay_as_they_are_when_one_is_skipped() {
    let database = ordered().await;
    database.put_endpoint("two", "https://example.com/", "**", "").await;
    database.insert_lane("one", "k", &["held_up", "pending"]).await;
    database.insert_lane("one", "other", &["held_up", "pending"]).await;
    // The first event has a delivery to another endpoint, too.
    database
        .execute(
            "insert into postrider.delivery (event_id, endpoint_no, status, due_at)
             select 1, endpoint_no, 'pending', now() from postrider.endpoint where id = 'two';
             update postrider.outbox set deliveries = 2, open_deliveries = 1, status = 'in_progress', completed_at = null where id = 1",
        )
        .await;

    skip(&database, 1, "wrong").await;

    assert_eq!(database.deliveries().await, ["1 failed", "2 due", "3 failed", "4 waits", "5 due"]);
    database
        .assert_row(
            "select status, open_deliveries, failed from postrider.outbox where id = 1",
            json!({"status": "in_progress", "open_deliveries": 1, "failed": 1}),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_waiting_delivery_of_an_endpoint_that_keeps_no_order_is_given_up_when_it_is_skipped() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    receiver.answer(500);
    database.put_endpoint("one", &receiver.url(), "**", "retry_schedule => '{1h}'").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    database.insert("order.created", "{}").await;
    database
        .until("select exists (select from postrider.delivery_status where next_attempt_at > now())")
        .await;

    skip(&database, 1, "wrong").await;

    database
        .assert_row(
            "select d.status as delivery, o.status as event, d.last_error, d.attempts
             from postrider.delivery_status as d join postrider.outbox as o on o.id = d.event_id",
            json!({"delivery": "failed", "event": "failed", "last_error": "status 500; then skipped: wrong", "attempts": 1}),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn the_reason_of_a_skip_is_one_line_of_bounded_length() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["pending", "pending"]).await;

    skip(&database, 1, "first\r\nsecond\tthird").await;
    skip(&database, 2, &"x".repeat(5_000)).await;

    database
        .assert_rows(
            "select case when delivery_id = 1 then last_error else length(last_error)::text end as last_error
             from postrider.delivery_status order by delivery_id",
            vec![json!({"last_error": "skipped: first second third"}), json!({"last_error": "509"})],
        )
        .await;
}

#[tokio::test]
async fn an_error_does_not_grow_when_its_delivery_is_retried_and_skipped_again_and_again() {
    let database = ordered().await;
    database.execute("select postrider.pause_endpoint('one')").await;
    database.insert_lane("one", "k", &["held_up"]).await;

    for _ in 0..5 {
        skip(&database, 1, &"x".repeat(500)).await;
        database.execute("select postrider.retry(1)").await;
    }

    let length: i32 = database.value("select length(last_error) from postrider.delivery_status").await;
    assert!(length < 1_100, "{length}");
}

#[tokio::test]
async fn a_second_skip_changes_nothing() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["held_up"]).await;
    skip(&database, 1, "first").await;
    let row = "select to_jsonb(d)::text from postrider.delivery_status as d";
    let before: String = database.value(row).await;

    let status = skip(&database, 1, "second").await;

    assert_eq!((status.as_str(), database.value::<String>(row).await), ("failed", before));
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_delivery_that_is_complete_or_under_way_is_not_skipped() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["complete", "in_progress"]).await;

    for (id, complaint, hint) in [
        (1, "delivery 1 is complete", "It holds up no other delivery."),
        (
            2,
            "delivery 2 is in_progress",
            "An attempt is under way. Skip it when that has failed, or cancel its event: postrider.cancel(2).",
        ),
    ] {
        let fault = database.refusal(&format!("select postrider.skip({id}, 'wrong')")).await;

        assert_eq!(fault.code(), &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
        assert_eq!((fault.message(), fault.hint()), (complaint, Some(hint)));
    }
    assert_eq!(database.deliveries().await, ["1 complete", "2 in_progress"]);
}

#[tokio::test]
async fn an_unknown_delivery_or_a_skip_without_a_reason_is_an_error() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["held_up"]).await;

    for (call, code) in [
        ("select postrider.skip(42, 'wrong')", SqlState::NO_DATA_FOUND),
        ("select postrider.skip(null, 'wrong')", SqlState::NO_DATA_FOUND),
        ("select postrider.skip(1, null)", SqlState::INVALID_PARAMETER_VALUE),
        ("select postrider.skip(1, '  ')", SqlState::INVALID_PARAMETER_VALUE),
    ] {
        let fault = database.refusal(call).await;

        assert_eq!(fault.code(), &code, "{call}");
    }
    assert_eq!(database.lane("k").await, [1]);
}

#[tokio::test]
async fn a_skipped_delivery_is_not_among_those_that_retry_failed_takes() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["held_up", "held_up"]).await;
    skip(&database, 1, "wrong").await;

    let retried: i64 = database.value("select postrider.retry_failed('one')").await;

    assert_eq!((retried, database.deliveries().await), (1, vec!["1 failed".to_owned(), "2 due".to_owned()]));
}

#[tokio::test]
async fn a_skipped_delivery_can_be_retried_alone() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["held_up"]).await;
    skip(&database, 1, "wrong").await;

    database.execute("select postrider.retry(1)").await;

    assert_eq!(database.deliveries().await, ["1 due"]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_skip_wakes_a_sleeping_dispatcher() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "ordered => true").await;
    database.insert_lane("one", "k", &["held_up", "pending"]).await;
    let _dispatcher = Dispatcher::start(&database, &["--wake", "notify", "--poll-interval", "1h"]).await;
    database.until_bell_is_armed().await;

    skip(&database, 1, "wrong").await;

    receiver.next().await.verify();
    database.until_settled().await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_skip_that_is_rolled_back_leaves_the_key_held_up() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["held_up", "pending"]).await;
    let other = database.connect().await;

    other.batch_execute("begin; select postrider.skip(1, 'wrong'); rollback").await.unwrap();

    assert_eq!(database.deliveries().await, ["1 failed", "2 waits"]);
    assert_eq!(database.lane("k").await, [1, 2]);
}

async fn ordered() -> Database {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "ordered => true").await;
    database
}

async fn skip(database: &Database, delivery: i64, reason: &str) -> String {
    let rows = database.rows("select status::text from postrider.skip($1, $2)", &[&delivery, &reason]).await;
    rows[0].get(0)
}
