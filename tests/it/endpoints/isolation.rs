//! Endpoints that take nothing, beside others: however many they are, the others do not wait for them.

use crate::support::{Database, Dispatcher, Receiver, eventually};

/// Nothing of what hangs ends before the test does: no time-out frees a slot, and no circuit opens.
const FOREVER: [&str; 4] = ["--request-timeout", "2m", "--lease", "4m"];

#[tokio::test]
async fn one_of_a_hundred_endpoints_that_hangs_does_not_delay_the_others() {
    let (database, hanging, fine) = endpoints(1, 99).await;
    hanging.hold();
    let _dispatcher = Dispatcher::start(&database, &FOREVER).await;

    database.insert_many("order.created", 50).await;

    eventually("the others have theirs", || async { fine.count() == 99 * 50 }).await;
    assert!(hanging.under_way() > 0);
}

#[tokio::test]
async fn ninety_nine_of_a_hundred_endpoints_that_hang_do_not_delay_the_last() {
    let (database, hanging, fine) = endpoints(99, 1).await;
    hanging.hold();
    let _dispatcher = Dispatcher::start(&database, &FOREVER).await;
    database.insert_many("order.created", 50).await;
    eventually("all hang", || async { hanging.under_way() >= 99 }).await;

    for number in 0..20 {
        database.insert("order.created", &format!("\"fresh {number}\"")).await;
    }

    eventually("the last has all of its events", || async { fine.count() == 70 }).await;
    assert!(hanging.under_way() < 512, "{} of 512", hanging.under_way());
}

#[tokio::test]
async fn endpoints_that_answered_and_hang_now_do_not_delay_another() {
    let (database, hanging, fine) = endpoints(20, 1).await;
    let _dispatcher = Dispatcher::start(&database, &FOREVER).await;
    database.insert_many("order.created", 100).await;
    database.until_settled().await;

    hanging.hold();
    database.insert_many("order.created", 500).await;
    eventually("all hang", || async { hanging.under_way() >= 20 }).await;
    for number in 0..20 {
        database.insert("order.created", &format!("\"fresh {number}\"")).await;
    }

    eventually("the other has all of its events", || async { fine.count() == 620 }).await;
}

#[tokio::test]
async fn endpoints_that_hang_with_large_payloads_leave_memory_to_another() {
    let (database, hanging, fine) = endpoints(70, 1).await;
    hanging.hold();
    let _dispatcher = Dispatcher::start(&database, &FOREVER).await;
    database
        .execute(
            "insert into postrider.outbox (topic, payload, destination)
             select 'a', to_json(repeat(md5(n::text), 32767)), 'hanging-' || m
             from generate_series(1, 70) as m, generate_series(1, 2) as n",
        )
        .await;
    // Of 140 payloads of a mebibyte all that are taken into memory, or nearly so.
    eventually("they hang", || async { hanging.under_way() >= 60 }).await;

    // One after the other, so that whatever else fits is taken meanwhile.
    for _ in 0..100 {
        database
            .execute(
                "insert into postrider.outbox (topic, payload, destination) values ('a', '{}', 'fine-1')",
            )
            .await;
        fine.next().await;
    }

    assert_eq!(hanging.under_way(), 60);
}

#[tokio::test]
async fn endpoints_that_recover_together_are_each_ramped_up() {
    let (database, _, receiver) = endpoints(0, 30).await;
    receiver.answer(503);
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    database.insert_many("order.created", 60).await;
    database.until("select bool_and(circuit = 'open') from postrider.endpoint_health").await;
    // A probe that is still on its way when the receiver is held would be there twice.
    database.put_off_probes().await;
    // What is still on its way fails, too, and is not due for an hour: what is made due below must include it.
    database.until("select not exists (select from postrider.delivery_in_progress)").await;
    database.put_off_probes().await;
    receiver.answer(200);
    receiver.hold();

    database.make_due().await;
    database.make_probes_due().await;
    database.until("select bool_and(circuit = 'half_open') from postrider.endpoint_health").await;
    eventually("each is probed", || async { receiver.under_way() >= 30 }).await;
    let probes = receiver.under_way();
    receiver.release();
    database.until_settled().await;

    assert_eq!(probes, 30);
    assert_eq!(receiver.webhook_ids().len(), 60);
}

/// So many endpoints `hanging-1` … and `fine-1` …, which subscribe to everything; each kind is one receiver.
async fn endpoints(hanging_count: usize, fine_count: usize) -> (Database, Receiver, Receiver) {
    let database = Database::new().await;
    let (hanging, fine) = (Receiver::start().await, Receiver::start().await);
    for (name, receiver, count) in [("hanging", &hanging, hanging_count), ("fine", &fine, fine_count)] {
        database
            .execute(&format!(
                "select postrider.put_endpoint('{name}-' || n, '{}', '{{**}}', retry_schedule => array_fill(interval '1 h', array[40]))
                 from generate_series(1, {count}) as n",
                receiver.url()
            ))
            .await;
    }
    (database, hanging, fine)
}
