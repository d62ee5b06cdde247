//! An event that reaches nobody is no silence: command and API refuse a destination that does not exist, and what is inserted by
//! SQL is counted.

use serde_json::{Value, json};

use crate::support::{
    Api, CommandOutput, Database, Dispatcher, Receiver, SHORT_LEASE, Scraped, one_endpoint,
};

const COUNTS: &str = "select unmatched_24h, unknown_destination_24h from postrider.backlog";

/// Inserts an event for each of these destinations, as a producer does.
async fn insert_for(database: &Database, destinations: &[&str]) {
    let sql = "insert into postrider.outbox (topic, payload, destination) select 'a.b', '{}', d from unnest($1::text[]) as d";
    database.client.execute(sql, &[&destinations]).await.unwrap();
}

#[tokio::test]
async fn an_event_whose_destination_does_not_exist_is_failed_and_counted_whatever_the_reason() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    for id in ["billing", "gone", "going"] {
        database.put_endpoint(id, &receiver.url(), "c.**", "").await;
    }
    database.execute("select postrider.delete_endpoint('gone')").await;
    insert_for(&database, &["biling", "Billing", "BILLING", "gone", "going", "billing"]).await;
    database.insert("nobody.listens", "{}").await;
    // It existed when the event was inserted.
    database.execute("select postrider.delete_endpoint('going')").await;

    let dispatcher = Dispatcher::start(&database, &[]).await;
    database.until_settled().await;

    database
        .assert_rows(
            "select destination, status, deliveries from postrider.outbox order by id",
            vec![
                json!({"destination": "biling", "status": "failed", "deliveries": 0}),
                json!({"destination": "Billing", "status": "failed", "deliveries": 0}),
                json!({"destination": "BILLING", "status": "failed", "deliveries": 0}),
                json!({"destination": "gone", "status": "failed", "deliveries": 0}),
                json!({"destination": "going", "status": "failed", "deliveries": 0}),
                json!({"destination": "billing", "status": "complete", "deliveries": 1}),
                json!({"destination": null, "status": "complete", "deliveries": 0}),
            ],
        )
        .await;
    let scraped = Scraped::of(&dispatcher).await;
    let counted = |why| scraped.value(&format!("postrider_events_reached_nobody_total{{why=\"{why}\"}}"));
    assert_eq!((counted("destination"), counted("topic")), (Some(5.0), Some(1.0)));

    // The count of a day outlives the process that counted.
    assert!(dispatcher.terminate().await.success());
    let expected = json!({"unmatched_24h": 1, "unknown_destination_24h": 5});
    database.assert_row(COUNTS, expected.clone()).await;
    let status = CommandOutput::run(&database.url, &["status", "--json"]).await.json();
    assert_eq!(status["backlog"]["unknown_destination_24h"], expected["unknown_destination_24h"]);
    let status = CommandOutput::run(&database.url, &["status"]).await.stdout;
    assert!(status.contains("6 (5 unknown destination)"), "{status}");
    assert_doctor_warns(&database).await;
}

/// `doctor` names both counts, and the command that finds the events.
async fn assert_doctor_warns(database: &Database) {
    let said = CommandOutput::run(&database.url, &["doctor", "--json"]).await.json();
    let check = said["checks"].as_array().unwrap().iter().find(|c| c["name"] == "events without receiver");
    let check = check.unwrap();
    assert_eq!(check["result"], "warn");
    let message = check["message"].as_str().unwrap();
    assert!(message.starts_with("5 events of the last 24 hours named a destination"), "{message}");
    assert!(message.ends_with("1 event of the last 24 hours matched no endpoint"), "{message}");
    let remedy = check["remedy"].as_str().unwrap();
    let (query, _) = remedy.split_once(';').unwrap();
    assert_eq!(database.rows(query, &[]).await.len(), 5, "{query}");
}

#[tokio::test]
async fn an_event_tells_why_nobody_got_it() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    database.put_endpoint("one", "https://example.com/", "a.*", "").await;
    insert_for(&database, &["nowhere"]).await;
    database.insert("b", "{}").await;
    database.until_settled().await;
    let api = Api::of(&dispatcher).await;

    let ids: Vec<i64> = database
        .rows("select id from postrider.outbox order by id", &[])
        .await
        .iter()
        .map(|r| r.get(0))
        .collect();
    let said = api.get(&format!("/v1/events/{}", ids[0])).await.json();
    let shown = CommandOutput::run(&database.url, &["event", "show", &ids[1].to_string()]).await;

    assert_eq!(said["reached_nobody"], "destination");
    assert!(shown.stdout.contains("no endpoint subscribed to the topic"), "{}", shown.stdout);
}

#[tokio::test]
async fn an_event_for_an_endpoint_that_is_put_later_is_sent_by_a_replay() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    insert_for(&database, &["later"]).await;
    database.until_settled().await;
    database.put_endpoint("later", &receiver.url(), "", "").await;

    let replayed: i64 = database.value("select replayed from postrider.replay('later', '-infinity')").await;
    database.until_settled().await;

    assert_eq!((replayed, receiver.count()), (1, 1));
    database
        .assert_row(
            "select status, deliveries from postrider.outbox",
            json!({"status": "complete", "deliveries": 1}),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn publish_refuses_a_destination_that_does_not_exist_and_names_the_nearest() {
    let database = Database::new().await;
    for id in ["invoices", "orders", "gone"] {
        database.put_endpoint(id, "https://example.com/", "**", "").await;
    }
    database.execute("select postrider.delete_endpoint('gone')").await;

    for (given, hint) in [
        ("invoice", ", did you mean \"invoices\"?"),
        ("ORDERS", ", did you mean \"orders\"?"),
        ("gone", ""),
        ("customers", ""),
    ] {
        let output = CommandOutput::run(&database.url, &["publish", "a", "--destination", given]).await;

        let complaint = format!("destination: endpoint \"{given}\" does not exist{hint}");
        assert_eq!((output.code, output.complaint()), (Some(1), complaint.as_str()));
        assert_eq!(output.stdout, "");
    }
    assert!(database.is("select not exists (select from postrider.outbox)").await);
}

#[tokio::test]
async fn a_producer_is_refused_too_and_learns_of_no_other_endpoint() {
    let database = Database::new().await;
    database.put_endpoint("orders", "https://example.com/", "**", "").await;
    let producer = database.login(Some("postrider_producer")).await;

    let wrong = CommandOutput::run(&producer, &["publish", "a", "--destination", "order"]).await;
    let right = CommandOutput::run(&producer, &["publish", "a", "--destination", "orders"]).await;

    assert_eq!(wrong.complaint(), "destination: endpoint \"order\" does not exist");
    assert_eq!(right.code, Some(0), "{}", right.stderr);
    database.assert_row("select destination from postrider.outbox", json!({"destination": "orders"})).await;
}

#[tokio::test]
async fn the_api_refuses_a_destination_that_does_not_exist_unless_the_event_is_a_repeat() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;
    let publish = async |destination: &str, key: &str| {
        let body = json!({ "payload": 1, "destination": destination, "idempotency_key": key });
        api.send("POST", "/v1/topics/a/events", &body).await
    };
    let first = publish("one", "first").await;
    database.until_settled().await;

    let refused = publish("One", "second").await;
    database.execute("select postrider.delete_endpoint('one')").await;
    let repeat = publish("one", "first").await;
    let new = publish("one", "third").await;

    assert_eq!(first.status, 201);
    assert_eq!(refused.refused(), (422, "invalid_argument".to_owned()));
    let fault =
        json!({ "field": "destination", "detail": "endpoint \"One\" does not exist, did you mean \"one\"?" });
    assert_eq!(refused.problem()["errors"], json!([fault]));
    assert_eq!((repeat.status, &repeat.json()["is_repeat"]), (200, &Value::Bool(true)));
    assert_eq!(new.refused(), (422, "invalid_argument".to_owned()));
    assert_eq!(database.rows("select from postrider.outbox", &[]).await.len(), 1);
}

#[tokio::test]
async fn the_counts_of_a_day_are_few_rows_and_older_ones_are_forgotten() {
    let database = Database::new().await;
    database
        .execute(
            "insert into postrider.reached_nobody (hour, destination, topic)
             select date_trunc('hour', now()) - h * interval '1 hour', 1, 2 from generate_series(0, 30) as h, generate_series(1, 50)",
        )
        .await;
    let before = database.json_rows(COUNTS).await;

    let _dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;
    database.until("select count(*) <= 26 from postrider.reached_nobody").await;

    assert_eq!(database.json_rows(COUNTS).await, before);
}
