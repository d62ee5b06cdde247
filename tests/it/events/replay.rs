//! `postrider.replay`, as SQL users call it.

use serde_json::json;
use tokio_postgres::error::SqlState;

use crate::support::{Database, Receiver, one_endpoint};

#[tokio::test]
async fn a_complete_event_is_sent_again_under_the_same_id() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.insert("order.created", "1").await;
    database.until_settled().await;

    let replayed: i64 = database.value("select replayed from postrider.replay('one', '-infinity')").await;
    database.until_settled().await;

    assert_eq!(replayed, 1);
    let requests = receiver.all();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    assert_eq!(requests[1].header("postrider-attempt"), "2");
    database
        .assert_row(
            "select status, deliveries from postrider.outbox",
            json!({"status": "complete", "deliveries": 1}),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_failed_event_is_sent_again_and_has_its_whole_schedule_before_it() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1ms}'", &[]).await;
    receiver.answer(500);
    database.insert("order.created", "1").await;
    database.until_settled().await;

    database.execute("select postrider.replay('one', '-infinity')").await;
    database.until_settled().await;

    database
        .assert_row(
            "select status, attempts from postrider.delivery_status",
            json!({"status": "failed", "attempts": 4}),
        )
        .await;
    database
        .assert_row("select status, failed from postrider.outbox", json!({"status": "failed", "failed": 1}))
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn an_endpoint_that_subscribed_later_receives_what_it_never_got() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.insert_many("order.created", 5).await;
    database.until_settled().await;
    let late = Receiver::start().await;
    database.put_endpoint("late", &late.url(), "order.*", "").await;

    let replayed: i64 = database.value("select replayed from postrider.replay('late', '-infinity')").await;
    database.until_settled().await;

    assert_eq!((replayed, late.count(), receiver.count()), (5, 5, 5));
    late.next().await.verify();
    database
        .assert_row(
            "select distinct status, deliveries from postrider.outbox",
            json!({"status": "complete", "deliveries": 2}),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_replay_to_some_and_a_first_delivery_to_others_are_counted_together() {
    let database = Database::new().await;
    complete(&database, 6).await;
    database.execute("delete from postrider.delivery where event_id % 2 = 0").await;
    database.execute("update postrider.outbox set deliveries = 0 where id % 2 = 0").await;

    let replayed: i64 = database.value("select replayed from postrider.replay('one', '-infinity')").await;

    assert_eq!(replayed, 6);
    assert_eq!(database.count("pending").await, 6);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_replay_wakes_a_sleeping_dispatcher() {
    let (database, receiver, _dispatcher) =
        one_endpoint("", &["--wake", "notify", "--poll-interval", "1h"]).await;
    database.insert("order.created", "1").await;
    receiver.next().await;
    database.until_settled().await;
    database.put_endpoint("late", &receiver.url(), "order.*", "").await;
    database.until_bell_is_armed().await;

    database.execute("select postrider.replay('late', '-infinity')").await;

    receiver.next().await;
}

#[tokio::test]
async fn a_replay_is_of_what_the_endpoint_subscribes_to() {
    let database = Database::new().await;
    complete(&database, 3).await;
    database.put_endpoint("two", "https://example.com/", "topic.2,other.**", "").await;

    let replayed: i64 = database.value("select replayed from postrider.replay('two', '-infinity')").await;

    assert_eq!(replayed, 1);
    assert_eq!(waiting(&database).await, [2]);
}

#[tokio::test]
async fn a_replay_may_be_of_other_topics() {
    let database = Database::new().await;
    complete(&database, 3).await;
    database.put_endpoint("two", "https://example.com/", "topic.2", "").await;

    database.execute("select postrider.replay('two', '-infinity', topics => '{topic.1,*.3,nothing}')").await;

    assert_eq!(waiting(&database).await, [1, 3]);
}

#[tokio::test]
async fn a_replay_to_an_endpoint_that_subscribes_to_nothing_sends_nothing() {
    let database = Database::new().await;
    complete(&database, 3).await;
    database.put_endpoint("two", "https://example.com/", "", "").await;

    let replayed: i64 = database.value("select replayed from postrider.replay('two', '-infinity')").await;

    assert_eq!(replayed, 0);
}

#[tokio::test]
async fn a_replay_begins_at_since_and_ends_before_until() {
    let database = Database::new().await;
    complete(&database, 5).await;

    database
        .execute("select postrider.replay('one', '2026-01-01 00:02:00+00', '2026-01-01 00:04:00+00')")
        .await;

    assert_eq!(waiting(&database).await, [2, 3]);
}

#[tokio::test]
async fn a_replay_takes_events_of_a_time_in_whatever_order_they_were_committed() {
    let database = Database::new().await;
    complete(&database, 5).await;
    // Event 5 was inserted by a long transaction that began between the first two.
    database.execute("update postrider.outbox set created_at = '2026-01-01 00:01:30+00' where id = 5").await;

    database
        .execute("select postrider.replay('one', '2026-01-01 00:01:00+00', '2026-01-01 00:02:00+00')")
        .await;

    assert_eq!(waiting(&database).await, [1, 5]);
}

#[tokio::test]
async fn an_event_with_a_destination_is_replayed_to_that_endpoint_alone() {
    let database = Database::new().await;
    complete(&database, 2).await;
    database.put_endpoint("two", "https://example.com/", "nothing", "").await;
    database.execute("update postrider.outbox set destination = 'two' where id = 1").await;

    let to_one: i64 = database.value("select replayed from postrider.replay('one', '-infinity')").await;
    let to_two: i64 = database.value("select replayed from postrider.replay('two', '-infinity')").await;
    let of_a_topic = "select replayed from postrider.replay('two', '-infinity', topics => '{nothing}')";
    let to_two_of_a_topic: i64 = database.value(of_a_topic).await;

    assert_eq!((to_one, to_two, to_two_of_a_topic), (1, 1, 0));
}

#[tokio::test]
async fn a_long_replay_is_done_in_steps_each_event_once() {
    let database = Database::new().await;
    complete(&database, 25).await;
    let mut steps = Vec::new();
    let mut after = Some(0_i64);

    while let Some(from) = after {
        let rows = database
            .rows(
                "select replayed, next_after from postrider.replay('one', '-infinity', after_event_id => $1, up_to => 10)",
                &[&from],
            )
            .await;
        steps.push(rows[0].get::<_, i64>(0));
        after = rows[0].get(1);
    }

    assert_eq!(steps, [10, 10, 5]);
    assert_eq!(waiting(&database).await, (1..=25).collect::<Vec<i64>>());
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_dry_run_counts_what_would_be_sent_and_changes_nothing() {
    let database = Database::new().await;
    complete(&database, 10).await;
    database.execute("delete from postrider.delivery where event_id = 1").await;
    database.execute("update postrider.outbox set deliveries = 0 where id = 1").await;
    database.execute("select postrider.replay('one', '-infinity', up_to => 3)").await;
    let all = "select md5(string_agg(t, ';')) from (
                   select o::text as t from postrider.outbox as o union all select d::text from postrider.delivery as d order by 1) as rows";
    let before: String = database.value(all).await;

    let counted: i64 =
        database.value("select replayed from postrider.replay('one', '-infinity', dry_run => true)").await;

    let after: String = database.value(all).await;
    assert_eq!(before, after);
    let replayed: i64 = database.value("select replayed from postrider.replay('one', '-infinity')").await;
    assert_eq!((counted, replayed), (7, 7));
}

#[tokio::test]
async fn what_is_replayed_to_a_paused_endpoint_waits_until_it_is_resumed() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.insert("order.created", "1").await;
    database.until_settled().await;
    database.execute("select postrider.pause_endpoint('one')").await;

    database.execute("select postrider.replay('one', '-infinity')").await;
    database.put_endpoint("marker", &receiver.url(), "", "").await;
    database
        .execute(
            "insert into postrider.outbox (topic, payload, destination) values ('marker', '{}', 'marker')",
        )
        .await;
    database
        .until("select exists (select from postrider.delivery_status where endpoint_id = 'marker' and status = 'complete')")
        .await;
    let before_resume = receiver.count();
    database.execute("select postrider.resume_endpoint('one')").await;
    database.until_settled().await;

    assert_eq!((before_resume, receiver.count()), (2, 3));
}

#[tokio::test]
async fn an_event_that_is_not_routed_yet_is_left_alone() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database.insert("order.created", "1").await;

    let replayed: i64 =
        database.value("select replayed from postrider.replay('one', '-infinity', 'infinity')").await;

    assert_eq!(replayed, 0);
    database
        .assert_row(
            "select status, deliveries from postrider.outbox",
            json!({"status": "pending", "deliveries": null}),
        )
        .await;
}

#[tokio::test]
async fn what_waits_or_is_under_way_is_left_alone() {
    let (database, receiver, _dispatcher) = one_endpoint("max_in_flight => 1", &[]).await;
    receiver.hold();
    database.insert_many("order.created", 200).await;
    receiver.next().await;
    database.until("select unrouted = 0 and pending > 0 and in_progress > 0 from postrider.backlog").await;

    let replayed: i64 = database.value("select replayed from postrider.replay('one', '-infinity')").await;
    receiver.release();
    database.until_settled().await;

    assert_eq!((replayed, receiver.count()), (0, 200));
}

#[tokio::test]
async fn what_was_cancelled_is_left_alone() {
    let database = Database::new().await;
    complete(&database, 3).await;
    database.execute("select postrider.replay('one', '-infinity', topics => '{topic.2}')").await;
    database.execute("select postrider.cancel(2)").await;

    let replayed: i64 = database.value("select replayed from postrider.replay('one', '-infinity')").await;

    assert_eq!(replayed, 2);
    assert_eq!(waiting(&database).await, [1, 3]);
}

#[tokio::test]
async fn an_event_whose_time_has_not_come_is_not_replayed_early() {
    let database = Database::new().await;
    complete(&database, 1).await;
    database.execute("update postrider.outbox set deliver_after = now() + interval '1 day'").await;
    database.put_endpoint("late", "https://example.com/", "**", "").await;

    database.execute("select postrider.replay('late', '-infinity')").await;

    let late_by = "select d.next_attempt_at - o.deliver_after as late_by
                   from postrider.delivery_status as d join postrider.outbox as o on o.id = d.event_id
                   where d.endpoint_id = 'late'";
    database.assert_row(late_by, json!({"late_by": "00:00:00"})).await;
}

#[tokio::test]
async fn an_endpoint_that_was_put_again_after_its_deletion_is_sent_everything_anew() {
    let database = Database::new().await;
    complete(&database, 2).await;
    database.execute("select postrider.delete_endpoint('one')").await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;

    let replayed: i64 = database.value("select replayed from postrider.replay('one', '-infinity')").await;

    assert_eq!(replayed, 2);
    database.assert_row("select distinct deliveries from postrider.outbox", json!({"deliveries": 2})).await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn an_invalid_argument_of_replay_is_an_error() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;

    for arguments in [
        "null",
        "now(), null",
        "now(), topics => '{a..b}'",
        "now(), topics => '{null}'",
        "now(), after_event_id => null",
        "now(), up_to => 0",
        "now(), up_to => null",
        "now(), dry_run => null",
    ] {
        let fault = database.refusal(&format!("select postrider.replay('one', {arguments})")).await;

        assert_eq!(fault.code(), &SqlState::INVALID_PARAMETER_VALUE, "{arguments}");
        assert!(fault.detail().unwrap().starts_with("Allowed "), "{arguments}");
    }
}

/// An endpoint `one`, and events that were delivered to it, one a minute from 2026-01-01 00:01 on, with topics `topic.1`,
/// `topic.2` and so on.
pub(crate) async fn complete(database: &Database, count: u32) {
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database
        .execute(&format!(
            "insert into postrider.outbox (topic, payload, status, deliveries, open_deliveries, failed, created_at, completed_at)
             select 'topic.' || n, '{{}}', 'complete', 1, 0, 0, at, at
             from (select n, timestamptz '2026-01-01 00:00:00+00' + n * interval '1 minute' as at
                   from generate_series(1, {count}) as n) as minutes order by n;
             insert into postrider.delivery (event_id, endpoint_no, status, attempts, created_at, completed_at)
             select o.id, e.endpoint_no, 'complete', 1, o.created_at, o.created_at
             from postrider.outbox as o cross join postrider.endpoint as e where e.id = 'one' order by o.id"
        ))
        .await;
}

/// The events that wait to be sent, in order.
async fn waiting(database: &Database) -> Vec<i64> {
    let waiting = "select event_id from postrider.delivery_status where status = 'pending' order by 1";
    database.rows(waiting, &[]).await.iter().map(|row| row.get(0)).collect()
}
