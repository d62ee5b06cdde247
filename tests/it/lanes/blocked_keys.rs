//! `postrider.blocked_keys`: which keys are held up, by what, since when, and how many wait; at the price of a look at each of those.

use serde_json::{Value, json};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::support::{Database, connect, one_endpoint};

const URL: &str = "https://example.com/";
/// Without the times.
const ROW: &str = "select endpoint_id, key, delivery_id, event_id, status, attempts, last_error, waiting, next_attempt_at > now() as is_ahead,
                          since > now() - interval '1 min' and since <= now() as is_since_now
                   from postrider.blocked_keys";

#[tokio::test]
async fn a_key_is_blocked_from_the_first_failure_of_its_first_delivery_until_somebody_skips_it() {
    let (database, id) = one_key().await;
    let row = |status: &str, attempts: i32| {
        json!({
            "endpoint_id": "one", "key": "order-7", "delivery_id": id, "event_id": 1, "status": status, "attempts": attempts,
            "last_error": "status 500", "waiting": 2, "is_ahead": (status == "pending").then_some(true), "is_since_now": true,
        })
    };

    database.assert_rows(ROW, vec![]).await;
    database.claim_by_hand(id).await;
    database.assert_rows(ROW, vec![]).await;
    database.fail_by_hand(id, "pending").await;
    database.assert_row(ROW, row("pending", 1)).await;
    database.claim_by_hand(id).await;
    database.assert_row(ROW, row("in_progress", 2)).await;
    database.fail_by_hand(id, "failed").await;
    database.assert_row(ROW, row("failed", 2)).await;
    database.execute(&format!("select postrider.retry({id})")).await;
    database.assert_rows(ROW, vec![]).await;
    database.claim_by_hand(id).await;
    database.assert_rows(ROW, vec![]).await;
    database.fail_by_hand(id, "failed").await;
    database.assert_row(ROW, row("failed", 3)).await;
    database.execute(&format!("select postrider.skip({id}, 'the receiver does not want it')")).await;
    database.assert_rows(ROW, vec![]).await;
}

#[tokio::test]
async fn since_is_the_first_failure_after_the_last_retry() {
    let (database, id) = one_key().await;
    let since =
        "select round(extract(epoch from now() - since) / 3600)::int as hours from postrider.blocked_keys";
    let make_older = "update postrider.delivery set failing_since = failing_since - interval '5 h'";
    database.claim_by_hand(id).await;
    database.fail_by_hand(id, "pending").await;
    database.execute(make_older).await;
    database.claim_by_hand(id).await;
    database.fail_by_hand(id, "failed").await;

    database.assert_row(since, json!({"hours": 5})).await;
    database.execute(&format!("select postrider.retry({id})")).await;
    database.claim_by_hand(id).await;
    database.fail_by_hand(id, "failed").await;
    database.assert_row(since, json!({"hours": 0})).await;
}

#[tokio::test]
async fn a_refusal_for_pace_blocks_no_key() {
    let (database, receiver, _dispatcher) = one_endpoint("ordered => true", &[]).await;
    receiver.answer_once(429, &[("retry-after", "3600")], b"");

    database
        .execute(
            "insert into postrider.outbox (topic, payload, key) values ('order.changed', '{}', 'order-7')",
        )
        .await;

    database.until("select exists (select from postrider.attempt where status_code = 429)").await;
    database.assert_rows(ROW, vec![]).await;
}

#[tokio::test]
async fn a_delivery_left_by_a_dispatcher_that_died_blocks_no_key() {
    let (database, id) = one_key().await;
    database.claim_by_hand(id).await;
    // As rescue_claims does.
    database
        .execute(&format!(
            "update postrider.delivery set status = 'pending', claim_id = null, due_at = now() where id = {id}"
        ))
        .await;

    database.assert_rows(ROW, vec![]).await;
}

#[tokio::test]
async fn only_the_key_that_fails_is_blocked_and_only_while_its_endpoint_exists() {
    let database = Database::new().await;
    database.put_endpoint("one", URL, "**", "").await;
    database.put_endpoint("two", URL, "**", "").await;
    // Without a key.
    database.insert_settled("two", "order.created", "failed", 3).await;
    for (endpoint, key) in [("one", "a"), ("two", "a"), ("two", "b"), ("two", "ä 'c'")] {
        database.route_key(endpoint, &key.replace('\'', "''"), 3).await;
    }
    database.block_key("two", "bb", 1, "failed").await;
    database.block_key("one", "order-9", 1, "pending").await;
    let keys = "select endpoint_id, key, waiting from postrider.blocked_keys order by 1";

    database
        .assert_rows(
            keys,
            vec![
                json!({"endpoint_id": "one", "key": "order-9", "waiting": 0}),
                json!({"endpoint_id": "two", "key": "bb", "waiting": 0}),
            ],
        )
        .await;
    database.execute("select postrider.delete_endpoint('two')").await;
    database.assert_row(keys, json!({"endpoint_id": "one", "key": "order-9", "waiting": 0})).await;
}

#[tokio::test]
async fn neither_those_behind_a_key_nor_keys_that_are_not_blocked_cost_a_look() {
    let database = Database::new().await;
    database.put_endpoint("one", URL, "**", "").await;
    database.put_endpoint("two", URL, "**", "").await;
    database.block_key("one", "long", 100_001, "failed").await;
    database.block_key("one", "short", 2, "failed").await;
    database.block_key("two", "exact", 10_001, "failed").await;
    database
        .execute(
            "insert into postrider.delivery (event_id, endpoint_no, status, due_at, lane, place)
             select 1000000 + n, 1, 'pending', now(), 'other ' || n, n from generate_series(1, 20000) as n",
        )
        .await;
    let reader = connect(&database.login(Some("postrider_reader")).await).await;

    for analyzed in [false, true] {
        if analyzed {
            database.execute("vacuum analyze postrider.delivery").await;
        }
        let looked =
            pages(&reader, "select endpoint_id, key, status, since from postrider.blocked_keys").await;
        let of_one =
            pages(&reader, "select key, status from postrider.blocked_keys where endpoint_id = 'two'").await;
        let counted = pages(&reader, "select key, waiting from postrider.blocked_keys").await;

        assert!(looked < 150 && of_one < 100, "{looked}, {of_one}; analyzed: {analyzed}");
        // Each row that is counted is looked up, until vacuum has been there.
        assert!(counted < if analyzed { 500 } else { 25_000 }, "{counted}; analyzed: {analyzed}");
    }
    database
        .assert_rows(
            "select key, waiting from postrider.blocked_keys order by key",
            vec![
                json!({"key": "exact", "waiting": 10_000}),
                json!({"key": "long", "waiting": 10_000}),
                json!({"key": "short", "waiting": 1}),
            ],
        )
        .await;
}

async fn one_key() -> (Database, i64) {
    let database = Database::new().await;
    database.put_endpoint("one", URL, "**", "").await;
    let id = database.route_key("one", "order-7", 3).await;
    (database, id)
}

/// Pages that a query touches, whether they were in memory or not.
async fn pages(client: &Client, query: &str) -> u64 {
    let explain = format!("explain (analyze, buffers, timing off, format json) {query}");
    let answer = client.simple_query(&explain).await.unwrap_or_else(|fault| panic!("{query}: {fault:?}"));
    let text = answer
        .iter()
        .find_map(|message| if let SimpleQueryMessage::Row(row) = message { row.get(0) } else { None });
    let plan: Value = serde_json::from_str(text.unwrap()).unwrap();
    let count = |name| plan[0]["Plan"][name].as_u64().unwrap();
    count("Shared Hit Blocks") + count("Shared Read Blocks")
}
