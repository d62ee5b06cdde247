//! A dispatcher that is killed, or stands still, at the worst moment: what it had in hand is lost to nobody, sent again only
//! where nobody can know that it arrived, and written only by whoever holds the claim.

use std::time::Duration;

use serde_json::json;

use crate::support::{Database, Dispatcher, Proxy, Receiver, Toxic, Toxics, eventually, one_endpoint};

/// A dispatcher that is missed soon after it was killed.
const SHORT_LEASE: [&str; 4] = ["--lease", "4s", "--request-timeout", "2s"];

#[tokio::test]
async fn what_a_killed_dispatcher_had_claimed_and_not_sent_is_sent_once() {
    let (database, receiver, killed) = one_endpoint("max_in_flight => 1", &SHORT_LEASE).await;
    receiver.hold();
    database.insert_many("order.created", 10).await;
    receiver.next().await;
    killed.signal("STOP").await;
    let claimed = database.count("in_progress").await;
    killed.kill().await;

    receiver.release();
    let _next = Dispatcher::start(&database, &SHORT_LEASE).await;
    database.until_settled().await;

    assert!(claimed > 1, "it was killed too late: nothing waited any more");
    // The one that was under way is sent again.
    assert_eq!((receiver.count(), receiver.webhook_ids().len()), (11, 10));
}

#[tokio::test]
async fn a_request_that_nobody_heard_the_answer_to_is_made_once_more() {
    let (database, receiver, killed) = one_endpoint("", &SHORT_LEASE).await;
    receiver.hold();
    database.insert("order.created", "{\"b\":1, \"a\":2}").await;
    let first = receiver.next().await;
    killed.kill().await;

    receiver.release();
    let _next = Dispatcher::start(&database, &SHORT_LEASE).await;
    let second = receiver.next().await;
    database.until_settled().await;

    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(first.body, second.body);
    assert_eq!((first.header("postrider-attempt"), second.header("postrider-attempt")), ("1", "2"));
    assert_eq!(receiver.count(), 2);
}

#[tokio::test]
async fn an_outcome_that_a_killed_dispatcher_did_not_get_committed_costs_one_more_request() {
    let (database, receiver, killed) = one_endpoint("", &SHORT_LEASE).await;
    receiver.hold();
    database.insert("order.created", "1").await;
    receiver.next().await;
    let lock = database.connect().await;
    lock.batch_execute("begin; select from postrider.delivery for update").await.unwrap();
    receiver.release();
    database.until_somebody_waits_for_a_lock().await;

    killed.kill().await;
    // Its sessions would finish what they were told.
    database.cut_dispatchers().await;
    lock.batch_execute("rollback").await.unwrap();
    let _next = Dispatcher::start(&database, &SHORT_LEASE).await;
    database.until_settled().await;

    assert_eq!((receiver.count(), receiver.webhook_ids().len()), (2, 1));
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn an_outcome_that_was_committed_unknown_to_a_killed_dispatcher_counts() {
    let (database, receiver, proxy, killed) = behind_proxy().await;
    proxy.swallow_answer_to("insert into postrider.attempt");
    database.insert("order.created", "1").await;
    eventually("the answer is lost", || async { proxy.swallowed() == 1 }).await;
    killed.kill().await;

    let _next = Dispatcher::start(&database, &SHORT_LEASE).await;
    // All that it held is taken back.
    database.until("select not exists (select from postrider.dispatcher where id = 1)").await;
    database.until_settled().await;

    assert_eq!(receiver.count(), 1);
    database
        .assert_row(
            "select status, attempts from postrider.delivery_status",
            json!({"status": "complete", "attempts": 1}),
        )
        .await;
}

#[tokio::test]
async fn sigkill_in_the_middle_of_a_stop_loses_nothing() {
    let (database, receiver, mut stopped) =
        one_endpoint("", &[&SHORT_LEASE[..], &["--grace-period", "1h"]].concat()).await;
    receiver.hold();
    database.insert_many("order.created", 1000).await;
    eventually("all slots are taken", || async { receiver.under_way() >= 64 }).await;
    stopped.signal("TERM").await;
    stopped.logged("SIGTERM").await;
    let is_stopping = stopped.has_ended().is_none();
    stopped.kill().await;

    receiver.release();
    let _next = Dispatcher::start(&database, &SHORT_LEASE).await;
    database.until_settled().await;

    assert!(is_stopping);
    assert_eq!(receiver.webhook_ids().len(), 1000);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_dispatcher_that_stood_still_for_less_than_its_lease_sends_nothing_twice() {
    let (database, receiver, still) = one_endpoint("", &["--wake", "notify"]).await;
    let other = Dispatcher::start(&database, &["--wake", "notify"]).await;
    receiver.answer_after(Duration::from_millis(20));
    database.insert_many("order.created", 2000).await;
    eventually("some arrive", || async { receiver.count() >= 200 }).await;

    still.signal("STOP").await;
    // Eight seconds: the server has ended its listening connection.
    let listeners = "select count(*) = 1 from pg_stat_activity
         where datname = current_database() and application_name = 'postrider listener'";
    database.until(listeners).await;
    still.signal("CONT").await;
    database.until_settled().await;

    assert_eq!((receiver.count(), receiver.webhook_ids().len()), (2000, 2000));
    assert!(!still.log().contains("lost") && !other.log().contains("took back"), "{}", still.log());
}

#[tokio::test]
async fn an_outcome_that_is_held_up_on_its_way_until_the_claim_is_lost_is_not_written() {
    let (database, receiver, proxy, late) = behind_proxy().await;
    receiver.hold();
    database.insert("order.created", "1").await;
    receiver.next().await;
    // The statement is on its way when the lease ends.
    proxy.set(Toxics { up: Toxic { is_hole: true, ..Toxic::default() }, ..Toxics::default() });
    receiver.release();
    eventually("it is answered", || async { receiver.under_way() == 0 }).await;
    receiver.hold();
    let _other = Dispatcher::start(&database, &["--lease", "20s", "--request-timeout", "10s"]).await;
    receiver.next().await;

    proxy.heal();
    late.logged("their claims were lost").await;

    assert_eq!(database.count("in_progress").await, 1);
    assert_eq!(database.value::<i64>("select count(*) from postrider.attempt_log").await, 0);
}

/// A dispatcher behind a proxy, and an endpoint that receives everything.
async fn behind_proxy() -> (Database, Receiver, Proxy, Dispatcher) {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    let proxy = Proxy::to_postgres(&database.url).await;
    let dispatcher = Dispatcher::spawn(&proxy.url(&database.url), &SHORT_LEASE);
    dispatcher.logged("dispatcher 1 runs").await;
    (database, receiver, proxy, dispatcher)
}
