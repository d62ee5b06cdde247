//! A head that fails: it holds up its key and nothing else, and what follows never comes before its turn.

use serde_json::json;

use super::scene::{
    HOURS, delivery, has_failed, has_status, insert, ordered_database, ordered_endpoint, retry, until_routed,
};
use crate::support::{Dispatcher, Rules, refuse, refuse_no_more, soon};

/// Nothing is found by a poll.
const NO_POLL: [&str; 4] = ["--poll-interval", "1h", "--wake", "notify"];

#[tokio::test]
async fn a_head_that_waits_for_its_next_attempt_holds_up_its_key_and_no_other() {
    let (database, receiver, dispatcher) = ordered_endpoint(HOURS, &[]).await;
    receiver.answer("a", 500);
    insert(&database, "a", 1..=20).await;
    database.until(&has_failed("a", 1, 1)).await;

    insert(&database, "b", 1..=20).await;
    insert(&database, "a", 21..=22).await;
    soon(&database, &dispatcher, &has_status("b", 20, "complete")).await;
    until_routed(&database).await;
    let sent = receiver.numbers("a");
    receiver.answer("a", 200);
    database.make_due().await;
    database.until_settled().await;

    assert_eq!(sent, [1]);
    receiver.assert_in_order(&[("a", 22), ("b", 20)]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn under_block_a_head_without_attempts_left_holds_up_its_key_until_it_is_retried() {
    let (database, receiver, dispatcher) =
        ordered_endpoint("retry_schedule => '{1ms}', on_failed => 'block'", &NO_POLL).await;
    receiver.answer("a", 500);
    insert(&database, "a", 1..=10).await;
    database.until(&has_status("a", 1, "failed")).await;
    insert(&database, "b", 1..=10).await;
    soon(&database, &dispatcher, &has_status("b", 10, "complete")).await;
    // What comes later waits, too.
    insert(&database, "a", 11..=12).await;
    until_routed(&database).await;
    let sent = receiver.numbers("a");
    receiver.answer("a", 200);
    retry(&database, "a", 1).await;
    database.until_settled().await;

    assert_eq!(sent, [1, 1]);
    receiver.assert_in_order(&[("a", 12), ("b", 10)]);
    database.assert_row("select distinct status from postrider.outbox", json!({"status": "complete"})).await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn block_is_what_an_ordered_endpoint_does_unless_it_is_told_otherwise() {
    let (database, receiver, _dispatcher) = ordered_endpoint("retry_schedule => '{1ms}'", &[]).await;
    receiver.answer("a", 500);
    insert(&database, "a", 1..=2).await;
    database.until(&has_status("a", 1, "failed")).await;
    insert(&database, "b", 1..=2).await;
    database.until(&has_status("b", 2, "complete")).await;

    assert_eq!(receiver.numbers("a"), [1, 1]);
    assert!(database.is(&has_status("a", 2, "pending")).await);
}

#[tokio::test]
async fn under_continue_what_follows_comes_within_a_second_of_the_last_attempt() {
    let rules = Rules { is_doomed: |key, number| key == "a" && number == 1, tries_min: 3, has_faults: false };
    let more = "retry_schedule => '{1ms,1ms}', on_failed => 'continue'";
    let (database, receiver) = ordered_database(more, rules).await;
    let _dispatcher = Dispatcher::start(&database, &NO_POLL).await;
    for _ in 0..3 {
        receiver.answer_once("a", 1, 500);
    }

    insert(&database, "a", 1..=10).await;
    database.until_settled().await;

    receiver.assert_in_order(&[("a", 10)]);
    let all = receiver.all();
    let waited = all[3].at - all[2].at;
    assert_eq!(receiver.numbers("a")[..4], [1, 1, 1, 2]);
    assert!(waited.as_secs() < 1, "{waited:?}");
    database
        .assert_rows(
            "select status, count(*) from postrider.delivery_status group by status order by status",
            vec![json!({"status": "complete", "count": 9}), json!({"status": "failed", "count": 1})],
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_run_ends_at_a_failure_and_its_rest_has_used_up_no_attempt() {
    let (database, receiver, _dispatcher) = ordered_endpoint("retry_schedule => '{100ms,1h}'", &[]).await;
    receiver.answer_once("a", 7, 503);
    receiver.answer_once("a", 8, 503);
    receiver.hold("a");
    insert(&database, "a", 1..=40).await;
    until_routed(&database).await;

    receiver.release("a");
    database.until_settled().await;

    receiver.assert_in_order(&[("a", 40)]);
    database
        .assert_rows(
            "select attempts, count(*) from postrider.delivery_status group by attempts order by attempts",
            vec![json!({"attempts": 1, "count": 38}), json!({"attempts": 2, "count": 2})],
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn what_follows_a_head_that_is_retried_waits_for_no_poll() {
    let (database, receiver, dispatcher) = ordered_endpoint(HOURS, &NO_POLL).await;
    receiver.answer_once("a", 1, 500);
    insert(&database, "a", 1..=5).await;
    database.until(&has_failed("a", 1, 1)).await;

    retry(&database, "a", 1).await;
    soon(&database, &dispatcher, &has_status("a", 5, "complete")).await;

    assert_eq!(receiver.numbers("a"), [1, 1, 2, 3, 4, 5]);
    receiver.assert_in_order(&[("a", 5)]);
}

#[tokio::test]
async fn an_attempt_that_gets_no_answer_holds_up_its_key_as_a_refused_one_does() {
    let more = "retry_schedule => '{1h}', timeout => '200 ms'";
    let (database, receiver) = ordered_database(more, Rules::AFTER_FAULTS).await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    receiver.hold("a");
    insert(&database, "a", 1..=5).await;
    database.until(&has_failed("a", 1, 1)).await;
    insert(&database, "b", 1..=5).await;
    database.until(&has_status("b", 5, "complete")).await;
    let sent = receiver.numbers("a");

    receiver.release("a");
    database.make_due().await;
    database.until_settled().await;

    assert_eq!(sent, [1]);
    receiver.assert_in_order(&[("a", 5), ("b", 5)]);
}

#[tokio::test]
async fn an_ordered_endpoint_without_a_schedule_of_its_own_waits_five_minutes_at_most() {
    let (database, receiver, _dispatcher) = ordered_endpoint("", &[]).await;
    receiver.answer("a", 500);
    insert(&database, "a", 1..=2).await;
    for attempts in 1..=6 {
        database.until(&has_failed("a", 1, attempts)).await;
        let is_soon = "select max(next_attempt_at) <= clock_timestamp() + interval '5 min' from postrider.delivery_status";
        assert!(database.is(is_soon).await, "after {attempts} attempts");
        database.make_due().await;
    }
    assert!(receiver.numbers("a").iter().all(|number| *number == 1));
}

#[tokio::test]
async fn an_ordered_endpoint_with_a_schedule_of_its_own_follows_it() {
    let (database, receiver, _dispatcher) = ordered_endpoint("retry_schedule => '{3h}'", &[]).await;
    receiver.answer("a", 500);
    insert(&database, "a", 1..=2).await;
    database.until(&has_failed("a", 1, 1)).await;

    let is_late =
        "select max(next_attempt_at) > clock_timestamp() + interval '1 h' from postrider.delivery_status";
    assert!(database.is(is_late).await);
}

#[tokio::test]
async fn the_probe_of_an_open_circuit_is_a_head_and_never_a_follower() {
    let (database, receiver, _dispatcher) = ordered_endpoint(HOURS, &[]).await;
    let keys: Vec<_> = (1..=12).map(|n| format!("k{n}")).collect();
    for key in &keys {
        receiver.answer(key, 500);
    }
    for key in &keys {
        insert(&database, key, 1..=1).await;
    }
    database.until("select circuit = 'open' from postrider.endpoint_health").await;
    database.put_off_probes().await;
    // What is newest is behind a head.
    for key in &keys {
        insert(&database, key, 2..=3).await;
    }
    until_routed(&database).await;
    let before = receiver.all().len();
    database.make_due().await;
    database.make_probes_due().await;
    crate::support::eventually("a probe", || async { receiver.all().len() > before }).await;
    database.until("select circuit = 'open' from postrider.endpoint_health").await;
    // What is settled later is due in an hour.
    database.until("select not exists (select from postrider.delivery_in_progress)").await;

    for key in &keys {
        receiver.answer(key, 200);
    }
    database.make_due().await;
    database.make_probes_due().await;
    database.until_settled().await;

    let counts: Vec<_> = keys.iter().map(|key| (key.as_str(), 3)).collect();
    receiver.assert_in_order(&counts);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn an_endpoint_that_is_gone_keeps_its_keys_in_order_until_it_is_enabled_again() {
    let (database, receiver, _dispatcher) = ordered_endpoint(HOURS, &[]).await;
    receiver.answer_once("a", 1, 410);
    insert(&database, "a", 1..=5).await;
    insert(&database, "b", 1..=1).await;
    database.until("select state = 'disabled' from postrider.endpoint_health").await;
    insert(&database, "a", 6..=8).await;
    until_routed(&database).await;
    let sent = receiver.numbers("a");

    database.execute("select postrider.resume_endpoint('one')").await;
    database.make_due().await;
    database.until_settled().await;

    assert_eq!(sent, [1]);
    receiver.assert_in_order(&[("a", 8), ("b", 1)]);
}

#[tokio::test]
async fn the_same_key_at_two_endpoints_is_held_up_at_one() {
    let (database, one, dispatcher) = ordered_endpoint(HOURS, &[]).await;
    let two = crate::support::LaneReceiver::start().await;
    super::scene::put_ordered(&database, "two", &two, HOURS).await;
    one.answer("a", 500);
    insert(&database, "a", 1..=10).await;

    let complete = "select count(*) = 10 from postrider.delivery_status where endpoint_id = 'two' and status = 'complete'";
    soon(&database, &dispatcher, complete).await;

    two.assert_in_order(&[("a", 10)]);
    assert_eq!(one.numbers("a"), [1]);
    let waits = format!(
        "select status = 'pending' from postrider.delivery_status where delivery_id = {}",
        delivery("a", 2)
    );
    assert!(database.is(&waits).await);
}

#[tokio::test]
async fn a_lane_that_the_database_refuses_to_open_keeps_no_other_shut() {
    let (database, receiver, _dispatcher) = ordered_endpoint("", &[]).await;
    for key in ["a", "b"] {
        receiver.hold(key);
        insert(&database, key, 1..=1).await;
        receiver.until_number(key, 1).await;
        insert(&database, key, 2..=2).await;
    }
    until_routed(&database).await;
    let opens_a = "old.lane = 'a' and old.due_at is null and new.due_at is not null";
    refuse(&database, "delivery", "before update", opens_a, "raise exception 'not this one'").await;

    // Both are settled together, and their lanes opened together.
    receiver.release("a");
    receiver.release("b");
    receiver.until_number("b", 2).await;
    let sent = receiver.numbers("a");
    refuse_no_more(&database).await;
    database.until_settled().await;

    assert_eq!(sent, vec![1]);
    receiver.assert_in_order(&[("a", 2), ("b", 2)]);
}
