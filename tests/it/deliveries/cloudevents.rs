//! CloudEvents 1.0 over HTTP, as an endpoint asks for them: what arrives, and that it is signed as it arrives.

use serde_json::{Value, json};

use crate::support::{Database, Dispatcher, Received, Receiver, one_endpoint};

/// What must not be understood on the way.
const PAYLOAD: &str = "{\"msg\":  \"Hello, 🌎! ü\", \"a\": 1, \"a\": 1e400, \"b\": \"\\u0000\"}";

#[tokio::test]
async fn a_binary_event_is_the_payload_with_its_attributes_in_headers() {
    let (database, receiver, _dispatcher) = one_endpoint("format => 'cloudevents-binary'", &[]).await;

    let created_at = created_at(&database, PAYLOAD).await;
    let request = receiver.next().await;

    request.verify();
    assert_eq!(request.text(), PAYLOAD);
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(
        attributes(&request),
        [
            ("ce-id", request.header("webhook-id")),
            ("ce-source", "/postrider"),
            ("ce-specversion", "1.0"),
            ("ce-time", created_at.as_str()),
            ("ce-type", "order.created"),
        ]
    );
}

#[tokio::test]
async fn a_structured_event_is_one_document_with_the_payload_byte_for_byte() {
    let (database, receiver, _dispatcher) = one_endpoint("format => 'cloudevents-structured'", &[]).await;

    let created_at = created_at(&database, PAYLOAD).await;
    let request = receiver.next().await;

    request.verify();
    assert_eq!(request.header("content-type"), "application/cloudevents+json; charset=UTF-8");
    assert_eq!(attributes(&request), []);
    let (envelope, data) = request.text().split_once(",\"data\":").unwrap();
    assert_eq!(data, format!("{PAYLOAD}}}"));
    assert_eq!(
        serde_json::from_str::<Value>(&format!("{envelope}}}")).unwrap(),
        json!({
            "specversion": "1.0",
            "id": request.header("webhook-id"),
            "source": "/postrider",
            "type": "order.created",
            "time": created_at,
            "datacontenttype": "application/json",
        })
    );
}

#[tokio::test]
async fn an_event_is_the_same_one_on_every_attempt() {
    let more = "format => 'cloudevents-structured', retry_schedule => '{1ms}'";
    let (database, receiver, _dispatcher) = one_endpoint(more, &[]).await;
    receiver.answer_once(500, &[], b"");

    database.insert("order.created", "{}").await;
    let (first, second) = (receiver.next().await, receiver.next().await);

    assert_eq!(first.body, second.body);
}

#[tokio::test]
async fn the_source_is_the_operators_to_name() {
    let flags = ["--cloudevents-source", "https://shop.example/orders?a=b%20c"];
    let (database, receiver, _dispatcher) = one_endpoint("format => 'cloudevents-binary'", &flags).await;

    database.insert("order.created", "{}").await;

    // Section 3.1.3.2 of the binding: a percent sign is encoded like a space.
    assert_eq!(receiver.next().await.header("ce-source"), "https://shop.example/orders?a=b%2520c");
}

#[tokio::test]
async fn an_endpoint_gets_payloads_alone_unless_it_asks_for_more() {
    let database = Database::new().await;
    let (plain, binary) = (Receiver::start().await, Receiver::start().await);
    database.put_endpoint("plain", &plain.url(), "**", "").await;
    database.put_endpoint("binary", &binary.url(), "**", "format => 'cloudevents-binary'").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    database.insert("order.created", "{}").await;

    assert_eq!(attributes(&plain.next().await), []);
    assert_eq!(attributes(&binary.next().await).len(), 5);
}

/// Inserts an event and returns when it was, as CloudEvents say it.
async fn created_at(database: &Database, payload: &str) -> String {
    let id = database.insert("order.created", payload).await;
    database
        .value(&format!(
            "select to_char(created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') from postrider.outbox where id = {id}"
        ))
        .await
}

fn attributes(request: &Received) -> Vec<(&str, &str)> {
    let mut found: Vec<(&str, &str)> = request
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("ce-"))
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    found.sort_unstable();
    found
}
