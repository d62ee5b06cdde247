//! Least privilege: what each of the three roles may do, and that it may do nothing more.

use bytes::BytesMut;
use postrider::store::STATEMENTS;
use serde_json::json;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::support::{CommandOutput, Database, Dispatcher, Receiver, connect};

const VIEWS: [&str; 7] = [
    "delivery_status",
    "delivery_in_progress",
    "attempt_log",
    "endpoint_health",
    "backlog",
    "dispatcher_status",
    "blocked_keys",
];

#[tokio::test]
async fn a_producer_may_say_all_that_producers_say() {
    let database = Database::new().await;
    let producer = connect(&database.login(Some("postrider_producer")).await).await;

    let inserted = producer
        .execute(
            "insert into postrider.outbox (topic, payload, key, headers, idempotency_key, destination, deliver_after)
             values ('order.created', '{}', 'a', '{\"x-a\": \"b\"}', 'c', 'one', now() + interval '1 hour')",
            &[],
        )
        .await
        .unwrap();

    assert_eq!(inserted, 1);
}

#[tokio::test]
async fn a_producer_may_insert_a_known_idempotency_key_without_an_error() {
    let database = Database::new().await;
    let producer = connect(&database.login(Some("postrider_producer")).await).await;
    let insert = "insert into postrider.outbox (topic, payload, idempotency_key) values ('a', '{}', 'once') on conflict do nothing";

    let first = producer.execute(insert, &[]).await.unwrap();
    let second = producer.execute(insert, &[]).await.unwrap();

    assert_eq!((first, second), (1, 0));
}

#[tokio::test]
async fn a_producer_may_not_set_what_the_dispatcher_sets() {
    let database = Database::new().await;
    let producer = connect(&database.login(Some("postrider_producer")).await).await;

    for (column, value) in [
        ("id", "1"),
        ("created_xid", "'1'"),
        ("created_at", "now()"),
        ("completed_at", "now()"),
        ("status", "'pending'"),
        ("deliveries", "0"),
        ("open_deliveries", "0"),
        ("failed", "0"),
    ] {
        let insert = format!(
            "insert into postrider.outbox (topic, payload, {column}) overriding system value values ('a', '{{}}', {value})"
        );

        assert_forbidden(&producer, &insert).await;
    }
}

#[tokio::test]
async fn a_producer_may_do_nothing_but_insert() {
    let database = Database::new().await;
    let producer = connect(&database.login(Some("postrider_producer")).await).await;

    for statement in [
        "select payload from postrider.outbox",
        "select headers from postrider.outbox",
        "select from postrider.outbox where topic = 'a'",
        "select * from postrider.outbox",
        "select id from postrider.outbox for update",
        "update postrider.outbox set topic = 'b'",
        "delete from postrider.outbox",
        "truncate postrider.outbox",
        "select from postrider.delivery",
        "select from postrider.endpoint",
        "select from postrider.installation",
        "insert into postrider.delivery (event_id, endpoint_no, status) values (1, 1, 'pending')",
        "select postrider.put_endpoint('one', 'https://example.com/')",
        "select postrider.pause_endpoint('one')",
        "select postrider.resume_endpoint('one')",
        "select postrider.delete_endpoint('one')",
        "select postrider.rotate_secret('one')",
        "select postrider.retry(1)",
        "select postrider.retry_failed('one')",
        "select postrider.replay('one', now())",
        "select postrider.cancel(1)",
        "select from postrider.old_secret",
        "select from postrider.endpoint_stat",
        "create table postrider.mine (id int)",
        "drop table postrider.outbox",
    ] {
        assert_forbidden(&producer, statement).await;
    }
    for view in VIEWS {
        assert_forbidden(&producer, &format!("select from postrider.{view}")).await;
    }
}

#[tokio::test]
async fn a_producer_may_publish() {
    let database = Database::new().await;
    let producer = database.login(Some("postrider_producer")).await;

    let output = CommandOutput::run(&producer, &["publish", "order.created", "{}"]).await;

    assert_eq!(output.code, Some(0), "{}", output.stderr);
    database.assert_row("select count(*) from postrider.outbox", json!({"count": 1})).await;
}

#[tokio::test]
async fn a_reader_may_read_the_views() {
    let database = Database::new().await;
    let reader = connect(&database.login(Some("postrider_reader")).await).await;

    for view in VIEWS {
        let read = reader.query(&format!("table postrider.{view}"), &[]).await;

        assert!(read.is_ok(), "{view}: {read:?}");
    }
}

#[tokio::test]
async fn a_reader_may_follow_an_event_but_not_see_what_it_carries() {
    let database = Database::new().await;
    let reader = connect(&database.login(Some("postrider_reader")).await).await;

    let seen = reader
        .query(
            "select id, status, topic, key, created_at, completed_at, cancelled_at from postrider.outbox",
            &[],
        )
        .await;

    assert!(seen.is_ok(), "{seen:?}");
    assert_forbidden(&reader, "select payload from postrider.outbox").await;
    assert_forbidden(&reader, "select headers from postrider.outbox").await;
}

#[tokio::test]
async fn a_reader_may_do_nothing_but_read() {
    let database = Database::new().await;
    let reader = connect(&database.login(Some("postrider_reader")).await).await;

    for statement in [
        "select secret from postrider.endpoint",
        "select from postrider.endpoint",
        "select from postrider.installation",
        "select from postrider.delivery",
        "select from postrider.attempt",
        "select from postrider.claim",
        "select from postrider.dispatcher",
        "insert into postrider.outbox (topic, payload) values ('a', '{}')",
        "update postrider.outbox set topic = 'b'",
        "delete from postrider.outbox",
        "select postrider.put_endpoint('one', 'https://example.com/')",
        "select postrider.pause_endpoint('one')",
        "select postrider.resume_endpoint('one')",
        "select postrider.delete_endpoint('one')",
        "select postrider.rotate_secret('one')",
        "select postrider.retry(1)",
        "select postrider.retry_failed('one')",
        "select postrider.replay('one', now())",
        "select postrider.cancel(1)",
        "select from postrider.old_secret",
        "select from postrider.endpoint_stat",
        "create table postrider.mine (id int)",
    ] {
        assert_forbidden(&reader, statement).await;
    }
}

#[tokio::test]
async fn a_dispatcher_needs_no_more_than_its_role_to_deliver() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "retry_schedule => '{1ms}'").await;
    receiver.answer_once(500, &[], b"");
    let login = database.login(Some("postrider_dispatcher")).await;
    let mut dispatcher = Dispatcher::spawn(&login, &["--no-migrate"]);

    database.insert("order.created", "{}").await;
    dispatcher.logged(" runs, schema version").await;
    database.until_settled().await;

    assert_eq!(receiver.count(), 2);
    database.assert_row("select status from postrider.outbox", json!({"status": "complete"})).await;
    dispatcher.signal("TERM").await;
    assert!(dispatcher.ended().await.success());
}

#[tokio::test]
async fn a_dispatcher_needs_no_more_than_its_role_to_start_on_a_migrated_database() {
    let database = Database::new().await;
    let login = database.login(Some("postrider_dispatcher")).await;

    let output = CommandOutput::run(&login, &["migrate"]).await;

    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

#[tokio::test]
async fn a_dispatcher_needs_no_more_than_its_role_to_administer_endpoints() {
    let database = Database::new().await;
    let login = database.login(Some("postrider_dispatcher")).await;

    for args in [
        &["endpoint", "put", "one", "--url", "https://example.com/"][..],
        &["endpoint", "list"],
        &["endpoint", "show", "one"],
        &["endpoint", "pause", "one"],
        &["endpoint", "resume", "one", "--json"],
        &["endpoint", "rotate-secret", "one"],
        &["publish", "order.created", "{}"],
        &["event", "show", "1"],
        &["event", "cancel", "1"],
        &["delivery", "list"],
        &["delivery", "retry", "--endpoint", "one"],
        &["replay", "one", "--since", "1h"],
        &["endpoint", "delete", "one", "--yes"],
        &["status"],
        &["doctor"],
    ] {
        let output = CommandOutput::run(&login, args).await;

        assert_eq!(output.code, Some(0), "{args:?}: {}{}", output.stdout, output.stderr);
    }
}

#[tokio::test]
async fn a_dispatcher_needs_no_more_than_its_role_to_redo_and_cancel() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "retry_schedule => '{1ms}'").await;
    receiver.answer(500);
    let dispatcher = Dispatcher::start(&database, &[]).await;
    database.insert("order.created", "{}").await;
    database.until_settled().await;
    assert!(dispatcher.terminate().await.success());
    let client = connect(&database.login(Some("postrider_dispatcher")).await).await;

    for call in [
        "retry(1)",
        "cancel(1)",
        "retry(1)",
        "replay('one', '-infinity')",
        "retry_failed('one')",
        "rotate_secret('one')",
        "pause_endpoint('one')",
        "resume_endpoint('one')",
        "delete_endpoint('one')",
        "put_endpoint('one', 'https://example.com/')",
        "replay('one', '-infinity')",
    ] {
        let done = client.batch_execute(&format!("select postrider.{call}")).await;

        assert!(done.is_ok(), "{call}: {done:?}");
    }
}

#[tokio::test]
async fn no_statement_is_forbidden_to_a_dispatcher() {
    let database = Database::new().await;
    let mut dispatcher = connect(&database.login(Some("postrider_dispatcher")).await).await;

    for statement in STATEMENTS {
        // Rolled back; whether it makes sense without arguments does not matter.
        let tx = dispatcher.transaction().await.unwrap();
        let prepared = tx.prepare(statement.sql).await.unwrap();
        let null: &(dyn ToSql + Sync) = &Null;
        let nulls = vec![null; prepared.params().len()];

        let done = tx.query(&prepared, &nulls).await;

        let code = done.err().and_then(|fault| fault.code().cloned());
        assert_ne!(code, Some(SqlState::INSUFFICIENT_PRIVILEGE), "{}", statement.name);
    }
}

#[tokio::test]
async fn a_dispatcher_may_not_change_the_schema() {
    let database = Database::new().await;
    let dispatcher = connect(&database.login(Some("postrider_dispatcher")).await).await;

    for statement in [
        "create table postrider.mine (id int)",
        "create function postrider.mine() returns int language sql return 1",
        "drop table postrider.outbox",
        "drop view postrider.backlog",
        "drop function postrider.bell_key()",
        "drop schema postrider cascade",
        "alter table postrider.outbox add column mine int",
        "alter table postrider.outbox disable trigger ring",
        "truncate postrider.outbox",
        "insert into postrider.schema_history (version) values (1000)",
        "delete from postrider.schema_history",
        "update postrider.schema_object set digest = ''",
        "delete from postrider.installation",
        "insert into postrider.endpoint (id, url, topics, secret) values ('a', 'https://example.com/', '{}', '')",
        "delete from postrider.endpoint",
        "insert into postrider.old_secret (endpoint_no, secret, valid_until) values (1, '', now())",
        "delete from postrider.old_secret",
    ] {
        assert_forbidden(&dispatcher, statement).await;
    }
}

/// A null of any type.
#[derive(Debug)]
struct Null;

impl ToSql for Null {
    fn to_sql(&self, _: &Type, _: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The statement is refused for want of a right, and nothing else.
async fn assert_forbidden(client: &Client, statement: &str) {
    let done = client.batch_execute(statement).await;

    let code = done.err().and_then(|fault| fault.code().cloned());
    assert_eq!(code, Some(SqlState::INSUFFICIENT_PRIVILEGE), "{statement}");
}
