//! What `doctor`, the log and the metrics say of attached tables that are not as they should be.

use serde_json::Value;

use crate::support::{CommandOutput, Database, Dispatcher, Scraped};

/// Maintenance looks every second.
const SHORT_LEASE: [&str; 4] = ["--lease", "4s", "--request-timeout", "2s"];

#[tokio::test]
async fn a_table_that_is_heard_is_fine_and_without_one_nothing_is_said() {
    let database = attached().await;
    let bare = Database::new().await;

    assert_eq!(findings(&database.url).await, [("ok".to_owned(), "1 heard".to_owned())]);
    assert_eq!(findings(&bare.url).await, []);
}

#[tokio::test]
async fn what_breaks_an_attachment_is_a_failure_that_names_it() {
    for (change, named) in [
        ("alter table public.device drop column content", "content"),
        ("alter table public.device rename column content to body", "content"),
        ("alter table public.device disable trigger postrider_insert", "postrider_insert"),
        ("drop trigger postrider_update on public.device", "postrider_update"),
    ] {
        let database = attached().await;
        database.execute(change).await;

        let found = findings(&database.url).await;

        let fault = found.iter().find(|(result, _)| result == "fail");
        assert!(
            fault.is_some_and(|(_, says)| says.contains("public.device") && says.contains(named)),
            "{change}: {found:?}"
        );
    }
}

#[tokio::test]
async fn what_keeps_changes_unheard_or_statuses_unwritten_is_a_warning() {
    for (change, says) in [
        ("select postrider.pause_table('public.device')", "paused, so changes are not heard: public.device"),
        (
            "grant create on schema public to pg_monitor; alter table public.device owner to pg_monitor;
             select postrider.attach_table('public.device', 'device.changed', payload => 'content', status => 'status');
             alter table public.device enable row level security, force row level security",
            "row-level security of public.device is forced on its owner, pg_monitor",
        ),
        (
            "insert into postrider.row_due (attachment_no, row_key, event_id, status, noted_at)
             select attachment_no, attachment_no || '[\"1\"]', 1, 'complete', now() - interval '2 hours'
             from postrider.attachment",
            "public.device (1 due, the first for 2h",
        ),
        ("update postrider.attachment set last_error = 'grant update (status)'", "grant update (status)"),
    ] {
        let database = attached().await;
        let login = database.login(Some("postrider_dispatcher")).await;
        database.execute(change).await;

        let found = findings(&login).await;

        assert!(
            found.iter().any(|(result, said)| result == "warn" && said.contains(says)),
            "{change}: {found:?}"
        );
    }
}

#[tokio::test]
async fn a_superuser_is_warned_of_triggers_of_somebody_elses_table() {
    let database = attached().await;
    database
        .execute(
            "grant create on schema public to pg_monitor; alter table public.device owner to pg_monitor;
             select postrider.attach_table('public.device', 'device.changed', payload => 'content', status => 'status')",
        )
        .await;
    let login = database.login(Some("postrider_dispatcher")).await;

    let found = findings(&database.url).await;

    let says = "public.device belongs to pg_monitor, and this role is a superuser";
    assert!(found.iter().any(|(result, said)| result == "warn" && said.starts_with(says)), "{found:?}");
    assert_eq!(findings(&login).await, [("ok".to_owned(), "1 heard".to_owned())]);
}

#[tokio::test]
async fn a_setting_that_switches_triggers_off_is_a_warning() {
    let database = attached().await;
    let name: String = database.value("select current_database()::text").await;
    database.execute(&format!("alter database {name} set session_replication_role = replica")).await;

    let found = findings(&database.url).await;

    let says = "session_replication_role is replica for every role";
    assert!(found.iter().any(|(result, said)| result == "warn" && said.starts_with(says)), "{found:?}");
}

#[tokio::test]
async fn the_log_and_the_metrics_tell_when_an_attachment_breaks_and_is_mended() {
    let database = attached().await;
    let dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;

    database.execute("alter table public.device disable trigger postrider_insert").await;
    dispatcher.logged("attached table public.device is broken").await;
    Scraped::until(&dispatcher, "a broken table", |scraped| {
        scraped.value("postrider_attached_tables{state=\"broken\"}") == Some(1.0)
            && scraped.value("postrider_attached_tables{state=\"active\"}") == Some(0.0)
    })
    .await;
    // A later look finds both broken, and tells of the second alone.
    database
        .execute(
            "create table public.other (id int primary key); select postrider.attach_table('public.other', 'other');
             alter table public.other disable trigger postrider_insert",
        )
        .await;
    dispatcher.logged("attached table public.other is broken").await;
    database.execute("alter table public.device enable trigger postrider_insert").await;
    dispatcher.logged("attached table public.device is not broken any more").await;

    assert_eq!(dispatcher.log().matches("attached table public.device is broken").count(), 1);
}

/// Result and message of each check of attached tables.
async fn findings(url: &str) -> Vec<(String, String)> {
    let output = CommandOutput::run(url, &["doctor", "--json"]).await.json();
    let text = |check: &Value, name: &str| check[name].as_str().unwrap_or_default().to_owned();
    let checks = output["checks"].as_array().unwrap();
    let those = checks.iter().filter(|check| check["name"] == "attached tables");
    those.map(|check| (text(check, "result"), text(check, "message"))).collect()
}

/// A database with an attached table.
async fn attached() -> Database {
    let database = Database::new().await;
    database
        .execute(
            "create table public.device (id serial primary key, content jsonb, status text);
             select postrider.attach_table('public.device', 'device.changed', payload => 'content', status => 'status')",
        )
        .await;
    database
}
