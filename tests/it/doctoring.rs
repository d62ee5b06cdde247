//! `doctor`: what it finds, what it says against it, and when it fails.

use serde_json::{Value, json};

use crate::support::{Database, Dispatcher, Ended, Receiver, command, one_endpoint};

#[tokio::test]
async fn a_healthy_installation_passes_every_check() {
    let (database, _receiver, _dispatcher) = one_endpoint("", &[]).await;

    let ended = doctor(&database.url, &[]).await;

    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    let checked: Vec<(String, String)> = checks(&ended)
        .iter()
        .map(|check| (text(check, "name").to_owned(), text(check, "result").to_owned()))
        // Other tests of this cluster may hold a transaction open, or disturb what is waited for.
        .filter(|(name, _)| name != "transactions")
        .collect();
    let expected = [
        "connection",
        "durability",
        "clock",
        "notifications",
        "queue",
        "grants",
        "schema",
        "tables",
        "dispatchers",
        "backlog",
        "endpoints",
    ];
    assert_eq!(checked, expected.map(|name| (name.to_owned(), "ok".to_owned())));
}

#[tokio::test]
async fn people_see_a_line_for_each_check_and_what_mends_it() {
    let database = Database::new().await;

    let mut doctor = command(&["doctor"]);
    doctor.env("DATABASE_URL", &database.url);
    let ended = Ended::of(doctor).await;

    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    let lines: Vec<Vec<&str>> = ended.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let at = lines.iter().position(|words| words.get(1) == Some(&"dispatchers")).unwrap();
    assert_eq!(lines[at][..3], ["warn", "dispatchers", "none"]);
    assert_eq!(lines[at + 1], ["->", "postrider", "run"]);
}

#[tokio::test]
async fn a_database_out_of_reach_is_the_one_thing_that_is_said() {
    let ended = doctor("postgres://nobody@127.0.0.1:1/nothing", &[]).await;

    assert_eq!((ended.code, ended.complaint()), (Some(1), "1 check failed"));
    let names: Vec<Value> = checks(&ended).iter().map(|check| check["name"].clone()).collect();
    assert_eq!(names, ["connection"]);
    assert_eq!(ended.json()["result"], "fail");
}

#[tokio::test]
async fn wrong_settings_are_refused_before_anything_is_checked() {
    let ended = Ended::run("", &["doctor", "--lease", "5"]).await;

    assert_eq!((ended.code, ended.stdout.as_str()), (Some(64), ""));
    let named: Vec<&str> =
        ended.complaints().iter().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    assert_eq!(named, ["database_url", "lease"]);
}

#[tokio::test]
async fn a_database_without_a_schema_fails_with_what_makes_one() {
    let database = Database::without_schema().await;

    let ended = doctor(&database.url, &[]).await;

    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    let schema = found(&ended, "schema");
    assert_eq!((&schema["result"], &schema["mend"]), (&json!("fail"), &json!("postrider migrate")));
}

#[tokio::test]
async fn an_old_or_a_new_schema_fails() {
    for (change, expected) in [
        (
            "delete from postrider.schema_history where version = (select max(version) from postrider.schema_history)",
            "postrider migrate",
        ),
        ("insert into postrider.schema_history (version, name) values (1000, 'later')", "newer"),
    ] {
        let database = Database::new().await;
        database.execute(change).await;

        let ended = doctor(&database.url, &[]).await;

        assert_eq!(ended.code, Some(1), "{}", ended.stdout);
        let schema = found(&ended, "schema");
        assert_eq!(schema["result"], "fail");
        assert!(text(&schema, "says").contains(expected), "{schema}");
    }
}

#[tokio::test]
async fn a_role_that_is_a_dispatchers_lacks_nothing() {
    let database = Database::new().await;
    let login = database.login(Some("postrider_dispatcher")).await;

    let ended = doctor(&login, &[]).await;

    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert_eq!(found(&ended, "grants")["result"], "ok");
}

#[tokio::test]
async fn a_role_without_rights_is_told_the_grant_that_it_lacks() {
    let database = Database::new().await;
    for member_of in [None, Some("postrider_reader"), Some("postrider_producer")] {
        let login = database.login(member_of).await;

        let ended = doctor(&login, &[]).await;

        assert_eq!(ended.code, Some(1), "{}", ended.stdout);
        let grants = found(&ended, "grants");
        assert_eq!(grants["result"], "fail");
        let role: String = format!(
            "{}_{}",
            database.value::<String>("select current_database()::text").await,
            member_of.unwrap_or("nobody")
        );
        assert_eq!(grants["mend"], json!(format!("grant postrider_dispatcher to \"{role}\"")));
    }
}

#[tokio::test]
async fn what_the_grant_check_says_mends_it() {
    let database = Database::new().await;
    let login = database.login(None).await;
    let ended = doctor(&login, &[]).await;
    let mend = found(&ended, "grants")["mend"].as_str().unwrap().to_owned();

    database.execute(&mend).await;

    let ended = doctor(&login, &[]).await;
    assert_eq!(found(&ended, "grants")["result"], "ok");
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

    let ended = doctor(&login, &[]).await;

    let says = found(&ended, "grants");
    assert!(
        text(&says, "says").contains("lacks 1 grant of those that run needs, as delete on table claim"),
        "{says}"
    );
}

#[tokio::test]
async fn sessions_that_do_not_wait_for_the_disk_are_a_warning() {
    let database = Database::new().await;
    let name: String = database.value("select current_database()::text").await;
    database.execute(&format!("alter database {name} set synchronous_commit = off")).await;

    let ended = doctor(&database.url, &[]).await;

    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert_eq!(found(&ended, "durability")["result"], "warn");
}

#[tokio::test]
async fn a_database_that_takes_no_writes_fails() {
    let database = Database::new().await;
    let name: String = database.value("select current_database()::text").await;
    database.execute(&format!("alter database {name} set default_transaction_read_only = on")).await;

    let ended = doctor(&database.url, &[]).await;

    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(text(&found(&ended, "connection"), "says").contains("read-only"), "{}", ended.stdout);
}

#[tokio::test]
async fn notifications_that_go_elsewhere_fail_and_the_pooler_is_named() {
    // LISTEN is accepted in another database, and nothing of this one arrives there: what a transaction pooler does.
    let (database, elsewhere) = (Database::new().await, Database::new().await);

    let ended = doctor(&database.url, &["--listen-database-url", &elsewhere.url]).await;

    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    let check = found(&ended, "notifications");
    assert_eq!(check["result"], "fail");
    assert!(text(&check, "says").contains("transaction pooler"), "{check}");
    assert!(text(&check, "mend").contains("--listen-database-url"), "{check}");
}

#[tokio::test]
async fn a_listening_connection_that_is_refused_fails() {
    let database = Database::new().await;

    let ended =
        doctor(&database.url, &["--listen-database-url", "postgres://nobody@127.0.0.1:1/nothing"]).await;

    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(text(&found(&ended, "notifications"), "says").starts_with("cannot listen: "), "{}", ended.stdout);
}

#[tokio::test]
async fn notifications_do_not_matter_to_those_who_poll() {
    let (database, elsewhere) = (Database::new().await, Database::new().await);

    let ended = doctor(&database.url, &["--listen-database-url", &elsewhere.url, "--wake", "poll"]).await;

    assert_eq!(found(&ended, "notifications")["result"], "ok");
}

#[tokio::test]
async fn autovacuum_that_is_switched_off_is_a_warning_with_the_table() {
    let database = Database::new().await;
    database.execute("alter table postrider.delivery set (autovacuum_enabled = false)").await;

    let ended = doctor(&database.url, &[]).await;

    let check = found(&ended, "tables");
    assert_eq!(check["result"], "warn");
    assert_eq!(check["mend"], "alter table postrider.delivery reset (autovacuum_enabled)");
}

#[tokio::test]
async fn a_dispatcher_that_was_told_to_poll_is_as_it_should_be() {
    let (database, _receiver, _dispatcher) = one_endpoint("", &["--wake", "poll"]).await;

    let ended = doctor(&database.url, &[]).await;

    assert_eq!(found(&ended, "dispatchers")["result"], "ok", "{}", ended.stdout);
}

#[tokio::test]
async fn a_dispatcher_that_has_to_poll_is_a_warning_with_its_reason() {
    let database = Database::new().await;
    database
        .execute(
            "insert into postrider.dispatcher (host, version, lease_until, wake_mode, wake_reason)
             values ('here:1', '0', now() + interval '1 h', 'poll', 'cannot connect to listen')",
        )
        .await;

    let ended = doctor(&database.url, &[]).await;

    let check = found(&ended, "dispatchers");
    assert_eq!(check["result"], "warn");
    assert!(text(&check, "says").contains("here:1 polls: cannot connect to listen"), "{check}");
}

#[tokio::test]
async fn a_dispatcher_whose_lease_ended_does_not_count() {
    let database = Database::new().await;
    database
        .execute(
            "insert into postrider.dispatcher (host, version, lease_until, wake_mode)
             values ('here:1', '0', now() - interval '1 h', 'notify')",
        )
        .await;

    let ended = doctor(&database.url, &[]).await;

    assert_eq!(found(&ended, "dispatchers")["mend"], "postrider run");
}

#[tokio::test]
async fn events_that_wait_for_long_are_a_warning() {
    let database = Database::new().await;
    database.insert("order.created", "{}").await;
    database.execute("update postrider.outbox set created_at = now() - interval '2 h'").await;

    let ended = doctor(&database.url, &[]).await;

    let check = found(&ended, "backlog");
    assert_eq!(check["result"], "warn");
    assert!(text(&check, "says").contains("2h"), "{check}");
}

#[tokio::test]
async fn deliveries_are_late_only_if_nobody_holds_them_up_on_purpose() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database
        .execute(
            "insert into postrider.delivery (event_id, endpoint_no, status, due_at)
             select 1, e.no, 'pending', now() - interval '3 h' from postrider.endpoint as e",
        )
        .await;

    let enabled = doctor(&database.url, &[]).await;
    database.execute("select postrider.pause_endpoint('one')").await;
    let paused = doctor(&database.url, &[]).await;

    assert!(text(&found(&enabled, "backlog"), "says").contains("3h"), "{}", enabled.stdout);
    assert_eq!(found(&paused, "backlog")["result"], "ok");
}

#[tokio::test]
async fn endpoints_that_get_nothing_are_warnings_with_what_mends_them() {
    for state in ["paused", "disabled"] {
        let database = Database::new().await;
        database.put_endpoint("one", "https://example.com/", "**", "").await;
        database
            .execute(&format!("update postrider.endpoint set state = '{state}', reason = 'because'"))
            .await;

        let ended = doctor(&database.url, &[]).await;

        assert_eq!(ended.code, Some(0), "{}", ended.stdout);
        let check = found(&ended, "endpoints");
        assert_eq!(
            (&check["result"], &check["mend"]),
            (&json!("warn"), &json!("postrider endpoint resume one"))
        );
        assert!(text(&check, "says").contains("one (because)"), "{check}");
    }
}

#[tokio::test]
async fn an_endpoint_that_fails_again_and_again_is_a_warning() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database.insert_settled("one", "order.created", "failed", 5).await;

    let ended = doctor(&database.url, &[]).await;

    let check = found(&ended, "endpoints");
    assert_eq!(check["result"], "warn");
    assert!(text(&check, "says").contains("one (5 in a row)"), "{check}");
}

#[tokio::test]
async fn an_endpoint_that_may_not_be_called_fails_unless_run_would_allow_it() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;

    let refused = Ended::run(&database.url, &["doctor", "--json", "--allow-http"]).await;
    let allowed = doctor(&database.url, &[]).await;

    assert_eq!(refused.code, Some(1));
    assert!(text(&found(&refused, "endpoints"), "says").contains("--allow-cidr"), "{}", refused.stdout);
    assert_eq!(found(&allowed, "endpoints")["result"], "ok");
}

#[tokio::test]
async fn doctor_changes_nothing() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    let state =
        "select concat((select count(*) from postrider.outbox), (select count(*) from postrider.dispatcher),
                               (select endpoint_version from postrider.installation))";
    let before: String = database.value(state).await;

    doctor(&database.url, &[]).await;

    let after: String = database.value(state).await;
    assert_eq!(before, after);
    assert!(dispatcher.terminate().await.success());
}

/// Runs it as JSON, where loopback may be called.
async fn doctor(url: &str, flags: &[&str]) -> Ended {
    let args = [&["doctor", "--json", "--allow-http", "--allow-cidr", "127.0.0.0/8"], flags].concat();
    Ended::run(url, &args).await
}

fn checks(ended: &Ended) -> Vec<Value> {
    ended.json()["checks"].as_array().unwrap().clone()
}

/// The first check of that name.
fn found(ended: &Ended, name: &str) -> Value {
    checks(ended)
        .into_iter()
        .find(|check| check["name"] == name)
        .unwrap_or_else(|| panic!("{name}: {ended:#?}"))
}

fn text<'a>(check: &'a Value, field: &str) -> &'a str {
    check[field].as_str().unwrap_or_else(|| panic!("{field}: {check}"))
}
