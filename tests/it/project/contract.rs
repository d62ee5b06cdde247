//! The public contract, line by line: names that users, scripts and other programs rely on. What they do, other modules
//! test; here stands that they are there.

use std::collections::BTreeSet;

use serde_json::json;
use tokio_postgres::Column;

use crate::support::{CommandOutput, Database};

const OUTBOX: [(&str, &str); 11] = [
    ("id", "bigint"),
    ("topic", "text"),
    ("payload", "json"),
    ("key", "text"),
    ("headers", "jsonb"),
    ("idempotency_key", "text"),
    ("destination", "text"),
    ("deliver_after", "timestamp with time zone"),
    ("status", "postrider.status"),
    ("created_at", "timestamp with time zone"),
    ("completed_at", "timestamp with time zone"),
];

const VIEWS: [(&str, &str); 6] = [
    (
        "delivery_status",
        "delivery_id event_id webhook_id endpoint_id topic key status attempts next_attempt_at last_status_code \
         last_error created_at completed_at waits_for next_probe_at",
    ),
    (
        "attempt_log",
        "delivery_id event_id endpoint_id attempt started_at duration_ms status_code error response_excerpt",
    ),
    (
        "endpoint_health",
        "endpoint_id url state reason pending in_progress failed_24h complete_24h oldest_pending_at last_success_at \
         last_failure_at consecutive_failures circuit next_probe_at failing_since disabled_at description \
         health cause health_since failed_attempts_24h",
    ),
    (
        "blocked_keys",
        "endpoint_id key delivery_id event_id status attempts next_attempt_at last_error since waiting",
    ),
    ("backlog", "unrouted pending in_progress failed oldest_unrouted_at oldest_due_at"),
    (
        "dispatcher_status",
        "dispatcher_id host version started_at lease_until is_leader wake_mode last_seen_at state",
    ),
];

/// Functions by what callers write, and the names of what they return.
const FUNCTIONS: [(&str, &str); 16] = [
    ("put_endpoint('one', 'https://example.com/', array['a.*'])", "endpoint_id result new_secret"),
    (
        "put_endpoint(id => 'one', url => 'https://example.com/', topics => '{b}')",
        "endpoint_id result new_secret",
    ),
    ("set_endpoint('one', '{\"topics\": null}')", "endpoint_id result changed"),
    ("publish('a.b', '{}')", "event_id webhook_id is_repeat"),
    ("publish('a.b', '{}', 'key', '{}', 'once', 'one', now())", "event_id webhook_id is_repeat"),
    (
        "publish(topic => 'a.b', payload => '{}', key => 'key', headers => '{}', idempotency_key => 'once', \
         destination => 'one', deliver_after => now())",
        "event_id webhook_id is_repeat",
    ),
    ("pause_endpoint('one', 'why')", "reason endpoint_id state"),
    ("resume_endpoint('one')", "endpoint_id state"),
    ("rotate_secret('one')", "endpoint_id new_secret old_valid_until"),
    ("retry(1)", "delivery_id status is_behind"),
    ("skip(1, 'wrong')", "delivery_id status"),
    ("skip_key('one', 'k')", "skip_key"),
    ("retry_failed('one', now() - interval '1 hour')", "retry_failed"),
    ("replay('one', now() - interval '1 hour', now(), array['**'])", "replayed next_after"),
    ("cancel(1)", "event_id status cancelled under_way"),
    ("delete_endpoint('one')", "endpoint_id pending"),
];

/// Every command of the contract with the flags that it names.
const COMMANDS: [(&str, &str); 32] = [
    (
        "run",
        "--database-url --listen-database-url --api-listen --allow-http --allow-cidr --max-in-flight --poll-interval \
         --lease --grace-period --wake --request-timeout --no-migrate --config",
    ),
    ("migrate", "--check --print"),
    (
        "endpoint put",
        "--url --topics --secret --max-in-flight --rate-limit --timeout --retry-schedule --ordered --header \
         --description --allow-http --allow-cidr --json",
    ),
    (
        "endpoint set",
        "--url --topics --secret --max-in-flight --rate-limit --timeout --retry-schedule --ordered --header \
         --no-header --description --allow-http --allow-cidr --yes --json",
    ),
    ("endpoint list", "--json"),
    ("endpoint show", "--json"),
    ("endpoint pause", "--reason --json"),
    ("endpoint resume", "--json"),
    ("endpoint delete", "--json"),
    ("endpoint rotate-secret", "--json"),
    ("endpoint test", "--json"),
    ("endpoint skip-key", "--until --reason --json"),
    (
        "table attach",
        "--topic --payload --key --destination --status --status-map --write-back --on --when --columns --backfill --dry-run --json",
    ),
    ("table list", "--json"),
    ("table show", "--json"),
    ("table pause", "--json"),
    ("table resume", "--json"),
    ("table detach", "--yes --json"),
    ("publish", "--json"),
    ("status", "--watch --json"),
    ("delivery list", "--json"),
    ("delivery show", "--json"),
    ("delivery retry", "--json"),
    ("delivery skip", "--reason --json"),
    ("replay", "--since --until --dry-run --json"),
    ("event show", "--json"),
    ("event cancel", "--json"),
    ("receive", "--listen --secret --status --fail-rate --delay"),
    ("doctor", "--json"),
    ("dev", ""),
    ("config show", "--json"),
    ("completions", ""),
];

#[tokio::test]
async fn the_outbox_has_the_columns_of_the_contract() {
    let database = Database::new().await;

    for (column, kind) in OUTBOX {
        let sql = format!(
            "select format_type(atttypid, atttypmod) from pg_attribute
             where attrelid = 'postrider.outbox'::regclass and attname = '{column}'"
        );

        let found: String = database.value(&sql).await;

        assert_eq!(found, kind, "{column}");
    }
}

#[tokio::test]
async fn only_topic_and_payload_are_required_of_a_producer() {
    let database = Database::new().await;

    database.execute("insert into postrider.outbox (topic, payload) values ('a', '{}')").await;

    database.assert_row("select status from postrider.outbox", json!({"status": "pending"})).await;
}

#[tokio::test]
async fn every_view_has_at_least_the_columns_of_the_contract() {
    let database = Database::new().await;

    for (view, columns) in VIEWS {
        let row = database.client.prepare(&format!("select * from postrider.{view}")).await.unwrap();

        let found: BTreeSet<&str> = row.columns().iter().map(Column::name).collect();

        let missing: Vec<&str> = columns.split_whitespace().filter(|name| !found.contains(name)).collect();
        assert_eq!(missing, Vec::<&str>::new(), "{view}");
    }
}

#[tokio::test]
async fn every_function_returns_what_the_contract_says() {
    let database = Database::new().await;

    for (call, columns) in FUNCTIONS {
        let prepared = database.client.prepare(&format!("select * from postrider.{call}")).await;

        let prepared = prepared.unwrap_or_else(|fault| panic!("{call}: {fault:?}"));
        let found: Vec<&str> = prepared.columns().iter().map(Column::name).collect();
        assert_eq!(found, columns.split_whitespace().collect::<Vec<_>>(), "{call}");
    }
}

#[tokio::test]
async fn the_four_states_are_in_their_order() {
    let database = Database::new().await;

    let states: String =
        database.value("select array_to_string(enum_range(null::postrider.status), ' ')").await;

    assert_eq!(states, "pending in_progress complete failed");
}

#[tokio::test]
async fn every_command_of_the_contract_is_there_with_its_flags() {
    for (command, flags) in COMMANDS {
        let mut args: Vec<&str> = command.split_whitespace().collect();
        args.push("--help");

        let output = CommandOutput::run("", &args).await;

        assert_eq!(output.code, Some(0), "{command}: {}", output.stderr);
        for flag in flags.split_whitespace() {
            assert!(output.stdout.contains(flag), "{command} {flag}: {}", output.stdout);
        }
    }
}

#[tokio::test]
async fn every_flag_of_run_is_an_environment_variable_too() {
    let help = CommandOutput::run("", &["run", "--help"]).await.stdout;
    let flags = help.split_whitespace().filter_map(|word| word.strip_prefix("--"));
    let flags: BTreeSet<&str> =
        flags.map(|flag| flag.split(|c: char| c != '-' && !c.is_ascii_lowercase()).next().unwrap()).collect();
    assert!(flags.contains("lease"), "{flags:?}");

    for flag in
        flags.into_iter().filter(|flag| !["help", "version", "database-url", "sslmode"].contains(flag))
    {
        let name = format!("POSTRIDER_{}", flag.replace('-', "_").to_uppercase());

        assert!(help.contains(&name), "--{flag}: {name} is not in {help}");
    }
}
