//! What becomes of lanes when endpoints are deleted, databases are copied, and old events are deleted.

use serde_json::json;

use crate::support::{CommandOutput, Database, Dispatcher, Receiver, SHORT_LEASE, SHORT_RETENTION};

#[tokio::test]
async fn deliveries_that_wait_for_others_of_their_key_are_listed_as_pending() {
    let database = ordered().await;
    database.put_endpoint("two", "https://example.com/", "**", "ordered => true").await;
    database.insert_lane("one", "k", &["held_up", "pending", "pending"]).await;
    database.insert_lane("two", "k", &["pending", "pending"]).await;

    for (flags, expected) in [
        (&["--status", "pending"][..], vec![5, 4, 3, 2]),
        (&["--status", "pending", "--endpoint", "one"], vec![3, 2]),
        (&["--status", "pending", "--limit", "3"], vec![5, 4, 3]),
        (&["--status", "failed"], vec![1]),
    ] {
        let args = [&["delivery", "list", "--json"], flags].concat();
        let output = CommandOutput::run(&database.url, &args).await;

        let listed = output.json();
        let ids: Vec<i64> =
            listed["deliveries"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect();
        assert_eq!(ids, expected, "{flags:?}");
    }
}

#[tokio::test]
async fn all_that_waits_for_a_deleted_endpoint_is_counted_and_given_up_in_lanes_too() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["retry", "pending", "pending"]).await;
    database.insert_lane("one", "other", &["held_up", "pending"]).await;

    let pending: i64 = database.value("select pending from postrider.delete_endpoint('one')").await;
    let _dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;
    database.until_settled().await;

    assert_eq!(pending, 4);
    database
        .assert_row(
            "select count(*) filter (where status = 'failed') as failed,
                    count(*) filter (where last_error like '%the endpoint was deleted') as told
             from postrider.delivery_status",
            json!({"failed": 5, "told": 4}),
        )
        .await;
    assert_eq!(database.lane("k").await, Vec::<i64>::new());
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_delivery_that_was_cancelled_under_way_and_given_back_leaves_its_lane_and_the_key_goes_on() {
    let database = ordered().await;
    let receiver = Receiver::start().await;
    let url = receiver.url();
    database.execute(&format!("select postrider.set_endpoint('one', '{{\"url\": \"{url}\"}}')")).await;
    database.insert_lane("one", "k", &["in_progress", "in_progress", "pending"]).await;
    database.execute("select postrider.cancel(1); select postrider.cancel(2)").await;
    // A dispatcher gives them back: the first, and the one behind it.
    database
        .execute(
            "update postrider.delivery set status = 'pending', claim_id = null, due_at = case id when 1 then now() end
             where status = 'in_progress'",
        )
        .await;

    let _dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;
    database.until_settled().await;

    assert_eq!(database.deliveries().await, ["1 failed", "2 failed", "3 complete"]);
    assert_eq!(receiver.count(), 1);
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn an_event_whose_failed_delivery_holds_up_its_key_is_not_deleted_however_old() {
    let database = ordered().await;
    database.execute("select postrider.pause_endpoint('one')").await;
    database.insert_lane("one", "k", &["held_up", "pending"]).await;
    database.insert_lane("one", "other", &["failed"]).await;
    database.make_older(400).await;
    let flags = [&SHORT_RETENTION[..], &["--retain-failed", "1m"]].concat();

    let _dispatcher = Dispatcher::start(&database, &flags).await;
    database.until("select not exists (select from postrider.outbox where key = 'other')").await;

    assert_eq!(database.deliveries().await, ["1 failed", "2 waits"]);
    database.execute("select postrider.skip(1, 'wrong')").await;
    database.until("select not exists (select from postrider.outbox where id = 1)").await;
    assert_eq!(database.deliveries().await, ["2 due"]);
}

#[tokio::test]
async fn a_copy_of_a_database_has_no_lanes() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["held_up", "pending", "pending"]).await;

    database.execute("select postrider.adopt('copy', 'elsewhere')").await;

    assert_eq!(database.deliveries().await, ["1 failed", "2 failed", "3 failed"]);
    assert_eq!(database.lane("k").await, Vec::<i64>::new());
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn an_endpoint_of_a_template_is_not_forgotten_while_a_failed_delivery_holds_up_a_key() {
    let database = template().await;
    database.insert_lane("devices/a", "k", &["held_up"]).await;
    let forget = "select postrider.forget_children(now() + interval '1 hour')";

    let forgotten: i64 = database.value(forget).await;

    assert_eq!(forgotten, 0);
    database.execute("select postrider.skip(1, 'wrong')").await;
    assert_eq!(database.value::<i64>(forget).await, 1);
}

#[tokio::test]
async fn lanes_of_a_forgotten_endpoint_and_of_its_successor_become_one() {
    let database = template().await;
    database.insert_lane("devices/a", "k", &["held_up", "pending"]).await;
    database.insert_lane("devices/a", "other", &["pending", "pending"]).await;
    database
        .execute("update postrider.endpoint set state = 'deleted', reason = 'idle' where id = 'devices/a'")
        .await;
    make_child(&database).await;
    database.insert_lane("devices/a", "k", &["pending"]).await;
    database.insert_lane("devices/a", "other", &["pending"]).await;
    assert_eq!(database.deliveries().await, ["1 failed", "2 waits", "3 due", "4 waits", "5 due", "6 due"]);

    database.execute("select postrider.revive_children()").await;

    assert_eq!(database.lane("k").await, [1, 2, 5]);
    assert_eq!(
        database.deliveries().await,
        ["1 failed", "2 waits", "3 due", "4 waits", "5 waits", "6 waits"]
    );
    let endpoints: i64 = database.value("select count(distinct endpoint_no) from postrider.delivery").await;
    assert_eq!(endpoints, 1);
    database.execute("select postrider.retry(1)").await;
    assert_eq!(database.deliveries().await[0], "1 due");
}

async fn ordered() -> Database {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "ordered => true").await;
    database
}

/// A template that keeps order, with one endpoint.
async fn template() -> Database {
    let database = Database::new().await;
    database.put_endpoint("devices", "https://example.com/{id}", "", "ordered => true").await;
    make_child(&database).await;
    database
}

async fn make_child(database: &Database) {
    database
        .execute(
            "insert into postrider.endpoint (id, topics, template_no, changed_at)
             select 'devices/a', '{}', endpoint_no, now() - interval '1 year' from postrider.endpoint where id = 'devices'",
        )
        .await;
}
