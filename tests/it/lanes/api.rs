//! `/v1/deliveries/{id}/skip`, `/v1/endpoints/{id}/skip-key`, and what a retry says of keys.

use serde_json::json;

use crate::support::{Api, Database, Dispatcher};

#[tokio::test]
async fn a_delivery_is_skipped_by_request() {
    let (database, dispatcher) = held_up().await;
    let api = Api::of(&dispatcher).await;

    let skipped = api.send("POST", "/v1/deliveries/1/skip", &json!({"reason": "their order is gone"})).await;

    assert_eq!(skipped.status, 200, "{}", skipped.text);
    let delivery = skipped.json();
    assert_eq!(
        (&delivery["id"], &delivery["status"], &delivery["last_error"]),
        (&json!(1), &json!("failed"), &json!("status 500; then skipped: their order is gone"))
    );
    assert_eq!(database.deliveries().await, ["1 failed", "2 due", "3 waits"]);
}

#[tokio::test]
async fn a_skip_by_request_needs_a_reason_and_a_delivery_that_waits_or_failed() {
    let (database, dispatcher) = held_up().await;
    database.insert_lane("one", "other", &["complete"]).await;
    let api = Api::of(&dispatcher).await;

    for (id, body, refused) in [
        (1, json!({}), (400, "invalid_request")),
        (1, json!({"reason": " "}), (422, "invalid_argument")),
        (1, json!({"reason": "x".repeat(501)}), (422, "invalid_argument")),
        (4, json!({"reason": "wrong"}), (409, "conflict")),
        (9, json!({"reason": "wrong"}), (404, "not_found")),
    ] {
        let answered = api.send("POST", &format!("/v1/deliveries/{id}/skip"), &body).await;

        assert_eq!(answered.refused(), (refused.0, refused.1.to_owned()), "{id} {body}: {}", answered.text);
    }
    assert_eq!(database.lane("k").await, [1, 2, 3]);
}

#[tokio::test]
async fn a_retry_by_request_says_whether_others_of_its_key_come_first() {
    let (database, dispatcher) = held_up().await;
    database.insert_lane("one", "other", &["failed", "pending"]).await;
    let api = Api::of(&dispatcher).await;

    let first = api.post("/v1/deliveries/1/retry").await.json();
    let behind = api.post("/v1/deliveries/4/retry").await.json();
    let waiting = api.post("/v1/deliveries/2/retry").await;

    assert_eq!((&first["status"], &first["is_behind"]), (&json!("pending"), &json!(false)));
    assert_eq!((&behind["status"], &behind["is_behind"]), (&json!("pending"), &json!(true)));
    assert_eq!(waiting.refused(), (409, "conflict".to_owned()));
    assert!(waiting.text.contains("delivery 2 waits for delivery 1"), "{}", waiting.text);
    assert_eq!(database.deliveries().await, ["1 due", "2 waits", "3 waits", "4 waits", "5 due"]);
}

#[tokio::test]
async fn a_key_is_skipped_by_request() {
    let (database, dispatcher) = held_up().await;
    let api = Api::of(&dispatcher).await;
    let path = "/v1/endpoints/one/skip-key";

    let two = api.send("POST", path, &json!({"key": "k", "limit": 2, "reason": "wrong"})).await;
    let rest = api.send("POST", path, &json!({"key": "k", "until": "2100-01-01T00:00:00Z"})).await;
    let none = api.send("POST", path, &json!({"key": "k"})).await;

    assert_eq!(two.json(), json!({"id": "one", "key": "k", "skipped": 2}), "{}", two.text);
    assert_eq!(rest.json()["skipped"], 1);
    assert_eq!(none.json()["skipped"], 0);
    assert_eq!(database.deliveries().await, ["1 failed", "2 failed", "3 failed"]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_skip_of_a_key_by_request_is_told() {
    let (database, dispatcher) = held_up().await;
    let api = Api::of(&dispatcher).await;

    for (id, body, refused) in [
        ("nobody", json!({"key": "k"}), (404, "not_found")),
        ("one", json!({}), (400, "invalid_request")),
        ("one", json!({"key": "a\0b"}), (422, "invalid_argument")),
        ("one", json!({"key": "k", "until": "tomorrow"}), (422, "invalid_argument")),
        ("one", json!({"key": "k", "limit": 0}), (422, "invalid_argument")),
        ("one", json!({"key": "k", "limit": 10_001}), (422, "invalid_argument")),
        ("one", json!({"key": "k", "reason": "x".repeat(501)}), (422, "invalid_argument")),
    ] {
        let answered = api.send("POST", &format!("/v1/endpoints/{id}/skip-key"), &body).await;

        assert_eq!(answered.refused(), (refused.0, refused.1.to_owned()), "{id} {body}: {}", answered.text);
    }
    assert_eq!(database.lane("k").await, [1, 2, 3]);
}

/// A paused endpoint with a key that is held up, and two deliveries behind.
async fn held_up() -> (Database, Dispatcher) {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "ordered => true").await;
    database.execute("select postrider.pause_endpoint('one')").await;
    database.insert_lane("one", "k", &["held_up", "pending", "pending"]).await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    (database, dispatcher)
}
