//! `postrider.delete_endpoint`, as SQL users call it, and what housekeeping makes of it.

use serde_json::json;
use tokio_postgres::error::SqlState;

use crate::support::{Database, Dispatcher, Receiver, SECRET, one_endpoint};

/// Housekeeping steps every second.
const SHORT_LEASE: [&str; 4] = ["--lease", "4s", "--request-timeout", "2s"];

#[tokio::test]
async fn what_waits_for_a_deleted_endpoint_is_given_up() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1h}'", &SHORT_LEASE).await;
    receiver.answer(500);
    database.insert_many("order.created", 20).await;
    database.until("select pending = 20 from postrider.endpoint_health").await;

    let pending: i64 = database.value("select pending from postrider.delete_endpoint('one')").await;
    database.until_settled().await;

    assert_eq!(pending, 20);
    database
        .assert_row(
            "select status, last_error, count(*) from postrider.delivery_status group by status, last_error",
            json!({"status": "failed", "last_error": "status 500; then the endpoint was deleted", "count": 20}),
        )
        .await;
    database
        .assert_row(
            "select distinct status, failed from postrider.outbox",
            json!({"status": "failed", "failed": 1}),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn other_endpoints_do_not_notice_a_deletion() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1h}'", &SHORT_LEASE).await;
    let other = Receiver::start().await;
    database.put_endpoint("other", &other.url(), "**", "retry_schedule => '{1h}'").await;
    receiver.answer(500);
    other.answer(500);
    database.insert_many("order.created", 20).await;
    database.until("select count(*) = 40 from postrider.attempt_log").await;
    other.answer(200);

    database.execute("select postrider.delete_endpoint('one')").await;
    database.until("select count(*) = 20 from postrider.delivery_status where status = 'failed'").await;
    database.make_due().await;
    database.until_settled().await;

    database
        .assert_row(
            "select count(*)
             from postrider.delivery_status where endpoint_id = 'other' and status = 'complete'",
            json!({"count": 20}),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn the_history_of_a_deleted_endpoint_keeps_its_name() {
    let (database, _receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.insert("order.created", "{}").await;
    database.until_settled().await;

    database.execute("select postrider.delete_endpoint('one')").await;

    database
        .assert_row("select endpoint_id from postrider.delivery_status", json!({"endpoint_id": "one"}))
        .await;
    database.assert_row("select endpoint_id from postrider.attempt_log", json!({"endpoint_id": "one"})).await;
    database.assert_row("select count(*) from postrider.endpoint_health", json!({"count": 0})).await;
}

#[tokio::test]
async fn the_id_of_a_deleted_endpoint_can_be_put_again_as_a_fresh_endpoint() {
    let (database, _receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.insert("order.created", "1").await;
    database.until_settled().await;
    let fresh = Receiver::start().await;
    database.execute("select postrider.delete_endpoint('one')").await;

    let result: String = database
        .value(&format!(
            "select result from postrider.put_endpoint('one', '{}', secret => '{SECRET}')",
            fresh.url()
        ))
        .await;
    let has_no_history = database
        .is("select complete_24h = 0 and last_success_at is null and state = 'enabled' from postrider.endpoint_health")
        .await;
    database.insert("order.created", "2").await;

    assert_eq!(result, "created");
    assert!(has_no_history);
    assert_eq!(fresh.next().await.text(), "2");
}

#[tokio::test]
async fn the_secrets_of_a_deleted_endpoint_are_gone() {
    let database = Database::new().await;
    database
        .put_endpoint(
            "one",
            "https://example.com/?token=hunter2",
            "**",
            "headers => '{\"authorization\": \"hunter2\"}'",
        )
        .await;
    database.execute("select postrider.rotate_secret('one')").await;
    let secrets = "select string_agg(s, ' ') from (
                       select secret as s from postrider.endpoint union all select secret from postrider.old_secret) as all_of_them";
    let before: String = database.value(secrets).await;

    database.execute("select postrider.delete_endpoint('one')").await;

    let after: String = database.value("select (select string_agg(e::text, '') from postrider.endpoint as e) || coalesce((select string_agg(s::text, '') from postrider.old_secret as s), '')").await;
    for secret in before.split(' ').chain(["hunter2"]) {
        assert!(!after.contains(secret), "{after}");
    }
}

#[tokio::test]
async fn no_event_is_routed_to_a_deleted_endpoint() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.insert("order.created", "1").await;
    receiver.next().await;
    database.execute("select postrider.delete_endpoint('one')").await;

    let subscribed = database.insert("order.created", "2").await;
    database
        .execute(
            "insert into postrider.outbox (topic, payload, destination) values ('order.created', '3', 'one')",
        )
        .await;
    database.until_settled().await;

    database
        .assert_rows(
            &format!(
                "select deliveries, status, destination from postrider.outbox where id >= {subscribed} order by id"
            ),
            vec![
                json!({"deliveries": 0, "status": "complete", "destination": null}),
                json!({"deliveries": 0, "status": "failed", "destination": "one"}),
            ],
        )
        .await;
}

#[tokio::test]
async fn an_attempt_that_is_under_way_to_a_deleted_endpoint_ends_as_it_ends() {
    let (database, receiver, _dispatcher) = one_endpoint("", &SHORT_LEASE).await;
    receiver.hold();
    database.insert("order.created", "{}").await;
    receiver.next().await;

    database.execute("select postrider.delete_endpoint('one')").await;
    receiver.release();
    database.until_settled().await;

    database.assert_row("select status from postrider.delivery_status", json!({"status": "complete"})).await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn an_attempt_that_fails_at_a_deleted_endpoint_is_the_last() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1ms}'", &SHORT_LEASE).await;
    receiver.answer(500);
    receiver.hold();
    database.insert("order.created", "{}").await;
    receiver.next().await;

    database.execute("select postrider.delete_endpoint('one')").await;
    receiver.release();
    database.until_settled().await;

    assert_eq!(receiver.count(), 1);
    database
        .assert_row(
            "select status, attempts from postrider.delivery_status",
            json!({"status": "failed", "attempts": 1}),
        )
        .await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_deleted_endpoint_does_not_exist_any_more() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database.execute("select postrider.delete_endpoint('one')").await;

    for call in CALLS {
        let fault = database.refusal(&format!("select {call}")).await;

        assert_eq!(fault.code(), &SqlState::NO_DATA_FOUND, "{call}");
    }
}

#[tokio::test]
async fn nobody_changes_an_endpoint_that_is_being_deleted() {
    for call in CALLS {
        println!("{call}");
        let database = Database::new().await;
        database.put_endpoint("one", "https://example.com/", "**", "").await;
        let (deleter, other) = (database.connect().await, database.connect().await);
        deleter.batch_execute("begin; select postrider.delete_endpoint('one')").await.unwrap();

        let commit = async {
            database.until_somebody_waits_for_a_lock().await;
            deleter.batch_execute("commit").await.unwrap();
        };
        let call_it = format!("select {call}");
        let (refused, ()) = tokio::join!(other.batch_execute(&call_it), commit);

        assert_eq!(refused.unwrap_err().code(), Some(&SqlState::NO_DATA_FOUND), "{call}");
        database
            .assert_row("select distinct state from postrider.endpoint", json!({"state": "deleted"}))
            .await;
    }
}

#[tokio::test]
async fn an_unknown_endpoint_is_an_error_however_empty_the_table_is() {
    let database = Database::new().await;
    database.execute("vacuum analyze postrider.endpoint").await;

    for call in CALLS {
        let fault = database.refusal(&format!("select {call}")).await;

        assert_eq!(fault.code(), &SqlState::NO_DATA_FOUND, "{call}");
    }
}

#[tokio::test]
async fn what_is_left_of_a_deleted_endpoint_goes_when_no_history_can_name_it() {
    let (database, _receiver, _dispatcher) = one_endpoint("", &SHORT_LEASE).await;
    database.insert("order.created", "{}").await;
    database.until_settled().await;
    database.until("select exists (select from postrider.endpoint_stat_hourly)").await;
    database.put_endpoint("young", "https://example.com/", "**", "").await;
    database.execute("select postrider.delete_endpoint('one')").await;
    database.execute("select postrider.delete_endpoint('young')").await;

    database
        .execute("update postrider.endpoint set changed_at = changed_at - interval '31 days 1 minute' where id = 'one'")
        .await;

    database.until("select array_agg(id) = '{young}' from postrider.endpoint").await;
    database.assert_row("select count(*) from postrider.endpoint_stat_hourly", json!({"count": 0})).await;
}

#[tokio::test]
async fn a_stop_does_not_wait_until_all_is_given_up() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database
        .execute(
            "insert into postrider.outbox (topic, payload, status, deliveries, open_deliveries, failed)
             select 'a.b', '{}', 'in_progress', 1, 1, 0 from generate_series(1, 50000);
             insert into postrider.delivery (event_id, endpoint_no, status, due_at)
             select id, 1, 'pending', now() from postrider.outbox;
             select postrider.delete_endpoint('one')",
        )
        .await;
    let dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;
    database.until("select exists (select from postrider.delivery where status = 'failed')").await;

    assert!(dispatcher.terminate().await.success());

    assert!(database.is("select exists (select from postrider.delivery where status = 'pending')").await);
    database.assert_counts_agree().await;
}

/// What may be done with an endpoint of that id, if there is one.
const CALLS: [&str; 4] = [
    "postrider.pause_endpoint('one')",
    "postrider.resume_endpoint('one')",
    "postrider.rotate_secret('one')",
    "postrider.delete_endpoint('one')",
];
