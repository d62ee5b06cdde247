//! `replay`: what is sent again, in which steps, and how it is refused and interrupted.

use serde_json::json;
use tokio_postgres::Client;

use crate::support::{CommandOutput, Database, RunningCommand, command, one_endpoint};

#[tokio::test]
async fn replayed_events_are_delivered_again() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.insert_settled("one", "order.created", "complete", 2).await;

    let output = CommandOutput::run(&database.url, &["replay", "one", "--since", "2h"]).await;

    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(0), "2 events are sent to one again\n"),
        "{}",
        output.stderr
    );
    database.until_settled().await;
    assert_eq!(receiver.count(), 2);
}

#[tokio::test]
async fn only_events_of_the_time_are_replayed() {
    // All of them were inserted an hour ago.
    for (since, until, expected) in [
        ("2h", None, 3),
        ("50m", None, 0),
        ("2h", Some("50m"), 3),
        ("3h", Some("2h"), 0),
        ("2020-01-01T00:00:00Z", Some("50m"), 3),
        ("2020-01-01T00:00:00Z", Some("2021-01-01T00:00:00+02:00"), 0),
    ] {
        let database = database(3).await;
        let mut args = vec!["replay", "one", "--since", since, "--json"];
        if let Some(until) = until {
            args.extend(["--until", until]);
        }

        let output = CommandOutput::run(&database.url, &args).await;

        assert_eq!(output.json()["replayed"], json!(expected), "{args:?}");
        assert_eq!(database.count("pending").await, expected, "{args:?}");
    }
}

#[tokio::test]
async fn only_topics_that_are_asked_for_are_replayed() {
    let database = database(1).await;
    database.insert_settled("one", "invoice.paid", "complete", 1).await;
    database.insert_settled("one", "user.left", "complete", 1).await;

    let args = ["replay", "one", "--since", "2h", "--topics", "order.*,invoice.paid"];
    let output = CommandOutput::run(&database.url, &args).await;

    assert_eq!(output.stdout, "2 events are sent to one again\n");
    database
        .assert_row(
            "select status from postrider.outbox where topic = 'user.left'",
            json!({"status": "complete"}),
        )
        .await;
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let database = database(3).await;

    let output = CommandOutput::run(&database.url, &["replay", "one", "--since", "2h", "--dry-run"]).await;

    assert_eq!(output.stdout, "3 events would be sent to one again\n");
    assert_eq!(database.count("complete").await, 3);
}

#[tokio::test]
async fn a_replay_goes_in_steps_until_all_are_sent() {
    let database = database(2_500).await;

    let output = CommandOutput::run(&database.url, &["replay", "one", "--since", "2h", "--json"]).await;

    let done = output.json();
    assert_eq!((&done["replayed"], &done["next_after"]), (&json!(2_500), &json!(null)));
    assert_eq!(database.count("pending").await, 2_500);
}

#[tokio::test]
async fn a_replay_says_as_json_what_it_did() {
    let database = database(1).await;

    let args = [
        "replay",
        "one",
        "--since",
        "2020-01-01T00:00:00Z",
        "--until",
        "2020-01-02T00:00:00Z",
        "--topics",
        "a.*",
        "--json",
    ];
    let output = CommandOutput::run(&database.url, &args).await;

    assert_eq!(
        output.json(),
        json!({
            "endpoint_id": "one", "since": "2020-01-01T00:00:00Z", "until": "2020-01-02T00:00:00Z", "topics": ["a.*"],
            "dry_run": false, "replayed": 0, "next_after": null,
        })
    );
}

#[tokio::test]
async fn a_replay_goes_on_after_the_event_that_it_is_told() {
    let database = database(5).await;

    let output = CommandOutput::run(&database.url, &["replay", "one", "--since", "2h", "--after", "3"]).await;

    assert_eq!(output.stdout, "2 events are sent to one again\n");
    let replayed: String =
        database.value("select string_agg(event_id::text, ',' order by event_id) from postrider.delivery where status = 'pending'").await;
    assert_eq!(replayed, "4,5");
}

#[tokio::test]
async fn an_interrupted_replay_finishes_its_step_and_says_how_to_go_on() {
    let database = database(2_500).await;
    let blocker = lock_delivery(&database, 500).await;
    let mut replay =
        command(&["replay", "one", "--since", "2020-01-01T00:00:00Z", "--topics", "order.*", "--json"]);
    replay.env("DATABASE_URL", &database.url);
    let replay = RunningCommand::start(replay);
    // It waits for a row of its first step.
    database
        .until("select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')")
        .await;

    replay.signal("INT").await;
    blocker.batch_execute("rollback").await.unwrap();
    let output = replay.ended().await;

    assert_eq!(output.code, Some(1), "{}", output.stderr);
    let done = output.json();
    assert_eq!((&done["replayed"], &done["next_after"]), (&json!(1_000), &json!(1_000)));
    let (_, go_on) = output.complaint().split_once("to go on: postrider ").unwrap();
    let until = done["until"].as_str().unwrap();
    let expected =
        format!("replay one --since 2020-01-01T00:00:00Z --until {until} --topics 'order.*' --after 1000");
    assert_eq!(go_on, expected);
    assert_eq!(database.count("pending").await, 1_000);
}

#[tokio::test]
async fn what_an_interrupted_replay_says_goes_on_to_the_end() {
    let database = database(1_500).await;
    let first =
        CommandOutput::run(&database.url, &["replay", "one", "--since", "2h", "--after", "1000"]).await;

    let args = ["replay", "one", "--since", "2h", "--after", "0"];
    let rest = CommandOutput::run(&database.url, &args).await;

    assert_eq!(first.stdout, "500 events are sent to one again\n");
    // What waits already is left alone.
    assert_eq!(rest.stdout, "1000 events are sent to one again\n");
}

#[tokio::test]
async fn an_unknown_endpoint_is_a_failure_that_names_it() {
    let database = Database::new().await;

    let output = CommandOutput::run(&database.url, &["replay", "nobody", "--since", "1h"]).await;

    assert_eq!((output.code, output.complaint()), (Some(1), "endpoint \"nobody\" does not exist"));
}

#[tokio::test]
async fn wrong_arguments_are_refused_all_at_once() {
    let args = ["replay", "one", "--since", "1", "--until", "now", "--topics", "a..b", "--after", "x"];
    let output = CommandOutput::run("", &args).await;

    assert_eq!(output.code, Some(64));
    let named: Vec<&str> =
        output.complaints().iter().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    assert_eq!(named, ["since", "until", "topics", "after", "database_url"]);
}

#[tokio::test]
async fn a_time_that_ends_before_it_begins_is_refused() {
    for (since, until) in [("1h", "2h"), ("2026-01-31T12:00:00Z", "2026-01-31T12:30:00+01:00")] {
        let args = ["replay", "one", "--since", since, "--until", until];
        let output = CommandOutput::run("postgres://nobody@127.0.0.1:1/nothing", &args).await;

        assert_eq!(output.code, Some(64), "{since}: {}", output.stderr);
        assert!(output.complaint().starts_with("until: "), "{since}: {}", output.stderr);
    }
}

#[tokio::test]
async fn a_replay_needs_its_beginning() {
    let output = CommandOutput::run("postgres://nobody@127.0.0.1:1/nothing", &["replay", "one"]).await;

    assert_eq!(output.code, Some(64), "{}", output.stderr);
    assert!(output.stderr.contains("--since"), "{}", output.stderr);
}

/// A database with so many complete events for an endpoint `one`, inserted an hour ago, ids from 1.
async fn database(complete: usize) -> Database {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database.insert_settled("one", "order.created", "complete", complete).await;
    database
}

/// Whoever wants this delivery waits until the connection's transaction ends.
async fn lock_delivery(database: &Database, id: i64) -> Client {
    let client = database.connect().await;
    client
        .batch_execute(&format!("begin; select from postrider.delivery where id = {id} for update"))
        .await
        .unwrap();
    client
}
