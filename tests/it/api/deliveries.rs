//! `/v1/deliveries`: look through them, and retry.

use serde_json::{Value, json};

use crate::support::{Api, Database, Dispatcher, Receiver, one_endpoint};

#[tokio::test]
async fn the_newest_delivery_comes_first_and_pages_go_on_from_there() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;
    database.insert_many("a", 5).await;
    database.until_settled().await;

    let first = api.get("/v1/deliveries?limit=3").await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = api.get(&format!("/v1/deliveries?limit=3&cursor={cursor}")).await.json();

    let mut ids = ids(&first);
    ids.extend(self::ids(&second));
    let all: Vec<i64> = database
        .rows("select delivery_id from postrider.delivery_status order by 1 desc", &[])
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!((ids, &second["next_cursor"]), (all, &Value::Null));
}

#[tokio::test]
async fn deliveries_are_filtered_by_all_that_is_said() {
    let database = Database::new().await;
    let (good, bad) = (Receiver::start().await, Receiver::start().await);
    database.put_endpoint("good", &good.url(), "**", "").await;
    database.put_endpoint("bad", &bad.url(), "**", "retry_schedule => '{1ms}'").await;
    database.put_endpoint("slow", &bad.url(), "a", "retry_schedule => '{7d}'").await;
    bad.answer(500);
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;
    let first = database.insert("a", "{}").await;
    let second = database.insert("b", "{}").await;
    database
        .until("select (select count(*) = 4 from postrider.delivery_status where status in ('complete', 'failed'))
                   and (select count(*) = 1 from postrider.delivery_status where status = 'pending' and attempts = 1)")
        .await;

    for (query, expected) in [
        (String::new(), 5),
        ("endpoint_id=bad".to_owned(), 2),
        ("status=complete".to_owned(), 2),
        ("status=failed".to_owned(), 2),
        ("status=pending".to_owned(), 1),
        ("status=in_progress".to_owned(), 0),
        ("topic=b".to_owned(), 2),
        (format!("event_id={first}"), 3),
        (format!("event_id={second}&status=failed"), 1),
        ("endpoint_id=good&status=failed".to_owned(), 0),
        ("endpoint_id=bad&status=failed&topic=a".to_owned(), 1),
    ] {
        let page = api.get(&format!("/v1/deliveries?{query}")).await.json();

        assert_eq!(ids(&page).len(), expected, "{query}: {page}");
    }
}

#[tokio::test]
async fn deliveries_of_an_endpoint_or_an_event_that_does_not_exist_are_not_found() {
    let (_database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;

    for (query, detail) in [
        ("endpoint_id=nobody", "endpoint \"nobody\" does not exist"),
        ("endpoint_id=ONE&status=failed&limit=1", "endpoint \"ONE\" does not exist, did you mean \"one\"?"),
        ("event_id=77", "event 77 does not exist"),
    ] {
        let answered = api.get(&format!("/v1/deliveries?{query}")).await;

        assert_eq!(answered.refused(), (404, "not_found".to_owned()), "{query}");
        assert_eq!(answered.problem()["detail"], detail, "{query}");
    }
    assert_eq!(api.get("/v1/deliveries?endpoint_id=one").await.status, 200);
}

#[tokio::test]
async fn a_rare_delivery_is_found_behind_many_others() {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    database.put_endpoint("rare", &receiver.url(), "rare", "").await;
    let api = Api::of(&dispatcher).await;
    database.insert("rare", "{}").await;
    database.until_settled().await;
    database.insert_many("a", 100).await;
    database.until_settled().await;

    let page = api.get("/v1/deliveries?endpoint_id=rare&limit=1").await.json();

    assert_eq!((ids(&page).len(), &page["data"][0]["endpoint_id"]), (1, &json!("rare")), "{page}");
}

#[tokio::test]
async fn a_delivery_is_shown_with_its_attempts() {
    let (database, receiver, dispatcher) = one_endpoint("retry_schedule => '{1ms}'", &[]).await;
    receiver.answer_once(503, &[], b"come back later");
    let api = Api::of(&dispatcher).await;
    let event = database.insert("a", "{}").await;
    database.until_settled().await;
    let id: i64 = database.value("select delivery_id from postrider.delivery_status").await;

    let delivery = api.get(&format!("/v1/deliveries/{id}")).await.json();

    for (field, value) in [
        ("id", json!(id)),
        ("event_id", json!(event)),
        ("endpoint_id", json!("one")),
        ("topic", json!("a")),
        ("status", json!("complete")),
        ("attempts", json!(2)),
        ("last_status_code", json!(200)),
        ("last_error", Value::Null),
    ] {
        assert_eq!(delivery[field], value, "{field}: {delivery}");
    }
    let log = delivery["attempt_log"].as_array().unwrap();
    let told: Vec<_> =
        log.iter().map(|a| (&a["attempt"], &a["status_code"], &a["error"], &a["response_excerpt"])).collect();
    assert_eq!(
        told,
        [
            (&json!(1), &json!(503), &json!("status 503"), &json!("come back later")),
            (&json!(2), &json!(200), &Value::Null, &Value::Null)
        ]
    );
}

#[tokio::test]
async fn a_failed_delivery_is_sent_again_by_retry() {
    let (database, receiver, dispatcher) = one_endpoint("retry_schedule => '{1ms}'", &[]).await;
    receiver.answer(500);
    let api = Api::of(&dispatcher).await;
    database.insert("a", "{}").await;
    database.until_settled().await;
    let id: i64 = database.value("select delivery_id from postrider.delivery_status").await;
    receiver.answer(200);

    let retried = api.post(&format!("/v1/deliveries/{id}/retry")).await;
    database.until_settled().await;

    assert_eq!((retried.status, &retried.json()["id"]), (200, &json!(id)));
    database.assert_row("select status from postrider.outbox", json!({"status": "complete"})).await;
    assert_eq!(receiver.count(), 3);
}

#[tokio::test]
async fn a_delivery_that_is_complete_is_not_retried() {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;
    database.insert("a", "{}").await;
    database.until_settled().await;
    let id: i64 = database.value("select delivery_id from postrider.delivery_status").await;

    let refused = api.post(&format!("/v1/deliveries/{id}/retry")).await;

    assert_eq!(refused.refused(), (409, "conflict".to_owned()));
    assert!(refused.text.contains("postrider.replay sends complete deliveries again"), "{}", refused.text);
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_delivery_that_does_not_exist_is_not_found() {
    let (_database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;

    for answered in [api.get("/v1/deliveries/7").await, api.post("/v1/deliveries/7/retry").await] {
        assert_eq!(answered.refused(), (404, "not_found".to_owned()));
        assert_eq!(answered.problem()["detail"], "delivery 7 does not exist");
    }
}

#[tokio::test]
async fn a_cursor_an_event_or_a_status_that_is_none_is_refused() {
    let (_database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;

    for query in ["cursor=x", "cursor=0", "cursor=%2B7", "event_id=0"] {
        let refused = api.get(&format!("/v1/deliveries?{query}")).await;

        assert_eq!(refused.refused(), (422, "invalid_argument".to_owned()), "{query}");
    }
    assert_eq!(api.get("/v1/deliveries?status=done").await.refused(), (400, "invalid_request".to_owned()));
}

fn ids(page: &Value) -> Vec<i64> {
    page["data"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
}
