//! `doctor`: the server, the role, the schema, notifications; what it says against what is wrong, and when it fails.

use std::time::Duration;

use postrider::store::{DatabaseUrl, Environment, Session, Store};
use serde_json::{Value, json};

use crate::support::{CommandOutput, Database, Dispatcher, command, one_endpoint};

#[tokio::test]
async fn a_healthy_installation_passes_every_check() {
    let (database, _receiver, _dispatcher) = one_endpoint("", &[]).await;

    let output = doctor(&database.url, &[]).await;

    assert_eq!(output.code, Some(0), "{}", output.stdout);
    let checked: Vec<(String, String)> = checks(&output)
        .iter()
        .map(|check| (text(check, "name").to_owned(), text(check, "result").to_owned()))
        // Other tests of this cluster have the schema too, and may hold a transaction open.
        .filter(|(name, _)| name != "transactions" && name != "roles")
        .collect();
    let expected = [
        "connection",
        "durability",
        "clock",
        "notifications",
        "queue",
        "grants",
        "schema",
        "installation",
        "sequences",
        "tables",
        "dispatchers",
        "backlog",
        "events without receiver",
        "endpoints",
        "secrets",
        "file descriptors",
    ];
    assert_eq!(checked, expected.map(|name| (name.to_owned(), "ok".to_owned())));
}

#[tokio::test]
async fn people_see_a_line_for_each_check_and_what_mends_it() {
    let database = Database::new().await;

    let mut doctor = command(&["doctor"]);
    doctor.env("DATABASE_URL", &database.url);
    let output = CommandOutput::of(doctor).await;

    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{}", output.stdout);
    let lines: Vec<Vec<&str>> = output.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let at = lines.iter().position(|words| words.get(1) == Some(&"dispatchers")).unwrap();
    assert_eq!(lines[at][..3], ["warn", "dispatchers", "none"]);
    assert_eq!(lines[at + 1], ["->", "postrider", "run"]);
}

#[tokio::test]
async fn a_database_out_of_reach_is_the_one_thing_that_is_said() {
    let output = doctor("postgres://nobody@127.0.0.1:1/nothing", &[]).await;

    assert_eq!((output.code, output.complaint()), (Some(1), "1 check failed"));
    let names: Vec<Value> = checks(&output).iter().map(|check| check["name"].clone()).collect();
    assert_eq!(names, ["connection"]);
    assert_eq!(output.json()["result"], "fail");
}

#[tokio::test]
async fn wrong_settings_are_refused_before_anything_is_checked() {
    let output = CommandOutput::run("", &["doctor", "--lease", "5"]).await;

    assert_eq!((output.code, output.stdout.as_str()), (Some(64), ""));
    let named: Vec<&str> =
        output.complaints().iter().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    assert_eq!(named, ["database_url", "lease"]);
}

#[tokio::test]
async fn a_database_without_a_schema_fails_with_what_makes_one() {
    let database = Database::without_schema().await;

    let output = doctor(&database.url, &[]).await;

    assert_eq!(output.code, Some(1), "{}", output.stdout);
    let schema = found(&output, "schema");
    assert_eq!((&schema["result"], &schema["remedy"]), (&json!("fail"), &json!("postrider migrate")));
}

#[tokio::test]
async fn an_old_or_a_new_schema_fails() {
    for (change, expected) in [
        (
            "delete from postrider.schema_history where version = (select max(version) from postrider.schema_history)",
            "postrider migrate",
        ),
        ("update postrider.schema_object set digest = 'another' where name = 'backlog'", "postrider migrate"),
        ("insert into postrider.schema_history (version, name) values (1000, 'later')", "newer"),
    ] {
        let database = Database::new().await;
        database.execute(change).await;

        let output = doctor(&database.url, &[]).await;

        assert_eq!(output.code, Some(1), "{}", output.stdout);
        let schema = found(&output, "schema");
        assert_eq!(schema["result"], "fail");
        assert!(text(&schema, "message").contains(expected), "{schema}");
    }
}

#[tokio::test]
async fn a_role_that_is_a_dispatchers_lacks_nothing() {
    let database = Database::new().await;
    let login = database.login(Some("postrider_dispatcher")).await;

    let output = doctor(&login, &[]).await;

    assert_eq!(output.code, Some(0), "{}", output.stdout);
    assert_eq!(found(&output, "grants")["result"], "ok");
}

#[tokio::test]
async fn a_role_without_rights_is_told_the_grant_that_it_lacks() {
    let database = Database::new().await;
    for member_of in [None, Some("postrider_reader"), Some("postrider_producer")] {
        let login = database.login(member_of).await;

        let output = doctor(&login, &[]).await;

        assert_eq!(output.code, Some(1), "{}", output.stdout);
        let grants = found(&output, "grants");
        assert_eq!(grants["result"], "fail");
        let role: String = format!(
            "{}_{}",
            database.value::<String>("select current_database()::text").await,
            member_of.unwrap_or("nobody")
        );
        assert_eq!(grants["remedy"], json!(format!("grant postrider_dispatcher to \"{role}\"")));
    }
}

#[tokio::test]
async fn what_the_grant_check_says_mends_it() {
    let database = Database::new().await;
    let login = database.login(None).await;
    let output = doctor(&login, &[]).await;
    let mend = found(&output, "grants")["remedy"].as_str().unwrap().to_owned();

    database.execute(&mend).await;

    let output = doctor(&login, &[]).await;
    assert_eq!(found(&output, "grants")["result"], "ok");
}

#[tokio::test]
async fn a_single_missing_grant_is_named() {
    let database = Database::new().await;
    let login = database.login(None).await;
    let role: String = database.value("select current_database() || '_nobody'").await;
    database
        .execute(&format!(
            "grant postrider_dispatcher to {role}; revoke delete on postrider.claim from postrider_dispatcher"
        ))
        .await;
    // Still written down as what a dispatcher has, but this role has it no more.
    database
        .execute("grant delete on postrider.claim to postrider_dispatcher; create role postrider_doctored")
        .await;
    database
        .execute(&format!(
            "revoke postrider_dispatcher from {role}; grant all on all tables in schema postrider to {role};
             grant all on all sequences in schema postrider to {role}; grant execute on all functions in schema postrider to {role};
             grant usage on schema postrider to {role}; revoke delete on postrider.claim from {role}; drop role postrider_doctored"
        ))
        .await;

    let output = doctor(&login, &[]).await;

    let says = found(&output, "grants");
    assert!(
        text(&says, "message").contains("lacks 1 grant of those that run needs, as delete on table claim"),
        "{says}"
    );
}

#[tokio::test]
async fn sessions_that_do_not_wait_for_the_disk_are_a_warning() {
    let database = Database::new().await;
    let name: String = database.value("select current_database()::text").await;
    database.execute(&format!("alter database {name} set synchronous_commit = off")).await;

    let output = doctor(&database.url, &[]).await;

    assert_eq!(output.code, Some(0), "{}", output.stdout);
    assert_eq!(found(&output, "durability")["result"], "warn");
}

#[tokio::test]
async fn a_database_that_takes_no_writes_fails() {
    let database = Database::new().await;
    let name: String = database.value("select current_database()::text").await;
    database.execute(&format!("alter database {name} set default_transaction_read_only = on")).await;

    let output = doctor(&database.url, &[]).await;

    assert_eq!(output.code, Some(1), "{}", output.stdout);
    assert!(text(&found(&output, "connection"), "message").contains("read-only"), "{}", output.stdout);
}

#[tokio::test]
async fn notifications_that_go_elsewhere_fail_and_the_pooler_is_named() {
    // LISTEN is accepted in another database, and nothing of this one arrives there: what a transaction pooler does.
    let (database, elsewhere) = (Database::new().await, Database::new().await);

    let output = doctor(&database.url, &["--listen-database-url", &elsewhere.url]).await;

    assert_eq!(output.code, Some(1), "{}", output.stdout);
    let check = found(&output, "notifications");
    assert_eq!(check["result"], "fail");
    assert!(text(&check, "message").contains("transaction pooler"), "{check}");
    assert!(text(&check, "remedy").contains("--listen-database-url"), "{check}");
}

#[tokio::test]
async fn a_listening_connection_that_is_refused_fails() {
    let database = Database::new().await;

    let output =
        doctor(&database.url, &["--listen-database-url", "postgres://nobody@127.0.0.1:1/nothing"]).await;

    assert_eq!(output.code, Some(1), "{}", output.stdout);
    assert!(
        text(&found(&output, "notifications"), "message").starts_with("cannot listen: "),
        "{}",
        output.stdout
    );
}

#[tokio::test]
async fn notifications_do_not_matter_to_those_who_poll() {
    let (database, elsewhere) = (Database::new().await, Database::new().await);

    let output = doctor(&database.url, &["--listen-database-url", &elsewhere.url, "--wake", "poll"]).await;

    assert_eq!(found(&output, "notifications")["result"], "ok");
}

#[tokio::test]
async fn an_open_and_a_prepared_transaction_are_found() {
    let database = Database::new().await;
    let name: String = database.value("select current_database()::text").await;
    let writer = database.connect().await;
    writer.batch_execute("begin; create table mine ()").await.unwrap();
    let pid: i32 = writer.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    database.execute(&format!("begin; create table yours (); prepare transaction '{name}'")).await;
    let url = DatabaseUrl::parse(&database.url, &Environment::default()).unwrap();
    let store = Store::new(&url, Session::Command, 1).unwrap();

    let old = store.list_old_transactions(Duration::ZERO).await.unwrap();

    let found = |kind: &str, name: &str| old.iter().any(|old| old.kind == kind && old.name == name);
    assert!(found("session", &pid.to_string()), "{old:?}");
    assert!(found("prepared transaction", &name), "{old:?}");
    database.execute(&format!("rollback prepared '{name}'")).await;
}

#[tokio::test]
async fn doctor_changes_nothing() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    let state =
        "select concat((select count(*) from postrider.outbox), (select count(*) from postrider.dispatcher),
                               (select version from postrider.endpoint_version))";
    let before: String = database.value(state).await;

    doctor(&database.url, &[]).await;

    let after: String = database.value(state).await;
    assert_eq!(before, after);
    assert!(dispatcher.terminate().await.success());
}

/// Runs it as JSON, where loopback may be called.
pub(crate) async fn doctor(url: &str, flags: &[&str]) -> CommandOutput {
    let args = [&["doctor", "--json", "--allow-http", "--allow-cidr", "127.0.0.0/8"], flags].concat();
    CommandOutput::run(url, &args).await
}

fn checks(output: &CommandOutput) -> Vec<Value> {
    output.json()["checks"].as_array().unwrap().clone()
}

/// The first check of that name.
pub(crate) fn found(output: &CommandOutput, name: &str) -> Value {
    checks(output)
        .into_iter()
        .find(|check| check["name"] == name)
        .unwrap_or_else(|| panic!("{name}: {output:#?}"))
}

pub(crate) fn text<'a>(check: &'a Value, field: &str) -> &'a str {
    check[field].as_str().unwrap_or_else(|| panic!("{field}: {check}"))
}
