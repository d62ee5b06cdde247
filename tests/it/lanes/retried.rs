//! Retries, replays and cancels of deliveries whose endpoint keeps order per key.

use serde_json::json;
use tokio_postgres::error::SqlState;

use crate::support::Database;

#[tokio::test]
async fn a_failed_delivery_that_holds_up_its_key_goes_first_again_when_it_is_retried() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["held_up", "pending"]).await;

    let is_behind = retry(&database, 1).await;

    assert!(!is_behind);
    assert_eq!(database.deliveries().await, ["1 due", "2 waits"]);
    assert_eq!(database.lane("k").await, [1, 2]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_failed_delivery_whose_key_went_on_goes_to_the_end_when_it_is_retried_and_the_answer_says_so() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["failed", "pending", "pending"]).await;

    let is_behind = retry(&database, 1).await;

    assert!(is_behind);
    assert_eq!(database.deliveries().await, ["1 waits", "2 due", "3 waits"]);
    assert_eq!(database.lane("k").await, [2, 3, 1]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_failed_delivery_whose_key_went_on_is_due_at_once_where_nothing_of_its_key_waits() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["failed", "complete"]).await;

    let is_behind = retry(&database, 1).await;

    assert!(is_behind);
    assert_eq!(database.deliveries().await, ["1 due", "2 complete"]);
    // What comes later is behind it.
    assert_eq!(database.insert_lane("one", "k", &["pending"]).await, [3]);
    assert_eq!(database.lane("k").await, [1, 3]);
    assert_eq!(database.deliveries().await, ["1 due", "2 complete", "3 waits"]);
}

#[tokio::test]
async fn a_retried_delivery_is_in_no_lane_where_no_order_is_kept() {
    let database = ordered().await;
    database.put_endpoint("free", "https://example.com/", "**", "").await;
    database.insert_lane("free", "k", &["failed"]).await;
    database.insert_lane("one", "k", &["failed"]).await;
    database.execute("update postrider.outbox set key = null where id = 2").await;

    for id in [1, 2] {
        assert!(!retry(&database, id).await);
    }

    assert_eq!(database.deliveries().await, ["1 due", "2 due"]);
    assert_eq!(database.lane("k").await, Vec::<i64>::new());
}

#[tokio::test]
async fn a_delivery_that_waits_for_another_of_its_key_is_not_retried_and_the_error_names_that_one() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["held_up", "pending"]).await;
    database.insert_lane("one", "other", &["in_progress", "pending"]).await;

    for (id, complaint, hint) in [
        (
            2,
            "delivery 2 waits for delivery 1, which comes first in its key",
            "Retry that one with postrider.retry(1), or give it up with postrider.skip(1, 'why').",
        ),
        (
            4,
            "delivery 4 waits for delivery 3, which comes first in its key",
            "An attempt of delivery 3 is under way.",
        ),
    ] {
        let fault = database.refusal(&format!("select postrider.retry({id})")).await;

        assert_eq!(fault.code(), &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
        assert_eq!((fault.message(), fault.hint()), (complaint, Some(hint)));
    }
    assert_eq!(database.deliveries().await, ["1 failed", "2 waits", "3 in_progress", "4 waits"]);
}

#[tokio::test]
async fn the_first_delivery_of_a_key_is_due_at_once_when_it_is_retried() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["retry", "pending"]).await;

    let is_behind = retry(&database, 1).await;

    assert!(!is_behind);
    assert_eq!(database.deliveries().await, ["1 due", "2 waits"]);
}

#[tokio::test]
async fn failed_deliveries_that_are_retried_together_come_to_the_end_of_their_key_in_order_of_their_events() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["failed", "failed", "pending", "failed"]).await;
    // They failed in another order.
    database
        .execute("update postrider.delivery set failed_at = now() - id * interval '1 minute' where failed_at is not null")
        .await;

    let retried: i64 = database.value("select postrider.retry_failed('one')").await;

    assert_eq!(retried, 3);
    assert_eq!(database.lane("k").await, [3, 1, 2, 4]);
    assert_eq!(database.deliveries().await, ["1 waits", "2 waits", "3 due", "4 waits"]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn replayed_deliveries_come_to_the_end_of_their_key_in_order_of_their_events() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["complete", "failed", "complete", "pending"]).await;
    database.insert_lane("one", "other", &["complete", "complete"]).await;
    // This endpoint never got the second event.
    database.execute("delete from postrider.delivery where id = 2").await;
    database
        .execute("update postrider.outbox set status = 'complete', deliveries = 0, failed = 0 where id = 2")
        .await;

    let replayed: i64 = database.value("select replayed from postrider.replay('one', '-infinity')").await;

    assert_eq!(replayed, 5);
    // Delivery 7 is that of the second event.
    assert_eq!(database.lane("k").await, [4, 1, 7, 3]);
    assert_eq!(database.lane("other").await, [5, 6]);
    assert_eq!(database.deliveries().await, ["1 waits", "3 waits", "4 due", "5 due", "6 waits", "7 waits"]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn an_event_that_an_endpoint_never_got_is_first_where_its_id_is_the_lowest_of_a_replay() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["complete", "complete"]).await;
    database.execute("delete from postrider.delivery where id = 1").await;
    database.execute("update postrider.outbox set deliveries = 0 where id = 1").await;

    database.execute("select postrider.replay('one', '-infinity')").await;

    assert_eq!(database.lane("k").await, [3, 2]);
    assert_eq!(database.deliveries().await, ["2 waits", "3 due"]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_failed_delivery_that_holds_up_its_key_stays_first_when_it_is_replayed() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["complete", "held_up", "pending"]).await;

    database.execute("select postrider.replay('one', '-infinity')").await;

    assert_eq!(database.lane("k").await, [2, 3, 1]);
    assert_eq!(database.deliveries().await, ["1 waits", "2 due", "3 waits"]);
}

#[tokio::test]
async fn a_cancelled_event_lets_its_key_go_on() {
    for first in ["retry", "held_up", "pending"] {
        let database = ordered().await;
        database.insert_lane("one", "k", &[first, "pending", "pending"]).await;

        database.execute("select postrider.cancel(1)").await;

        assert_eq!(database.deliveries().await, ["1 failed", "2 due", "3 waits"], "{first}");
        assert_eq!(database.lane("k").await, [2, 3], "{first}");
        database.assert_counts_agree().await;
    }
}

#[tokio::test]
async fn a_cancelled_event_in_the_midst_of_its_key_leaves_the_order_of_the_others() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["held_up", "pending", "pending"]).await;

    database
        .assert_row(
            "select status, cancelled, under_way from postrider.cancel(2)",
            json!({"status": "failed", "cancelled": 1, "under_way": 0}),
        )
        .await;

    assert_eq!(database.deliveries().await, ["1 failed", "2 failed", "3 waits"]);
    assert_eq!(database.lane("k").await, [1, 3]);
    database.assert_counts_agree().await;
}

async fn ordered() -> Database {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "ordered => true").await;
    database
}

/// Whether others of its key come first.
async fn retry(database: &Database, delivery: i64) -> bool {
    database.value(&format!("select is_behind from postrider.retry({delivery})")).await
}
