//! What a dispatcher survives: the loss of its connections, and of its lease.

use std::time::Duration;

use crate::support::{Database, Dispatcher, Receiver, eventually, one_endpoint};

const SHORT_LEASE: [&str; 4] = ["--lease", "2s", "--request-timeout", "1s"];
/// No attempt ends meanwhile.
const LONG_ATTEMPT: [&str; 4] = ["--lease", "30s", "--request-timeout", "15s"];

#[tokio::test]
async fn connections_lost_under_load_lose_no_event() {
    let (database, receiver, _dispatcher) = lose_connections_under_load().await;

    database.until_settled().await;

    assert_eq!(receiver.webhook_ids().len(), 2000);
}

#[tokio::test]
async fn connections_lost_under_load_leave_no_claim() {
    let (database, _receiver, _dispatcher) = lose_connections_under_load().await;

    database.until_settled().await;

    database.until("select not exists (select from postrider.claim)").await;
}

#[tokio::test]
async fn a_dispatcher_that_stood_still_beyond_its_lease_loses_its_claims_to_another() {
    let (database, receiver, still) = one_endpoint("", &SHORT_LEASE).await;
    receiver.hold();
    database.insert_many("order.created", 50).await;
    receiver.next().await;
    still.signal("STOP").await;

    receiver.release();
    let _other = Dispatcher::start(&database, &SHORT_LEASE).await;
    database.until_settled().await;

    assert_eq!(database.count("complete").await, 50);
}

#[tokio::test]
async fn a_dispatcher_that_stood_still_beyond_its_lease_goes_on_as_a_new_one() {
    let (database, receiver, still) = one_endpoint("", &SHORT_LEASE).await;
    let id: i64 = database.value("select dispatcher_id from postrider.dispatcher_status").await;
    still.signal("STOP").await;
    let other = Dispatcher::start(&database, &SHORT_LEASE).await;
    database
        .until(&format!(
            "select not exists (select from postrider.dispatcher_status where dispatcher_id = {id})"
        ))
        .await;

    still.signal("CONT").await;
    still.logged("lease lost").await;
    assert!(other.terminate().await.success());
    database.insert("order.created", "1").await;

    assert_eq!(receiver.next().await.text(), "1");
}

#[tokio::test]
async fn an_outcome_that_comes_after_the_claim_was_lost_is_not_written() {
    let flags = ["--lease", "4s", "--request-timeout", "2s"];
    let (database, receiver, still) = one_endpoint("", &flags).await;
    receiver.hold();
    database.insert("order.created", "1").await;
    receiver.next().await;
    // The first request is answered while nobody reads the answer, the second is not.
    still.signal("STOP").await;
    receiver.release();
    eventually("the first is answered", || async { receiver.under_way() == 0 }).await;
    receiver.hold();
    let _other = Dispatcher::start(&database, &flags).await;
    receiver.next().await;

    still.signal("CONT").await;
    still.logged("their claims were lost").await;

    assert_eq!(database.count("in_progress").await, 1);
}

#[tokio::test]
async fn what_was_taken_back_before_it_was_begun_is_not_sent_by_the_one_that_lost_it() {
    let (database, receiver, dispatcher) = one_endpoint("max_in_flight => 4", &LONG_ATTEMPT).await;
    receiver.hold();
    database.insert_many("order.created", 400).await;
    // Four are under way, more are claimed and queued.
    database.until("select unrouted = 0 and in_progress > 16 from postrider.backlog").await;
    eventually("four are under way", || async { receiver.under_way() == 4 }).await;
    take_everything_back(&database).await;
    dispatcher.logged("lease lost").await;

    receiver.release();
    database.until_settled().await;

    // What had been begun is sent again: its outcome came too late.
    assert_eq!(receiver.webhook_ids().len(), 400);
    assert_eq!(receiver.count(), 404);
}

/// All claims are taken back as from a dispatcher whose lease ended, and its row is removed. It learns so at once: a probe
/// makes it renew its lease. Later it would have released what waits for an endpoint that does not answer.
async fn take_everything_back(database: &Database) {
    database
        .execute(
            "update postrider.delivery \
             set status = 'pending', claim_id = null, due_at = clock_timestamp() where claim_id is not null; \
             delete from postrider.claim; \
             delete from postrider.dispatcher; \
             notify postrider_probe",
        )
        .await;
}

#[tokio::test]
async fn nothing_is_begun_while_the_lease_cannot_be_renewed() {
    let (database, receiver, _dispatcher) = one_endpoint("", &SHORT_LEASE).await;
    let lock = database.connect().await;
    // Renewals wait; claims, which refer to the row, do not.
    lock.batch_execute("begin; select from postrider.dispatcher for no key update").await.unwrap();
    database.until("select lease_until < clock_timestamp() from postrider.dispatcher_status").await;

    database.insert("order.created", "1").await;
    database
        .until(
            "select lease_until < clock_timestamp() - interval '1 second' from postrider.dispatcher_status",
        )
        .await;
    let before = receiver.count();
    lock.batch_execute("rollback").await.unwrap();
    receiver.next().await;

    assert_eq!(before, 0);
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_given_back() {
    let (database, receiver, _dispatcher) = one_endpoint("", &["--lease", "1h"]).await;
    database.execute("select postrider.pause_endpoint('one')").await;
    database.insert("order.created", "1").await;
    database.until("select count(*) = 1 from postrider.delivery_status where status = 'pending'").await;
    // As if the dispatcher had claimed it and never heard of it.
    database
        .execute(
            "with claim as ( \
                 insert into postrider.claim (dispatcher_id, delivery_ids) \
                 select d.id, array(select id from postrider.delivery) from postrider.dispatcher as d returning id) \
             update postrider.delivery \
             set status = 'in_progress', due_at = null, attempts = 1, claim_id = (select id from claim)",
        )
        .await;
    database.execute("select postrider.resume_endpoint('one')").await;

    fail_a_round(&database).await;

    assert_eq!(receiver.next().await.text(), "1");
}

/// All connections of the dispatcher are cut five times in the middle of 2000 events.
async fn lose_connections_under_load() -> (Database, Receiver, Dispatcher) {
    let (database, receiver, dispatcher) = one_endpoint("", &SHORT_LEASE).await;
    receiver.answer_after(Duration::from_millis(20));
    for _ in 0..5 {
        let before = receiver.count();
        database.insert_many("order.created", 400).await;
        eventually("some arrive", || async { receiver.count() >= before + 50 }).await;
        cut_connections(&database).await;
    }
    (database, receiver, dispatcher)
}

/// The dispatcher's next look at what is due is cancelled in the middle.
async fn fail_a_round(database: &Database) {
    let lock = database.connect().await;
    lock.batch_execute("begin; lock postrider.delivery in access exclusive mode").await.unwrap();
    database
        .until(
            "select coalesce(bool_or(pg_cancel_backend(pid)), false) from pg_stat_activity \
             where datname = current_database() and application_name = 'postrider' and wait_event_type = 'Lock' \
               and query like '%recursive waiting%'",
        )
        .await;
    lock.batch_execute("rollback").await.unwrap();
}

async fn cut_connections(database: &Database) {
    database
        .execute(
            "select pg_terminate_backend(pid) from pg_stat_activity \
             where datname = current_database() and application_name like 'postrider%'",
        )
        .await;
}
