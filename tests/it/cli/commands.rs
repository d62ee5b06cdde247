//! `publish`, `status`, `endpoint list|show|pause|resume`: what they print, and how they refuse.

use std::process::Stdio;

use postrider::store::SCHEMA_VERSION;
use serde_json::{Value, json};

use crate::support::{Api, CommandOutput, DEADLINE, Database, command, one_endpoint};

#[tokio::test]
async fn publish_prints_the_id_of_the_event() {
    let database = Database::new().await;

    let output = CommandOutput::run(&database.url, &["publish", "order.created", "{\"order_id\": 42}"]).await;

    let id: i64 = database.value("select id from postrider.outbox").await;
    assert_eq!(output.stdout, format!("{id}\n"));
}

#[tokio::test]
async fn publish_keeps_the_payload_as_it_was_typed() {
    let database = Database::new().await;
    let payload = r#" {"b": 1e400,  "a": "\u0000", "a": 1} "#;

    CommandOutput::run(&database.url, &["publish", "order.created", payload]).await;

    let stored: String = database.value("select payload::text from postrider.outbox").await;
    assert_eq!(stored, payload);
}

#[tokio::test]
async fn publish_reads_stdin_for_a_dash() {
    let database = Database::new().await;
    let mut publish = command(&["publish", "order.created", "-"]);
    publish.env("DATABASE_URL", &database.url);

    let output = CommandOutput::with_input(publish, b"{\"from\": \"stdin\"}\n").await;

    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let stored: String = database.value("select payload::text from postrider.outbox").await;
    assert_eq!(stored, "{\"from\": \"stdin\"}\n");
}

#[tokio::test]
async fn publish_stores_all_that_is_said_of_an_event() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "", "").await;
    let args = [
        "publish",
        "order.created",
        "{}",
        "--key",
        "k",
        "--idempotency-key",
        "i",
        "--destination",
        "one",
        "--delay",
        "1h",
        "--header",
        "traceparent: 00-1-2-01",
    ];

    CommandOutput::run(&database.url, &args).await;

    database
        .assert_row(
            "select topic, key, idempotency_key, destination, headers,
                    deliver_after between now() + interval '59 min' and now() + interval '1 h' as is_in_an_hour
             from postrider.outbox",
            json!({
                "topic": "order.created", "key": "k", "idempotency_key": "i", "destination": "one",
                "headers": {"traceparent": "00-1-2-01"}, "is_in_an_hour": true
            }),
        )
        .await;
}

#[tokio::test]
async fn publish_inserts_an_idempotency_key_once() {
    let database = Database::new().await;
    let args = ["publish", "order.created", "{}", "--idempotency-key", "once", "--json"];
    let first = CommandOutput::run(&database.url, &args).await;

    let second = CommandOutput::run(&database.url, &args).await;

    let id: i64 = database.value("select id from postrider.outbox").await;
    let webhook_id: String = database.value("select (postrider.event_with_key('once')).webhook_id").await;
    let said = |is_repeat| json!({ "id": id, "webhook_id": webhook_id, "is_repeat": is_repeat });
    assert_eq!((first.json(), second.json()), (said(false), said(true)));
}

#[tokio::test]
async fn publish_prints_the_id_of_the_first_event_and_says_aside_that_this_is_a_repeat() {
    let database = Database::new().await;
    let args = ["publish", "order.created", "{}", "--idempotency-key", "once"];
    let first = CommandOutput::run(&database.url, &args).await;
    CommandOutput::run(&database.url, &["publish", "order.created"]).await;

    let second = CommandOutput::run(&database.url, &args).await;

    assert_eq!((second.code, &second.stdout), (Some(0), &first.stdout));
    assert_eq!(first.stderr, "");
    let id = first.stdout.trim();
    assert_eq!(second.stderr, format!("repeat: event {id} has this idempotency key; nothing was inserted\n"));
    database.assert_row("select count(*) from postrider.outbox", json!({"count": 2})).await;
}

#[tokio::test]
async fn publish_refuses_what_is_not_json() {
    let database = Database::new().await;

    for payload in ["", "{", "{'a': 1}", "nothing", "{\"a\": 1} x"] {
        let output = CommandOutput::run(&database.url, &["publish", "order.created", payload]).await;

        assert_eq!(output.code, Some(64), "{payload}");
        assert!(output.complaint().contains("json"), "{payload}: {}", output.stderr);
    }
}

#[tokio::test]
async fn publish_refuses_wrong_arguments_all_at_once() {
    let output =
        CommandOutput::run("", &["publish", "a..b", "{}", "--delay", "5", "--header", "no colon"]).await;

    assert_eq!(output.code, Some(64));
    let named: Vec<&str> =
        output.complaints().iter().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    assert_eq!(named, ["delay", "headers", "topic", "database_url"]);
}

#[tokio::test]
async fn publish_refuses_what_the_outbox_would_refuse_as_wrong_usage() {
    let database = Database::new().await;

    for (name, args) in [
        ("key", ["--key", ""]),
        ("idempotency_key", ["--idempotency-key", ""]),
        ("destination", ["--destination", ""]),
        ("headers", ["--header", "Host: x"]),
    ] {
        let all = [["publish", "order.created"], args].concat();

        let output = CommandOutput::run(&database.url, &all).await;

        assert_eq!(output.code, Some(64), "{name}: {}", output.stderr);
        assert!(output.complaint().starts_with(&format!("{name}: ")), "{}", output.stderr);
    }
}

#[tokio::test]
async fn an_unknown_endpoint_is_a_failure_that_names_it() {
    let database = Database::new().await;

    for verb in ["show", "pause", "resume"] {
        let output = CommandOutput::run(&database.url, &["endpoint", verb, "nobody"]).await;

        assert_eq!(output.code, Some(1), "{verb}");
        assert_eq!(output.complaint(), "endpoint \"nobody\" does not exist", "{verb}");
    }
}

#[tokio::test]
async fn pause_and_resume_are_seen_in_the_health_of_the_endpoint() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    let state = "select concat_ws(' ', state, reason) from postrider.endpoint_health";

    CommandOutput::run(&database.url, &["endpoint", "pause", "one", "--reason", "maintenance"]).await;
    let paused: String = database.value(state).await;
    CommandOutput::run(&database.url, &["endpoint", "resume", "one"]).await;
    let resumed: String = database.value(state).await;

    assert_eq!((paused.as_str(), resumed.as_str()), ("paused maintenance", "enabled"));
}

#[tokio::test]
async fn list_shows_every_endpoint_as_json_without_its_secret() {
    let database = Database::new().await;
    database.put_endpoint("two", "https://example.com/2", "b.*", "").await;
    database
        .put_endpoint("one", "https://example.com/1", "a", "retry_schedule => '{5s,5m}', timeout => '3s'")
        .await;

    let output = CommandOutput::run(&database.url, &["endpoint", "list", "--json"]).await;

    let first = json!({
        "id": "one", "url": "https://example.com/1", "topics": ["a"], "header_names": [], "max_in_flight": 64,
        "rate_limit": null, "timeout": "3s", "retry_schedule": ["5s", "5m"], "ordered": false, "on_failed": "block", "state": "enabled",
        "reason": null, "format": "webhook", "public_key": null, "has_auth": false, "has_client_certificate": false,
        "ca_certificates": null, "description": null,
        "pending": 0, "in_progress": 0, "failed_24h": 0, "complete_24h": 0, "oldest_pending_at": null,
        "last_success_at": null, "last_failure_at": null, "consecutive_failures": 0,
        "circuit": "closed", "next_probe_at": null, "failing_since": null, "disabled_at": null,
        "health": "healthy", "cause": null, "health_since": null, "failed_attempts_24h": 0,
        "template_id": null, "allow_http": null, "allow_cidr": null, "children": null,
        "held_until": null,
    });
    let listed = output.json();
    assert_eq!((&listed[0], &listed[1]["id"]), (&first, &json!("two")));
}

#[tokio::test]
async fn show_shows_one_endpoint_as_list_does() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;

    let shown = CommandOutput::run(&database.url, &["endpoint", "show", "one", "--json"]).await;

    let listed = CommandOutput::run(&database.url, &["endpoint", "list", "--json"]).await;
    assert_eq!(shown.json(), listed.json()[0]);
}

#[tokio::test]
async fn show_prints_the_default_schedule_of_an_endpoint_without_its_own() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;

    let shown = CommandOutput::run(&database.url, &["endpoint", "show", "one"]).await;

    assert!(shown.stdout.contains("5s,5m,30m,2h,5h,10h,14h,20h,1day"), "{}", shown.stdout);
}

#[tokio::test]
async fn status_shows_backlog_endpoints_and_dispatchers_as_json() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database.insert("order.created", "{}").await;
    database
        .execute(
            "insert into postrider.dispatcher (host, version, lease_until, wake_mode, wake_reason)
             values ('here:1', '0', now() - interval '1 h', 'poll', 'asked for')",
        )
        .await;

    let output = CommandOutput::run(&database.url, &["status", "--json"]).await;

    let mut status = output.json();
    let mut take = |path: &str| status.pointer_mut(path).map(Value::take);
    let oldest = take("/backlog/oldest_unrouted_at");
    let times =
        ["started_at", "lease_until", "last_seen_at"].map(|name| take(&format!("/dispatchers/0/{name}")));
    assert!(matches!(oldest, Some(Value::String(_))), "{oldest:?}");
    assert!(times.iter().all(|time| matches!(time, Some(Value::String(_)))), "{times:?}");
    assert_eq!(
        status["backlog"],
        json!({ "unrouted": 1, "pending": 0, "in_progress": 0, "failed": 0, "oldest_unrouted_at": null, "unmatched_24h": 0, "unknown_destination_24h": 0, "oldest_due_at": null })
    );
    assert_eq!(
        status["dispatchers"],
        json!([{
            "id": 1, "host": "here:1", "version": "0", "started_at": null, "lease_until": null, "last_seen_at": null,
            "state": "gone", "is_live": false,
            "is_leader": false, "wake_mode": "poll", "wake_reason": "asked for",
        }])
    );
    assert_eq!(status["endpoints"][0]["id"], "one");
}

#[tokio::test]
async fn the_api_shows_of_the_status_what_the_command_does() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    let api = Api::of(&dispatcher).await;

    let asked = api.get("/v1/status").await.json();
    let typed = CommandOutput::run(&database.url, &["status", "--json"]).await.json();

    assert_eq!(asked["installation"], typed["installation"]);
    assert_eq!(
        asked["installation"],
        json!({
            "name": null, "code": database.value::<String>("select code from postrider.installation_status").await,
            "waits_because": null, "move_expected_until": null, "is_taken": true, "is_server_known": true,
        })
    );
    // The command lists the endpoints, too.
    let fields = |shown: &Value| shown.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let mut more = fields(&typed);
    more.retain(|field| field != "endpoints");
    assert_eq!(fields(&asked), more);
}

#[tokio::test]
async fn migrate_says_as_json_what_it_applied() {
    let database = Database::without_schema().await;

    let first = CommandOutput::run(&database.url, &["migrate", "--json"]).await;
    let second = CommandOutput::run(&database.url, &["migrate", "--json"]).await;
    let checked = CommandOutput::run(&database.url, &["migrate", "--check", "--json"]).await;

    let count = usize::try_from(SCHEMA_VERSION).unwrap();
    assert_eq!(first.json()["version"], json!(SCHEMA_VERSION));
    assert_eq!(first.json()["applied"].as_array().map(Vec::len), Some(count));
    assert_eq!(second.json(), json!({ "version": SCHEMA_VERSION, "applied": [] }));
    assert_eq!(checked.json(), json!({ "version": SCHEMA_VERSION }));
}

#[tokio::test]
async fn the_migrations_are_sql_and_not_json() {
    let output = CommandOutput::run("", &["migrate", "--print", "--json"]).await;

    assert_eq!((output.code, output.stdout.as_str()), (Some(64), ""));
}

#[tokio::test]
async fn a_newcomer_who_types_help_gets_it() {
    for args in [&["help"][..], &["help", "endpoint", "test"], &["endpoint", "help", "put"]] {
        let output = CommandOutput::of(command(args)).await;

        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{args:?}");
        assert!(
            output.stdout.contains("Usage: postrider") && output.stdout.contains("Example: "),
            "{args:?}"
        );
    }
}

#[tokio::test]
async fn no_command_shows_a_secret() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;

    for args in [
        &["status"][..],
        &["status", "--json"],
        &["endpoint", "list"],
        &["endpoint", "list", "--json"],
        &["endpoint", "show", "one"],
        &["endpoint", "show", "one", "--json"],
        &["endpoint", "pause", "one", "--json"],
        &["endpoint", "resume", "one"],
        &["delivery", "retry", "--endpoint", "one", "--json"],
        &["replay", "one", "--since", "1h"],
        &["endpoint", "delete", "one", "--yes"],
    ] {
        let output = CommandOutput::run(&database.url, args).await;

        assert!(output.stdout.contains("one") || args[0] == "delivery", "{args:?}");
        assert!(!output.stdout.contains("whsec_"), "{args:?}: {}", output.stdout);
    }
}

#[tokio::test]
async fn nobody_reading_the_output_is_no_failure() {
    let database = Database::new().await;

    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database.insert_settled("one", "order.created", "failed", 1).await;

    for args in [
        &["status"][..],
        &["status", "--json"],
        &["endpoint", "list"],
        &["endpoint", "show", "one"],
        &["endpoint", "pause", "one"],
        &["endpoint", "resume", "one", "--json"],
        &["endpoint", "rotate-secret", "one"],
        &["delivery", "list"],
        &["delivery", "show", "1"],
        &["event", "show", "1"],
        &["replay", "one", "--since", "2h", "--dry-run"],
        &["delivery", "retry", "1"],
        &["event", "cancel", "1"],
        &["endpoint", "delete", "one", "--yes"],
        &["publish", "order.created"],
        &["doctor"],
        &["config", "show"],
        &["completions", "bash"],
        &["migrate"],
        &["migrate", "--check"],
        &["migrate", "--print"],
        &["--help"],
        &["help", "endpoint"],
        &["run", "--help"],
    ] {
        // The reading end is closed before anything is written.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = command(args);
        command.env("DATABASE_URL", &database.url).stdout(writer).stderr(Stdio::piped()).kill_on_drop(true);

        let child = command.spawn().unwrap();
        let output = tokio::time::timeout(DEADLINE, child.wait_with_output()).await.unwrap().unwrap();

        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
}
