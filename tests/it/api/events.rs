//! `/v1/topics/{topic}/events` and `/v1/events`: publish, follow, cancel.

use serde_json::json;

use crate::support::{Answered, Api, one_endpoint};

#[tokio::test]
async fn a_published_event_is_delivered_byte_for_byte() {
    let (_database, receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;
    let payload = r#"{"b": 1e400,  "a": "\u00e4", "a": [ 1.0 ]}"#;

    let published = api
        .send_text("POST", "/v1/topics/order.created/events", &format!("{{\"payload\": {payload}}}"))
        .await;

    assert_eq!((published.status, &published.json()["is_repeat"]), (201, &json!(false)));
    assert_eq!(published.headers["location"], format!("/v1/events/{}", published.json()["id"]));
    let request = receiver.next().await;
    request.verify();
    assert_eq!((request.text(), request.header("postrider-topic")), (payload, "order.created"));
}

#[tokio::test]
async fn every_field_of_an_event_reaches_the_outbox() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;
    let body = json!({
        "payload": 1, "key": "k", "headers": { "traceparent": "00-1" }, "idempotency_key": "i", "destination": "one",
        "deliver_after": "2100-01-31T12:00:00+02:00",
    });

    api.send("POST", "/v1/topics/a/events", &body).await.json();

    database
        .assert_row(
            "select topic, payload::text, key, headers, idempotency_key, destination,
                    deliver_after at time zone 'utc' as deliver_after
             from postrider.outbox",
            json!({
                "topic": "a", "payload": "1", "key": "k", "headers": {"traceparent": "00-1"}, "idempotency_key": "i",
                "destination": "one", "deliver_after": "2100-01-31T10:00:00"
            }),
        )
        .await;
}

#[tokio::test]
async fn a_repeat_of_an_idempotency_key_returns_the_first_event() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;
    let first =
        api.send("POST", "/v1/topics/a/events", &json!({ "payload": 1, "idempotency_key": "k" })).await;

    let second =
        api.send("POST", "/v1/topics/b/events", &json!({ "payload": 2, "idempotency_key": "k" })).await;

    let id: i64 = database.value("select id from postrider.outbox").await;
    let webhook_id: String = database.value("select (postrider.event_with_key('k')).webhook_id").await;
    let said = |is_repeat| json!({ "id": id, "webhook_id": webhook_id, "is_repeat": is_repeat });
    assert_eq!((first.status, first.json()), (201, said(false)));
    assert_eq!((second.status, second.json()), (200, said(true)));
}

#[tokio::test]
async fn publish_names_what_is_wrong() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;

    for (field, path, body) in [
        ("topic", "/v1/topics/a..b/events", json!({ "payload": 1 })),
        ("key", "/v1/topics/a/events", json!({ "payload": 1, "key": "" })),
        ("idempotency_key", "/v1/topics/a/events", json!({ "payload": 1, "idempotency_key": "\0" })),
        ("destination", "/v1/topics/a/events", json!({ "payload": 1, "destination": "no endpoint" })),
        ("headers", "/v1/topics/a/events", json!({ "payload": 1, "headers": { "webhook-id": "x" } })),
        ("headers", "/v1/topics/a/events", json!({ "payload": 1, "headers": { "x-a": 1 } })),
        ("deliver_after", "/v1/topics/a/events", json!({ "payload": 1, "deliver_after": "tomorrow" })),
    ] {
        let refused = api.send("POST", path, &body).await;

        assert_eq!(refused.refused(), (422, "invalid_argument".to_owned()), "{field}");
        assert_eq!(refused.problem()["errors"][0]["field"], field, "{}", refused.text);
    }
    database.assert_row("select count(*) from postrider.outbox", json!({"count": 0})).await;
}

#[tokio::test]
async fn a_body_that_is_no_event_is_refused() {
    let (_database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;

    for body in ["", "{", "{\"payload\": }", "[1]", " [1, null, {}, null, null, null]", "null"] {
        let refused = api.send_text("POST", "/v1/topics/a/events", body).await;

        assert!([400, 422].contains(&refused.status), "{body}: {refused:?}");
        refused.problem();
    }
}

#[tokio::test]
async fn an_event_is_shown_with_its_deliveries() {
    let (_database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;
    let id = publish(&api).await;

    let event = api.get(&format!("/v1/events/{id}?wait=50s")).await.json();

    assert_eq!(
        (&event["id"], &event["status"], &event["deliveries"]),
        (&json!(id), &json!("complete"), &json!(1))
    );
    assert_eq!((&event["payload"], &event["payload_bytes"]), (&json!({ "n": 1 }), &json!(7)));
    let delivery = &event["delivery_list"][0];
    assert_eq!((&delivery["endpoint_id"], &delivery["status"]), (&json!("one"), &json!("complete")));
}

#[tokio::test]
async fn a_wait_ends_when_the_event_is_settled() {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    receiver.hold();
    let api = Api::of(&dispatcher).await;
    let id = publish(&api).await;
    receiver.next().await;
    let before = api.get(&format!("/v1/events/{id}")).await.json();
    let path = format!("/v1/events/{id}?wait=55s");

    let waiting = api.get(&path);
    let (waited, ()) = tokio::join!(waiting, async { receiver.release() });

    assert_eq!(before["status"], "in_progress");
    assert_eq!(waited.json()["status"], "complete");
    database.until_settled().await;
}

#[tokio::test]
async fn a_wait_that_is_too_short_answers_with_the_event_as_it_is() {
    let (_database, receiver, dispatcher) = one_endpoint("", &[]).await;
    receiver.hold();
    let api = Api::of(&dispatcher).await;
    let id = publish(&api).await;
    receiver.next().await;

    let event = api.get(&format!("/v1/events/{id}?wait=1s")).await.json();

    assert_eq!(event["status"], "in_progress");
}

#[tokio::test]
async fn a_wait_carries_a_unit_and_is_at_most_a_minute() {
    let (_database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;
    let id = publish(&api).await;

    for wait in ["30", "0", "61s", "-1s", "soon", ""] {
        let refused = api.get(&format!("/v1/events/{id}?wait={wait}")).await;

        assert_eq!(refused.refused(), (422, "invalid_argument".to_owned()), "{wait}");
    }
}

#[tokio::test]
async fn no_more_than_64_requests_wait_at_once() {
    let (_database, receiver, dispatcher) = one_endpoint("", &[]).await;
    receiver.hold();
    let api = Api::of(&dispatcher).await;
    let path = format!("/v1/events/{}?wait=20s", publish(&api).await);

    let answers = futures_util::future::join_all((0..80).map(|_| async {
        let answered = api.get(&path).await;
        // The first that is turned away lets all the others end.
        receiver.release();
        answered
    }))
    .await;

    let busy: Vec<&Answered> = answers.iter().filter(|answered| answered.status == 503).collect();
    assert_eq!(answers.len() - busy.len(), answers.iter().filter(|answered| answered.status == 200).count());
    assert!(!busy.is_empty());
    assert_eq!(busy[0].refused(), (503, "busy".to_owned()));
    assert_eq!(busy[0].headers["retry-after"], "1");
}

#[tokio::test]
async fn a_large_payload_is_counted_but_not_shown() {
    let (_database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;
    let text = "x".repeat(70_000);
    let published = api.send("POST", "/v1/topics/a/events", &json!({ "payload": text })).await.json();

    let event = api.get(&format!("/v1/events/{}", published["id"])).await.json();

    assert_eq!((&event["payload"], &event["payload_bytes"]), (&json!(null), &json!(70_002)));
}

#[tokio::test]
async fn a_cancelled_event_is_not_sent() {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    database.execute("select postrider.pause_endpoint('one')").await;
    let api = Api::of(&dispatcher).await;
    let id = publish(&api).await;
    database.until("select pending = 1 from postrider.backlog").await;

    let cancelled = api.post(&format!("/v1/events/{id}/cancel")).await.json();
    database.execute("select postrider.resume_endpoint('one')").await;
    let next = publish(&api).await;
    api.get(&format!("/v1/events/{next}?wait=50s")).await.json();

    assert_eq!(cancelled, json!({ "id": id, "status": "failed", "cancelled": 1, "under_way": 0 }));
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn an_event_that_does_not_exist_is_not_found() {
    let (_database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;

    for answered in [
        api.get("/v1/events/7").await,
        api.get("/v1/events/7?wait=1s").await,
        api.post("/v1/events/7/cancel").await,
    ] {
        assert_eq!(answered.refused(), (404, "not_found".to_owned()));
        assert_eq!(answered.problem()["detail"], "event 7 does not exist");
    }
    assert_eq!(api.get("/v1/events/seven").await.refused(), (400, "invalid_request".to_owned()));
}

async fn publish(api: &Api) -> i64 {
    let published = api.send("POST", "/v1/topics/a/events", &json!({ "payload": { "n": 1 } })).await;
    published.json()["id"].as_i64().unwrap()
}
