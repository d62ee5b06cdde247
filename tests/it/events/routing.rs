//! Nothing is passed over: what was there before the dispatcher, what a killed one left, what commits late. Great
//! numbers are in `large_transactions`.

use serde_json::json;

use crate::support::{Database, Dispatcher, Receiver, chance, eventually, one_endpoint};

/// A dispatcher that is missed soon after it was killed.
const SHORT_LEASE: [&str; 4] = ["--lease", "2s", "--request-timeout", "1s"];
const INSERT: &str = "insert into postrider.outbox (topic, payload) values ('order.created', '\"late\"')";

#[tokio::test]
async fn an_event_inserted_while_nobody_runs_is_delivered_at_start() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;

    database.insert("order.created", "1").await;
    let _dispatcher = Dispatcher::start(&database, &["--poll-interval", "1h"]).await;

    assert_eq!(receiver.next().await.text(), "1");
}

#[tokio::test]
async fn a_delivery_that_became_due_while_nobody_ran_is_attempted_at_start() {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    receiver.answer_once(500, &[], b"");
    database.insert("order.created", "1").await;
    database.until("select exists (select from postrider.attempt_log)").await;
    assert!(dispatcher.terminate().await.success());

    database.make_due().await;
    let _dispatcher = Dispatcher::start(&database, &["--poll-interval", "1h"]).await;
    database.until_settled().await;

    assert_eq!(database.count("complete").await, 1);
}

#[tokio::test]
async fn what_a_killed_dispatcher_left_in_progress_is_delivered_after_a_restart() {
    let (database, receiver, dispatcher) = one_endpoint("", &SHORT_LEASE).await;
    receiver.hold();
    database.insert_many("order.created", 300).await;
    receiver.next().await;
    dispatcher.kill().await;
    let left = database.count("in_progress").await;
    receiver.release();

    let _dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;
    database.until_settled().await;

    assert!(left > 0, "the dispatcher was killed too late");
    assert_eq!(receiver.webhook_ids().len(), 300);
}

#[tokio::test]
async fn a_running_dispatcher_takes_over_from_a_killed_one() {
    let (database, receiver, killed) = one_endpoint("", &SHORT_LEASE).await;
    receiver.hold();
    database.insert("order.created", "1").await;
    receiver.next().await;
    let _other = Dispatcher::start(&database, &SHORT_LEASE).await;

    killed.kill().await;
    receiver.release();
    database.until_settled().await;

    // By its own count: the killed one had begun the first attempt.
    database
        .assert_row(
            "select status, attempts >= 2 as is_repeated from postrider.delivery_status",
            json!({"status": "complete", "is_repeated": true}),
        )
        .await;
}

#[tokio::test]
async fn killing_dispatchers_under_load_loses_nothing() {
    let (database, receiver) = kill_three_dispatchers_under_load().await;

    assert_eq!(receiver.webhook_ids().len(), 1500);
    assert_eq!(database.count("complete").await, 1500);
}

#[tokio::test]
async fn killing_dispatchers_under_load_leaves_no_claim() {
    let (database, _receiver) = kill_three_dispatchers_under_load().await;

    database.until("select not exists (select from postrider.claim)").await;
    database
        .assert_row(
            "select unrouted, pending, in_progress from postrider.backlog",
            json!({"unrouted": 0, "pending": 0, "in_progress": 0}),
        )
        .await;
}

#[tokio::test]
async fn a_late_commit_with_a_lower_id_is_delivered() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    let late = database.connect().await;
    late.batch_execute(&format!("begin; {INSERT}")).await.unwrap();

    database.insert("order.created", "\"early\"").await;
    let first = receiver.next().await;
    late.batch_execute("commit").await.unwrap();
    let second = receiver.next().await;

    assert_eq!((first.text(), second.text()), ("\"early\"", "\"late\""));
    database
        .assert_row(
            "select array_agg(payload order by id) as in_order from postrider.outbox
             where payload::text like '%late%' or payload::text like '%early%'",
            json!({"in_order": ["late", "early"]}),
        )
        .await;
}

#[tokio::test]
async fn commits_in_any_order_are_all_delivered() {
    let mut chance = chance();
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    let mut producers = Vec::new();
    for _ in 0..8 {
        producers.push((database.connect().await, 0_usize));
    }

    let mut committed = 0;
    for _ in 0..150 {
        let (producer, open) = &mut producers[chance.usize(..8)];
        match chance.u8(..10) {
            0..6 => {
                let begin = if *open == 0 { "begin;" } else { "" };
                producer.batch_execute(&format!("{begin} {INSERT}")).await.unwrap();
                *open += 1;
            }
            6..9 => {
                producer.batch_execute("commit").await.unwrap();
                committed += std::mem::take(open);
            }
            _ => {
                producer.batch_execute("rollback").await.unwrap();
                *open = 0;
            }
        }
        // The watermarks rise before the next one commits.
        eventually("what is committed arrives", || async { receiver.count() >= committed }).await;
    }
    drop(producers);
    database.until_settled().await;

    assert_eq!(receiver.count(), committed);
}

#[tokio::test]
async fn an_event_of_a_transaction_that_was_open_for_long_is_delivered() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    let late = database.connect().await;
    late.batch_execute(&format!("begin; {INSERT}")).await.unwrap();
    for _ in 0..20 {
        database.insert_many("order.created", 100).await;
        database.until_settled().await;
    }

    late.batch_execute("commit").await.unwrap();
    database.until_settled().await;

    assert!(receiver.all().iter().any(|request| request.text() == "\"late\""));
}

#[tokio::test]
async fn others_are_delivered_while_a_transaction_is_open_for_long() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    let late = database.connect().await;
    late.batch_execute(&format!("begin; {INSERT}")).await.unwrap();

    for _ in 0..20 {
        database.insert_many("order.created", 100).await;
        database.until_settled().await;
    }

    assert_eq!(receiver.count(), 2000);
}

#[tokio::test]
async fn a_late_commit_while_nobody_runs_is_found_at_start() {
    let (database, receiver, dispatcher) = one_endpoint("", &SHORT_LEASE).await;
    let late = database.connect().await;
    late.batch_execute(&format!("begin; {INSERT}")).await.unwrap();
    database.insert("order.created", "\"early\"").await;
    receiver.next().await;
    database.until_settled().await;
    // The watermark that the next start begins from is saved anew.
    database.execute("update postrider.installation set routed_below = '0'").await;
    database.until("select routed_below <> '0' from postrider.installation").await;
    assert!(dispatcher.terminate().await.success());

    late.batch_execute("commit").await.unwrap();
    let _dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;

    assert_eq!(receiver.next().await.text(), "\"late\"");
}

/// Each is killed in the middle of its 500 events; a fourth one finishes.
async fn kill_three_dispatchers_under_load() -> (Database, Receiver) {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    receiver.answer_after(std::time::Duration::from_millis(20));
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    for _ in 0..3 {
        let dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;
        let before = receiver.count();
        database.insert_many("order.created", 500).await;
        eventually("some arrive", || async { receiver.count() >= before + 100 }).await;
        dispatcher.kill().await;
    }
    let dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;
    database.until_settled().await;
    assert!(dispatcher.terminate().await.success());
    (database, receiver)
}
