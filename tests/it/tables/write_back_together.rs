//! Write-back beside other dispatchers and other transactions: nobody waits for anybody, and nothing is lost.

use serde_json::json;

use super::attached::{ALL_WRITTEN, all_are, attach, configuration_update, dispatched, insert_pending};
use crate::support::{Dispatcher, Scraped, Stranger, eventually, soon};

#[tokio::test]
async fn a_row_that_somebody_holds_gets_its_status_later_and_the_others_at_once() {
    let (database, receiver, dispatcher) = dispatched("").await;
    receiver.hold();
    let held = insert_pending(&database, 10).await;
    database.until(&all_are("in_progress")).await;
    let select = format!("select from configuration_update where id = {held} for update");
    let stranger = Stranger::begin(&database, &select).await;

    receiver.release();
    soon(&database, &dispatcher, "select count(*) = 9 from configuration_update where status = 'complete'")
        .await;
    database.until("select status = 'complete' from postrider.outbox order by id limit 1").await;
    assert!(
        database
            .is(&format!("select status = 'in_progress' from configuration_update where id = {held}"))
            .await
    );
    stranger.rollback().await;

    soon(&database, &dispatcher, &all_are("complete")).await;
}

#[tokio::test]
async fn a_row_that_others_refer_to_is_not_held() {
    let (database, _receiver) = configuration_update("").await;
    database.execute("create table log (of int references configuration_update)").await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let first = insert_pending(&database, 1).await;
    let stranger =
        Stranger::begin(&database, &format!("insert into log values ({first}) returning of")).await;

    soon(&database, &dispatcher, &all_are("complete")).await;

    stranger.rollback().await;
}

#[tokio::test]
async fn a_table_that_somebody_has_locked_delays_no_other_table() {
    let (database, receiver, dispatcher) = dispatched("").await;
    database.execute("create table job (id int primary key, status text)").await;
    attach(&database, "'job', 'a', status => 'status'").await;
    receiver.hold();
    insert_pending(&database, 10).await;
    database.until(&all_are("in_progress")).await;
    let stranger = database.connect().await;
    stranger.batch_execute("begin; lock table configuration_update in share mode").await.unwrap();
    receiver.release();

    for id in 1..=20 {
        database.execute(&format!("insert into job values ({id})")).await;
        soon(
            &database,
            &dispatcher,
            &format!("select status is not distinct from 'complete' from job where id = {id}"),
        )
        .await;
    }
    let said =
        "select last_error from postrider.attachment where last_error like '%lock on the whole table%'";
    database.until(&format!("select exists ({said})")).await;
    stranger.batch_execute("rollback").await.unwrap();

    database.until(&all_are("complete")).await;
    database.until("select bool_and(last_error is null) from postrider.attachment").await;
}

#[tokio::test]
async fn two_dispatchers_write_each_row_once() {
    let (database, _receiver) = configuration_update("").await;
    database
        .execute(
            "create table written (id int);
             create function count_it() returns trigger language plpgsql as $$ begin insert into written values (new.id); return null; end $$;
             create trigger count_it after update on configuration_update for each row
                 when (new.status = 'complete') execute function count_it()",
        )
        .await;
    let (_one, _two) = (Dispatcher::start(&database, &[]).await, Dispatcher::start(&database, &[]).await);

    for _ in 0..20 {
        insert_pending(&database, 25).await;
    }

    database.until(ALL_WRITTEN).await;
    database
        .assert_row(
            "select count(*) as writes, count(distinct id) as rows, bool_and((select bool_and(status = 'complete') from configuration_update)) as done
             from written",
            json!({"writes": 500, "rows": 500, "done": true}),
        )
        .await;
}

#[tokio::test]
async fn what_a_killed_dispatcher_had_not_written_another_one_writes() {
    let (database, receiver, killed) = dispatched("").await;
    receiver.hold();
    insert_pending(&database, 20).await;
    database.until(&all_are("in_progress")).await;
    let stranger = Stranger::begin(&database, "select from configuration_update for update").await;
    receiver.release();
    database.until("select count(*) = 20 from postrider.outbox where status = 'complete'").await;
    killed.kill().await;
    stranger.rollback().await;
    assert!(database.is(&all_are("in_progress")).await);

    let _next = Dispatcher::start(&database, &[]).await;

    database.until(&all_are("complete")).await;
}

#[tokio::test]
async fn a_dispatcher_that_stops_writes_what_it_settled_last() {
    let (database, receiver, dispatcher) = dispatched("").await;
    receiver.hold();
    insert_pending(&database, 5).await;
    eventually("all are on their way", || async { receiver.under_way() == 5 }).await;
    dispatcher.signal("TERM").await;
    dispatcher.logged("finishing what is in flight").await;

    receiver.release();
    let mut dispatcher = dispatcher;
    dispatcher.ended().await;

    assert!(database.is(&all_are("complete")).await);
}

#[tokio::test]
async fn a_user_who_holds_a_row_and_wants_another_is_no_victim_of_a_deadlock() {
    let (database, _receiver) = configuration_update("").await;
    let rows = 40;
    insert_pending(&database, rows).await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    let users = (0..4).map(|user| {
        let database = &database;
        async move {
            let client = database.connect().await;
            for turn in 0..40 {
                // Each user locks in an order of his own that no other one contradicts: rows of his alone, up and down.
                let direction = if turn % 2 == 0 { "" } else { "desc" };
                let ids = format!("select id from configuration_update where id % 4 = {user} order by id {direction}");
                client
                    .batch_execute(&format!(
                        "begin;
                         do $$ declare row record; begin
                             for row in {ids} loop update configuration_update set status = 'pending' where id = row.id; end loop;
                         end $$;
                         commit"
                    ))
                    .await
                    .unwrap();
            }
        }
    });
    futures_util::future::join_all(users).await;

    database.until(ALL_WRITTEN).await;
    assert!(database.is(&all_are("complete")).await);
}

#[tokio::test]
async fn entries_of_a_table_that_is_detached_are_dropped() {
    let (database, receiver, dispatcher) = dispatched("").await;
    receiver.hold();
    insert_pending(&database, 5).await;
    database.until(&all_are("in_progress")).await;
    dispatcher.kill().await;
    database
        .execute(
            "update postrider.row_due set due_at = now();
             insert into postrider.row_due (attachment_no, row_key, event_id, status) values (1, '1[\"1\"]', 1, 'complete'), (0, '0[\"1\"]', 1, 'complete');
             select postrider.detach_table('configuration_update')",
        )
        .await;

    let _next = Dispatcher::start(&database, &[]).await;

    database.until("select not exists (select from postrider.row_due)").await;
    assert!(database.is(&all_are("in_progress")).await);
}

#[tokio::test]
async fn metrics_show_what_is_written_and_what_waits() {
    let (database, receiver, dispatcher) = dispatched("").await;
    receiver.hold();
    let held = insert_pending(&database, 3).await;
    database.until(&all_are("in_progress")).await;
    let select = format!("select from configuration_update where id = {held} for update");
    let stranger = Stranger::begin(&database, &select).await;
    receiver.release();
    database.until("select count(*) = 2 from configuration_update where status = 'complete'").await;
    let waiting = |s: &Scraped| s.value("postrider_write_back_waiting") == Some(1.0);
    Scraped::until(&dispatcher, "one waits", waiting).await;
    let scraped = Scraped::of(&dispatcher).await;
    assert_eq!(scraped.value("postrider_rows_written_back_total"), Some(5.0));
    assert!(scraped.value("postrider_write_back_oldest_age_seconds") > Some(0.0));
    assert_eq!(scraped.value("postrider_write_back_failures_total"), Some(0.0));

    stranger.rollback().await;

    database.until(&all_are("complete")).await;
    Scraped::until(&dispatcher, "none waits", |s| s.value("postrider_write_back_waiting") == Some(0.0)).await;
}
