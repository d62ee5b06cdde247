//! Locks: whoever writes to a table gets through while it is attached or detached, and who is in the way is named.

use serde_json::json;
use tokio_postgres::Client;

use super::attaching::{EXAMPLE, SETTINGS, attached};
use crate::support::Database;

/// A writer that would wait for longer fails.
const PATIENCE: &str = "set lock_timeout = '1s'";
const INSERT: &str = "insert into configuration_update (content, status) values ('1', 'pending')";

#[tokio::test]
async fn whoever_writes_while_attaching_waits_for_another_gets_through() {
    let database = Database::new().await;
    database.execute(EXAMPLE).await;
    let holder = in_transaction(&database, INSERT).await;
    let (attacher, writer) = (database.connect().await, database.connect().await);
    writer.batch_execute(PATIENCE).await.unwrap();

    let attach = format!("select postrider.attach_table({SETTINGS})");
    let attaching = attacher.batch_execute(&attach);
    let writing = async {
        for _ in 0..3 {
            // Behind a lock that is waited for.
            database.until_somebody_waits_for_a_lock().await;
            writer.batch_execute(INSERT).await.unwrap();
        }
        holder.batch_execute("commit").await.unwrap();
    };
    let (attached, ()) = tokio::join!(attaching, writing);
    attached.unwrap();
    writer.batch_execute(INSERT).await.unwrap();

    database.assert_row("select count(*) from postrider.outbox", json!({"count": 1})).await;
}

#[tokio::test]
async fn whoever_reads_or_writes_while_detaching_waits_for_another_gets_through() {
    let database = attached().await;
    let holder = in_transaction(&database, "select from configuration_update").await;
    let (detacher, other) = (database.connect().await, database.connect().await);
    other.batch_execute(PATIENCE).await.unwrap();

    let detaching = detacher.batch_execute("select postrider.detach_table('configuration_update')");
    let working = async {
        for sql in [INSERT, "select from configuration_update", INSERT] {
            database.until_somebody_waits_for_a_lock().await;
            other.batch_execute(sql).await.unwrap();
        }
        holder.batch_execute("commit").await.unwrap();
    };
    let (detached, ()) = tokio::join!(detaching, working);
    detached.unwrap();
    other.batch_execute(INSERT).await.unwrap();

    database.assert_row("select count(*) from postrider.outbox", json!({"count": 2})).await;
}

#[tokio::test]
async fn whoever_is_in_the_way_is_named_when_patience_ends() {
    let database = Database::new().await;
    database.execute(EXAMPLE).await;
    let holder =
        in_transaction(&database, &format!("set local application_name = 'a holder'; {INSERT}")).await;
    let pid: i32 = holder.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);

    // It gives up before the statement would be ended.
    let refused = database
        .refusal(&format!("set statement_timeout = '4s'; select postrider.attach_table({SETTINGS})"))
        .await;

    assert_eq!(refused.code().code(), "55P03", "{refused:?}");
    let said = refused.message();
    assert!(
        said.starts_with("table public.configuration_update: others hold it, and it could not be locked: "),
        "{said}"
    );
    assert!(
        said.contains(&format!("session {pid} (a holder, ")) && said.contains("idle in transaction"),
        "{said}"
    );
    drop(holder);
    database.execute("set statement_timeout = 0").await;
    database.execute(&format!("select postrider.attach_table({SETTINGS})")).await;
}

#[tokio::test]
async fn a_prepared_transaction_that_is_in_the_way_is_named() {
    let database = Database::new().await;
    database.execute(EXAMPLE).await;
    database.execute(&format!("begin; {INSERT}; prepare transaction 'left {}'", std::process::id())).await;

    let refused = database
        .refusal(&format!("set statement_timeout = '4s'; select postrider.attach_table({SETTINGS})"))
        .await;
    database.execute(&format!("rollback prepared 'left {}'", std::process::id())).await;

    assert!(
        refused.message().contains(&format!("prepared transaction 'left {}'", std::process::id())),
        "{refused:?}"
    );
}

#[tokio::test]
async fn pausing_waits_for_no_writer() {
    let database = attached().await;
    let _holder = in_transaction(&database, INSERT).await;
    let other = database.connect().await;
    other.batch_execute("set lock_timeout = '1ms'").await.unwrap();

    other
        .batch_execute("select postrider.pause_table('configuration_update'); select postrider.resume_table('configuration_update')")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_table_is_attached_once_by_two_who_meet() {
    let database = Database::new().await;
    database.execute(EXAMPLE).await;
    let attach = format!("select (postrider.attach_table({SETTINGS})).result");
    let (one, two) = (database.connect().await, database.connect().await);

    let (first, second) = tokio::join!(one.query_one(&attach, &[]), two.query_one(&attach, &[]));
    let mut results: Vec<String> = vec![first.unwrap().get(0), second.unwrap().get(0)];

    results.sort_unstable();
    assert_eq!(results, ["created", "unchanged"]);
}

#[tokio::test]
async fn many_writers_wait_for_no_attaching_detaching_or_pausing_and_what_they_write_meanwhile_is_heard_or_not()
 {
    const WRITERS: usize = 20;
    const ROWS: usize = 30;
    let database = Database::new().await;
    database.execute(EXAMPLE).await;
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        let writer = database.connect().await;
        writer.batch_execute(PATIENCE).await.unwrap();
        writers.push(writer);
    }

    let write = futures_util::future::join_all(writers.iter().map(|writer| async move {
        for _ in 0..ROWS {
            writer.batch_execute(INSERT).await.unwrap();
        }
    }));
    let change = async {
        for _ in 0..3 {
            database.execute(&format!("select postrider.attach_table({SETTINGS})")).await;
            database.execute("select postrider.pause_table('configuration_update')").await;
            database.execute("select postrider.resume_table('configuration_update')").await;
            database.execute("select postrider.detach_table('configuration_update')").await;
        }
        database.execute(&format!("select postrider.attach_table({SETTINGS})")).await;
    };
    tokio::join!(write, change);
    database.execute("delete from postrider.outbox").await;
    writers[0].batch_execute(INSERT).await.unwrap();

    database
        .assert_row("select count(*) from configuration_update", json!({"count": WRITERS * ROWS + 1}))
        .await;
    database.assert_row("select count(*) from postrider.outbox", json!({"count": 1})).await;
}

/// A connection that has done something in a transaction that is open.
async fn in_transaction(database: &Database, sql: &str) -> Client {
    let holder = database.connect().await;
    holder.batch_execute(&format!("begin; {sql}")).await.unwrap();
    holder
}
