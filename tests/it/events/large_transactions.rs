//! Great numbers in one transaction, in bounded memory.

use crate::support::{Database, Dispatcher, one_endpoint};

/// Rows that nobody subscribes to: routing alone.
const UNWANTED_ROWS: usize = 1_000_000;
/// Rows that are delivered.
const ROWS: usize = 20_000;
/// A dispatcher that holds its limits stays far below, whatever the number of rows.
const MEMORY_MAX_MIB: u64 = 150;
/// With 64 MiB of payloads in memory, some of them twice: as they come from the database, and as they are sent.
const MEMORY_MAX_WITH_PAYLOADS_MIB: u64 = 200;

#[tokio::test]
async fn a_flood_that_nobody_wants_is_completed_in_bounded_memory() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;

    database.insert_many("order.created", UNWANTED_ROWS).await;
    for part in 1..=20 {
        let id = UNWANTED_ROWS / 20 * part;
        database.until(&format!("select status = 'complete' from postrider.outbox where id = {id}")).await;
    }
    database.until_settled().await;

    let memory = dispatcher.memory_max_mib();
    assert!(memory < MEMORY_MAX_MIB, "{memory} MiB");
}

#[tokio::test]
async fn a_flood_is_delivered_in_bounded_memory() {
    let (database, receiver, dispatcher) = one_endpoint("max_in_flight => 512", &[]).await;

    database.insert_many("order.created", ROWS).await;
    database.until_settled().await;

    assert_eq!(receiver.webhook_ids().len(), ROWS);
    let memory = dispatcher.memory_max_mib();
    assert!(memory < MEMORY_MAX_MIB, "{memory} MiB");
}

#[tokio::test]
async fn a_flood_of_large_payloads_is_delivered_in_bounded_memory() {
    // Text that does not repeat within a few KiB is stored as large as it is.
    let memory = memory_of_large_payloads(
        "repeat((select string_agg(md5(n || '-' || m), '') from generate_series(1, 2048) as m), 4)",
    )
    .await;

    assert!(memory < MEMORY_MAX_WITH_PAYLOADS_MIB, "{memory} MiB");
}

#[tokio::test]
async fn a_flood_of_compressible_payloads_is_delivered_in_bounded_memory() {
    // The same size, a hundredth of it in the table.
    let memory = memory_of_large_payloads("repeat(md5(n::text), 8192)").await;

    assert!(memory < MEMORY_MAX_WITH_PAYLOADS_MIB, "{memory} MiB");
}

/// MiB that it takes at most to deliver 600 payloads of 256 KiB.
async fn memory_of_large_payloads(text: &str) -> u64 {
    let (database, receiver, dispatcher) = one_endpoint("max_in_flight => 512", &[]).await;
    receiver.hold();
    database
        .execute(&format!(
            "insert into postrider.outbox (topic, payload) \
             select 'order.created', json_build_object('text', {text}) from generate_series(1, 600) as n"
        ))
        .await;
    receiver.next().await;
    receiver.release();
    database.until_settled().await;
    assert_eq!(receiver.webhook_ids().len(), 600);
    dispatcher.memory_max_mib()
}
