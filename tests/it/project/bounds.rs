//! Each bound of a text is the same one, in the same measure, by SQL, command and API: what is as long as allowed is taken by all
//! three, and what is longer by one is refused by all three.

use serde_json::{Map, Value, json};

use crate::support::{Api, CommandOutput, Database, one_endpoint};

/// A field of an event, and values that are as long as allowed, and longer by one.
fn of_events() -> Vec<(&'static str, Value, Value)> {
    let text = |unit: &str, count: usize| json!(unit.repeat(count));
    let headers = |value_bytes: usize| {
        // As jsonb has it: {"x-a": "\"..."}, where the quotation mark has two bytes.
        let value = format!("\"{}", "v".repeat(value_bytes - "{\"x-a\": \"\\\"\"}".len()));
        json!({ "x-a": value })
    };
    let two_headers = |bytes: usize| {
        let value = "v".repeat(bytes - "{\"x-a\": \"\", \"x-b\": \"w\"}".len());
        json!({ "x-a": value, "x-b": "w" })
    };
    vec![
        ("headers", headers(8192), headers(8193)),
        ("headers", two_headers(8192), two_headers(8193)),
        ("headers", json!({ "n".repeat(128): "v" }), json!({ "n".repeat(129): "v" })),
        ("key", text("k", 256), text("k", 257)),
        ("key", text("é", 128), json!(format!("{}k", "é".repeat(128)))),
        ("idempotency_key", text("k", 256), text("k", 257)),
        ("idempotency_key", text("é", 128), json!(format!("{}k", "é".repeat(128)))),
        ("topic", text("t", 128), text("t", 129)),
    ]
}

/// The same of an endpoint.
fn of_endpoints() -> Vec<(&'static str, Value, Value)> {
    let text = |unit: &str, count: usize| json!(unit.repeat(count));
    let patterns = |count| json!((0..count).map(|n| format!("t{n}")).collect::<Vec<_>>());
    let url = |bytes: usize| {
        json!(format!("https://example.com/{}", "p".repeat(bytes - "https://example.com/".len())))
    };
    let url_of_others = |bytes: usize| {
        let path = format!("{}{}", "é".repeat(100), "p".repeat(bytes - 200 - "https://example.com/".len()));
        json!(format!("https://example.com/{path}"))
    };
    let headers = |bytes: usize| json!({ "x-a": "v".repeat(bytes - "{\"x-a\": \"\"}".len()) });
    vec![
        ("id", text("i", 64), text("i", 65)),
        ("url", url(2048), url(2049)),
        ("url", url_of_others(2048), url_of_others(2049)),
        ("topics", patterns(100), patterns(101)),
        ("topics", json!(["t".repeat(128)]), json!(["t".repeat(129)])),
        ("headers", headers(8192), headers(8193)),
        ("description", text("d", 500), text("d", 501)),
        ("description", text("é", 500), text("é", 501)),
    ]
}

/// A document with one field more.
fn with(mut base: Map<String, Value>, field: &str, value: &Value) -> Map<String, Value> {
    base.insert(field.to_owned(), value.clone());
    base
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// The flags that say the same as a document.
fn flags(document: &Map<String, Value>, positional: &[&str]) -> Vec<String> {
    let named = document.iter().filter(|(name, _)| !positional.contains(&name.as_str()));
    named.flat_map(|(name, value)| flag(name, value)).collect()
}

fn flag(name: &str, value: &Value) -> Vec<String> {
    let long = format!("--{}", name.replace('_', "-"));
    match value {
        Value::Object(headers) => headers
            .iter()
            .flat_map(|(name, value)| ["--header".to_owned(), format!("{name}: {}", value.as_str().unwrap())])
            .collect(),
        Value::Array(items) => {
            let items: Vec<&str> = items.iter().map(|item| item.as_str().unwrap()).collect();
            vec![long, items.join(",")]
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            vec![long, value.as_str().unwrap().to_owned()]
        }
    }
}

async fn by_command(database: &Database, args: Vec<String>) -> bool {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = CommandOutput::run(&database.url, &args).await;
    assert!([Some(0), Some(64)].contains(&output.code), "{output:?}");
    output.code == Some(0)
}

#[tokio::test]
async fn events_have_the_same_bounds_by_sql_command_and_api() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;
    let sql = "insert into postrider.outbox (topic, payload, key, headers, idempotency_key)
               select r.topic, '{}', r.key, r.headers, r.idempotency_key
               from jsonb_to_record($1::text::jsonb) as r (topic text, key text, headers jsonb, idempotency_key text)";
    for (field, allowed, longer) in of_events() {
        for (value, is_allowed) in [(&allowed, true), (&longer, false)] {
            let event = with(object(&json!({ "topic": "a" })), field, value);

            let by_sql = database.client.execute(sql, &[&json!(event).to_string()]).await.is_ok();
            // The key of one event is not another one's.
            database.execute("update postrider.outbox set idempotency_key = null").await;
            let topic = event["topic"].as_str().unwrap().to_owned();
            let args = [vec!["publish".to_owned(), topic.clone()], flags(&event, &["topic"])].concat();
            let by_command = by_command(&database, args).await;
            database.execute("update postrider.outbox set idempotency_key = null").await;
            let mut body = with(event, "payload", &json!(1));
            body.remove("topic");
            let status = api.send("POST", &format!("/v1/topics/{topic}/events"), &json!(body)).await.status;

            assert_same(field, is_allowed, (by_sql, by_command, status));
        }
    }
}

#[tokio::test]
async fn endpoints_have_the_same_bounds_by_sql_command_and_api() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;
    let sql = "select postrider.put_endpoint(r.id, r.url, topics => coalesce(r.topics, '{a}'), headers => coalesce(r.headers, '{}'),
                                             description => r.description)
               from jsonb_to_record($1::text::jsonb) as r (id text, url text, topics text[], headers jsonb, description text)";
    for (field, allowed, longer) in of_endpoints() {
        for (value, is_allowed) in [(&allowed, true), (&longer, false)] {
            let base = object(&json!({ "id": "bounds", "url": "https://example.com/" }));
            let endpoint = with(base, field, value);

            let by_sql = database.client.execute(sql, &[&json!(endpoint).to_string()]).await.is_ok();
            let id = endpoint["id"].as_str().unwrap().to_owned();
            let put = ["endpoint", "put", &id].map(str::to_owned).to_vec();
            let by_command = by_command(&database, [put, flags(&endpoint, &["id"])].concat()).await;
            let mut body = endpoint;
            body.remove("id");
            let status = api.send("PUT", &format!("/v1/endpoints/{id}"), &json!(body)).await.status;

            assert_same(field, is_allowed, (by_sql, by_command, status));
        }
    }
}

#[tokio::test]
async fn the_reason_of_a_pause_has_the_same_bound_by_command_and_api() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;
    for (reason, is_allowed) in [("é".repeat(500), true), ("é".repeat(501), false)] {
        let args = ["endpoint", "pause", "one", "--reason", &reason].map(str::to_owned).to_vec();

        let by_command = by_command(&database, args).await;
        let status = api.send("POST", "/v1/endpoints/one/pause", &json!({ "reason": reason })).await.status;

        assert_eq!((by_command, status), (is_allowed, if is_allowed { 200 } else { 422 }));
    }
}

/// SQL, command and API (by its status) all take a value, or all refuse it.
fn assert_same(field: &str, is_allowed: bool, (by_sql, by_command, status): (bool, bool, u16)) {
    let by_api = [200, 201].contains(&status);
    assert_eq!((by_sql, by_command, by_api), (is_allowed, is_allowed, is_allowed), "{field}: {status}");
    assert!(by_api || status == 422, "{field}: {status}");
}
