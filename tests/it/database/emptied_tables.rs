//! A copy without rows (`pg_dump -s`, structure.sql) and emptied tables: `migrate` puts back what belongs to the schema, and whoever
//! meets them before is told so.

use postrider::store::SCHEMA_VERSION;

use crate::database::migration_by_hand::{print, psql};
use crate::database::schema::{CATALOG, texts};
use crate::support::{CommandOutput, Database, Dispatcher, Receiver, eventually, one_endpoint};

const COMPLAINT: &str = "were they emptied, or copied without rows?";

#[tokio::test]
async fn a_copy_without_rows_is_migrated_like_any_other() {
    let original = Database::new().await;
    for flags in [&["--schema-only"][..], &["--schema-only", "--no-privileges", "--no-owner"]] {
        let copy = Database::without_schema().await;
        let Some(script) = pg_dump(&original.url, flags).await else { return };
        assert_eq!(psql(&copy.url, &script).await.code, Some(0));
        for args in [&["migrate", "--check"][..], &["run", "--no-migrate", "--api-listen", "127.0.0.1:0"]] {
            let refused = CommandOutput::run(&copy.url, args).await;

            assert_eq!(refused.code, Some(1), "{args:?}");
            assert!(refused.complaint().contains(COMPLAINT), "{}", refused.stderr);
            assert!(refused.complaint().ends_with("run \"postrider migrate\""), "{}", refused.stderr);
        }
        let doctor = CommandOutput::run(&copy.url, &["doctor"]).await;
        assert!(doctor.stdout.contains(COMPLAINT), "{}", doctor.stdout);
        let printed = psql(&copy.url, &format!("\\set ON_ERROR_STOP 1\n{}", print(&[]).await)).await;
        assert!(printed.stderr.contains("Run \"postrider migrate\""), "{}", printed.stderr);

        let migrated = CommandOutput::run(&copy.url, &["migrate"]).await;

        assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
        assert_eq!(texts(&copy, CATALOG).await, texts(&original, CATALOG).await);
        assert_delivers(&copy).await;
        let again = CommandOutput::run(&copy.url, &["migrate"]).await;
        assert_eq!(again.stdout, format!("schema version {SCHEMA_VERSION}\n"));
    }
}

#[tokio::test]
async fn whatever_tables_are_emptied_a_migration_puts_back_what_belongs_to_the_schema() {
    let tables = "select relname::text from pg_class where relnamespace = 'postrider'::regnamespace and relkind = 'r' order by 1";
    let all = texts(&Database::new().await, tables).await.join(", postrider.");
    for emptied in [
        all.as_str(),
        "installation",
        "schema_history",
        "schema_object",
        "schema_history, postrider.installation",
    ] {
        let database = Database::new().await;
        database.execute(&format!("truncate postrider.{emptied} cascade")).await;

        let migrated = CommandOutput::run(&database.url, &["migrate"]).await;

        assert_eq!(migrated.code, Some(0), "{emptied}: {}", migrated.stderr);
        assert_eq!(
            CommandOutput::run(&database.url, &["migrate", "--check"]).await.code,
            Some(0),
            "{emptied}"
        );
        assert_delivers(&database).await;
    }
}

#[tokio::test]
async fn a_running_dispatcher_whose_tables_are_emptied_says_what_to_do_and_goes_on_afterwards() {
    let (database, receiver, dispatcher) =
        one_endpoint("", &["--lease", "4s", "--request-timeout", "1s"]).await;
    database.insert("order.created", "1").await;
    assert_eq!(receiver.next().await.text(), "1");
    database.until_settled().await;
    let tables = "select string_agg(format('%I.%I', 'postrider', relname), ', ') from pg_class
                  where relnamespace = 'postrider'::regnamespace and relkind = 'r'";
    let tables: String = database.value(tables).await;

    database.execute(&format!("truncate {tables}")).await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    database.insert("order.created", "2").await;
    dispatcher.logged("postrider.installation is missing").await;
    assert!(dispatcher.log().contains("run \"postrider migrate\""), "{}", dispatcher.log());
    let migrated = CommandOutput::run(&database.url, &["migrate"]).await;

    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    assert_eq!(receiver.next().await.text(), "2");
    database.until_settled().await;
    // Nothing was set aside for what no event could help.
    assert_eq!(
        texts(&database, "select concat_ws(' ', stage, reason) from postrider.refused").await,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn endpoints_that_are_put_after_tables_were_emptied_are_noticed_by_a_dispatcher_that_runs() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.insert("order.created", "1").await;
    receiver.next().await;
    database.until_settled().await;
    let other = Receiver::start().await;

    // The version of the endpoints begins anew, and must not be one that the dispatcher knows.
    database
        .execute("truncate postrider.installation, postrider.endpoint_change, postrider.endpoint cascade")
        .await;
    CommandOutput::run(&database.url, &["migrate"]).await;
    database.put_endpoint("other", &other.url(), "**", "").await;
    database.insert("order.created", "2").await;

    assert_eq!(other.next().await.text(), "2");
    eventually("it is delivered once", || async { other.count() == 1 }).await;
}

#[tokio::test]
async fn a_copy_that_nothing_tells_the_version_of_is_left_alone_with_a_way_on() {
    let database = Database::new().await;
    database
        .execute("truncate postrider.schema_history; comment on table postrider.schema_history is null")
        .await;
    let before = texts(&database, CATALOG).await;

    let refused = CommandOutput::run(&database.url, &["migrate"]).await;

    assert_eq!(refused.code, Some(1));
    assert!(refused.complaint().contains("drop schema postrider cascade"), "{}", refused.stderr);
    assert_eq!(texts(&database, CATALOG).await, before);
    database.execute("drop schema postrider cascade").await;
    assert_eq!(CommandOutput::run(&database.url, &["migrate"]).await.code, Some(0));
}

/// An event arrives.
async fn assert_delivers(database: &Database) {
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    let dispatcher = Dispatcher::start(database, &[]).await;
    database.insert("order.created", "\"here\"").await;

    receiver.next().await.verify();
    assert!(dispatcher.terminate().await.success());
}

/// A dump as text. `None` if this machine has no `pg_dump` of the server's version.
pub(crate) async fn pg_dump(url: &str, flags: &[&str]) -> Option<String> {
    let root = env!("CARGO_MANIFEST_DIR");
    let find = tokio::process::Command::new(format!("{root}/scripts/postgres"))
        .arg("--psql")
        .output()
        .await
        .unwrap();
    let program = String::from_utf8(find.stdout).unwrap().trim().replace("psql", "pg_dump");
    if !std::path::Path::new(&program).exists() {
        crate::support::skip("emptied_tables", "there is no pg_dump beside psql");
        return None;
    }
    let dump = tokio::process::Command::new(program).args(flags).arg(url).output().await.unwrap();
    let complaint = String::from_utf8_lossy(&dump.stderr);
    if complaint.contains("server version mismatch") {
        crate::support::skip("emptied_tables", "this pg_dump is older than the server");
        return None;
    }
    assert!(dump.status.success(), "{complaint}");
    Some(String::from_utf8(dump.stdout).unwrap())
}
