//! A dump or a report that keeps an old snapshot open for hours: nothing of what was finished since can be vacuumed, and
//! index entries of the dead pile up where claims begin. Their cost must not grow with that.
//!
//! Each test has a server of its own: a transaction that another test keeps open in another database of the same server
//! holds back the watermark of routing, and with it what is counted here.

use crate::support::{Database, Dispatcher, Receiver, Server};

/// Routed, and in the way.
const FINISHED: usize = 5_000;
/// Waited until they were claimed, and in the way: so many that to walk them takes its time.
const WAITED: usize = 200_000;
/// Delivered one by one, each with several looks.
const SINGLE: usize = 50;

#[tokio::test]
async fn new_events_are_found_without_a_walk_through_what_was_routed_under_an_old_snapshot() {
    let server = Server::start().await;
    let (database, receiver) = with_an_endpoint(&server).await;
    let _old = old_snapshot(&database).await;
    let first = Dispatcher::start(&database, &[]).await;
    database.insert_many("order.created", FINISHED).await;
    database.until_settled().await;

    stop(&database, first).await;

    let read = entries_read_for_single_events(&database, &receiver, "outbox_by_transaction").await;

    assert!(read < 10 * FINISHED, "{read} entries");
}

#[tokio::test]
async fn due_deliveries_are_found_without_a_walk_through_what_waited_under_an_old_snapshot() {
    let server = Server::start().await;
    let (database, receiver) = with_an_endpoint(&server).await;
    let _old = old_snapshot(&database).await;
    database
        .execute(&format!(
            "insert into postrider.delivery (event_id, endpoint_no, status, due_at)
             select 1000000000 + n, 1, 'pending', clock_timestamp() from generate_series(1, {WAITED}) as n;
             update postrider.delivery set status = 'complete', due_at = null, completed_at = now()"
        ))
        .await;

    let read = entries_read_for_single_events(&database, &receiver, "delivery_due").await;

    // One search for each event would read all of them so many times.
    assert!(read < SINGLE / 2 * WAITED, "{read} entries");
}

async fn with_an_endpoint(server: &Server) -> (Database, Receiver) {
    let database = server.database().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    (database, receiver)
}

/// As a dump takes it.
async fn old_snapshot(database: &Database) -> tokio_postgres::Client {
    let client = database.connect().await;
    client
        .batch_execute(
            "begin isolation level repeatable read read only; select count(*) from postrider.outbox",
        )
        .await
        .unwrap();
    client
}

/// Stops it, and waits for the end of its sessions: they tell what they have read.
async fn stop(database: &Database, dispatcher: Dispatcher) {
    assert!(dispatcher.terminate().await.success());
    database
        .until(
            "select not exists (select from pg_stat_activity
                 where datname = current_database() and application_name = 'postrider')",
        )
        .await;
}

/// How many entries of an index are read, by another dispatcher, for events that come one by one.
async fn entries_read_for_single_events(database: &Database, receiver: &Receiver, index: &str) -> usize {
    let read = format!("select idx_tup_read from pg_stat_user_indexes where indexrelname = '{index}'");
    let read_before: i64 = database.value(&read).await;
    let arrived = receiver.count();
    let dispatcher = Dispatcher::start(database, &[]).await;
    for number in 1..=SINGLE {
        database.insert("order.created", "1").await;
        crate::support::eventually("it arrives", || async { receiver.count() >= arrived + number }).await;
    }
    database.until_settled().await;
    stop(database, dispatcher).await;
    let read_after: i64 = database.value(&read).await;
    usize::try_from(read_after - read_before).unwrap()
}
