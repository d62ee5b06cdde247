//! Skip, retry, replay and cancel where a dispatcher keeps the order of a key: what receivers get.

use serde_json::json;

use crate::support::{Database, Dispatcher, Receiver, one_endpoint};

const BLOCKS: &str = "ordered => true, retry_schedule => '{1ms}'";
const CONTINUES: &str = "ordered => true, on_failed => 'continue', retry_schedule => '{1ms}'";

#[tokio::test]
async fn what_waits_behind_a_skipped_delivery_is_sent_in_order() {
    let (database, receiver, _dispatcher) = held_up().await;

    database
        .execute(
            "select postrider.skip(delivery_id, 'wrong') from postrider.delivery_status where event_id = 1",
        )
        .await;
    database.until_settled().await;

    assert_eq!(bodies(&receiver), ["1", "1", "2", "3"]);
    database
        .assert_row(
            "select array_agg(status::text order by id) as statuses from postrider.outbox",
            json!({"statuses": ["failed", "complete", "complete"]}),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_failed_delivery_that_is_retried_is_sent_before_what_waits_behind_it() {
    let (database, receiver, _dispatcher) = held_up().await;

    let is_behind: bool = database
        .value("select r.is_behind from postrider.delivery_status as d cross join postrider.retry(d.delivery_id) as r where d.event_id = 1")
        .await;
    database.until_settled().await;

    assert!(!is_behind);
    assert_eq!(bodies(&receiver), ["1", "1", "1", "2", "3"]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_cancelled_event_lets_what_waits_behind_it_be_sent() {
    let (database, receiver, _dispatcher) = held_up().await;

    database.execute("select postrider.cancel(1)").await;
    database.until_settled().await;

    assert_eq!(bodies(&receiver), ["1", "1", "2", "3"]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_key_that_is_skipped_goes_on_with_what_comes_later() {
    let (database, receiver, _dispatcher) = held_up().await;

    let skipped: i64 = database.value("select postrider.skip_key('one', 'k')").await;
    insert(&database, 4).await;
    database.until_settled().await;

    assert_eq!(skipped, 3);
    assert_eq!(bodies(&receiver), ["1", "1", "4"]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_delivery_whose_key_went_on_is_sent_behind_what_waits_there() {
    let (database, receiver, _dispatcher) = one_endpoint(CONTINUES, &[]).await;
    fail_next(&receiver);
    insert(&database, 1).await;
    database.until_settled().await;
    database.execute("select postrider.pause_endpoint('one')").await;
    insert(&database, 2).await;
    insert(&database, 3).await;
    database.until("select count(*) = 3 from postrider.delivery_status").await;

    let is_behind: bool = database
        .value("select r.is_behind from postrider.delivery_status as d cross join postrider.retry(d.delivery_id) as r where d.event_id = 1")
        .await;
    database.execute("select postrider.resume_endpoint('one')").await;
    database.until_settled().await;

    assert!(is_behind);
    assert_eq!(bodies(&receiver), ["1", "1", "2", "3", "1"]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn replayed_events_of_a_key_are_sent_in_their_order_behind_what_waits_there() {
    let (database, receiver, _dispatcher) = one_endpoint(BLOCKS, &[]).await;
    for number in 1..=3 {
        insert(&database, number).await;
    }
    database.until_settled().await;
    database.execute("select postrider.pause_endpoint('one')").await;
    insert(&database, 4).await;
    database.until("select count(*) = 4 from postrider.delivery_status").await;

    let replayed: i64 = database.value("select replayed from postrider.replay('one', '-infinity')").await;
    database.execute("select postrider.resume_endpoint('one')").await;
    database.until_settled().await;

    assert_eq!(replayed, 3);
    assert_eq!(bodies(&receiver), ["1", "2", "3", "4", "1", "2", "3"]);
    database.assert_counts_agree().await;
}

/// Three events of one key, of which the first has failed and holds up the others.
async fn held_up() -> (Database, Receiver, Dispatcher) {
    let (database, receiver, dispatcher) = one_endpoint(BLOCKS, &[]).await;
    fail_next(&receiver);
    insert(&database, 1).await;
    database.until("select exists (select from postrider.delivery_status where status = 'failed')").await;
    for number in [2, 3] {
        insert(&database, number).await;
    }
    database.until("select count(*) = 3 from postrider.delivery_status").await;
    (database, receiver, dispatcher)
}

/// The next delivery fails for good: both of its attempts.
fn fail_next(receiver: &Receiver) {
    receiver.answer_once(500, &[], b"");
    receiver.answer_once(500, &[], b"");
}

async fn insert(database: &Database, number: i32) {
    database
        .execute(&format!(
            "insert into postrider.outbox (topic, payload, key) values ('order.changed', '{number}', 'k')"
        ))
        .await;
}

fn bodies(receiver: &Receiver) -> Vec<String> {
    receiver.all().iter().map(|request| request.text().to_owned()).collect()
}
