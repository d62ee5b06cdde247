//! Order per key where people look: those behind a key are pending and wait for it, and a key that is blocked is seen everywhere.

use serde_json::{Value, json};

use crate::cli::doctor::{doctor, found, text};
use crate::support::{Api, CommandOutput, Database, Dispatcher, SECRET, Scraped, one_endpoint};

const URL: &str = "https://example.com/";

#[tokio::test]
async fn those_behind_a_key_are_pending_and_wait_for_it_wherever_deliveries_are_shown() {
    let (database, dispatcher) = scene().await;
    let first = database.route_key("one", "order-7", 3).await;
    let api = Api::of(&dispatcher).await;

    database
        .assert_rows(
            "select waits_for, status, next_attempt_at is null as is_null from postrider.delivery_status order by delivery_id",
            vec![
                json!({"waits_for": "pause", "status": "pending", "is_null": false}),
                json!({"waits_for": "key", "status": "pending", "is_null": true}),
                json!({"waits_for": "key", "status": "pending", "is_null": true}),
            ],
        )
        .await;
    let words = |rows: &Value| -> Vec<Value> {
        rows.as_array().unwrap().iter().map(|row| row["waits_for"].clone()).collect()
    };
    let listed = CommandOutput::run(&database.url, &["delivery", "list", "--status", "pending", "--json"])
        .await
        .json();
    let asked = api.get("/v1/deliveries?status=pending&endpoint_id=one").await.json();
    assert_eq!(words(&listed["deliveries"]), ["key", "key", "pause"]);
    assert_eq!(words(&asked["data"]), ["key", "key", "pause"]);
    let last = (first + 2).to_string();
    let of_api = api.get(&format!("/v1/deliveries/{last}")).await.json();
    let shown = CommandOutput::run(&database.url, &["delivery", "show", &last]).await.stdout;
    assert_eq!(
        [&of_api["waits_for"], &of_api["key"], &of_api["next_attempt_at"]],
        [&json!("key"), &json!("order-7"), &Value::Null]
    );
    assert!(
        shown.lines().any(|line| line.trim_start().starts_with("waits for") && line.ends_with(" key")),
        "{shown}"
    );
}

#[tokio::test]
async fn those_behind_a_key_are_counted_once_wherever_pending_deliveries_are_counted() {
    let (database, dispatcher) = scene().await;
    database.put_endpoint("devices", "https://example.com/{id}", "", "ordered => true").await;
    database.execute("select postrider.pause_endpoint('devices')").await;
    database
        .execute("insert into postrider.endpoint (id, template_no, topics) select 'devices/a', endpoint_no, '{}' from postrider.endpoint where id = 'devices'")
        .await;
    // One under way and four that wait; one failed and five that wait; two that wait.
    let claimed = database.route_key("one", "order-7", 5).await;
    database.claim_by_hand(claimed).await;
    database.block_key("one", "order-8", 6, "failed").await;
    database.route_key("devices/a", "order-7", 2).await;
    let api = Api::of(&dispatcher).await;

    database
        .assert_row("select pending, failed from postrider.backlog", json!({"pending": 11, "failed": 1}))
        .await;
    database
        .assert_row(
            "select pending, oldest_pending_at is not null as has_oldest from postrider.endpoint_health where endpoint_id = 'one'",
            json!({"pending": 9, "has_oldest": true}),
        )
        .await;
    let status = CommandOutput::run(&database.url, &["status", "--json"]).await.json();
    let of = |id: &str| {
        status["endpoints"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap().clone()
    };
    assert_eq!(status["backlog"]["pending"], 11);
    assert_eq!((&of("one")["pending"], &of("devices")["children"]["pending"]), (&json!(9), &json!(2)));
    assert_eq!(api.get("/v1/endpoints/one").await.json()["pending"], 9);
    Scraped::until(&dispatcher, "11 pending", |scraped| {
        scraped.value("postrider_backlog_pending") == Some(11.0)
            && scraped.value("postrider_endpoint_pending{endpoint=\"one\"}") == Some(9.0)
    })
    .await;
    database.assert_row("select pending from postrider.delete_endpoint('one')", json!({"pending": 9})).await;
}

#[tokio::test]
async fn the_endpoint_whose_followers_wait_longest_has_been_pending_since_then() {
    let database = Database::new().await;
    database.put_endpoint("one", URL, "**", "").await;
    let first = database.route_key("one", "order-7", 2).await;
    database
        .execute(&format!(
            "update postrider.delivery set created_at = now() - interval '2 h' where id = {}",
            first + 1
        ))
        .await;

    database
        .assert_row(
            "select round(extract(epoch from now() - oldest_pending_at) / 3600)::int as hours from postrider.endpoint_health",
            json!({"hours": 2}),
        )
        .await;
}

#[tokio::test]
async fn blocked_keys_are_told_by_status_api_doctor_and_metrics() {
    let (database, dispatcher) = scene().await;
    database.put_endpoint("two", URL, "", "").await;
    for key in ["order-7", "order-8", "order-9"] {
        database.block_key("one", key, 2, if key == "order-8" { "failed" } else { "pending" }).await;
    }
    let first: i64 =
        database.value("select delivery_id from postrider.blocked_keys where key = 'order-8'").await;
    database
        .execute(&format!(
            "update postrider.delivery set failing_since = failing_since - interval '3 h' where id = {first}"
        ))
        .await;
    database.block_key("two", "a\u{1b}[31m", 1, "pending").await;

    let status = CommandOutput::run(&database.url, &["status", "--json"]).await.json();
    let shown = CommandOutput::run(&database.url, &["status"]).await.stdout;
    let asked = Api::of(&dispatcher).await.get("/v1/status").await.json();
    let doctor = doctor(&database.url, &[]).await;

    let mut row = status["blocked_keys"][0].clone();
    assert!(row["since"].take().is_string(), "{status}");
    assert_eq!(
        row,
        json!({
            "endpoint_id": "one", "keys": 3, "failed": 1, "key": "order-8", "delivery_id": first, "status": "failed",
            "last_error": "status 500", "since": null,
        })
    );
    assert_eq!(status["blocked_keys"][1]["key"], "a\u{1b}[31m");
    assert_eq!(asked["blocked_keys"], status["blocked_keys"]);
    let line = shown.lines().find(|line| line.contains("order-8")).unwrap();
    let cells: Vec<&str> = line.split_whitespace().collect();
    let id = first.to_string();
    assert_eq!(cells, ["3", "1", "one", "order-8", "3", "h", "ago", id.as_str(), "status", "500"], "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    let check = found(&doctor, "blocked keys");
    assert_eq!((&check["result"], doctor.code), (&json!("warn"), Some(0)));
    let message = format!(
        "3 keys of endpoint one, and keys of 1 other endpoint: order-8 has waited for 3 h, because delivery {first} fails (status 500)"
    );
    assert_eq!(text(&check, "message"), message);
    assert!(
        text(&check, "remedy").contains(&format!(
            "postrider delivery retry {first}, or postrider delivery skip {first} --reason TEXT"
        )),
        "{check}"
    );
    Scraped::until(&dispatcher, "blocked keys", |scraped| {
        scraped.value("postrider_blocked_keys{endpoint=\"one\"}") == Some(3.0)
            && scraped.value("postrider_blocked_keys{endpoint=\"two\"}") == Some(1.0)
    })
    .await;
}

#[tokio::test]
async fn a_key_whose_delivery_is_given_up_is_blocked_until_somebody_retries_it_and_no_other_key_is() {
    let (database, receiver, dispatcher) =
        one_endpoint("ordered => true, retry_schedule => '{50ms}'", &[]).await;
    let insert = "insert into postrider.outbox (topic, payload, key) values ('order.changed', '{}', ";
    receiver.answer(500);
    for _ in 0..3 {
        database.execute(&format!("{insert} 'order-7')")).await;
    }

    database.until("select exists (select from postrider.blocked_keys where status = 'failed')").await;
    receiver.answer(200);
    database.execute(&format!("{insert} 'order-8')")).await;
    database
        .until("select exists (select from postrider.outbox where key = 'order-8' and status = 'complete')")
        .await;

    database
        .assert_row(
            "select endpoint_id, key, event_id, attempts, last_error, waiting, since < now() as is_over from postrider.blocked_keys",
            json!({
                "endpoint_id": "one", "key": "order-7", "event_id": 1, "attempts": 2, "last_error": "status 500", "waiting": 2,
                "is_over": true,
            }),
        )
        .await;
    database
        .assert_row(
            "select count(*) from postrider.delivery_status where waits_for = 'key' and event_id in (2, 3)",
            json!({"count": 2}),
        )
        .await;
    database
        .assert_row("select pending, failed from postrider.backlog", json!({"pending": 2, "failed": 1}))
        .await;
    Scraped::until(&dispatcher, "one blocked key", |scraped| {
        scraped.value("postrider_blocked_keys{endpoint=\"one\"}") == Some(1.0)
    })
    .await;
    let id: i64 = database.value("select delivery_id from postrider.blocked_keys").await;
    let retried = CommandOutput::run(&database.url, &["delivery", "retry", &id.to_string()]).await;
    assert_eq!(retried.code, Some(0), "{}", retried.stderr);
    database.until_settled().await;
    database
        .assert_row(
            "select pending, failed, (select count(*) from postrider.blocked_keys) as blocked from postrider.backlog",
            json!({"pending": 0, "failed": 0, "blocked": 0}),
        )
        .await;
}

#[tokio::test]
async fn no_blocked_key_is_told_where_there_is_none() {
    let (database, dispatcher) = scene().await;
    database.route_key("one", "order-7", 3).await;

    let status = CommandOutput::run(&database.url, &["status", "--json"]).await.json();
    let shown = CommandOutput::run(&database.url, &["status"]).await.stdout;
    let doctor = doctor(&database.url, &[]).await.json();

    assert_eq!(status["blocked_keys"], json!([]));
    assert!(!shown.contains("BLOCKED"), "{shown}");
    assert!(
        doctor["checks"].as_array().unwrap().iter().all(|check| check["name"] != "blocked keys"),
        "{doctor}"
    );
    Scraped::until(&dispatcher, "no blocked key", |scraped| {
        scraped.value("postrider_blocked_keys{endpoint=\"one\"}") == Some(0.0)
    })
    .await;
}

#[tokio::test]
async fn of_many_endpoints_those_with_blocked_keys_are_measured() {
    let database = Database::new().await;
    database
        .execute(&format!(
            "select postrider.put_endpoint('e' || n, '{URL}', '{{}}', secret => '{SECRET}'), postrider.pause_endpoint('e' || n)
             from generate_series(1, 150) as n;
             insert into postrider.outbox (topic, payload, destination)
             select 'a.b', '{{}}', 'e' || n from generate_series(1, 120) as n"
        ))
        .await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    database.until("select pending = 120 from postrider.backlog").await;
    database.block_key("e150", "order-7", 1, "failed").await;

    Scraped::until(&dispatcher, "the blocked key", |scraped| {
        scraped.value("postrider_blocked_keys{endpoint=\"e150\"}") == Some(1.0)
            && scraped.count("postrider_blocked_keys") == 101
    })
    .await;
}

/// A paused endpoint `one`, whose deliveries a dispatcher leaves alone.
async fn scene() -> (Database, Dispatcher) {
    let database = Database::new().await;
    database.put_endpoint("one", URL, "**", "").await;
    database.execute("select postrider.pause_endpoint('one')").await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    (database, dispatcher)
}
