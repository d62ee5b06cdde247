//! `event show|cancel`.

use serde_json::json;

use crate::support::{CommandOutput, Database, one_endpoint};

#[tokio::test]
async fn show_shows_an_event_as_it_was_inserted() {
    let database = Database::new().await;
    database.insert("order.created", r#"{"b":  1e400}"#).await;

    let output = CommandOutput::run(&database.url, &["event", "show", "1", "--json"]).await;

    assert!(output.stdout.contains(r#"{"b":  1e400}"#), "{}", output.stdout);
    let mut shown: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&output.stdout.replace("1e400", "1")).unwrap();
    let taken = ["webhook_id", "created_at"].map(|name| shown.remove(name).unwrap());
    assert!(taken.iter().all(serde_json::Value::is_string), "{taken:?}");
    assert_eq!(
        serde_json::Value::Object(shown),
        json!({
            "id": 1, "topic": "order.created", "key": null, "idempotency_key": null, "destination": null, "table": null, "row": null,
            "deliver_after": null, "status": "pending", "deliveries": null, "open_deliveries": null, "failed": null,
            "reached_nobody": null, "completed_at": null, "cancelled_at": null, "payload_bytes": 13, "payload": { "b": 1 }, "delivery_list": [],
        })
    );
}

#[tokio::test]
async fn show_shows_people_an_event_and_its_deliveries() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database.insert_settled("one", "order.created", "failed", 1).await;

    let output = CommandOutput::run(&database.url, &["event", "show", "1"]).await;

    let (event, deliveries) = output.stdout.split_once("\n\n").unwrap();
    assert!(event.contains("order.created") && event.contains(r#"{"number" : 1}"#), "{event}");
    assert!(deliveries.contains("one") && deliveries.contains("status 500"), "{deliveries}");
}

#[tokio::test]
async fn cancel_gives_up_what_waits() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1h}'", &[]).await;
    receiver.answer(500);
    let id = database.insert("order.created", "{}").await;
    database
        .until(
            "select exists (select from postrider.delivery_status where attempts = 1 and status = 'pending')",
        )
        .await;

    let output = CommandOutput::run(&database.url, &["event", "cancel", &id.to_string(), "--json"]).await;

    assert_eq!(output.json(), json!({ "id": id, "status": "failed", "cancelled": 1, "under_way": 0 }));
    database
        .assert_row(
            "select cancelled_at is not null as is_cancelled, status from postrider.outbox",
            json!({"is_cancelled": true, "status": "failed"}),
        )
        .await;
}

#[tokio::test]
async fn cancel_says_what_may_still_arrive() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    receiver.hold();
    let id = database.insert("order.created", "{}").await;
    receiver.next().await;

    let output = CommandOutput::run(&database.url, &["event", "cancel", &id.to_string()]).await;

    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.contains("1 under way: it may still arrive"), "{}", output.stdout);
}

#[tokio::test]
async fn an_unknown_event_is_a_failure_that_names_it() {
    let database = Database::new().await;

    for verb in ["show", "cancel"] {
        let output = CommandOutput::run(&database.url, &["event", verb, "7"]).await;

        assert_eq!((output.code, output.complaint()), (Some(1), "event 7 does not exist"), "{verb}");
    }
}
