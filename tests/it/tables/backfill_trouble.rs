//! What keeps a backfill from going on: rows and conditions that fail, locks, functions that were changed.

use serde_json::{Value, json};

use super::backfill::{IS_DONE, assert_each_row_was_sent_once, attach, attach_items, table_of};
use crate::support::{Database, Dispatcher};

#[tokio::test]
async fn a_row_that_cannot_become_an_event_is_left_out_and_counted_and_the_others_are_sent() {
    let database = Database::new().await;
    database
        .execute(
            "create table note (id integer primary key, body text);
             insert into note select n, case when n in (3, 90) then 'secret, and no JSON' else '{\"n\": ' || n || '}' end
             from generate_series(1, 200) as n",
        )
        .await;
    attach(&database, "note", "topic => 'note.read', payload => 'body'").await;

    let dispatcher = Dispatcher::start(&database, &[]).await;
    database.until(IS_DONE).await;

    assert_each_row_was_sent_once(&database, 198).await;
    database
        .assert_row(
            "select b.rows_refused, a.last_error from postrider.backfill as b join postrider.attachment as a using (attachment_no)",
            json!({
                "rows_refused": 2,
                "last_error": "backfill: rows that cannot become events are left out (SQLSTATE 22P02)"
            }),
        )
        .await;
    dispatcher.logged("backfill of public.note is done: 198 rows sent, 2 left out").await;
    assert!(!dispatcher.log().contains("secret"), "{}", dispatcher.log());
}

#[tokio::test]
async fn a_condition_that_raises_for_some_rows_leaves_those_out() {
    let database = Database::new().await;
    table_of(&database, 100).await;
    attach(
        &database,
        "item",
        "topic => 'item.changed', payload => 'row', when_sql => '100 / (new.id % 25) > 0'",
    )
    .await;

    let _dispatcher = Dispatcher::start(&database, &[]).await;
    database.until(IS_DONE).await;

    assert_each_row_was_sent_once(&database, 96).await;
}

#[tokio::test]
async fn a_condition_that_can_no_longer_be_evaluated_is_told_once_and_tried_seldom_until_it_can() {
    let database = Database::new().await;
    table_of(&database, 100).await;
    let function = "create function public.is_wanted(integer) returns boolean language sql as 'select true'";
    database.execute(function).await;
    attach(
        &database,
        "item",
        "topic => 'item.changed', payload => 'row', when_sql => 'public.is_wanted(new.id)'",
    )
    .await;
    database.execute("drop function public.is_wanted(integer)").await;

    let dispatcher = Dispatcher::start(&database, &[]).await;
    let told = "backfill of public.item: function public.is_wanted(integer) does not exist (SQLSTATE 42883)";
    dispatcher.logged(told).await;
    database.until("select tries >= 2 from postrider.backfill").await;
    database.execute(function).await;
    database.until(IS_DONE).await;

    assert_each_row_was_sent_once(&database, 100).await;
    assert_eq!(dispatcher.log().matches(told).count(), 1);
    database
        .assert_row("select last_error from postrider.attachment", json!({"last_error": Value::Null}))
        .await;
}

#[tokio::test]
async fn a_lock_on_the_table_delays_its_backfill_alone() {
    let database = Database::new().await;
    table_of(&database, 100).await;
    database
        .execute(
            "create table other (id integer primary key); insert into other select generate_series(1, 100)",
        )
        .await;
    attach_items(&database).await;
    attach(&database, "other", "topic => 'other.read', payload => 'row'").await;
    let stranger = database.connect().await;
    stranger.batch_execute("begin; lock table item in access exclusive mode").await.unwrap();

    let _dispatcher = Dispatcher::start(&database, &[]).await;
    database
        .until(
            "select bool_and(case a.relation when 'other'::regclass then b.state = 'done'
                             else a.last_error = 'backfill: somebody has locked the table (SQLSTATE 55P03)' end)
             from postrider.backfill as b join postrider.attachment as a using (attachment_no)",
        )
        .await;
    stranger.batch_execute("commit").await.unwrap();
    database.until(IS_DONE).await;

    assert_each_row_was_sent_once(&database, 200).await;
}

#[tokio::test]
async fn a_renamed_table_and_a_partitioned_one_are_walked_through() {
    let database = Database::new().await;
    table_of(&database, 300).await;
    database
        .execute(
            "create table part (id integer primary key) partition by hash (id);
             create table part_0 partition of part for values with (modulus 2, remainder 0);
             create table part_1 partition of part for values with (modulus 2, remainder 1);
             insert into part select generate_series(1, 300)",
        )
        .await;
    attach_items(&database).await;
    attach(&database, "part", "topic => 'part.read', payload => 'row'").await;
    database.execute("alter table item rename to \"Renamed Item\"").await;

    let _dispatcher = Dispatcher::start(&database, &[]).await;
    database.until(IS_DONE).await;

    assert_each_row_was_sent_once(&database, 600).await;
}

#[tokio::test]
async fn a_function_that_would_run_with_the_rights_of_a_dispatcher_is_not_called() {
    let database = Database::new().await;
    table_of(&database, 10).await;
    attach_items(&database).await;
    let function: String = database
        .value("select oid::regprocedure::text from pg_proc where proname ~ '^postrider_backfill_'")
        .await;
    database.execute(&format!("alter function {function} security invoker")).await;

    let dispatcher = Dispatcher::start(&database, &[]).await;
    dispatcher.logged("is gone, or not the one of the table's owner").await;

    database.assert_row("select count(*) as events from postrider.outbox", json!({"events": 0})).await;
}
