//! `postrider.skip_key`: gives up what waits for a key.

use tokio_postgres::error::SqlState;

use crate::support::Database;

#[tokio::test]
async fn what_holds_up_a_key_and_what_waits_behind_it_is_skipped() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["held_up", "pending", "pending"]).await;

    let skipped: i64 = database.value("select postrider.skip_key('one', 'k', reason => 'wrong')").await;

    assert_eq!(skipped, 3);
    assert_eq!(database.deliveries().await, ["1 failed", "2 failed", "3 failed"]);
    let errors: Vec<String> = database
        .value("select array_agg(last_error order by delivery_id) from postrider.delivery_status")
        .await;
    assert_eq!(errors, ["status 500; then skipped: wrong", "skipped: wrong", "skipped: wrong"]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn other_keys_and_other_endpoints_go_on_when_a_key_is_skipped() {
    let database = ordered().await;
    database.put_endpoint("two", "https://example.com/", "**", "ordered => true").await;
    database.insert_lane("one", "k", &["held_up", "pending"]).await;
    database.insert_lane("one", "other", &["pending", "pending"]).await;
    database.insert_lane("two", "k", &["pending", "pending"]).await;

    let skipped: i64 = database.value("select postrider.skip_key('one', 'k')").await;

    assert_eq!(skipped, 2);
    assert_eq!(database.deliveries().await, ["1 failed", "2 failed", "3 due", "4 waits", "5 due", "6 waits"]);
}

#[tokio::test]
async fn events_that_came_after_the_given_time_are_not_skipped() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["held_up", "pending", "pending", "pending"]).await;
    database.execute("update postrider.outbox set created_at = now() - (5 - id) * interval '1 hour'").await;

    let skipped: i64 = database
        .value(
            "select postrider.skip_key('one', 'k', (select created_at from postrider.outbox where id = 2))",
        )
        .await;

    assert_eq!(skipped, 2);
    assert_eq!(database.deliveries().await, ["1 failed", "2 failed", "3 due", "4 waits"]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_key_is_skipped_in_steps_from_its_first_delivery_on() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["held_up", "pending", "pending", "pending", "pending"]).await;
    let step = "select postrider.skip_key('one', 'k', up_to => 2)";

    let first: i64 = database.value(step).await;

    assert_eq!(first, 2);
    assert_eq!(database.deliveries().await, ["1 failed", "2 failed", "3 due", "4 waits", "5 waits"]);
    assert_eq!(database.value::<i64>(step).await, 2);
    assert_eq!(database.value::<i64>(step).await, 1);
    assert_eq!(database.value::<i64>(step).await, 0);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_delivery_under_way_stays_when_its_key_is_skipped() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["in_progress", "pending", "pending"]).await;

    let skipped: i64 = database.value("select postrider.skip_key('one', 'k')").await;

    assert_eq!(skipped, 2);
    assert_eq!(database.deliveries().await, ["1 in_progress", "2 failed", "3 failed"]);
    assert_eq!(database.lane("k").await, [1]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn skipping_a_key_and_settling_do_not_lock_each_other_out() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["pending"; 20]).await;
    // Of the two, the lower delivery belongs to the higher event.
    database
        .execute(
            "update postrider.delivery set place = 21 - place, due_at = null;
             select postrider.open_lanes(array[1], array['k'])",
        )
        .await;

    let (skipped, settled) = database.run_beside_settling("select postrider.skip_key('one', 'k')").await;

    skipped.unwrap();
    settled.unwrap();
    assert_eq!(database.count("failed").await, 20);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn an_unknown_endpoint_or_an_invalid_argument_of_skip_key_is_an_error() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["held_up"]).await;

    for (arguments, code) in [
        ("'nobody', 'k'", SqlState::NO_DATA_FOUND),
        ("'one', null", SqlState::INVALID_PARAMETER_VALUE),
        ("'one', 'k', null", SqlState::INVALID_PARAMETER_VALUE),
        ("'one', 'k', up_to => 0", SqlState::INVALID_PARAMETER_VALUE),
        ("'one', 'k', up_to => 100001", SqlState::INVALID_PARAMETER_VALUE),
    ] {
        let fault = database.refusal(&format!("select postrider.skip_key({arguments})")).await;

        assert_eq!(fault.code(), &code, "{arguments}");
    }
    assert_eq!(database.value::<i64>("select postrider.skip_key('one', 'unknown')").await, 0);
    assert_eq!(database.lane("k").await, [1]);
}

async fn ordered() -> Database {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "ordered => true").await;
    database
}
