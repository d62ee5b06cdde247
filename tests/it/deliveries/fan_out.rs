//! From INSERT to a signed POST, and back into the status views: who receives what, and when.

use serde_json::json;

use crate::support::{Database, Dispatcher, Receiver, eventually, one_endpoint};

#[tokio::test]
async fn a_committed_event_reaches_every_matching_endpoint_exactly_once() {
    let database = Database::new().await;
    let (one, two, other) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    database.put_endpoint("one", &one.url(), "order.*", "").await;
    database.put_endpoint("two", &two.url(), "**,order.created", "").await;
    database.put_endpoint("other", &other.url(), "invoice.*", "").await;
    let dispatcher = Dispatcher::start(&database, &[]).await;

    for number in 0..100 {
        database.insert("order.created", &format!("{{\"number\": {number}}}")).await;
    }
    database.until_settled().await;

    assert_eq!((one.count(), two.count(), other.count()), (100, 100, 0));
    for request in one.all().iter().chain(&two.all()) {
        request.verify();
    }
    database
        .assert_row(
            "select distinct status, attempts from postrider.delivery_status",
            json!({"status": "complete", "attempts": 1}),
        )
        .await;
    assert!(dispatcher.terminate().await.success());
}

#[tokio::test]
async fn a_rolled_back_event_reaches_nobody() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;

    database
        .execute(
            "begin; insert into postrider.outbox (topic, payload) values ('order.created', '\"rolled back\"'); rollback",
        )
        .await;
    database
        .execute(
            "begin; savepoint a; insert into postrider.outbox (topic, payload) values ('order.created', '\"undone\"'); \
             rollback to a; commit",
        )
        .await;
    database.insert("order.created", "\"committed\"").await;
    let first = receiver.next().await;
    database.until_settled().await;

    assert_eq!(first.text(), "\"committed\"");
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn an_event_that_matches_no_endpoint_is_complete_with_no_deliveries() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "order.*", "").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    database.insert("invoice.paid", "{}").await;
    database.until_settled().await;

    database
        .assert_row(
            "select status, deliveries, completed_at is not null as is_completed from postrider.outbox",
            json!({"status": "complete", "deliveries": 0, "is_completed": true}),
        )
        .await;
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn a_destination_receives_its_event_alone_whatever_it_subscribes_to() {
    let database = Database::new().await;
    let (named, other) = (Receiver::start().await, Receiver::start().await);
    database.put_endpoint("named", &named.url(), "", "").await;
    database.put_endpoint("other", &other.url(), "**", "").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    database
        .execute("insert into postrider.outbox (topic, payload, destination) values ('order.created', '1', 'named')")
        .await;
    database.until_settled().await;

    assert_eq!((named.count(), other.count()), (1, 0));
}

#[tokio::test]
async fn deliver_after_holds_an_event_back() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;

    database
        .execute(
            "insert into postrider.outbox (topic, payload, deliver_after) \
             values ('order.created', '\"later\"', now() + interval '1 day')",
        )
        .await;
    database.insert("order.created", "\"now\"").await;
    let first = receiver.next().await;
    database.until("select count(*) = 1 from postrider.delivery_status where status = 'complete'").await;

    assert_eq!(first.text(), "\"now\"");
    database
        .assert_row(
            "select d.status as delivery_status, d.attempts, o.status as event_status,
                    d.next_attempt_at between o.deliver_after - interval '1 second' and o.deliver_after + interval '1 minute'
                        as is_due_then
             from postrider.outbox as o join postrider.delivery_status as d on d.event_id = o.id
             where o.deliver_after is not null",
            json!({"delivery_status": "pending", "attempts": 0, "event_status": "in_progress", "is_due_then": true}),
        )
        .await;
}

#[tokio::test]
async fn an_event_that_was_held_back_is_delivered_once_its_time_has_come() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    database
        .execute(
            "insert into postrider.outbox (topic, payload, deliver_after) \
             values ('order.created', '\"later\"', now() + interval '1 day')",
        )
        .await;
    database.until("select exists (select from postrider.delivery_status)").await;

    database.make_due().await;
    let request = receiver.next().await;

    assert_eq!(request.text(), "\"later\"");
}

#[tokio::test]
async fn an_event_that_is_held_back_is_never_early() {
    let (database, _receiver, _dispatcher) = one_endpoint("", &[]).await;

    database
        .execute(
            "insert into postrider.outbox (topic, payload, deliver_after) \
             select 'order.created', '1', clock_timestamp() + n * interval '70 milliseconds' from generate_series(1, 20) as n",
        )
        .await;
    database.until_settled().await;

    database
        .assert_row(
            "select count(*) filter (where a.started_at < o.deliver_after) as early, count(*) > 0 as are_there
             from postrider.attempt_log as a join postrider.outbox as o on o.id = a.event_id",
            json!({"early": 0, "are_there": true}),
        )
        .await;
}

#[tokio::test]
async fn an_idempotency_key_is_delivered_once() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;

    for payload in ["\"first\"", "\"again\""] {
        database
            .execute(&format!(
                "insert into postrider.outbox (topic, payload, idempotency_key) \
                 values ('order.created', '{payload}', 'order-42') on conflict do nothing"
            ))
            .await;
    }
    database.insert("order.created", "\"marker\"").await;
    eventually("both arrived", || async { receiver.count() >= 2 }).await;
    database.until_settled().await;

    let mut texts: Vec<_> = receiver.all().iter().map(|r| r.text().to_owned()).collect();
    texts.sort();
    assert_eq!(texts, ["\"first\"", "\"marker\""]);
}

#[tokio::test]
async fn an_endpoint_committed_before_an_event_receives_it() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;

    for round in 0..30 {
        // Keeps the dispatcher at work with the copy of the endpoints that it has.
        database.insert_many("noise", 20).await;
        database.put_endpoint(&format!("new-{round}"), &receiver.url(), &format!("new.{round}"), "").await;
        database.insert(&format!("new.{round}"), "1").await;
    }
    database.until_settled().await;

    database
        .assert_row(
            "select deliveries, count(*) from postrider.outbox where topic like 'new.%' group by deliveries",
            json!({"deliveries": 2, "count": 30}),
        )
        .await;
}

#[tokio::test]
async fn an_endpoint_put_in_the_transaction_of_an_event_receives_it() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.insert("noise", "1").await;
    receiver.next().await;

    database
        .execute(&format!(
            "begin; \
             select postrider.put_endpoint('new', '{}', '{{new}}'); \
             insert into postrider.outbox (topic, payload) values ('new', '2'); \
             commit",
            receiver.url()
        ))
        .await;
    database.until_settled().await;

    database
        .assert_row("select deliveries from postrider.outbox where topic = 'new'", json!({"deliveries": 2}))
        .await;
}
