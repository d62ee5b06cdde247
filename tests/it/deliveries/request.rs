//! What an endpoint is sent: the request line, the headers, the bytes, the signature.

use std::collections::HashSet;

use crate::support::{Database, Dispatcher, Received, Receiver, one_endpoint};

#[tokio::test]
async fn payload_bytes_arrive_exactly_as_inserted() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    let long = format!("{{\"text\": \"{}\"}}", "0123456789abcdef".repeat(4096));
    let payloads = [
        r#"{"z": 1, "a": 2, "m": {"y": 1, "b": 2}}"#,
        " {\t\"spaces\" :  [ 1 ,2,  3 ]\r\n} \n",
        r#"{"big": 1e400, "zero": -0.0, "digits": 1.10, "whole": 123456789012345678901234567890}"#,
        r#"{"twice": 1, "twice": 2, "twice": 1}"#,
        r#"{"nul": "\u0000", "escaped": "\u00e9\/\ud83d\ude00"}"#,
        r#"{"grüße": "日本語 🦀 \u2028 é"}"#,
        "\"a bare text\"",
        " 42 ",
        "null",
        long.as_str(),
    ];

    for payload in payloads {
        database.insert("order.created", payload).await;
    }
    database.until_settled().await;

    let arrived: HashSet<_> = receiver.all().iter().map(|r| r.body.to_vec()).collect();
    let inserted: HashSet<_> = payloads.iter().map(|p| p.as_bytes().to_vec()).collect();
    assert_eq!(arrived, inserted);
}

#[tokio::test]
async fn every_payload_is_signed_as_it_is_sent() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;

    for payload in [" {\"a\" :1e400 }\n", r#"{"nul": "\u0000"}"#, "\"日本語 🦀\""] {
        database.insert("order.created", payload).await;

        receiver.next().await.verify();
    }
}

#[tokio::test]
async fn a_request_is_a_post_to_the_url_with_its_query() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &format!("{}/in?token=a%20b&c", receiver.url()), "**", "").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    database.insert("order.created", "{}").await;
    let request = receiver.next().await;

    assert_eq!(
        (request.method.as_str(), request.uri.to_string().as_str()),
        ("POST", "/hook/in?token=a%20b&c")
    );
}

#[tokio::test]
async fn a_request_carries_the_headers_of_the_contract() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;

    database.insert("order.created", "{}").await;
    let request = receiver.next().await;

    let sent = ["content-type", "user-agent", "postrider-topic", "postrider-attempt", "content-length"]
        .map(|name| request.header(name));
    let user_agent = concat!("postrider/", env!("CARGO_PKG_VERSION"));
    assert_eq!(sent, ["application/json", user_agent, "order.created", "1", "2"]);
}

#[tokio::test]
async fn the_webhook_id_is_the_one_in_delivery_status() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;

    database.insert("order.created", "{}").await;
    let request = receiver.next().await;

    let shown: String = database.value("select webhook_id from postrider.delivery_status").await;
    assert_eq!(request.header("webhook-id"), shown);
}

#[tokio::test]
async fn a_webhook_id_contains_no_full_stop() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;

    database.insert("order.created", "{}").await;
    let request = receiver.next().await;

    let id = request.header("webhook-id");
    assert!(!id.is_empty() && !id.contains('.'), "{id}");
}

#[tokio::test]
async fn two_databases_send_different_webhook_ids_for_the_same_event_id() {
    let (one, one_receiver, _one) = one_endpoint("", &[]).await;
    let (two, two_receiver, _two) = one_endpoint("", &[]).await;

    let event_ids = (one.insert("order.created", "{}").await, two.insert("order.created", "{}").await);
    let requests = (one_receiver.next().await, two_receiver.next().await);

    assert_eq!(event_ids.0, event_ids.1);
    assert_ne!(requests.0.header("webhook-id"), requests.1.header("webhook-id"));
}

#[tokio::test]
async fn headers_of_event_and_endpoint_are_sent() {
    let (database, receiver, _dispatcher) =
        one_endpoint(r#"headers => '{"authorization": "Bearer abc", "x-team": "orders, billing"}'"#, &[])
            .await;
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    database
        .execute(&format!(
            "insert into postrider.outbox (topic, payload, headers) \
             values ('order.created', '{{}}', '{{\"traceparent\": \"{traceparent}\"}}')"
        ))
        .await;
    let request = receiver.next().await;

    let sent = ["authorization", "x-team", "traceparent"].map(|name| request.header(name));
    assert_eq!(sent, ["Bearer abc", "orders, billing", traceparent]);
}

#[tokio::test]
async fn every_attempt_has_the_same_webhook_id_and_body() {
    let (first, second) = two_attempts().await;

    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(first.body, second.body);
}

#[tokio::test]
async fn every_attempt_has_a_fresh_timestamp_and_a_valid_signature() {
    let (first, second) = two_attempts().await;

    first.verify();
    second.verify();
    assert!(timestamp(&first) < timestamp(&second));
    assert_ne!(first.header("webhook-signature"), second.header("webhook-signature"));
}

#[tokio::test]
async fn attempts_are_numbered_from_one() {
    let (first, second) = two_attempts().await;

    let numbers = [&first, &second].map(|request| request.header("postrider-attempt"));
    assert_eq!(numbers, ["1", "2"]);
}

/// An attempt that is refused and the one after it, at least 1.2 seconds later: a fifth less than scheduled.
async fn two_attempts() -> (Received, Received) {
    let (database, receiver, _dispatcher) =
        one_endpoint("retry_schedule => '{1500 milliseconds}'", &[]).await;
    receiver.answer_once(500, &[], b"");
    database.insert("order.created", " {\"a\" :1.0}").await;
    (receiver.next().await, receiver.next().await)
}

fn timestamp(request: &Received) -> i64 {
    request.header("webhook-timestamp").parse().unwrap()
}
