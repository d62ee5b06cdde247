//! `endpoint_health` counts what happened, whoever settled it, and wherever it is summed up. What fails here fails with 400:
//! no circuit opens.

use serde_json::json;

use crate::support::{Database, Dispatcher, Receiver, chance, one_endpoint};

/// Housekeeping steps every half second.
const SHORT_LEASE: [&str; 4] = ["--lease", "2s", "--request-timeout", "1s"];

#[tokio::test]
async fn successes_and_failures_are_counted_as_they_were_attempted() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1ms,1ms}'", &[]).await;
    for _ in 0..25 {
        receiver.answer_once(400, &[], b"");
    }
    database.insert_many("order.created", 40).await;
    database.until_settled().await;
    receiver.answer(400);
    database.insert_many("order.created", 10).await;
    database.until_settled().await;

    assert_exact(&database).await;
    assert!(database.is("select failed_24h >= 10 and complete_24h > 0 from postrider.endpoint_health").await);
}

#[tokio::test]
async fn a_delivery_that_is_given_up_retried_and_completed_counts_as_both() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1ms}'", &[]).await;
    receiver.answer(400);
    database.insert("order.created", "{}").await;
    database.until_settled().await;
    receiver.answer(200);

    database.execute("select postrider.retry(delivery_id) from postrider.delivery_status").await;
    database.until_settled().await;

    assert_exact(&database).await;
    database
        .assert_row(
            "select failed_24h, complete_24h from postrider.endpoint_health",
            json!({"failed_24h": 1, "complete_24h": 1}),
        )
        .await;
}

#[tokio::test]
async fn two_dispatchers_count_together() {
    let (database, receiver, _one) = one_endpoint("retry_schedule => '{1ms}'", &SHORT_LEASE).await;
    let _two = Dispatcher::start(&database, &SHORT_LEASE).await;
    let mut random = chance();

    for _ in 0..10 {
        for _ in 0..random.usize(..60) {
            receiver.answer_once(400, &[], b"");
        }
        database.insert_many("order.created", 100).await;
    }
    database.until_settled().await;
    assert_exact(&database).await;
    database.until("select not exists (select from postrider.endpoint_stat)").await;

    assert_exact(&database).await;
}

#[tokio::test]
async fn aggregating_changes_no_count() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    insert_stats(&database, 3_000).await;
    let before = health(&database).await;

    for _ in 0..7 {
        run(&database, "aggregate_stats", &[&500_i64, &Vec::<i32>::new(), &None::<Vec<i32>>]).await;
        assert_eq!(health(&database).await, before);
    }

    database.assert_row("select count(*) from postrider.endpoint_stat", json!({"count": 0})).await;
    database
        .assert_row(
            "select sum(complete) as complete, sum(failed) as failed from postrider.endpoint_stat_hourly",
            json!({"complete": 6000, "failed": 3000}),
        )
        .await;
}

#[tokio::test]
async fn compacting_what_is_older_than_a_day_changes_no_count() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    for _ in 0..50 {
        insert_stats(&database, 10).await;
        run(&database, "aggregate_stats", &[&500_i64, &Vec::<i32>::new(), &None::<Vec<i32>>]).await;
        make_older(&database, 1).await;
    }
    let before = health(&database).await;

    while run(&database, "compact_stats", &[&10_i64, &Vec::<i32>::new(), &None::<Vec<i32>>]).await == 10 {
        assert_eq!(health(&database).await, before);
    }

    assert_eq!(health(&database).await, before);
    database
        .assert_row(
            "select sum(complete) as complete, count(*) < 30 as are_few from postrider.endpoint_stat_hourly",
            json!({"complete": 1000, "are_few": true}),
        )
        .await;
}

#[tokio::test]
async fn what_is_older_than_a_day_is_not_counted() {
    let (database, _receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.insert_many("order.created", 5).await;
    database.until_settled().await;

    make_older(&database, 25).await;
    database.insert_many("order.created", 3).await;
    database.until_settled().await;

    database
        .assert_row("select complete_24h from postrider.endpoint_health", json!({"complete_24h": 3}))
        .await;
}

#[tokio::test]
async fn when_an_endpoint_last_succeeded_is_never_forgotten() {
    let (database, _receiver, _dispatcher) = one_endpoint("", &SHORT_LEASE).await;
    database.insert("order.created", "{}").await;
    database.until_settled().await;
    make_older(&database, 24 * 20).await;

    database
        .until("select exists (select from postrider.endpoint_stat_hourly where hour = '-infinity')")
        .await;

    database
        .assert_row(
            "select h.complete_24h,
                    h.last_success_at between a.started_at - interval '2 seconds' and a.started_at + interval '2 seconds'
                        as is_success_then
             from postrider.endpoint_health as h cross join postrider.attempt_log as a",
            json!({"complete_24h": 0, "is_success_then": true}),
        )
        .await;
}

#[tokio::test]
async fn a_killed_dispatcher_leaves_exact_counts() {
    let (database, receiver, killed) = one_endpoint("retry_schedule => '{1ms}'", &SHORT_LEASE).await;
    for _ in 0..300 {
        receiver.answer_once(400, &[], b"");
    }
    database.insert_many("order.created", 1000).await;
    database.until("select count(*) > 100 from postrider.attempt_log").await;
    killed.kill().await;
    assert_exact(&database).await;

    let _other = Dispatcher::start(&database, &SHORT_LEASE).await;
    database.until_settled().await;

    assert_exact(&database).await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn consecutive_failures_are_those_since_the_last_success() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1ms,1ms,1ms}'", &[]).await;
    receiver.answer(400);
    database.insert("order.created", "{}").await;
    database.until_settled().await;
    let failing: i64 = database.value("select consecutive_failures from postrider.endpoint_health").await;
    receiver.answer(200);
    database.insert("order.created", "{}").await;
    database.until_settled().await;
    let good: i64 = database.value("select consecutive_failures from postrider.endpoint_health").await;

    assert_eq!((failing, good), (4, 0));
}

#[tokio::test]
async fn consecutive_failures_are_counted_up_to_1000() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1ms}'", &[]).await;
    receiver.answer(400);

    database.insert_many("order.created", 600).await;
    database.until_settled().await;

    database
        .assert_row(
            "select consecutive_failures from postrider.endpoint_health",
            json!({"consecutive_failures": 1000}),
        )
        .await;
}

#[tokio::test]
async fn what_was_cancelled_or_never_attempted_is_no_failure_of_the_endpoint() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    database.execute("select postrider.pause_endpoint('one')").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    database.insert_many("order.created", 2).await;
    database.until("select pending = 2 from postrider.endpoint_health").await;
    database.execute("select postrider.cancel(1)").await;
    database.execute("delete from postrider.outbox where id = 2").await;

    database.execute("select postrider.resume_endpoint('one')").await;
    database.until("select count(*) = 2 from postrider.delivery_status where status = 'failed'").await;

    assert_eq!(receiver.count(), 0);
    database
        .assert_row(
            "select failed_24h, consecutive_failures, last_failure_at from postrider.endpoint_health",
            json!({"failed_24h": 0, "consecutive_failures": 0, "last_failure_at": null}),
        )
        .await;
}

/// What `endpoint_health` counts is what the attempts say, to the last one.
async fn assert_exact(database: &Database) {
    let rows = database
        .rows(
            "select format('%s complete, %s failed', h.complete_24h, h.failed_24h),
                    format('%s complete, %s failed', count(*) filter (where a.outcome = 'complete'),
                           count(*) filter (where a.outcome = 'failed'))
             from postrider.endpoint_health as h
             join postrider.endpoint as e on e.id = h.endpoint_id
             left join (
                 select endpoint_no, outcome from postrider.attempt
                 union all
                 select endpoint_no, 'complete' from postrider.delivery where first_duration_ms is not null) as a
                 on a.endpoint_no = e.endpoint_no
             group by h.endpoint_id, h.complete_24h, h.failed_24h",
            &[],
        )
        .await;

    for row in rows {
        assert_eq!(row.get::<_, &str>(0), row.get::<_, &str>(1));
    }
}

/// Makes time pass for all that was counted.
async fn make_older(database: &Database, hours: u32) {
    database
        .execute(&format!(
            "update postrider.endpoint_stat set at = at - interval '{hours} hours';
             with gone as (delete from postrider.endpoint_stat_hourly where hour > '-infinity' returning *)
             insert into postrider.endpoint_stat_hourly
             select endpoint_no, hour - interval '{hours} hours', complete, failed, last_success_at, last_failure_at from gone"
        ))
        .await;
}

/// As so many settled batches leave it: two successes and a failure each.
async fn insert_stats(database: &Database, batches: i32) {
    database
        .rows(
            "insert into postrider.endpoint_stat (endpoint_no, complete, failed, last_success_at, last_failure_at)
             select e.endpoint_no, 2, 1, timestamptz '2026-01-01' + n * interval '1 s', timestamptz '2026-01-02' + n * interval '1 s'
             from postrider.endpoint as e cross join generate_series(1, $1) as n",
            &[&batches],
        )
        .await;
}

async fn health(database: &Database) -> String {
    database
        .value(
            "select format('%s %s %s %s', complete_24h, failed_24h, last_success_at, last_failure_at) from postrider.endpoint_health",
        )
        .await
}

/// Runs a statement of housekeeping; the one number that it returns.
async fn run(database: &Database, name: &str, params: &[&(dyn tokio_postgres::types::ToSql + Sync)]) -> i64 {
    let statement = postrider::store::STATEMENTS.iter().find(|statement| statement.name == name).unwrap();
    database.rows(statement.sql, params).await[0].get(0)
}
