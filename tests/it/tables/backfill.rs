//! Backfill: rows that were there before a table was attached become events, each once, and never an older state after a newer one.

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::{Database, Dispatcher, Receiver};

/// Whether every backfill is done, and every event delivered.
pub(super) const IS_DONE: &str = "select (select bool_and(state = 'done') from postrider.backfill)
    and not exists (select from postrider.outbox where status in ('pending', 'in_progress'))";

/// Attaches a table with a backfill, as a SQL user does.
pub(super) async fn attach(database: &Database, table: &str, more: &str) {
    let sql = format!("select postrider.attach_table('{table}', {more}, backfill => true)");
    database.execute(&sql).await;
}

/// A table of so many rows: `id`, and `version` 1.
pub(super) async fn table_of(database: &Database, rows: u32) {
    database
        .execute(&format!(
            "create table item (id integer primary key, version integer not null default 1);
             insert into item (id) select generate_series(1, {rows})"
        ))
        .await;
}

pub(super) async fn attach_items(database: &Database) {
    attach(database, "item", "topic => 'item.changed', payload => 'row'").await;
}

/// Every row of `item` has just one event.
pub(super) async fn assert_each_row_was_sent_once(database: &Database, rows: usize) {
    database
        .assert_row(
            "select count(*) as events, count(distinct row_key) as rows from postrider.outbox",
            json!({"events": rows, "rows": rows}),
        )
        .await;
}

#[tokio::test]
async fn rows_that_were_pending_when_their_table_was_attached_are_sent_once_and_others_are_not() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("devices", &receiver.url(), "configuration.**", "").await;
    database
        .execute(
            "create type configuration_update_status as enum ('pending', 'in_progress', 'complete', 'failed');
             create table configuration_update (id serial primary key, content jsonb, status configuration_update_status, destination inet);
             insert into configuration_update (content, status)
             select jsonb_build_object('n', n), case when n % 3 = 0 then 'complete' else 'pending' end::configuration_update_status
             from generate_series(1, 30) as n",
        )
        .await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    attach(
        &database,
        "configuration_update",
        "topic => 'configuration.updated', payload => 'content', when_sql => 'new.status = ''pending'''",
    )
    .await;
    database.until(IS_DONE).await;

    let mut sent: Vec<i64> = receiver.all().iter().map(|request| number(request.text(), "n")).collect();
    sent.sort_unstable();
    assert_eq!(sent, (1..=30).filter(|n| n % 3 != 0).collect::<Vec<_>>());
    database
        .assert_row(
            "select state, rows_read, rows_sent, rows_refused, rows_held from postrider.backfill_progress",
            json!({"state": "done", "rows_read": 30, "rows_sent": 20, "rows_refused": 0, "rows_held": 0}),
        )
        .await;
}

#[tokio::test]
async fn a_backfill_that_was_interrupted_by_kill_9_goes_on_where_it_was() {
    let database = Database::new().await;
    table_of(&database, 3_000).await;
    attach_items(&database).await;

    let killed = Dispatcher::start(&database, &[]).await;
    database.until("select rows_sent > 0 from postrider.backfill").await;
    killed.kill().await;
    database.cut_dispatchers().await;
    let before: i64 = database.value("select rows_sent from postrider.backfill").await;
    let _next = Dispatcher::start(&database, &[]).await;
    database.until(IS_DONE).await;

    assert!(before < 3_000, "it was killed too late: nothing was left");
    assert_each_row_was_sent_once(&database, 3_000).await;
}

#[tokio::test]
async fn two_dispatchers_send_each_row_once() {
    let database = Database::new().await;
    table_of(&database, 3_000).await;
    let _one = Dispatcher::start(&database, &[]).await;
    let _other = Dispatcher::start(&database, &[]).await;

    attach_items(&database).await;
    database.until(IS_DONE).await;

    assert_each_row_was_sent_once(&database, 3_000).await;
}

#[tokio::test]
async fn a_row_that_is_updated_meanwhile_never_has_an_older_state_in_a_later_event() {
    let database = Database::new().await;
    table_of(&database, 2_000).await;
    attach_items(&database).await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    let writers = [database.connect().await, database.connect().await];
    let update = async |writer: &Client, first: i32| {
        while database.is("select state = 'running' from postrider.backfill").await {
            for n in 0..50 {
                let id = (first + n * 37) % 2_000 + 1;
                writer.execute("update item set version = version + 1 where id = $1", &[&id]).await.unwrap();
            }
        }
    };
    tokio::join!(update(&writers[0], 0), update(&writers[1], 1_100));
    database.until(IS_DONE).await;

    database
        .assert_rows(
            "with told as (
                 select i.id, i.version as is_now, (o.payload ->> 'version')::integer as version,
                        lag((o.payload ->> 'version')::integer) over (partition by i.id order by o.id) as before,
                        lead(o.id) over (partition by i.id order by o.id) is null as is_last
                 from item as i left join postrider.outbox as o on o.payload ->> 'id' = i.id::text)
             select id, before, version, is_now from told
             where version is null or before >= version or is_last and version <> is_now",
            vec![],
        )
        .await;
}

#[tokio::test]
async fn a_row_that_was_changed_before_the_backfill_came_to_it_is_not_sent_again() {
    let database = Database::new().await;
    table_of(&database, 20).await;
    attach_items(&database).await;
    database.execute("update item set version = 2 where id in (3, 5)").await;

    let _dispatcher = Dispatcher::start(&database, &[]).await;
    database.until(IS_DONE).await;

    assert_each_row_was_sent_once(&database, 20).await;
    database
        .assert_rows(
            "select payload ->> 'id' as id, payload ->> 'version' as version from postrider.outbox where payload ->> 'version' <> '1'
             order by 1",
            vec![json!({"id": "3", "version": "2"}), json!({"id": "5", "version": "2"})],
        )
        .await;
}

#[tokio::test]
async fn keys_of_every_kind_are_walked_through_in_batches() {
    const KEYS: [(&str, &str); 8] = [
        ("id bigint", "n * 1000000000000 - 55000000000000"),
        ("id uuid", "md5(n::text)::uuid"),
        ("id text", "chr(32 + n) || 'ä\"''\\,[' || n"),
        ("id text collate \"C\"", "case when n % 2 = 0 then 'B' else 'a' end || n"),
        ("id numeric(10, 2)", "(n - 55) / 3.0"),
        ("id timestamptz", "timestamptz '2026-03-29 00:00:00+01' + n * interval '37 min'"),
        ("id bytea", "decode(md5(n::text), 'hex')"),
        ("\"Id Two\" integer, id varchar(20)", "n % 7, 'x' || (n % 31)"),
    ];
    let database = Database::new().await;
    let mut expected = Vec::new();
    for (n, (columns, values)) in KEYS.iter().enumerate() {
        let key = if columns.contains("Two") { "\"Id Two\", id" } else { "id" };
        database
            .execute(&format!(
                "create table t{n} ({columns}, primary key ({key}));
                 insert into t{n} ({key}) select {values} from generate_series(1, 110) as n"
            ))
            .await;
        attach(&database, &format!("t{n}"), &format!("topic => 't{n}.read', payload => 'row'")).await;
        expected.push(json!({"topic": format!("t{n}.read"), "events": 110, "rows": 110}));
    }

    let _dispatcher = Dispatcher::start(&database, &[]).await;
    database.until(IS_DONE).await;

    database
        .assert_rows(
            "select topic, count(*) as events, count(distinct row_key) as rows from postrider.outbox group by 1 order by 1",
            expected,
        )
        .await;
}

#[tokio::test]
async fn a_row_that_somebody_has_locked_is_sent_when_it_is_free_and_delays_no_other() {
    let database = Database::new().await;
    table_of(&database, 500).await;
    let stranger = database.connect().await;
    stranger.batch_execute("begin; select from item where id = 7 for update").await.unwrap();
    attach_items(&database).await;

    let _dispatcher = Dispatcher::start(&database, &[]).await;
    database.until("select rows_sent = 499 and state = 'running' and held = '{\"1[\\\"7\\\"]\"}' from postrider.backfill").await;
    stranger.batch_execute("commit").await.unwrap();
    database.until(IS_DONE).await;

    assert_each_row_was_sent_once(&database, 500).await;
}

#[tokio::test]
async fn a_row_that_is_gone_when_it_is_free_is_forgotten() {
    let database = Database::new().await;
    table_of(&database, 50).await;
    let stranger = database.connect().await;
    stranger.batch_execute("begin; select from item where id = 7 for update").await.unwrap();
    attach(&database, "item", "topic => 'item.changed', payload => 'row', on_ops => '{insert,update}'").await;

    let _dispatcher = Dispatcher::start(&database, &[]).await;
    database.until("select cardinality(held) = 1 from postrider.backfill").await;
    stranger.batch_execute("delete from item where id = 7; commit").await.unwrap();
    database.until(IS_DONE).await;

    assert_each_row_was_sent_once(&database, 49).await;
}

#[tokio::test]
async fn a_paused_backfill_stands_still_and_goes_on_when_it_is_resumed() {
    let database = Database::new().await;
    table_of(&database, 3_000).await;
    attach_items(&database).await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    database.until("select rows_sent > 0 from postrider.backfill").await;

    database.execute("select postrider.pause_table('item')").await;
    let before: i64 = database.value("select rows_sent from postrider.backfill").await;
    // The dispatchers look again and again.
    let other = Dispatcher::start(&database, &[]).await;
    other.terminate().await;
    let after: i64 = database.value("select rows_sent from postrider.backfill").await;
    database.execute("select postrider.resume_table('item')").await;
    database.until(IS_DONE).await;

    assert!(before < 3_000, "it was paused too late: nothing was left");
    assert_eq!(after, before);
    assert_each_row_was_sent_once(&database, 3_000).await;
}

#[tokio::test]
async fn a_backfill_anew_sends_what_was_changed_during_a_pause_and_not_what_was_heard_since() {
    let database = Database::new().await;
    table_of(&database, 10).await;
    attach(&database, "item", "topic => 'item.changed', payload => 'row', when_sql => 'new.version > 1'")
        .await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    database.until(IS_DONE).await;
    database.execute("update item set version = 2 where id in (1, 2, 3)").await;
    dispatcher.terminate().await;

    database
        .execute(
            "select postrider.pause_table('item');
             update item set version = 3 where id in (2, 3, 4);
             select postrider.resume_table('item', true);
             update item set version = 4 where id = 3",
        )
        .await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    database.until(IS_DONE).await;

    database
        .assert_rows(
            "select payload ->> 'id' as id, string_agg(payload ->> 'version', ' ' order by id) as versions from postrider.outbox
             group by 1 order by 1",
            vec![
                json!({"id": "1", "versions": "2 2"}),
                json!({"id": "2", "versions": "2 3"}),
                json!({"id": "3", "versions": "2 4"}),
                json!({"id": "4", "versions": "3"}),
            ],
        )
        .await;
}

#[tokio::test]
async fn a_fresh_event_does_not_wait_behind_a_backfill() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    // 200 requests a second: all rows would take a minute.
    database.put_endpoint("items", &receiver.url(), "**", "max_in_flight => 4").await;
    receiver.answer_after(std::time::Duration::from_millis(20));
    table_of(&database, 12_000).await;
    attach_items(&database).await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    database.until("select rows_sent > 200 from postrider.backfill").await;

    let mut waited = Vec::new();
    for _ in 0..3 {
        let begun = tokio::time::Instant::now();
        let id = database.insert("fresh.event", "{}").await;
        database.until(&format!("select status = 'complete' from postrider.outbox where id = {id}")).await;
        waited.push(begun.elapsed());
    }

    let left: i64 = database.value("select 12000 - rows_sent from postrider.backfill").await;
    assert!(left > 8_000, "only {left} rows were left: nothing to wait behind");
    assert!(waited.iter().all(|waited| waited.as_secs() < 3), "{waited:?}");
}

/// A number of a JSON object.
fn number(body: &str, name: &str) -> i64 {
    let body: Value = serde_json::from_str(body).unwrap();
    body[name].as_i64().unwrap()
}
