//! One truth about health: the view, the API, the command line, the dashboard's data, doctor, the metrics and the log say the
//! same word at the same time, with the same cause.

use std::collections::BTreeMap;
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::cli::doctor::doctor;
use crate::support::{Api, CommandOutput, Database, Dispatcher, Receiver, Scraped, one_endpoint};

/// No retry is due before the test says so.
const PATIENT: &str = "retry_schedule => array_fill(interval '1 h', array[20])";

/// An endpoint of each health: its word, the beginning of its cause, and how many attempts failed.
const EXPECTED: [(&str, &str, &str, i64); 5] = [
    ("alpha", "healthy", "", 0),
    ("bravo", "failing", "status 403", 3),
    ("charlie", "down", "connect", 10),
    ("delta", "paused", "they move house", 0),
    ("echo", "disabled", "answered 410 Gone", 1),
];

#[tokio::test]
async fn every_surface_says_the_same_of_an_endpoint_of_each_health() {
    let (database, _receivers, dispatcher) = one_of_each().await;

    let surfaces = surfaces(&database, &dispatcher).await;

    let expected: Vec<Value> = EXPECTED
        .iter()
        .map(|(id, health, _, failed)| json!({"id": id, "health": health, "failed_attempts_24h": failed}))
        .collect();
    for (surface, rows) in &surfaces {
        let said: Vec<Value> = rows
            .iter()
            .map(|row| json!({"id": row["id"], "health": row["health"], "failed_attempts_24h": row["failed_attempts_24h"]}))
            .collect();
        assert_eq!(said, expected, "{surface}");
        for (row, (id, _, cause, _)) in rows.iter().zip(EXPECTED) {
            let is_healthy = cause.is_empty();
            assert!(row["cause"].as_str().unwrap_or_default().starts_with(cause), "{surface}: {row}");
            assert_eq!(
                (row["cause"].is_null(), row["health_since"].is_null()),
                (is_healthy, is_healthy),
                "{surface}: {id}"
            );
            assert_eq!(row["health_since"].is_null(), is_healthy, "{surface}: {id}");
        }
    }
}

#[tokio::test]
async fn what_people_read_has_the_same_words() {
    let (database, _receivers, dispatcher) = one_of_each().await;

    let texts = [
        CommandOutput::run(&database.url, &["endpoint", "list"]).await.stdout,
        CommandOutput::run(&database.url, &["status"]).await.stdout,
    ];
    let doctor = doctor(&database.url, &[]).await.stdout;

    for (id, health, cause, failed) in EXPECTED {
        for text in &texts {
            let line = text.lines().find(|line| line.trim_start().starts_with(id)).unwrap();
            let words: Vec<&str> = line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
            assert_eq!(words[1], health, "{text}");
            assert_eq!(words[4], failed.to_string(), "{text}");
            assert!(line.contains(cause), "{text}");
        }
        let shown = CommandOutput::run(&database.url, &["endpoint", "show", id]).await.stdout;
        let line = shown.lines().find(|line| line.trim_start().starts_with("health ")).unwrap();
        assert!(line.ends_with(health), "{shown}");
        if health != "healthy" {
            let has_said =
                doctor.lines().any(|line| line.contains(health) && line.contains(id) && line.contains(cause));
            assert!(has_said, "{id}: {doctor}");
        }
    }
    for line in [
        "endpoint bravo is failing: status 403",
        "endpoint charlie is down: connect",
        "endpoint echo answered 410 Gone and is disabled",
    ] {
        dispatcher.logged(line).await;
    }
    assert!(!dispatcher.log().contains("endpoint alpha"), "{}", dispatcher.log());
}

#[tokio::test]
async fn the_metrics_have_the_word_for_each_and_a_count_of_all() {
    let (database, _receivers, dispatcher) = one_of_each().await;

    Scraped::until(&dispatcher, "the health of each", |scraped| {
        EXPECTED.iter().all(|(id, health, _, failed)| {
            scraped.value(&format!("postrider_endpoint_health{{endpoint=\"{id}\",health=\"{health}\"}}"))
                == Some(1.0)
                && scraped.value(&format!("postrider_endpoints{{health=\"{health}\"}}")) == Some(1.0)
                && scraped.value(&format!("postrider_endpoint_failed_attempts_24h{{endpoint=\"{id}\"}}"))
                    == Some(if *failed == 0 { 0.0 } else { f64::from(u32::try_from(*failed).unwrap()) })
        })
    })
    .await;

    assert_eq!(Scraped::of(&dispatcher).await.count("postrider_endpoint_health"), EXPECTED.len());
    let counts = Api::of(&dispatcher).await.get("/v1/status").await.json()["endpoint_counts"].clone();
    assert_eq!(counts, json!({"healthy": 1, "failing": 1, "down": 1, "paused": 1, "disabled": 1}));
    drop(database);
}

#[tokio::test]
async fn the_worst_of_all_endpoints_comes_first_wherever_it_stands_in_the_alphabet() {
    let (database, _receivers, dispatcher) = one_of_each().await;
    database
        .execute("select postrider.put_endpoint('a' || n, 'https://example.com/', '{}') from generate_series(1, 600) as n")
        .await;
    let api = Api::of(&dispatcher).await;

    let worst = api.get("/v1/endpoints?sort=trouble&limit=5").await.json();
    let status = CommandOutput::run(&database.url, &["status", "--json"]).await.json();

    let ids = |rows: &Value| -> Vec<String> {
        rows.as_array().unwrap().iter().take(4).map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&worst["data"]), ["echo", "charlie", "bravo", "delta"]);
    assert_eq!(ids(&status["endpoints"]), ids(&worst["data"]));
    assert_eq!((worst["data"].as_array().unwrap().len(), &worst["next_cursor"]), (5, &Value::Null));
    let refused = api.get("/v1/endpoints?sort=trouble&cursor=a1").await.problem();
    assert!(refused["detail"].as_str().unwrap().contains("cursor: needs sort=id"), "{refused}");
    let script = api.get("/dashboard.js").await.text;
    assert!(script.contains("&sort=trouble") && script.contains("e.health"), "{script}");
}

#[tokio::test]
async fn an_endpoint_is_failing_until_an_attempt_succeeds_whatever_is_done_to_it_meanwhile() {
    let (database, receiver, dispatcher) = one_endpoint(PATIENT, &[]).await;
    receiver.answer(406);
    database.insert("order.created", "{}").await;
    until_health(&database, "failing").await;
    let since = since(&database).await;

    database.execute("select postrider.pause_endpoint('one')").await;
    let paused: String = database.value("select health from postrider.endpoint_health").await;
    database.execute("select postrider.resume_endpoint('one')").await;
    let resumed: String = database.value("select health from postrider.endpoint_health").await;

    assert_eq!((paused.as_str(), resumed.as_str()), ("paused", "failing"));
    assert_eq!(self::since(&database).await, since);
    dispatcher.kill().await;
    let _other = Dispatcher::start(&database, &[]).await;
    receiver.answer(202);
    database.make_due().await;
    database.until_settled().await;
    database
        .assert_row(
            "select health, cause, health_since, failed_attempts_24h from postrider.endpoint_health",
            json!({"health": "healthy", "cause": null, "health_since": null, "failed_attempts_24h": 1}),
        )
        .await;
}

#[tokio::test]
async fn an_endpoint_is_failing_even_when_nothing_is_left_of_its_attempts() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1ms}'", &[]).await;
    receiver.answer(501);
    database.insert("order.created", "{}").await;
    database.until_settled().await;

    database.execute("delete from postrider.attempt; delete from postrider.circuit").await;

    database
        .assert_row(
            "select health, cause, health_since is not null as has_since from postrider.endpoint_health",
            json!({"health": "failing", "cause": null, "has_since": true}),
        )
        .await;
}

#[tokio::test]
async fn a_paused_endpoint_that_is_paused_again_is_paused_since_the_first_time() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database.execute("select postrider.pause_endpoint('one', 'first')").await;
    let first = since(&database).await;

    database.execute("select postrider.pause_endpoint('one', 'second')").await;
    database.put_endpoint("one", "https://example.com/other", "**", "").await;

    assert_eq!(since(&database).await, first);
    database
        .assert_row(
            "select health, cause from postrider.endpoint_health",
            json!({"health": "paused", "cause": "second"}),
        )
        .await;
}

/// A dispatcher with an endpoint of each health.
async fn one_of_each() -> (Database, Vec<Receiver>, Dispatcher) {
    let database = Database::new().await;
    let mut receivers = Vec::new();
    for (id, status) in [("alpha", 200), ("bravo", 403), ("echo", 410)] {
        let receiver = Receiver::start().await;
        receiver.answer(status);
        database.put_endpoint(id, &receiver.url(), &format!("{id}.*"), PATIENT).await;
        receivers.push(receiver);
    }
    // Nobody listens there any more.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    database.put_endpoint("charlie", &format!("http://{nobody}/"), "charlie.*", PATIENT).await;
    database.put_endpoint("delta", "https://example.com/", "delta.*", "").await;
    database.execute("select postrider.pause_endpoint('delta', 'they move house')").await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    for (id, count) in [("alpha", 2), ("bravo", 3), ("charlie", 10), ("delta", 1), ("echo", 1)] {
        database.insert_many(&format!("{id}.news"), count).await;
    }
    for (id, health, _, failed) in EXPECTED {
        database
            .until(&format!(
                "select health = '{health}' and failed_attempts_24h = {failed} from postrider.endpoint_health where endpoint_id = '{id}'"
            ))
            .await;
    }
    database.put_off_probes().await;
    (database, receivers, dispatcher)
}

/// What each surface for programs says, in order of ids.
async fn surfaces(database: &Database, dispatcher: &Dispatcher) -> BTreeMap<&'static str, Vec<Value>> {
    let api = Api::of(dispatcher).await;
    let command = |args: &'static [&'static str]| CommandOutput::run(&database.url, args);
    let (mut each_of_api, mut each_of_command) = (Vec::new(), Vec::new());
    for (id, ..) in EXPECTED {
        each_of_api.push(api.get(&format!("/v1/endpoints/{id}")).await.json());
        each_of_command
            .push(CommandOutput::run(&database.url, &["endpoint", "show", id, "--json"]).await.json());
    }
    let view = "select endpoint_id as id, health, cause, health_since, failed_attempts_24h
                from postrider.endpoint_health order by endpoint_id";
    BTreeMap::from([
        ("view", database.json_rows(view).await),
        ("API, list", sorted(api.get("/v1/endpoints").await.json()["data"].clone())),
        ("dashboard", sorted(api.get("/v1/endpoints?limit=100&sort=trouble").await.json()["data"].clone())),
        ("API, one", each_of_api),
        ("endpoint list", sorted(command(&["endpoint", "list", "--json"]).await.json())),
        ("status", sorted(command(&["status", "--json"]).await.json()["endpoints"].clone())),
        ("endpoint show", each_of_command),
    ])
}

fn sorted(mut rows: Value) -> Vec<Value> {
    let rows = rows.as_array_mut().unwrap();
    rows.sort_by_key(|row| row["id"].to_string());
    std::mem::take(rows)
}

async fn until_health(database: &Database, health: &str) {
    database.until(&format!("select health = '{health}' from postrider.endpoint_health")).await;
}

async fn since(database: &Database) -> String {
    database.value("select health_since::text from postrider.endpoint_health").await
}
