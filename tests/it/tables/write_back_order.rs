//! The newest event of a row is the one whose status stands in it, whatever comes late, and whoever changes the row meanwhile.

use std::cell::Cell;

use serde_json::json;
use tokio_postgres::Client;

use super::attached::{
    ALL_WRITTEN, all_are, attach, configuration_update, dispatched, insert_pending, one_endpoint,
};
use crate::support::{Database, Dispatcher, Receiver, Stranger, eventually};

/// Every status that a row of `configuration_update` gets is recorded in order.
const RECORDED: &str = "create table seen (place serial, id int, status text);
    create function note_status() returns trigger language plpgsql as
    $$ begin insert into public.seen (id, status) values (new.id, new.status); return new; end $$;
    create trigger note_status before insert or update of status on configuration_update for each row execute function note_status()";

#[tokio::test]
async fn an_older_event_that_fails_later_does_not_count() {
    let (database, receiver, _dispatcher) = dispatched("retry_schedule => '{1h}'").await;
    receiver.answer_once(500, &[], b"");
    insert_pending(&database, 1).await;
    database
        .until("select exists (select from postrider.delivery_status where next_attempt_at > now())")
        .await;
    database.until(&all_are("in_progress")).await;
    database.execute("update configuration_update set status = 'pending'").await;
    database.until(&all_are("complete")).await;
    receiver.answer(500);

    database.make_due().await;

    database.until("select status = 'failed' from postrider.outbox order by id limit 1").await;
    database.until(ALL_WRITTEN).await;
    assert!(database.is(&all_are("complete")).await);
}

#[tokio::test]
async fn a_row_that_is_pending_again_is_not_complete_before_its_new_event_has_arrived() {
    let (database, receiver) = configuration_update("max_in_flight => 1").await;
    database.execute(RECORDED).await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    receiver.hold();
    insert_pending(&database, 1).await;
    database.until(&all_are("in_progress")).await;
    database.execute("update configuration_update set status = 'pending'").await;
    database.until("select count(*) = 2 from postrider.outbox where status = 'in_progress'").await;

    receiver.let_pass(1).await;
    database.until("select status = 'complete' from postrider.outbox order by id limit 1").await;
    database.until("select not exists (select from postrider.row_due)").await;
    let between: String = database.value("select status::text from configuration_update").await;
    receiver.release();

    database.until(&all_are("complete")).await;
    assert_eq!(between, "in_progress");
    let seen: String = database.value("select string_agg(status, ' ' order by place) from seen").await;
    assert!(
        seen.ends_with("pending in_progress complete") && seen.matches("complete").count() == 1,
        "{seen}"
    );
}

#[tokio::test]
async fn what_write_back_writes_is_no_change_that_sends_an_event() {
    let (database, _receiver) = one_endpoint("").await;
    database.execute("create table job (id int primary key, status text)").await;
    attach(&database, "'job', 'a', status => 'status'").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    database.execute("insert into job select generate_series(1, 20)").await;
    database.until(ALL_WRITTEN).await;

    // Heard, it would have been inserted with the write.
    let events: i64 = database.value("select count(*) from postrider.outbox").await;

    assert_eq!(events, 20);
    assert!(database.is("select bool_and(status = 'complete') from job").await);
}

#[tokio::test]
async fn triggers_of_the_tables_owner_run_and_what_they_do_elsewhere_is_heard() {
    let (database, receiver) = one_endpoint("").await;
    database
        .execute(
            "create table job (id int primary key, status text, updated_at timestamptz);
             create table invoice (job int primary key);
             create function touch() returns trigger language plpgsql as $$ begin new.updated_at := now(); return new; end $$;
             create function bill() returns trigger language plpgsql as $$ begin insert into invoice values (new.id); return null; end $$;
             create trigger touch before update on job for each row execute function touch();
             create trigger bill after update on job for each row when (new.status = 'complete') execute function bill()",
        )
        .await;
    attach(&database, "'job', 'job', status => 'status'").await;
    attach(&database, "'invoice', 'invoice'").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    database.execute("insert into job values (1), (2)").await;

    eventually("jobs and invoices arrive", || async { receiver.count() == 4 }).await;
    database.until(ALL_WRITTEN).await;
    database
        .assert_rows(
            "select topic, count(*) as events from postrider.outbox group by 1 order by 1",
            vec![json!({"topic": "invoice", "events": 2}), json!({"topic": "job", "events": 2})],
        )
        .await;
    assert!(database.is("select bool_and(updated_at is not null) from job").await);
}

#[tokio::test]
async fn an_event_that_was_deleted_before_its_row_could_be_written_is_not_forgotten() {
    let (database, receiver, _dispatcher) = dispatched("").await;
    receiver.hold();
    insert_pending(&database, 1).await;
    database.until(&all_are("in_progress")).await;
    let stranger = Stranger::begin(&database, "select from configuration_update for update").await;
    receiver.release();
    database.until("select status = 'complete' from postrider.outbox").await;
    // As retention does, days later.
    database.execute("delete from postrider.delivery; delete from postrider.outbox").await;

    stranger.rollback().await;

    database.until(&all_are("complete")).await;
}

/// A row whose event is complete, and whose status is due to be written by whoever calls the function; the dispatcher is gone.
async fn due_row() -> (Database, Receiver) {
    let (database, receiver, dispatcher) = dispatched("").await;
    receiver.hold();
    insert_pending(&database, 1).await;
    database.until(&all_are("in_progress")).await;
    let stranger = Stranger::begin(&database, "select from configuration_update for update").await;
    receiver.release();
    database.until("select status = 'complete' from postrider.outbox").await;
    dispatcher.kill().await;
    stranger.rollback().await;
    database.execute("update postrider.row_due set due_at = clock_timestamp()").await;
    (database, receiver)
}

/// One batch of everything that is due; `None`: a lock was not to be had.
async fn write_back(client: &Client) -> Option<(i32, i32)> {
    let sql = "select w.written, w.held_up from postrider.write_back(
                   (select attachment_no from postrider.attachment), array(select id from postrider.row_due)) as w";
    let row = client.query_one(sql, &[]).await.ok()?;
    Some((row.get(0), row.get(1)))
}

#[tokio::test]
async fn a_row_that_somebody_changes_is_left_alone_at_once() {
    let (database, _receiver) = due_row().await;
    let stranger =
        Stranger::begin(&database, "update configuration_update set status = 'pending' returning id").await;

    let done = write_back(&database.client).await;
    stranger.commit().await;

    assert_eq!(done, Some((0, 1)));
    assert!(database.is(&all_are("pending")).await);
    // Its new event is the newest one now, and is not on its way yet.
    assert_eq!(write_back(&database.client).await, Some((0, 0)));
    assert!(database.is(&all_are("pending")).await);
}

#[tokio::test]
async fn the_newest_event_is_read_after_the_row_is_locked() {
    let (database, _receiver) = due_row().await;
    // To lock the row it has to wait for a lock on the table, which ends with a new event. A wait that took too long is tried again.
    loop {
        let writer = database.connect().await;
        let stranger = Stranger::begin(
            &database,
            "with changed as (update configuration_update set status = 'pending' returning id) select id from changed",
        )
        .await;
        stranger
            .client
            .batch_execute("lock table configuration_update in access exclusive mode")
            .await
            .unwrap();
        let pid: i32 = writer.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
        let waits = format!("select exists (select from pg_locks where pid = {pid} and not granted)");
        let has_ended = Cell::new(false);
        let write = async {
            let done = write_back(&writer).await;
            has_ended.set(true);
            done
        };
        let meet = async {
            while !has_ended.get() {
                if database.is(&waits).await {
                    return stranger.commit().await;
                }
            }
        };

        let (done, ()) = tokio::join!(write, meet);

        if let Some(done) = done {
            assert_eq!(done, (0, 0));
            break;
        }
    }
    assert!(database.is(&all_are("pending")).await);
}
