//! Rows that are taken away or put back by hand while a dispatcher works: truncation, and events out of a backup, which name
//! transactions that mean nothing here.

use serde_json::json;

use crate::support::{
    CommandOutput, Database, Dispatcher, Installation, Receiver, SHORT_LEASE, eventually, one_endpoint,
};

/// Puts the rows of `saved` back as a backup has them.
const PUT_BACK: &str = "
    insert into postrider.outbox (id, created_xid, created_at, status, topic, payload) overriding system value
    select id, created_xid, created_at, status, topic, payload from saved";

#[tokio::test]
async fn events_that_are_put_back_with_the_transactions_that_first_inserted_them_are_sent() {
    let (database, receiver, dispatcher) = with_saved_events().await;

    database.execute(PUT_BACK).await;

    until_all_are_sent(&database, &receiver).await;
    // Nobody had to search for them.
    assert!(!dispatcher.log().contains("were put back"), "{}", dispatcher.log());
}

#[tokio::test]
async fn events_that_are_put_back_with_transactions_of_the_far_future_are_sent() {
    let (database, receiver, _dispatcher) = with_saved_events().await;
    database.execute("update saved set created_xid = '9223372036854775000'").await;

    database.execute(PUT_BACK).await;

    until_all_are_sent(&database, &receiver).await;
    // They hold nothing up behind them.
    database.insert("order.created", "\"later\"").await;
    database.until_settled().await;
    assert!(database.is("select max(created_xid) < pg_current_xact_id() from postrider.outbox").await);
}

#[tokio::test]
async fn events_that_a_session_puts_back_in_which_triggers_do_not_fire_are_sent() {
    let (database, receiver, _dispatcher) = with_saved_events().await;

    database
        .execute(&format!(
            "set session_replication_role = replica; {PUT_BACK}; reset session_replication_role"
        ))
        .await;

    until_all_are_sent(&database, &receiver).await;
}

#[tokio::test]
async fn events_that_are_put_back_while_every_trigger_is_disabled_are_found_by_and_by_and_sent() {
    let (database, receiver, dispatcher) = with_saved_events().await;

    // As `pg_restore --data-only --disable-triggers` does it.
    database
        .execute(&format!(
            "begin; alter table postrider.outbox disable trigger all; {PUT_BACK};
             alter table postrider.outbox enable trigger all; commit"
        ))
        .await;

    until_all_are_sent(&database, &receiver).await;
    dispatcher.logged("found 3 events that were put back").await;
}

#[tokio::test]
async fn events_that_copy_puts_back_are_sent() {
    let source = Installation::start().await;
    if !source.can_be_dumped("database::rows_put_back::events_that_copy_puts_back_are_sent").await {
        return;
    }
    let receiver = Receiver::start().await;
    source.database.migrate().await;
    source.database.put_endpoint("one", &receiver.url(), "**", "").await;
    source.database.insert_many("order.created", 3).await;
    // As `pg_dump -t postrider.outbox` has them.
    source.dump(&["--data-only", "--table=postrider.outbox"]).await;
    source.database.execute("delete from postrider.outbox").await;
    let _dispatcher = Dispatcher::start(&source.database, &[]).await;
    source.burn(100).await;
    source.database.until(WATERMARK_IS_ABOVE).await;

    source.restore_into(&source, &["--data-only"]).await;

    until_all_are_sent(&source.database, &receiver).await;
}

#[tokio::test]
async fn what_is_truncated_is_gone_and_what_is_inserted_afterwards_is_sent() {
    let (database, receiver, dispatcher) = one_endpoint("retry_schedule => '{1h}'", &[]).await;
    receiver.answer(500);
    database.insert_many("order.created", 3).await;
    database
        .until("select count(*) = 3 from postrider.delivery where status = 'pending' and attempts = 1")
        .await;
    receiver.answer(200);

    database.execute("truncate postrider.outbox, postrider.delivery, postrider.attempt, postrider.claim restart identity").await;
    database.insert("order.created", "\"after\"").await;

    database.until_settled().await;
    database
        .assert_row(
            "select count(*) as events, min(status::text) as status from postrider.outbox",
            json!({"events": 1, "status": "complete"}),
        )
        .await;
    assert_eq!(receiver.all().iter().filter(|request| request.text() == "\"after\"").count(), 1);
    assert_eq!(receiver.count(), 4);
    database.assert_counts_agree().await;
    assert!(dispatcher.terminate().await.success());
}

#[tokio::test]
async fn what_is_truncated_while_it_is_under_way_holds_nobody_up() {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    receiver.hold();
    database.insert_many("order.created", 3).await;
    eventually("three are under way", || async { receiver.under_way() == 3 }).await;

    database
        .execute("truncate postrider.outbox, postrider.delivery, postrider.attempt, postrider.claim")
        .await;
    database.insert("order.created", "\"after\"").await;
    receiver.release();

    database.until_settled().await;
    assert_eq!(database.count("complete").await, 1);
    database.assert_counts_agree().await;
    assert!(dispatcher.terminate().await.success());
}

#[tokio::test]
async fn events_whose_deliveries_are_truncated_alone_are_sent_anew_unless_they_were_cancelled() {
    let (database, receiver, dispatcher) = one_endpoint("retry_schedule => '{1h}'", &SHORT_LEASE).await;
    receiver.answer(500);
    database.insert_many("order.created", 4).await;
    database
        .until("select count(*) = 4 from postrider.delivery where status = 'pending' and attempts = 1")
        .await;
    receiver.answer(200);

    database
        .execute(
            "update postrider.outbox set cancelled_at = now() where id = (select min(id) from postrider.outbox);
             truncate postrider.delivery",
        )
        .await;

    database.until("select count(*) = 3 from postrider.outbox where status = 'complete'").await;
    database.until_settled().await;
    database
        .assert_row(
            "select status, deliveries from postrider.outbox where cancelled_at is not null",
            json!({"status": "failed", "deliveries": 0}),
        )
        .await;
    assert_eq!((receiver.count(), receiver.webhook_ids().len()), (7, 4));
    dispatcher.logged("events in progress without their deliveries").await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn deliveries_that_are_truncated_while_they_are_under_way_are_sent_again_and_leave_no_claim() {
    let (database, receiver, _dispatcher) = one_endpoint("", &SHORT_LEASE).await;
    receiver.hold();
    database.insert_many("order.created", 3).await;
    eventually("three are under way", || async { receiver.under_way() == 3 }).await;

    database.execute("truncate postrider.delivery").await;
    receiver.release();

    database.until("select count(*) = 3 from postrider.outbox where status = 'complete'").await;
    database.until("select not exists (select from postrider.claim)").await;
    assert_eq!(receiver.webhook_ids().len(), 3);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn an_event_that_was_restored_without_its_deliveries_is_cancelled_in_a_copy() {
    let database = Database::new().await;
    database.insert_many("order.created", 2).await;
    database
        .execute(
            "update postrider.outbox set status = 'in_progress', deliveries = 2, open_deliveries = 1, failed = 0
             where id = (select min(id) from postrider.outbox)",
        )
        .await;

    let adopted = CommandOutput::run(&database.url, &["adopt", "--as", "copy", "--yes"]).await;

    assert_eq!(adopted.code, Some(0), "{}", adopted.stderr);
    database
        .assert_row(
            "select count(*) filter (where status = 'failed' and cancelled_at is not null) as cancelled, sum(failed) as failed
             from postrider.outbox",
            json!({"cancelled": 2, "failed": 1}),
        )
        .await;
}

const WATERMARK_IS_ABOVE: &str = "select routed_below > (select coalesce(max(created_xid), '3') from postrider.outbox) from postrider.installation";

/// Three unrouted events that were saved into a table and deleted, and a dispatcher whose watermark has moved on.
async fn with_saved_events() -> (Database, Receiver, Dispatcher) {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.insert_many("order.created", 3).await;
    database
        .execute("create table saved as select * from postrider.outbox; delete from postrider.outbox")
        .await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    let dispatcher = Dispatcher::start(&database, &["--lease", "4s", "--request-timeout", "2s"]).await;
    database.insert("order.created", "\"another\"").await;
    database.until_settled().await;
    database.until(WATERMARK_IS_ABOVE).await;
    (database, receiver, dispatcher)
}

async fn until_all_are_sent(database: &Database, receiver: &Receiver) {
    database.until("select count(*) filter (where status = 'complete') >= 3 from postrider.outbox").await;
    database.until_settled().await;
    let sent = |n: usize| {
        receiver.all().iter().filter(|request| request.text().contains(&format!("\"number\" : {n}"))).count()
    };
    assert_eq!([sent(1), sent(2), sent(3)], [1, 1, 1]);
    assert!(database.is("select unrouted = 0 from postrider.backlog").await);
    database.assert_counts_agree().await;
}
