//! A migration that has to wait for somebody's lock: producers do not wait with it, and who holds it is named.

use postrider::store::{SCHEMA_VERSION, one_line};
use tokio_postgres::Client;

use crate::database::migration_by_hand::{later, parsed, psql, with_owner};
use crate::support::{CommandOutput, Database, Dispatcher};

/// A producer that bears no longer wait than it is promised, lock and all.
const INSERT: &str =
    "set statement_timeout = '1s'; insert into postrider.outbox (topic, payload) values ('a.b', '1')";

#[tokio::test]
async fn an_insert_waits_a_second_at_most_for_a_migration_that_waits_for_a_reader() {
    let (database, owner) = older().await;
    let reader = reading(&database, "outbox").await;

    let (url, schema) = (parsed(&owner), later());
    let (migrated, ()) = tokio::join!(schema.migrate(&url), async {
        for _ in 0..5 {
            database.until_somebody_waits_for_a_lock().await;
            database.execute(INSERT).await;
        }
        reader.batch_execute("commit").await.unwrap();
    });

    migrated.unwrap();
    assert!(database.is(&at_version(SCHEMA_VERSION + 1)).await);
    assert!(database.is("select count(*) = 5 from postrider.outbox").await);
}

#[tokio::test]
async fn a_migration_that_finds_no_moment_names_who_is_in_its_way_and_changes_nothing() {
    let (database, owner) = older().await;
    let reader = reading(&database, "outbox").await;
    let pid: i32 = reader.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let name: String = database.value("select current_database()::text").await;
    database.execute(&format!("grant pg_read_all_stats to {name}_nobody")).await;

    let migrated = later().migrate(&parsed(&owner)).await;

    let complaint = one_line(&migrated.unwrap_err());
    assert!(
        complaint.starts_with("could not lock the tables of the schema, nothing is changed: "),
        "{complaint}"
    );
    for said in [
        &format!("session {pid} (a report, postgres, idle in transaction, holds outbox), for "),
        "end it or try again",
    ] {
        assert!(complaint.contains(said), "{complaint}");
    }
    assert!(database.is(&at_version(SCHEMA_VERSION)).await);
    reader.batch_execute("commit").await.unwrap();
    later().migrate(&parsed(&owner)).await.unwrap();
}

#[tokio::test]
async fn a_prepared_transaction_in_the_way_is_named_and_a_dispatcher_waits_for_it() {
    let (database, owner) = older().await;
    let name: String = database.value("select current_database()::text").await;
    database.execute("update postrider.schema_object set digest = 'another' where name = 'set_aside'").await;
    database.execute(&format!("begin; select from postrider.set_aside; prepare transaction '{name}'")).await;
    let dispatcher = Dispatcher::spawn(&owner, &[]);

    dispatcher.logged(&format!("prepared transaction {name} (postgres, holds ")).await;
    database.execute(&format!("rollback prepared '{name}'")).await;

    dispatcher.logged("migrated the schema to version").await;
    database.until("select exists (select from postrider.schema_object where name = 'set_aside' and digest <> 'another')").await;
    assert!(dispatcher.terminate().await.success());
}

#[tokio::test]
async fn what_is_printed_waits_no_longer_and_can_be_run_again() {
    let (database, owner) = older().await;
    let reader = reading(&database, "outbox").await;
    let script = later().print(SCHEMA_VERSION);

    let (applied, ()) = tokio::join!(psql(&owner, &script), async {
        database.until_somebody_waits_for_a_lock().await;
        database.execute(INSERT).await;
    });

    assert!(applied.stderr.contains("canceling statement due to lock timeout"), "{}", applied.stderr);
    assert!(script.contains("run it again"));
    reader.batch_execute("commit").await.unwrap();
    let again = psql(&owner, &script).await;
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""));
    later().check(&parsed(&owner)).await.unwrap();
}

fn at_version(version: i32) -> String {
    format!("select max(version) = {version} from postrider.schema_history")
}

/// A database of an older version than [`later`]'s, and its owner.
async fn older() -> (Database, String) {
    let (database, owner) = with_owner().await;
    let migrated = CommandOutput::run(&owner, &["migrate"]).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    (database, owner)
}

/// A session that has read a table, and stays in its transaction.
async fn reading(database: &Database, table: &str) -> Client {
    let reader = database.connect().await;
    reader
        .batch_execute(&format!("set application_name = 'a report'; begin; select from postrider.{table}"))
        .await
        .unwrap();
    reader
}
