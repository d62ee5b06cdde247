//! `delivery list|show|retry`: what they find, print and do.

use serde_json::{Value, json};

use crate::support::{CommandOutput, Database, RunningCommand, command, one_endpoint};

#[tokio::test]
async fn list_shows_the_newest_first_as_json() {
    let database = database(3).await;

    let output = CommandOutput::run(&database.url, &["delivery", "list", "--json"]).await;

    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!((ids(&output), &output.json()["next_before"]), (vec![3, 2, 1], &Value::Null));
}

#[tokio::test]
async fn list_shows_the_columns_of_the_view() {
    let database = database(1).await;

    let output = CommandOutput::run(&database.url, &["delivery", "list", "--json"]).await;

    let mut row = output.json()["deliveries"][0].clone();
    for time in ["created_at", "completed_at", "failed_at"] {
        assert!(row[time].is_string(), "{time}: {row}");
        row[time] = json!("then");
    }
    let webhook_id: String = database.value("select webhook_id from postrider.delivery_status").await;
    assert_eq!(
        row,
        json!({
            "id": 1, "event_id": 1, "webhook_id": webhook_id, "endpoint_id": "one", "topic": "order.created", "key": null,
            "status": "failed", "attempts": 1, "next_attempt_at": null, "last_status_code": 500,
            "last_error": "status 500", "created_at": "then", "completed_at": "then", "failed_at": "then",
            "cancelled_at": null, "waits_for": null, "next_probe_at": null,
        })
    );
}

#[tokio::test]
async fn list_shows_only_what_is_asked_for() {
    let database = database(1).await;
    database.put_endpoint("two", "https://example.com/", "**", "").await;
    database.insert_settled("two", "invoice.paid", "complete", 1).await;

    for (flags, expected) in [
        (["--endpoint", "one"], vec![1]),
        (["--endpoint", "two"], vec![2]),
        (["--status", "failed"], vec![1]),
        (["--status", "complete"], vec![2]),
        (["--status", "pending"], vec![]),
        (["--status", "in_progress"], vec![]),
        (["--topic", "invoice.paid"], vec![2]),
        (["--event", "1"], vec![1]),
        (["--before", "2"], vec![1]),
        (["--limit", "1"], vec![2]),
    ] {
        let output =
            CommandOutput::run(&database.url, &[&["delivery", "list", "--json"], &flags[..]].concat()).await;

        assert_eq!(ids(&output), expected, "{flags:?}");
    }
}

#[tokio::test]
async fn list_for_an_endpoint_or_an_event_that_does_not_exist_is_a_failure_that_proposes_the_nearest_endpoint()
 {
    let database = database(1).await;
    database.put_endpoint("orders", "https://example.com/", "**", "").await;
    database.put_endpoint("gone", "https://example.com/", "**", "").await;
    database.insert_settled("gone", "order.created", "complete", 1).await;
    database.execute("select postrider.delete_endpoint('gone')").await;

    for (flags, complaint) in [
        (&["--endpoint", "nobody"][..], "endpoint \"nobody\" does not exist"),
        (&["--endpoint", "order", "--json"], "endpoint \"order\" does not exist, did you mean \"orders\"?"),
        (
            &["--endpoint", "orderz", "--status", "failed", "--topic", "a", "--before", "9"],
            "endpoint \"orderz\" does not exist, did you mean \"orders\"?",
        ),
        (&["--event", "77"], "event 77 does not exist"),
    ] {
        let output = CommandOutput::run(&database.url, &[&["delivery", "list"], flags].concat()).await;

        assert_eq!((output.code, output.complaint()), (Some(1), complaint), "{flags:?}");
        assert_eq!(output.stdout, "", "{flags:?}");
    }
    // Nothing was ever for this one, and the other one's history stays.
    for (flags, expected) in [(["--endpoint", "orders"], vec![]), (["--endpoint", "gone"], vec![2])] {
        let args = [&["delivery", "list", "--json"], &flags[..]].concat();
        let output = CommandOutput::run(&database.url, &args).await;

        assert_eq!((output.code, ids(&output)), (Some(0), expected), "{flags:?}");
    }
}

#[tokio::test]
async fn list_goes_over_as_many_pages_as_the_limit_needs() {
    // One page of the store has at most 1000 rows.
    let database = database(2_500).await;

    let output = CommandOutput::run(&database.url, &["delivery", "list", "--json", "--limit", "2200"]).await;

    let expected: Vec<i64> = (301..=2_500).rev().collect();
    assert_eq!((ids(&output), &output.json()["next_before"]), (expected, &json!(301)));
}

#[tokio::test]
async fn the_pages_of_a_program_cover_everything_once() {
    let database = database(5).await;
    let mut seen = Vec::new();
    let mut before = "100".to_owned();

    while before != "null" {
        let args = ["delivery", "list", "--json", "--limit", "2", "--before", &before];
        let output = CommandOutput::run(&database.url, &args).await;
        seen.extend(ids(&output));
        before = output.json()["next_before"].to_string();
    }

    assert_eq!(seen, [5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn list_shows_people_a_line_for_each() {
    let database = database(2).await;

    let output = CommandOutput::run(&database.url, &["delivery", "list"]).await;

    let lines: Vec<Vec<&str>> = output
        .stdout
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|t| !t.is_empty()).collect())
        .collect();
    assert_eq!(
        lines,
        [
            vec![
                "DELIVERY",
                "EVENT",
                "ENDPOINT",
                "TOPIC",
                "STATUS",
                "ATTEMPTS",
                "WAITS FOR",
                "NEXT ATTEMPT",
                "CODE",
                "ERROR"
            ],
            vec!["2", "2", "one", "order.created", "failed", "1", "-", "-", "500", "status 500"],
            vec!["1", "1", "one", "order.created", "failed", "1", "-", "-", "500", "status 500"],
        ]
    );
}

#[tokio::test]
async fn list_refuses_wrong_arguments_all_at_once() {
    let output = CommandOutput::run(
        "",
        &["delivery", "list", "--status", "done", "--event", "x", "--before", "-", "--limit", "10001"],
    )
    .await;

    assert_eq!(output.code, Some(64));
    assert_eq!(named(&output), ["status", "event", "before", "limit", "database_url"]);
}

#[tokio::test]
async fn show_shows_a_delivery_and_its_attempts() {
    let database = database(1).await;
    database
        .execute(
            "update postrider.attempt set started_at = '2026-01-31 12:00:00+00', response_excerpt = 'no'",
        )
        .await;

    let output = CommandOutput::run(&database.url, &["delivery", "show", "1", "--json"]).await;

    let shown = output.json();
    assert_eq!((&shown["id"], &shown["status"]), (&json!(1), &json!("failed")));
    assert_eq!(
        shown["attempt_log"],
        json!([{
            "attempt": 1, "started_at": "2026-01-31T12:00:00+00:00", "duration_ms": 12, "status_code": 500,
            "error": "status 500", "response_excerpt": "no",
        }])
    );
}

#[tokio::test]
async fn a_response_cannot_write_to_the_terminal() {
    let database = database(1).await;
    database.execute("update postrider.attempt set response_excerpt = E'a\\x1b[2Jb\\nc'").await;

    let output = CommandOutput::run(&database.url, &["delivery", "show", "1"]).await;

    assert!(output.stdout.contains("a\\u{1b}[2Jb\\nc"), "{}", output.stdout);
    assert!(!output.stdout.contains('\x1b'), "{}", output.stdout);
}

#[tokio::test]
async fn an_unknown_delivery_is_a_failure_that_names_it() {
    let database = Database::new().await;

    for verb in ["show", "retry"] {
        let output = CommandOutput::run(&database.url, &["delivery", verb, "7"]).await;

        assert_eq!((output.code, output.complaint()), (Some(1), "delivery 7 does not exist"), "{verb}");
        assert_eq!(output.stdout, "", "{verb}");
    }
}

#[tokio::test]
async fn what_is_no_id_is_wrong_usage() {
    for args in [
        ["delivery", "show", "x"],
        ["delivery", "retry", "1.5"],
        ["event", "show", "-"],
        ["event", "cancel", ""],
    ] {
        let output = CommandOutput::run("postgres://nobody@127.0.0.1:1/nothing", &args).await;

        assert_eq!(output.code, Some(64), "{args:?}: {}", output.stderr);
        assert!(output.complaint().starts_with("id: "), "{args:?}: {}", output.stderr);
    }
}

#[tokio::test]
async fn a_retried_delivery_is_delivered() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.insert_settled("one", "order.created", "failed", 1).await;

    let output = CommandOutput::run(&database.url, &["delivery", "retry", "1"]).await;

    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(0), "delivery 1 is due now\n"),
        "{}",
        output.stderr
    );
    assert_eq!(receiver.next().await.text(), r#"{"number" : 1}"#);
    database.until_settled().await;
    database.assert_row("select status from postrider.outbox", json!({"status": "complete"})).await;
}

#[tokio::test]
async fn retry_goes_on_after_one_that_cannot_be_retried() {
    let database = database(1).await;
    database.insert_settled("one", "order.created", "complete", 1).await;

    let output = CommandOutput::run(&database.url, &["delivery", "retry", "9", "2", "1", "--json"]).await;

    assert_eq!(output.code, Some(1));
    assert_eq!(
        output.json(),
        json!({
            "retried": [1],
            "behind": [],
            "refused": [
                { "id": 9, "error": "delivery 9 does not exist" },
                { "id": 2, "error": "delivery 2 is complete: postrider.replay sends complete deliveries again" },
            ],
        })
    );
    assert_eq!(
        output.complaints(),
        [
            "delivery 9 does not exist",
            "delivery 2 is complete: postrider.replay sends complete deliveries again"
        ]
    );
    assert_eq!(database.count("pending").await, 1);
}

#[tokio::test]
async fn retry_of_an_endpoint_retries_all_that_was_given_up() {
    let database = database(2_001).await;
    database.insert_settled("one", "order.created", "complete", 1).await;

    let output = CommandOutput::run(&database.url, &["delivery", "retry", "--endpoint", "one"]).await;

    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(0), "due now: 2001 deliveries\n"),
        "{}",
        output.stderr
    );
    assert_eq!((database.count("pending").await, database.count("complete").await), (2_001, 1));
}

#[tokio::test]
async fn retry_of_an_endpoint_leaves_alone_what_was_given_up_before() {
    let database = database(2).await;
    // The other one was given up an hour ago.
    database
        .execute("update postrider.delivery set failed_at = now() - interval '30 min' where id = 2")
        .await;

    let args = ["delivery", "retry", "--endpoint", "one", "--since", "45m", "--json"];
    let output = CommandOutput::run(&database.url, &args).await;

    let done = output.json();
    assert_eq!((&done["endpoint_id"], &done["retried"]), (&json!("one"), &json!(1)));
    let since = done["since"].as_str().unwrap();
    let sql =
        format!("select now() - '{since}'::timestamptz between interval '45 min' and interval '50 min'");
    assert!(database.is(&sql).await, "{since}");
    database
        .assert_row("select status from postrider.delivery where id = 2", json!({"status": "pending"}))
        .await;
}

#[tokio::test]
async fn an_interrupted_retry_finishes_its_step_and_says_that_it_can_go_on() {
    let database = database(1_500).await;
    let blocker = database.connect().await;
    blocker.batch_execute("begin; select from postrider.delivery where id = 1 for update").await.unwrap();
    let mut retry = command(&["delivery", "retry", "--endpoint", "one"]);
    retry.env("DATABASE_URL", &database.url);
    let retry = RunningCommand::start(retry);
    let waits = "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
    database.until(waits).await;

    retry.signal("INT").await;
    blocker.batch_execute("rollback").await.unwrap();
    let output = retry.ended().await;

    assert_eq!((output.code, output.stdout.as_str()), (Some(1), "due now: 1000 deliveries\n"));
    assert!(output.complaint().contains("goes on with what is left"), "{}", output.stderr);
    assert_eq!((database.count("pending").await, database.count("failed").await), (1_000, 500));
}

#[tokio::test]
async fn retry_takes_an_rfc_3339_time() {
    let database = database(2).await;
    database.execute("update postrider.delivery set failed_at = '2026-01-31 12:00:00+00' where id = 1").await;
    database.execute("update postrider.delivery set failed_at = '2026-01-31 11:59:59+00' where id = 2").await;

    let args = ["delivery", "retry", "--endpoint", "one", "--since", "2026-01-31T13:00:00+01:00", "--json"];
    let output = CommandOutput::run(&database.url, &args).await;

    assert_eq!(
        output.json(),
        json!({ "endpoint_id": "one", "since": "2026-01-31T13:00:00+01:00", "retried": 1 })
    );
}

#[tokio::test]
async fn retry_refuses_what_is_no_time() {
    for wrong in ["5", "0", "yesterday", "2026-01-31", "-1h", ""] {
        let args = ["delivery", "retry", "--endpoint", "one", &format!("--since={wrong}")];
        let output = CommandOutput::run("postgres://nobody@127.0.0.1:1/nothing", &args).await;

        assert_eq!(output.code, Some(64), "{wrong}: {}", output.stderr);
        let complaint = output.complaint();
        assert!(complaint.starts_with("since: ") && complaint.contains("RFC 3339"), "{wrong}: {complaint}");
    }
}

#[tokio::test]
async fn retry_needs_deliveries_or_an_endpoint_and_not_both() {
    for args in [
        &["delivery", "retry"][..],
        &["delivery", "retry", "1", "--endpoint", "one"],
        &["delivery", "retry", "1", "--since", "1h"],
    ] {
        let output = CommandOutput::run("postgres://nobody@127.0.0.1:1/nothing", args).await;

        assert_eq!(output.code, Some(64), "{args:?}: {}", output.stderr);
    }
}

/// A database with so many failed deliveries for an endpoint `one`, ids from 1.
async fn database(failed: usize) -> Database {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database.insert_settled("one", "order.created", "failed", failed).await;
    database
}

fn ids(output: &CommandOutput) -> Vec<i64> {
    output.json()["deliveries"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

/// The settings that it complains of.
fn named(output: &CommandOutput) -> Vec<&str> {
    output.complaints().iter().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect()
}
