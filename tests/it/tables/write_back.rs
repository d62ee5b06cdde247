//! The status of an event is written into the row that it tells of.

use serde_json::json;

use super::attached::{
    ALL_WRITTEN, CONFIGURATION_UPDATE, all_are, attach, configuration_update, dispatched, insert_pending,
    one_endpoint,
};
use crate::support::{Dispatcher, eventually};

#[tokio::test]
async fn a_row_is_in_progress_while_its_event_is_on_its_way_and_complete_when_it_has_arrived() {
    let (database, receiver, _dispatcher) = dispatched("").await;
    receiver.hold();
    insert_pending(&database, 1).await;

    database.until(&all_are("in_progress")).await;
    receiver.release();

    database.until(&all_are("complete")).await;
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_row_whose_event_is_given_up_is_failed_and_the_others_are_complete() {
    let (database, receiver, _dispatcher) = dispatched("retry_schedule => '{1ms}'").await;
    receiver.answer_once(500, &[], b"");
    receiver.answer_once(500, &[], b"");
    let failed = insert_pending(&database, 1).await;
    database.until(&all_are("failed")).await;

    insert_pending(&database, 5).await;

    database.until(ALL_WRITTEN).await;
    database
        .assert_rows(
            &format!("select status, count(*) as rows, bool_or(id = {failed}) as has_first from configuration_update group by 1 order by 1"),
            vec![
                json!({"status": "complete", "rows": 5, "has_first": false}),
                json!({"status": "failed", "rows": 1, "has_first": true}),
            ],
        )
        .await;
}

#[tokio::test]
async fn a_text_column_gets_the_words_of_its_own() {
    let (database, receiver) = one_endpoint("retry_schedule => '{1ms}'").await;
    database
        .execute("create table job (id uuid primary key default gen_random_uuid(), state varchar(8))")
        .await;
    let map = r#"{"in_progress": "sending", "complete": "done", "failed": "error"}"#;
    attach(
        &database,
        &format!("'job', 'job.made', status => 'state', status_map => '{map}', on_ops => '{{insert}}'"),
    )
    .await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    receiver.hold();
    database.execute("insert into job default values").await;
    database.until("select state is not distinct from 'sending' from job").await;

    receiver.release();
    database.until("select state is not distinct from 'done' from job").await;
    receiver.answer(500);
    database.execute("insert into job default values").await;

    database.until(ALL_WRITTEN).await;
    database
        .assert_rows(
            "select state from job order by 1",
            vec![json!({"state": "done"}), json!({"state": "error"})],
        )
        .await;
}

#[tokio::test]
async fn final_writes_nothing_before_the_event_is_finished() {
    let (database, receiver) = one_endpoint("").await;
    database.execute(CONFIGURATION_UPDATE).await;
    attach(
        &database,
        "'configuration_update', 'a', status => 'status', write_back => 'final', on_ops => '{insert}'",
    )
    .await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    receiver.hold();
    insert_pending(&database, 1).await;
    receiver.next().await;

    database.assert_row("select count(*) as noted from postrider.row_due", json!({"noted": 0})).await;
    assert!(database.is(&all_are("pending")).await);
    receiver.release();

    database.until(&all_are("complete")).await;
}

#[tokio::test]
async fn none_writes_nothing() {
    let (database, _receiver) = one_endpoint("").await;
    database.execute(CONFIGURATION_UPDATE).await;
    attach(
        &database,
        "'configuration_update', 'a', status => 'status', write_back => 'none', on_ops => '{insert}'",
    )
    .await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    insert_pending(&database, 1).await;

    database.until("select exists (select from postrider.outbox where status = 'complete')").await;
    database.assert_row("select count(*) as noted from postrider.row_due", json!({"noted": 0})).await;
    assert!(database.is(&all_are("pending")).await);
}

#[tokio::test]
async fn delete_takes_the_row_away_when_its_event_has_arrived_and_leaves_one_that_failed() {
    let (database, receiver) = one_endpoint("retry_schedule => '{1ms}'").await;
    database
        .execute("create table outbox (id bigint primary key, payload json); create table part (of bigint references outbox)")
        .await;
    attach(&database, "'outbox', 'a', write_back => 'delete', on_ops => '{insert}'").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    receiver.answer(500);
    database.execute("insert into outbox values (1, '{}')").await;
    database.until("select exists (select from postrider.outbox where status = 'failed')").await;
    receiver.answer(200);

    database.execute("insert into outbox select n, '{}' from generate_series(2, 10) as n").await;

    database.until(ALL_WRITTEN).await;
    database.assert_row("select id from outbox", json!({"id": 1})).await;
}

#[tokio::test]
async fn an_event_that_reaches_nobody_counts_as_it_does_in_the_outbox() {
    let (database, _receiver) = one_endpoint("").await;
    database
        .execute(
            "select postrider.put_endpoint('one', 'http://127.0.0.1:9/', '{other}');
             create table unheard (id int primary key, status text);
             create table unknown (id int primary key, status text)",
        )
        .await;
    attach(&database, "'unheard', 'a', status => 'status', on_ops => '{insert}'").await;
    attach(&database, "'unknown', 'a', destination => 'nobody', status => 'status', on_ops => '{insert}'")
        .await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    database.execute("insert into unheard values (1); insert into unknown values (1)").await;

    database.until("select status is not distinct from 'complete' from unheard").await;
    database.until("select status is not distinct from 'failed' from unknown").await;
}

#[tokio::test]
async fn a_row_whose_event_is_cancelled_before_it_is_routed_is_failed() {
    let (database, _receiver) = configuration_update("").await;
    insert_pending(&database, 1).await;
    database.execute("select postrider.cancel(id) from postrider.outbox").await;

    let _dispatcher = Dispatcher::start(&database, &[]).await;

    database.until(&all_are("failed")).await;
}

#[tokio::test]
async fn a_row_whose_event_is_sent_again_is_in_progress_again() {
    let (database, receiver, _dispatcher) = dispatched("").await;
    insert_pending(&database, 3).await;
    database.until(&all_are("complete")).await;
    receiver.hold();

    database.execute("select postrider.replay('one', now() - interval '1 h')").await;
    database.until(&all_are("in_progress")).await;
    receiver.release();

    database.until(&all_are("complete")).await;
}

#[tokio::test]
async fn a_row_that_is_gone_is_forgotten() {
    let (database, receiver, _dispatcher) = dispatched("").await;
    receiver.hold();
    let gone = insert_pending(&database, 3).await;
    eventually("all are on their way", || async { receiver.under_way() == 3 }).await;
    database.execute(&format!("delete from configuration_update where id = {gone}")).await;

    receiver.release();

    database.until(ALL_WRITTEN).await;
    database
        .assert_row(
            "select count(*) as rows, bool_and(status = 'complete') as done from configuration_update",
            json!({"rows": 2, "done": true}),
        )
        .await;
}

#[tokio::test]
async fn keys_of_every_kind_and_names_of_every_kind_are_found() {
    let (database, _receiver) = one_endpoint("").await;
    database
        .execute(
            r#"create schema "Odd 'Schema"; create type "Odd 'Schema"."Kind" as enum ('a "b"', 'c,d');
               create table "Odd 'Schema"."Odd ""Table" (
                   "The %Text" text, at timestamptz, "Kind" "Odd 'Schema"."Kind", raw bytea, number numeric, short char(5), f float8,
                   "Status, of it" text, primary key ("The %Text", at, "Kind", raw, number, short, f));
               create table by_array (ids int[] primary key, status text);
               create domain positive as int check (value > 0);
               create table by_domain (id positive, span interval, primary key (id, span), status text)"#,
        )
        .await;
    attach(&database, r#"'"Odd ''Schema"."Odd ""Table"', 'a', status => 'Status, of it'"#).await;
    attach(&database, "'by_array', 'a', status => 'status'").await;
    attach(&database, "'by_domain', 'a', status => 'status'").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    database
        .execute(
            r#"set datestyle = 'German'; set timezone = 'Asia/Kolkata'; set bytea_output = 'escape'; set extra_float_digits = 0;
               insert into "Odd 'Schema"."Odd ""Table"
               select t, '2026-01-02 03:04:05.678901+00', k::"Odd 'Schema"."Kind", '\x005c27', 1.50, 'ab', 0.1 + 0.2
               from unnest(array['', 'it''s', '"quoted" \ [1,2]', E'line\nend', 'größe 🦀', '{}']) as t, unnest(array['a "b"', 'c,d']) as k;
               insert into by_array values ('{1,2}'), ('{}'), ('{null}');
               insert into by_domain values (1, '1 month 2 days 03:04:05.6')"#,
        )
        .await;

    database.until(ALL_WRITTEN).await;
    database
        .assert_row(
            r#"select (select count(*) from "Odd 'Schema"."Odd ""Table" where "Status, of it" = 'complete') as odd,
                      (select count(*) from by_array where status = 'complete') as arrays,
                      (select count(*) from by_domain where status = 'complete') as domains"#,
            json!({"odd": 12, "arrays": 3, "domains": 1}),
        )
        .await;
}
