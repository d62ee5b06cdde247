//! Dispatchers that are killed, frozen, or do not hear an answer between two attempts of a key.

use super::scene::{HOURS, SHORT_LEASE, behind_proxy, has_failed, has_status, insert, ordered_database};
use crate::support::{Database, Dispatcher, LaneReceiver, Rules, Toxic, Toxics, eventually};

/// Nobody waits for long.
const QUICK: &str =
    "retry_schedule => '{50ms,50ms,50ms,50ms,50ms,50ms,50ms,50ms,50ms,50ms,50ms,50ms,50ms,50ms,50ms}'";
/// A statement that only settles.
const SETTLE: &str = "insert into postrider.attempt";

#[tokio::test]
async fn a_dispatcher_that_is_killed_between_two_attempts_leaves_the_head_to_another() {
    let (database, receiver) = ordered_database("retry_schedule => '{1ms,1h,1h}'", Rules::AFTER_FAULTS).await;
    let killed = Dispatcher::start(&database, &SHORT_LEASE).await;
    receiver.answer("a", 500);
    insert(&database, "a", 1..=20).await;
    database.until(&has_failed("a", 1, 2)).await;
    killed.kill().await;

    receiver.answer("a", 200);
    let _next = Dispatcher::start(&database, &SHORT_LEASE).await;
    database
        .until("select count(*) = 1 from postrider.dispatcher_status where lease_until > clock_timestamp()")
        .await;
    let sent = receiver.numbers("a");
    database.make_due().await;
    database.until_settled().await;

    assert_eq!(sent, [1, 1]);
    receiver.assert_in_order(&[("a", 20)]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_dispatcher_that_is_killed_in_the_middle_of_a_run_gives_its_rest_to_another() {
    let (database, receiver) = ordered_database(QUICK, Rules::AFTER_FAULTS).await;
    let killed = Dispatcher::start(&database, &SHORT_LEASE).await;
    insert(&database, "a", 1..=400).await;
    hold_in_a_run(&database, &receiver).await;
    killed.kill().await;

    receiver.release("a");
    let _next = Dispatcher::start(&database, &SHORT_LEASE).await;
    database.until_settled().await;

    // The one that was under way comes again.
    assert_eq!(receiver.all().len(), 401);
    receiver.assert_in_order(&[("a", 400)]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_dispatcher_that_is_frozen_beyond_its_lease_sends_no_follower() {
    let (database, receiver) = ordered_database(HOURS, Rules::AFTER_FAULTS).await;
    let frozen = Dispatcher::start(&database, &SHORT_LEASE).await;
    receiver.hold("a");
    insert(&database, "a", 1..=30).await;
    receiver.until_number("a", 1).await;
    database.until(&has_status("a", 30, "pending")).await;
    frozen.signal("STOP").await;
    receiver.release("a");

    // The head is sent again, and this time its answer is not given before the frozen one has read its own.
    let other = Dispatcher::start(&database, &SHORT_LEASE).await;
    other.logged("took back").await;
    receiver.hold("a");
    receiver.until_numbers("a", 2).await;
    frozen.signal("CONT").await;
    frozen.logged("lease lost").await;
    receiver.release("a");
    database.until_settled().await;

    receiver.assert_in_order(&[("a", 30)]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_dispatcher_that_is_frozen_in_the_middle_of_a_run_goes_no_further_when_its_lease_has_ended() {
    let (database, receiver) = ordered_database(QUICK, Rules::AFTER_FAULTS).await;
    let frozen = Dispatcher::start(&database, &SHORT_LEASE).await;
    insert(&database, "a", 1..=400).await;
    let held = hold_in_a_run(&database, &receiver).await;
    frozen.signal("STOP").await;
    receiver.release("a");

    let other = Dispatcher::start(&database, &SHORT_LEASE).await;
    other.logged("took back").await;
    receiver.until_number("a", held + 10).await;
    frozen.signal("CONT").await;
    frozen.logged("lease lost").await;
    database.until_settled().await;

    // What was under way comes again: not the rest of its run.
    assert_eq!(receiver.all().len(), 401);
    receiver.assert_in_order(&[("a", 400)]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_settle_whose_answer_is_lost_lets_no_follower_pass() {
    let (database, receiver, proxy, _dispatcher) = behind_proxy(HOURS).await;
    proxy.swallow_answer_to(SETTLE);
    insert(&database, "a", 1..=30).await;
    eventually("the answer is lost", || async { proxy.swallowed() == 1 }).await;

    database.until_settled().await;

    receiver.assert_in_order(&[("a", 30)]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_settle_of_a_failure_whose_answer_is_lost_lets_no_follower_pass() {
    let (database, receiver, proxy, _dispatcher) = behind_proxy("retry_schedule => '{1ms,1ms,1ms,1h}'").await;
    receiver.answer("a", 500);
    proxy.swallow_answer_to(SETTLE);
    insert(&database, "a", 1..=10).await;
    eventually("the answer is lost", || async { proxy.swallowed() == 1 }).await;

    receiver.answer("a", 200);
    database.until("select not exists (select from postrider.claim)").await;
    database.make_due().await;
    database.until_settled().await;

    receiver.assert_in_order(&[("a", 10)]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_settle_whose_answer_is_lost_to_a_killed_dispatcher_frees_the_followers() {
    let (database, receiver, proxy, killed) = behind_proxy(HOURS).await;
    receiver.hold("a");
    insert(&database, "a", 1..=10).await;
    receiver.until_number("a", 1).await;
    proxy.swallow_answer_to(SETTLE);
    receiver.release("a");
    eventually("the answer is lost", || async { proxy.swallowed() >= 1 }).await;
    killed.kill().await;

    let _next = Dispatcher::start(&database, &SHORT_LEASE).await;
    database.until_settled().await;

    receiver.assert_in_order(&[("a", 10)]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_routing_whose_answer_is_lost_keeps_the_order() {
    let (database, receiver, proxy, _dispatcher) = behind_proxy(HOURS).await;
    proxy.swallow_answer_to("COMMIT");
    insert(&database, "a", 1..=10).await;
    insert(&database, "b", 1..=10).await;
    eventually("the answer is lost", || async { proxy.swallowed() == 1 }).await;

    database.until_settled().await;

    receiver.assert_in_order(&[("a", 10), ("b", 10)]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn an_outcome_that_is_held_up_on_its_way_until_the_claim_is_lost_opens_no_lane() {
    let (database, receiver, proxy, late) = behind_proxy(HOURS).await;
    receiver.hold("a");
    insert(&database, "a", 1..=10).await;
    receiver.until_number("a", 1).await;
    // The statement is on its way when the lease ends.
    proxy.set(Toxics { up: Toxic { is_hole: true, ..Toxic::default() }, ..Toxics::default() });
    receiver.release("a");
    eventually("it is accepted", || async { receiver.judge(|lanes| lanes.sums().accepted) >= 1 }).await;
    receiver.hold("a");
    let _other = Dispatcher::start(&database, &["--lease", "20s", "--request-timeout", "10s"]).await;
    // Whether the first one walked on in its run or not: the other begins with what nobody has settled.
    let sent = receiver.numbers("a").len();
    receiver.until_numbers("a", sent + 1).await;

    proxy.heal();
    late.logged("their claims were lost").await;
    receiver.release("a");
    database.until_settled().await;

    receiver.assert_in_order(&[("a", 10)]);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_dispatcher_that_stops_in_the_middle_of_a_run_sends_nothing_twice() {
    let (database, receiver) = ordered_database(HOURS, Rules::STRICT).await;
    let stopped = Dispatcher::start(&database, &[]).await;
    insert(&database, "a", 1..=400).await;
    receiver.until_number("a", 10).await;
    assert!(stopped.terminate().await.success());
    let before = receiver.numbers("a").len();

    let _next = Dispatcher::start(&database, &[]).await;
    database.until_settled().await;

    assert!(before < 400, "it was stopped too late");
    receiver.assert_in_order(&[("a", 400)]);
    assert!(database.is("select bool_and(attempts = 1) from postrider.delivery_status").await);
    database.assert_counts_agree().await;
}

/// Holds a request of key `a` whose dispatcher has claimed some of what follows, and settled what came before; returns its number.
async fn hold_in_a_run(database: &Database, receiver: &LaneReceiver) -> u64 {
    let in_progress = |which: &str| {
        format!(
            "select count(*) {which} from postrider.delivery_status as d join postrider.outbox as o on o.id = d.event_id
             where d.status = 'in_progress' and (o.payload ->> 'number')::int"
        )
    };
    receiver.until_number("a", 10).await;
    loop {
        receiver.hold("a");
        eventually("one is held", || async { receiver.judge(|lanes| lanes.under_way("a") == 1) }).await;
        let held = *receiver.numbers("a").last().unwrap();
        database.until(&format!("{} < {held}", in_progress("= 0"))).await;
        if database.is(&format!("{} > {held}", in_progress("> 3"))).await {
            return held;
        }
        receiver.release("a");
        receiver.until_number("a", held + 1).await;
    }
}
