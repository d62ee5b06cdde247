//! `postrider table attach|list|show|pause|resume|detach`, as people use it.

use serde_json::{Value, json};

use crate::support::{CommandOutput, Database, Dispatcher, one_endpoint, terminal};

const TABLE: &str = "create type public.device_status as enum ('pending', 'in_progress', 'complete', 'failed');
    create table public.device (id serial primary key, content jsonb, status public.device_status, kind text)";
const ATTACH: [&str; 8] =
    ["table", "attach", "device", "--topic", "device.changed", "--payload", "content", "--status=status"];

#[tokio::test]
async fn attach_says_what_is_heard_and_show_has_every_setting() {
    let database = database().await;
    let more = [
        "--key=kind",
        "--destination=devices/{kind}",
        "--status-map={\"failed\": \"failed\"}",
        "--write-back=final",
        "--on=insert,update",
        "--when=new.status = 'pending'",
        "--columns=id,content",
        "--on-error=skip",
    ];

    let attached = run(&database, &[&ATTACH[..], &more].concat()).await;
    let shown = run(&database, &["table", "show", "device", "--json"]).await.json();

    assert_eq!((attached.code, attached.stderr.as_str()), (Some(0), ""), "{attached:?}");
    assert_eq!(
        attached.stdout,
        "public.device is attached: insert, update of a row becomes an event device.changed\n\
         note: there is no endpoint \"devices\" yet: until there is, its events fail\n"
    );
    for (field, value) in [
        ("relation", json!("public.device")),
        ("state", json!("active")),
        ("topic", json!("device.changed")),
        ("payload", json!("content")),
        ("key", json!("kind")),
        ("destination", json!("devices/{kind}")),
        ("status", json!("status")),
        ("status_map", json!({"failed": "failed"})),
        ("write_back", json!("final")),
        ("on", json!(["insert", "update"])),
        ("when", json!("new.status = 'pending'")),
        ("columns", json!(["id", "content"])),
        ("on_error", json!("skip")),
        ("events", json!(0)),
        ("lag_events", json!(0)),
        ("last_error", Value::Null),
        ("backfill_state", Value::Null),
    ] {
        assert_eq!(shown[field], value, "{field}: {shown}");
    }
}

#[tokio::test]
async fn attach_tells_of_a_destination_that_gets_no_event() {
    for (url, destination, note) in [
        (None, "devices/{kind}", Some("there is no endpoint \"devices\" yet")),
        (Some("http://{kind}:8080/"), "devices/{kind}", None),
        (Some("http://127.0.0.1:8080/"), "devices/{kind}", Some("endpoint \"devices\" is no template")),
        (Some("http://127.0.0.1:8080/"), "devices", None),
        (Some("http://{kind}:8080/"), "devices", Some("endpoint \"devices\" is a template")),
        (None, "{kind}", None),
    ] {
        let database = database().await;
        if let Some(url) = url {
            database.put_endpoint("devices", url, "", "").await;
        }

        let attached = run(&database, &[&ATTACH[..], &["--destination", destination]].concat()).await.stdout;

        let told = attached.lines().find_map(|line| line.strip_prefix("note: "));
        assert_eq!(told.is_some(), note.is_some(), "{url:?}, {destination}: {attached}");
        assert!(told.unwrap_or_default().starts_with(note.unwrap_or_default()), "{attached}");
    }
}

#[tokio::test]
async fn people_see_a_line_for_each_table_and_for_each_setting() {
    let database = database().await;
    run(&database, &ATTACH).await;
    database.execute("insert into public.device (content, status) values ('{}', 'pending')").await;

    let listed = run(&database, &["table", "list"]).await.stdout;
    let shown = run(&database, &["table", "show", "public.device"]).await.stdout;

    let words: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[1], ["public.device", "active", "device.changed", "1", "1", "status", "-"], "{listed}");
    for (name, value) in [
        ("state", "active"),
        ("key", "the primary key"),
        ("destination", "whoever subscribes"),
        ("on", "insert,update,delete"),
        ("when", "every row"),
        ("write back", "all"),
        ("open events", "1"),
    ] {
        let line = shown.lines().find(|line| line.trim_start().starts_with(name));
        assert!(line.is_some_and(|line| line.trim_end().ends_with(value)), "{name}: {shown}");
    }
}

#[tokio::test]
async fn a_dry_run_prints_the_statements_and_changes_nothing() {
    let database = database().await;
    let objects = "select count(*) from pg_proc where pronamespace = 'public'::regnamespace";
    let before: i64 = database.value(objects).await;

    let printed = run(&database, &[&ATTACH[..], &["--dry-run"]].concat()).await;

    assert_eq!(printed.code, Some(0), "{printed:?}");
    for part in ["create or replace function", "trigger postrider_insert after insert on public.device"] {
        assert!(printed.stdout.to_lowercase().contains(part), "{part}: {}", printed.stdout);
    }
    database.assert_row("select count(*) from postrider.attachment", json!({"count": 0})).await;
    assert_eq!(database.value::<i64>(objects).await, before);
    assert!(
        !database
            .is("select exists (select from pg_trigger where tgrelid = 'public.device'::regclass)")
            .await
    );
}

#[tokio::test]
async fn what_is_wrong_with_the_flags_is_said_at_once() {
    let args = [
        "table",
        "attach",
        "device",
        "--topic=a..b",
        "--destination={",
        "--write-back=sometimes",
        "--on=upsert",
        "--on-error=ignore",
        "--status-map=[]",
    ];

    let output = CommandOutput::run("", &args).await;

    assert_eq!((output.code, output.stdout.as_str()), (Some(64), ""));
    let named: Vec<&str> =
        output.complaints().iter().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    for name in ["status_map", "topic", "destination", "write_back", "on", "on_error"] {
        assert!(named.contains(&name), "{name}: {output:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_attached_is_one_line() {
    let database = database().await;
    database
        .execute(
            "create view public.devices as select * from public.device; create table public.keyless (a int);
             create schema other; create table other.device (id int primary key);
             create table public.single (id int primary key)",
        )
        .await;

    for (args, code, line) in [
        (&["singel", "--topic=a"][..], 1, "table \"singel\" does not exist, did you mean public.single?"),
        (&["nothing.like.it", "--topic=a"], 1, "table \"nothing.like.it\" does not exist"),
        (
            &["device", "--topic=a"],
            1,
            "table \"device\" stands in several schemas: name one of other.device, public.device",
        ),
        (&["devices", "--topic=a"], 64, "public.devices is a view"),
        (&["keyless", "--topic=a"], 64, "public.keyless has no primary key"),
        (&["postrider.outbox", "--topic=a"], 64, "postrider.outbox is a table of Postrider"),
        (&["public.device", "--topic=a", "--payload=contents"], 64, "\"content\""),
        (&["public.device", "--topic=a", "--key=;"], 64, "there is no column \";\""),
    ] {
        let output = run(&database, &[&["table", "attach"], args].concat()).await;

        assert_eq!(output.code, Some(code), "{args:?}: {output:?}");
        assert!(output.complaint().contains(line), "{args:?}: {}", output.complaint());
        assert!(!output.complaint().contains("lacks a grant"), "{}", output.complaint());
    }
}

#[tokio::test]
async fn a_role_without_the_rights_of_the_owner_is_told_so() {
    let database = database().await;
    let login = database.login(Some("postrider_dispatcher")).await;

    let refused = CommandOutput::run(&login, &ATTACH).await;

    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.complaint().contains("public.device belongs to role"), "{}", refused.complaint());
    assert!(!refused.complaint().contains("lacks a grant"), "{}", refused.complaint());
}

#[tokio::test]
async fn a_table_that_is_not_attached_is_named() {
    let database = database().await;

    for verb in ["show", "pause", "resume", "detach"] {
        let more: &[&str] = if verb == "detach" { &["--yes"] } else { &[] };
        let refused = run(&database, &[&["table", verb, "device"], more].concat()).await;

        assert_eq!(
            (refused.code, refused.complaint()),
            (Some(1), "table public.device is not attached"),
            "{verb}"
        );
    }
}

#[tokio::test]
async fn pause_and_resume_are_heard_by_the_trigger() {
    let database = database().await;
    run(&database, &ATTACH).await;
    let insert = "insert into public.device (content, status) values ('{}', 'pending')";

    let paused = run(&database, &["table", "pause", "device"]).await;
    database.execute(insert).await;
    let resumed = run(&database, &["table", "resume", "device", "--json"]).await.json();
    database.execute(insert).await;

    assert_eq!(paused.stdout, "public.device is paused: changes are not heard until it is resumed\n");
    assert_eq!((&resumed["state"], &resumed["events"]), (&json!("active"), &json!(0)));
    database.assert_row("select count(*) from postrider.outbox", json!({"count": 1})).await;
}

#[tokio::test]
async fn detach_needs_a_yes_and_leaves_rows_and_events() {
    let database = database().await;
    run(&database, &ATTACH).await;
    database.execute("insert into public.device (content, status) values ('{}', 'pending')").await;

    let unasked = run(&database, &["table", "detach", "device"]).await;
    let detached = run(&database, &["table", "detach", "device", "--yes"]).await;

    assert_eq!(unasked.code, Some(64), "{unasked:?}");
    assert!(unasked.complaint().starts_with("yes: is missing"), "{}", unasked.complaint());
    assert_eq!(
        detached.stdout, "public.device is detached; its events are delivered, its rows stay\n",
        "{detached:?}"
    );
    assert!(
        !database
            .is("select exists (select from pg_trigger where tgrelid = 'public.device'::regclass)")
            .await
    );
    for table in ["public.device", "postrider.outbox"] {
        database.assert_row(&format!("select count(*) from {table}"), json!({"count": 1})).await;
    }
}

#[tokio::test]
async fn on_a_terminal_detach_asks_and_does_what_is_answered() {
    for (answer, is_detached) in [("y", true), ("n", false)] {
        let database = database().await;
        run(&database, &ATTACH).await;
        let Some(mut screen) = terminal(&database, &["table", "detach", "device"], &[]).await else { return };
        screen.until("[y/N]").await;

        screen.press(&format!("{answer}\r")).await;
        let (code, shown) = screen.ended().await;

        assert_eq!(code, Some(i32::from(!is_detached)), "{answer}: {shown}");
        let is_gone = database.is("select not exists (select from postrider.attachment)").await;
        assert_eq!(is_gone, is_detached, "{answer}: {shown}");
    }
}

#[tokio::test]
async fn on_a_terminal_attach_asks_whether_rows_are_sent_that_meet_the_condition() {
    for (answer, is_sent) in [("y", true), ("", false)] {
        let database = database_with_rows().await;
        let args = [&ATTACH[..], &["--when", "new.status = $$pending$$"]].concat();
        let Some(mut screen) = terminal(&database, &args, &[]).await else { return };
        screen.until("has 2 rows that meet the condition. Send the rows that are there, too? [y/N]").await;

        screen.press(&format!("{answer}\r")).await;
        let (code, shown) = screen.ended().await;

        assert_eq!(code, Some(0), "{answer}: {shown}");
        assert_eq!(shown.contains("no dispatcher runs"), is_sent, "{answer}: {shown}");
        let asked = "select backfill_state from postrider.attached_table";
        let state: Option<String> = database.value(asked).await;
        assert_eq!(state.is_some(), is_sent, "{answer}: {shown}");
    }
}

#[tokio::test]
async fn nobody_is_asked_where_no_row_would_be_sent_or_nobody_wants_to_be() {
    for more in [&["--when", "new.status = $$failed$$"][..], &["--no-backfill"], &["--backfill"], &["--json"]]
    {
        let database = database_with_rows().await;
        let Some(screen) = terminal(&database, &[&ATTACH[..], more].concat(), &[]).await else { return };

        let (code, shown) = screen.ended().await;

        assert_eq!(code, Some(0), "{more:?}: {shown}");
        assert!(!shown.contains("[y/N]"), "{more:?}: {shown}");
    }
}

#[tokio::test]
async fn a_bar_shows_how_far_the_backfill_is_and_may_be_interrupted() {
    let database = database_with_rows().await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    // A row that somebody holds keeps the backfill from its end.
    let stranger = database.connect().await;
    stranger.batch_execute("begin; select from public.device where id = 2 for update").await.unwrap();
    let args = [&ATTACH[..], &["--backfill"]].concat();
    let Some(mut screen) = terminal(&database, &args, &[]).await else { return };
    screen.until("backfill").await;

    screen.press("\x03").await;
    let (code, shown) = screen.ended().await;

    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("goes on in the background: postrider table show public.device"), "{shown}");
    stranger.batch_execute("rollback").await.unwrap();
    database.until("select backfill_state = 'done' from postrider.attached_table").await;
    database.assert_row("select count(*) from postrider.outbox", json!({"count": 3})).await;
}

#[tokio::test]
async fn event_show_names_the_row() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.execute(TABLE).await;
    run(&database, &ATTACH).await;

    database
        .execute("insert into public.device (id, content, status) values (7, '{\"a\": 1}', 'pending')")
        .await;
    let request = receiver.next().await;

    assert_eq!(request.text(), "{\"a\": 1}");
    let shown = run(&database, &["event", "show", "1"]).await.stdout;
    assert!(shown.lines().any(|line| line.contains("row") && line.contains("public.device 7")), "{shown}");
    let event = run(&database, &["event", "show", "1", "--json"]).await.json();
    assert_eq!((&event["table"], &event["row"]), (&json!("public.device"), &json!(["7"])), "{event}");
    run(&database, &["table", "detach", "device", "--yes"]).await;
    let event = run(&database, &["event", "show", "1", "--json"]).await.json();
    assert_eq!((&event["table"], &event["row"]), (&Value::Null, &json!(["7"])), "{event}");
}

async fn run(database: &Database, args: &[&str]) -> CommandOutput {
    CommandOutput::run(&database.url, args).await
}

/// A database with a table of somebody's own.
async fn database() -> Database {
    let database = Database::new().await;
    database.execute(TABLE).await;
    database
}

/// The same with three rows, two of which are pending.
async fn database_with_rows() -> Database {
    let database = database().await;
    database
        .execute(
            "insert into public.device (content, status) values ('{}', 'pending'), ('{}', 'pending'), ('{}', 'complete')",
        )
        .await;
    database
}
