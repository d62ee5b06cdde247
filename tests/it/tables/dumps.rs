//! Dumps of attached tables: with Postrider, without it, and of Postrider without them.

use serde_json::json;

use crate::database::emptied_tables::pg_dump;
use crate::database::migration_by_hand::psql;
use crate::support::{CommandOutput, Database, Dispatcher, Receiver};

const ATTACH: &str =
    "select postrider.attach_table('app.job', 'job.changed', payload => 'content', status => 'status')";
/// As docs/how-to/restore-a-backup.md has it.
const DROP_WHAT_IS_LEFT: &str = r"select format('drop function %s cascade', p.oid::regprocedure)
from pg_proc as p where p.proname ~ '^postrider_(capture|backfill|write)_[0-9]+$' \gexec";

#[tokio::test]
async fn a_dump_of_all_brings_the_attachment_along_and_its_rows_are_no_events() {
    let original = attached().await;
    let Some(copy) = restored(&original, &[&[]]).await else { return };

    adopted(&copy).await;
    let receiver = Receiver::start().await;
    copy.put_endpoint("one", &receiver.url(), "**", "").await;
    let _dispatcher = Dispatcher::start(&copy, &[]).await;
    copy.execute("insert into app.job values (3, '3')").await;

    copy.until("select status is not distinct from 'complete' from app.job where id = 3").await;
    copy.assert_row("select count(*) from postrider.outbox", json!({"count": 3})).await;
}

#[tokio::test]
async fn a_table_is_restored_without_postrider_and_can_be_written_when_what_its_triggers_call_is_gone() {
    let original = attached().await;
    let Some(copy) = restored(&original, &[&["-n", "app"]]).await else { return };

    let refused = copy.refusal("insert into app.job values (3, '3')").await;
    assert_eq!(refused.message(), r#"relation "postrider.attachment" does not exist"#);
    assert_eq!(psql(&copy.url, DROP_WHAT_IS_LEFT).await.code, Some(0));

    copy.execute("insert into app.job values (3, '3')").await;
    copy.assert_row(
        "select count(*), sum(content::text::integer) from app.job",
        json!({"count": 3, "sum": 6}),
    )
    .await;
    copy.assert_row(
        "select (select count(*) from pg_trigger where tgrelid = 'app.job'::regclass) as triggers,
                (select count(*) from pg_proc where pronamespace = 'app'::regnamespace) as functions",
        json!({"triggers": 0, "functions": 0}),
    )
    .await;
}

#[tokio::test]
async fn a_table_that_is_restored_alone_has_no_triggers() {
    let original = attached().await;
    let Some(script) = pg_dump(&original.url, &["-t", "app.job"]).await else { return };
    let copy = Database::without_schema().await;

    let restored = psql(&copy.url, &format!("create schema app; {script}")).await;

    assert!(restored.stderr.contains("function app.postrider_capture_1() does not exist"), "{restored:?}");
    copy.execute("insert into app.job values (3, '3')").await;
    copy.assert_row("select count(*) from app.job", json!({"count": 3})).await;
}

#[tokio::test]
async fn postrider_that_is_restored_before_the_table_has_lost_the_attachment_and_says_so() {
    let original = attached().await;
    let Some(copy) = restored(&original, &[&["-n", "postrider"], &["-n", "app"]]).await else { return };
    adopted(&copy).await;
    copy.execute("insert into app.job values (3, '3')").await;

    let doctor = CommandOutput::run(&copy.url, &["doctor"]).await.stdout;
    let says = "app.job has triggers of Postrider and is not attached";
    assert!(doctor.contains(says), "{doctor}");
    copy.execute(ATTACH).await;
    copy.execute("insert into app.job values (4, '4')").await;

    copy.assert_rows(
        "select payload::text from postrider.outbox order by id",
        ["1", "2", "3", "4"].map(|payload| json!({"payload": payload})).into(),
    )
    .await;
    let doctor = CommandOutput::run(&copy.url, &["doctor"]).await.stdout;
    assert!(!doctor.contains(says), "{doctor}");
}

#[tokio::test]
async fn rows_that_are_restored_into_an_attached_table_are_events_unless_it_is_paused() {
    let original = attached().await;
    let Some(script) = pg_dump(&original.url, &["-n", "app", "--data-only"]).await else { return };
    for (before, events) in [("", 2), ("select postrider.pause_table('app.job')", 0)] {
        let database = without_rows().await;
        database.execute(before).await;

        psql(&database.url, &script).await;

        let counts = "select (select count(*) from app.job) as rows, (select count(*) from postrider.outbox) as events";
        database.assert_row(counts, json!({"rows": 2, "events": events})).await;
    }
}

/// A database with an attached table in a schema of its own, and two events.
async fn attached() -> Database {
    let database = without_rows().await;
    database.execute("insert into app.job values (1, '1'), (2, '2')").await;
    database
}

async fn without_rows() -> Database {
    let database = Database::new().await;
    let table =
        "create schema app; create table app.job (id integer primary key, content jsonb, status text)";
    database.execute(&format!("{table}; {ATTACH}")).await;
    database
}

/// What is restored of it, dump by dump. `None` if there is no `pg_dump`.
async fn restored(original: &Database, dumps: &[&[&str]]) -> Option<Database> {
    let copy = Database::without_schema().await;
    for flags in dumps {
        psql(&copy.url, &pg_dump(&original.url, flags).await?).await;
    }
    Some(copy)
}

async fn adopted(copy: &Database) {
    let adopted = CommandOutput::run(&copy.url, &["adopt", "--as", "original"]).await;
    assert_eq!(adopted.code, Some(0), "{adopted:?}");
}
