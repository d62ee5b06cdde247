//! What a delivery waits for, in one word, the same in view, API and command line; and what of it is overdue.

use serde_json::{Value, json};

use crate::cli::doctor::{doctor, found, text};
use crate::support::{Api, CommandOutput, Database, Dispatcher, Receiver, Scraped, eventually};

/// No retry is due before the test says so.
const PATIENT: &str = "retry_schedule => array_fill(interval '1 h', array[20])";

/// Why deliveries wait: the endpoint's settings, how often it fails, what is done then, and the word.
const KINDS: [(&str, &str, u16, &str, &str); 8] = [
    ("paused", "", 200, "select postrider.pause_endpoint('one')", "pause"),
    (
        "disabled",
        "",
        200,
        "update postrider.endpoint set state = 'disabled', reason = 'x', disabled_at = now()",
        "pause",
    ),
    ("probe", PATIENT, 500, "select", "circuit"),
    ("probed", PATIENT, 500, "select", "circuit"),
    ("failed", PATIENT, 500, "select", "retry"),
    ("slots", "max_in_flight => 1", 0, "select", "slot"),
    ("rate", "rate_limit => '1/h'", 200, "select", "slot"),
    ("deliver_after", "", 200, "select", "later"),
];

#[tokio::test]
async fn a_waiting_delivery_says_what_it_waits_for_wherever_it_is_shown() {
    for (kind, settings, status, done, word) in KINDS {
        let (database, receiver, dispatcher) = scene(settings, status).await;
        database.execute(done).await;
        let id = wait(&database, kind).await;

        database
            .until(&format!(
                "select waits_for is not distinct from '{word}' from postrider.delivery_status where delivery_id = {id}"
            ))
            .await;

        let api = Api::of(&dispatcher).await;
        let event: i64 = database
            .value(&format!("select event_id from postrider.delivery_status where delivery_id = {id}"))
            .await;
        let (id_text, event) = (id.to_string(), event.to_string());
        let listed =
            CommandOutput::run(&database.url, &["delivery", "list", "--status", "pending", "--json"])
                .await
                .json();
        let of_list =
            listed["deliveries"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap().clone();
        let of_event = CommandOutput::run(&database.url, &["event", "show", &event, "--json"]).await.json();
        let shown = CommandOutput::run(&database.url, &["delivery", "show", &id_text]).await.stdout;
        let of_api = api.get(&format!("/v1/deliveries/{id}")).await.json();
        for row in [&of_list, &of_event["delivery_list"][0], &of_api] {
            assert_eq!(row["waits_for"], word, "{kind}: {row}");
            assert_eq!(row["next_probe_at"].is_string(), word == "circuit", "{kind}: {row}");
        }
        let line = shown.lines().find(|line| line.trim_start().starts_with("waits for")).unwrap();
        assert!(line.ends_with(word), "{kind}: {shown}");
        receiver.release();
    }
}

#[tokio::test]
async fn what_waits_on_purpose_is_overdue_on_no_surface() {
    for (kind, settings, status, done, word) in KINDS {
        let (database, receiver, dispatcher) = scene(settings, status).await;
        database.execute(done).await;
        let id = wait(&database, kind).await;
        // Times in the future stay there.
        database
            .execute("update postrider.delivery set due_at = due_at - interval '3 h' where due_at <= clock_timestamp()")
            .await;
        let is_overdue = word == "slot";

        let view: bool = database.value("select oldest_due_at is not null from postrider.backlog").await;
        let status = CommandOutput::run(&database.url, &["status", "--json"]).await.json();
        let api = Api::of(&dispatcher).await.get("/v1/status").await.json();
        let doctor = doctor(&database.url, &[]).await;

        let surfaces = [
            view,
            status["backlog"]["oldest_due_at"].is_string(),
            api["backlog"]["oldest_due_at"].is_string(),
        ];
        assert_eq!(surfaces, [is_overdue; 3], "{kind}: delivery {id}");
        let check = found(&doctor, "backlog");
        assert_eq!(check["result"] == "warn", is_overdue, "{kind}: {check}");
        assert_eq!(
            text(&check, "message").contains("for a slot of endpoint one"),
            is_overdue,
            "{kind}: {check}"
        );
        Scraped::until(&dispatcher, kind, |scraped| {
            let age = scraped.value("postrider_backlog_oldest_due_age_seconds");
            if is_overdue { age > Some(10_000.0) } else { age == Some(0.0) }
        })
        .await;
        receiver.release();
    }
}

#[tokio::test]
async fn a_delivery_that_nobody_takes_is_due_and_overdue_because_nobody_takes_it() {
    let (database, _receiver, dispatcher) = scene("", 200).await;
    database.execute("select postrider.pause_endpoint('one')").await;
    let id = wait(&database, "paused").await;
    dispatcher.kill().await;
    database.execute("select postrider.resume_endpoint('one')").await;
    database
        .execute("update postrider.delivery set due_at = due_at - interval '2 h' where due_at is not null")
        .await;

    let doctor = doctor(&database.url, &[]).await;

    database
        .assert_row(
            &format!(
                "select waits_for, next_probe_at from postrider.delivery_status where delivery_id = {id}"
            ),
            json!({"waits_for": "due", "next_probe_at": null}),
        )
        .await;
    assert!(
        text(&found(&doctor, "backlog"), "message").contains("no dispatcher takes it, for endpoint one"),
        "{}",
        doctor.stdout
    );
}

#[tokio::test]
async fn what_does_not_wait_waits_for_nothing() {
    let (database, receiver, _dispatcher) = scene("", 0).await;
    wait(&database, "under way").await;
    eventually("a request is under way", || async { receiver.under_way() == 1 }).await;

    let under_way = database.json_rows("select status, waits_for from postrider.delivery_status").await;
    receiver.release();
    database.until_settled().await;
    let done = database.json_rows("select status, waits_for from postrider.delivery_status").await;

    assert_eq!(under_way, [json!({"status": "in_progress", "waits_for": null})]);
    assert_eq!(done, [json!({"status": "complete", "waits_for": Value::Null})]);
}

#[tokio::test]
async fn a_delivery_whose_retry_comes_before_the_probe_waits_for_the_probe() {
    let (database, _receiver, _dispatcher) = scene(PATIENT, 500).await;
    let id = wait(&database, "failed").await;

    database
        .execute(
            "delete from postrider.circuit;
             insert into postrider.circuit (endpoint_no, failures, failing_since, changed_at, state, probe_at)
             values (1, 10, now(), now(), 'open', now() + interval '2 h')",
        )
        .await;
    let before: String = database
        .value(&format!("select waits_for from postrider.delivery_status where delivery_id = {id}"))
        .await;
    database.execute("update postrider.circuit set probe_at = now() + interval '10 min'").await;
    let after: String = database
        .value(&format!("select waits_for from postrider.delivery_status where delivery_id = {id}"))
        .await;

    assert_eq!((before.as_str(), after.as_str()), ("circuit", "retry"));
}

/// A dispatcher with one endpoint `one`, whose receiver answers with this status; 0: it answers nothing yet.
async fn scene(settings: &str, status: u16) -> (Database, Receiver, Dispatcher) {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    match status {
        0 => receiver.hold(),
        status => receiver.answer(status),
    }
    database.put_endpoint("one", &receiver.url(), "**", settings).await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    (database, receiver, dispatcher)
}

/// Inserts what waits, and returns the last delivery once it is there.
async fn wait(database: &Database, kind: &str) -> i64 {
    match kind {
        "slots" | "rate" => database.insert_many("order.created", 50).await,
        "deliver_after" => {
            database
                .execute(
                    "insert into postrider.outbox (topic, payload, deliver_after) values ('a', '{}', now() + interval '1 day')",
                )
                .await;
        }
        "probe" | "probed" => database.insert_many("order.created", 10).await,
        _ => drop(database.insert("order.created", "{}").await),
    }
    let events: i64 = database.value("select max(id) from postrider.outbox").await;
    let count = format!("select count(*) = {events} from postrider.delivery_status");
    database.until(&count).await;
    if kind == "failed" {
        database
            .until("select exists (select from postrider.delivery_status where last_status_code is not null)")
            .await;
    }
    if matches!(kind, "probe" | "probed") {
        database.until("select circuit = 'open' and in_progress = 0 from postrider.endpoint_health").await;
        database.put_off_probes().await;
        database.make_due().await;
    }
    if kind == "probed" {
        database.execute("update postrider.circuit set state = 'half_open', probe_by = 77").await;
    }
    if matches!(kind, "slots" | "rate") {
        // The first ones are claimed.
        database
            .until("select exists (select from postrider.delivery_status where waits_for = 'slot')")
            .await;
    }
    let last = "select max(delivery_id) from postrider.delivery_status where status = 'pending'";
    database.value(&format!("select coalesce(({last}), 0)")).await
}
