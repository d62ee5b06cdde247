//! Finished events are deleted when they are old enough, and nothing else is.

use postrider::store::STATEMENTS;
use serde_json::json;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::support::{Database, Dispatcher, Receiver, one_endpoint};

/// Housekeeping steps every second.
const SHORT_LEASE: [&str; 4] = ["--lease", "4s", "--request-timeout", "2s"];
/// And what stayed is looked at again every three seconds.
const SHORT_RETENTION: [&str; 6] = ["--lease", "4s", "--request-timeout", "2s", "--retain-complete", "1m"];

#[tokio::test]
async fn old_finished_events_are_deleted_with_all_that_belongs_to_them() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("all", &receiver.url(), "**", "").await;
    let dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;
    for _ in 0..20 {
        database.insert("old.event", "{}").await;
    }
    database.until_settled().await;
    database.make_older(8).await;
    let young = database.insert("young.event", "{}").await;
    database.until_settled().await;

    database.until("select count(*) = 1 from postrider.outbox").await;

    assert_eq!(database.value::<i64>("select id from postrider.outbox").await, young);
    assert_eq!(database.value::<i64>("select event_id from postrider.delivery_status").await, young);
    assert_eq!(database.value::<i64>("select event_id from postrider.attempt_log").await, young);
    assert!(dispatcher.terminate().await.success());
}

#[tokio::test]
async fn failed_events_are_kept_longer_and_unfinished_ones_for_ever() {
    let database = Database::new().await;
    let refusing = Receiver::start().await;
    refusing.answer(500);
    database.put_endpoint("refusing", &refusing.url(), "failing", "retry_schedule => '{1ms}'").await;
    database.put_endpoint("paused", &refusing.url(), "waiting", "").await;
    database.execute("select postrider.pause_endpoint('paused')").await;
    let dispatcher = Dispatcher::start(&database, &SHORT_RETENTION).await;
    let failed = database.insert("failing", "{}").await;
    let waiting = database.insert("waiting", "{}").await;
    database.until(&format!("select status = 'failed' from postrider.outbox where id = {failed}")).await;
    database
        .until(&format!("select status = 'in_progress' from postrider.outbox where id = {waiting}"))
        .await;
    database.make_older(20).await;
    let marker = database.insert("nobody.listens", "{}").await;
    database.until_settled_but(waiting).await;
    database
        .execute(&format!(
            "update postrider.outbox set completed_at = completed_at - interval '8 days', \
             created_at = created_at - interval '19 days' where id = {marker}"
        ))
        .await;

    // The marker comes after them in order of id: when it is gone, they have been looked at.
    database.until(&format!("select not exists (select from postrider.outbox where id = {marker})")).await;

    let left: Vec<i64> = database
        .rows("select id from postrider.outbox order by id", &[])
        .await
        .iter()
        .map(|r| r.get(0))
        .collect();
    assert_eq!(left, [failed, waiting]);
    database.make_older(11).await;
    database.until(&format!("select not exists (select from postrider.outbox where id = {failed})")).await;
    database.assert_row("select count(*) from postrider.outbox", json!({"count": 1})).await;
    assert!(dispatcher.terminate().await.success());
}

#[tokio::test]
async fn an_event_that_was_not_finished_when_it_was_looked_at_is_deleted_later() {
    let flags = [&SHORT_RETENTION[..], &["--retain-failed", "1m"]].concat();
    let (database, _receiver, _dispatcher) = one_endpoint("", &flags).await;
    database.execute("select postrider.pause_endpoint('one')").await;
    let waiting = database.insert("waiting", "{}").await;
    database
        .execute(
            "insert into postrider.outbox (topic, payload, destination) values ('nobody.listens', '{}', 'nobody')",
        )
        .await;
    database.until_settled_but(waiting).await;
    database.make_older(8).await;
    database.until("select count(*) = 1 from postrider.outbox").await;

    database.execute("select postrider.resume_endpoint('one')").await;
    database.until_settled().await;
    database.make_older(8).await;

    database.until("select count(*) = 0 from postrider.outbox").await;
}

#[tokio::test]
async fn an_event_that_is_committed_after_younger_ones_were_deleted_is_deleted_later() {
    let (database, _receiver, _dispatcher) = one_endpoint("", &SHORT_RETENTION).await;
    let producer = database.connect().await;
    producer
        .batch_execute("begin; insert into postrider.outbox (topic, payload) values ('late.event', '{}')")
        .await
        .unwrap();
    for _ in 0..2 {
        database.insert("early.event", "{}").await;
        database.until_settled().await;
        database.make_older(8).await;
        database.until("select count(*) = 0 from postrider.outbox").await;
    }

    producer.batch_execute("commit").await.unwrap();
    database.until_settled().await;
    database.make_older(8).await;

    database.until("select count(*) = 0 from postrider.outbox").await;
}

#[tokio::test]
async fn one_statement_deletes_only_so_many_deliveries_however_many_an_event_has() {
    let database = Database::new().await;
    for deliveries in [4, 4, 4, 50, 1] {
        insert_old(&database, deliveries).await;
    }

    let mut deleted = Vec::new();
    let mut after = ("0".to_owned(), 0);
    loop {
        let row = delete_finished(&database, &after, 10).await;
        deleted.push(row.get::<_, i64>("deleted"));
        after = (row.get("last_xid"), row.get("last_id"));
        if row.get("is_end") {
            break;
        }
    }

    assert_eq!(deleted, [2, 1, 1, 1]);
    database.assert_row("select count(*) from postrider.outbox", json!({"count": 0})).await;
    database.assert_row("select count(*) from postrider.delivery", json!({"count": 0})).await;
    database.assert_row("select count(*) from postrider.attempt", json!({"count": 0})).await;
}

#[tokio::test]
async fn what_somebody_else_has_locked_is_passed_over_and_kept_in_mind() {
    let database = Database::new().await;
    for _ in 0..3 {
        insert_old(&database, 1).await;
    }
    let other = database.connect().await;
    other.batch_execute("begin; select from postrider.outbox where id = 2 for key share").await.unwrap();

    let row = delete_finished(&database, &("0".to_owned(), 0), 10).await;

    assert_eq!((row.get::<_, i64>("looked_at"), row.get::<_, i64>("deleted")), (3, 2));
    assert_eq!((row.get::<_, i64>("last_id"), row.get::<_, i64>("kept_id")), (3, 2));
    database.assert_row("select array_agg(id) as ids from postrider.outbox", json!({"ids": [2]})).await;
    database
        .assert_row(
            "select array_agg(event_id) as event_ids from postrider.delivery",
            json!({"event_ids": [2]}),
        )
        .await;
}

#[tokio::test]
async fn deletion_ends_before_the_first_young_event() {
    let database = Database::new().await;
    for _ in 0..2 {
        insert_old(&database, 1).await;
    }
    database.insert("young.event", "{}").await;
    insert_old(&database, 1).await;

    let row = delete_finished(&database, &("0".to_owned(), 0), 10).await;

    assert_eq!((row.get::<_, i64>("deleted"), row.get::<_, i64>("last_id")), (2, 2));
    assert!(row.get::<_, bool>("is_end"));
    database
        .assert_row("select array_agg(id order by id) as ids from postrider.outbox", json!({"ids": [3, 4]}))
        .await;
}

/// A complete event of eight days ago.
async fn insert_old(database: &Database, deliveries: usize) {
    database
        .execute(&format!(
            "with event as (
                 insert into postrider.outbox
                     (topic, payload, status, deliveries, open_deliveries, failed, created_at, completed_at)
                 select 'a.b', '{{}}', 'complete', {deliveries}, 0, 0, long_ago, long_ago
                 from (select now() - interval '8 days' as long_ago) as o
                 returning id, created_at
             ), born as (
                 insert into postrider.delivery (event_id, endpoint_no, status, attempts, completed_at)
                 select e.id, n, 'complete', 1, e.created_at from event as e, generate_series(1, {deliveries}) as n
                 returning id, endpoint_no, completed_at
             )
             insert into postrider.attempt (delivery_id, started_at, endpoint_no, duration_ms, attempt, outcome)
             select id, completed_at, endpoint_no, 5, 1, 'complete' from born"
        ))
        .await;
}

/// The statement, with a retention of a week.
async fn delete_finished(database: &Database, (xid, id): &(String, i64), rows_max: i64) -> Row {
    let (week_ms, until): (i64, Option<&str>) = (7 * 24 * 3600 * 1000, None);
    let statement = STATEMENTS.iter().find(|statement| statement.name == "delete_finished").unwrap();
    let params: [&(dyn ToSql + Sync); 7] = [xid, id, &rows_max, &week_ms, &week_ms, &week_ms, &until];
    let rows = database.rows(statement.sql, &params).await;
    rows.into_iter().next().unwrap()
}
