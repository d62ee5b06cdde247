//! `/v1/tables`: a service attaches its table, looks after it, and detaches it.

use serde_json::{Value, json};

use crate::support::{Api, Database, Dispatcher};

#[tokio::test]
async fn put_attaches_a_table_and_says_how_it_is() {
    let (database, _dispatcher, api) = api().await;
    let body = json!({
        "topic": "device.changed", "payload": "content", "status": "status", "on": ["insert"],
        "when": "new.status = 'pending'",
    });

    let attached = api.send("PUT", "/v1/tables/device", &body).await;
    let again = api.send("PUT", "/v1/tables/public.device", &body).await;

    assert_eq!((attached.status, again.status), (201, 200), "{}", again.text);
    let row = attached.json();
    for (field, value) in [
        ("relation", json!("public.device")),
        ("state", json!("active")),
        ("payload", json!("content")),
        ("on", json!(["insert"])),
        ("write_back", json!("all")),
        ("key", Value::Null),
    ] {
        assert_eq!(row[field], value, "{field}: {row}");
    }
    database.execute("insert into public.device (content, status) values ('{}', 'pending')").await;
    database.assert_row("select topic from postrider.outbox", json!({"topic": "device.changed"})).await;
}

#[tokio::test]
async fn get_and_list_show_what_is_attached() {
    let (_database, _dispatcher, api) = api().await;
    api.send("PUT", "/v1/tables/device", &json!({ "topic": "a" })).await;

    let one = api.get("/v1/tables/public.device").await.json();
    let all = api.get("/v1/tables").await.json();

    assert_eq!(one["topic"], "a");
    assert_eq!(all["data"], json!([one]));
}

#[tokio::test]
async fn pause_resume_and_delete_answer_with_the_table() {
    let (database, _dispatcher, api) = api().await;
    api.send("PUT", "/v1/tables/device", &json!({ "topic": "a" })).await;

    let paused = api.send("POST", "/v1/tables/device/pause", &json!({})).await.json();
    let resumed = api.send("POST", "/v1/tables/device/resume", &json!({ "backfill": true })).await.json();
    let deleted = api.send("DELETE", "/v1/tables/device", &json!({})).await;

    assert_eq!((&paused["state"], &resumed["state"]), (&json!("paused"), &json!("active")));
    assert!(resumed["backfill_state"].is_string(), "{resumed}");
    assert_eq!((deleted.status, &deleted.json()["relation"]), (200, &json!("public.device")));
    assert_eq!(api.get("/v1/tables/device").await.refused(), (404, "not_found".to_owned()));
    database.assert_row("select count(*) from postrider.attachment", json!({"count": 0})).await;
}

#[tokio::test]
async fn every_field_that_is_wrong_is_named() {
    let (_database, _dispatcher, api) = api().await;
    let body = json!({
        "topic": "a..b", "destination": "{", "write_back": "sometimes", "on": ["upsert"], "on_error": "ignore",
        "when": "", "columns": [""], "status_map": {"done": 1},
    });

    let refused = api.send("PUT", "/v1/tables/device", &body).await;

    assert_eq!(refused.refused(), (422, "invalid_argument".to_owned()));
    let problem = refused.problem();
    let mut named: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
    named.sort_unstable();
    named.dedup();
    assert_eq!(
        named,
        ["columns", "destination", "on", "on_error", "status", "status_map", "topic", "when", "write_back"]
    );
}

#[tokio::test]
async fn what_cannot_be_attached_is_refused_with_its_reason() {
    let (database, _dispatcher, api) = api().await;
    database
        .execute("create view public.view_of as select 1 as id; create schema b; create table b.device (id int primary key)")
        .await;

    for (name, body, refusal, says) in [
        ("public.device", json!({}), (422, "invalid_argument"), "topic: is missing"),
        ("public.device", json!({ "topicz": "a" }), (400, "invalid_request"), "topicz"),
        (
            "public.device",
            json!({ "topic": "a", "payload": "contend" }),
            (422, "invalid_argument"),
            "content",
        ),
        ("public.view_of", json!({ "topic": "a" }), (422, "invalid_argument"), "is a view"),
        ("device", json!({ "topic": "a" }), (422, "invalid_argument"), "several schemas"),
        ("public.devise", json!({ "topic": "a" }), (404, "not_found"), "did you mean"),
        ("a b", json!({ "topic": "a" }), (422, "invalid_argument"), ""),
    ] {
        let refused = api.send("PUT", &format!("/v1/tables/{}", name.replace(' ', "%20")), &body).await;

        assert_eq!(refused.refused(), (refusal.0, refusal.1.to_owned()), "{name}: {}", refused.text);
        assert!(refused.problem()["detail"].as_str().unwrap().contains(says), "{name}: {}", refused.text);
    }
}

#[tokio::test]
async fn a_table_that_others_hold_for_long_is_refused_and_not_changed() {
    let (database, _dispatcher, api) = api().await;
    let stranger = database.connect().await;
    stranger.batch_execute("begin; lock table public.device in share mode").await.unwrap();

    let refused = api.send("PUT", "/v1/tables/device", &json!({ "topic": "a" })).await;

    assert_eq!(refused.refused(), (503, "unavailable".to_owned()), "{}", refused.text);
    assert!(refused.text.contains("table public.device: others hold it"), "{}", refused.text);
    database.assert_row("select count(*) from postrider.attachment", json!({"count": 0})).await;
}

/// A database with a table of somebody's own, and a dispatcher.
async fn api() -> (Database, Dispatcher, Api) {
    let database = Database::new().await;
    database.execute("create table public.device (id serial primary key, content jsonb, status text)").await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;
    (database, dispatcher, api)
}
