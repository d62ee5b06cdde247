//! `postrider delivery skip` and `postrider endpoint skip-key`, and what `delivery retry` says of keys.

use serde_json::json;

use crate::support::{CommandOutput, Database, RunningCommand, command};

#[tokio::test]
async fn a_delivery_is_skipped_by_command() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["held_up", "pending"]).await;

    let output =
        CommandOutput::run(&database.url, &["delivery", "skip", "1", "--reason", "their order is gone"])
            .await;

    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(0), "delivery 1 is skipped\n"),
        "{}",
        output.stderr
    );
    assert_eq!(database.deliveries().await, ["1 failed", "2 due"]);
    let error: String =
        database.value("select last_error from postrider.delivery_status where delivery_id = 1").await;
    assert_eq!(error, "status 500; then skipped: their order is gone");
}

#[tokio::test]
async fn skip_goes_on_after_a_delivery_that_cannot_be_skipped() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["complete", "held_up"]).await;

    let args = ["delivery", "skip", "9", "1", "2", "--reason", "wrong", "--json"];
    let output = CommandOutput::run(&database.url, &args).await;

    assert_eq!(output.code, Some(1));
    assert_eq!(
        output.json(),
        json!({
            "skipped": [2],
            "refused": [
                { "id": 9, "error": "delivery 9 does not exist" },
                { "id": 1, "error": "delivery 1 is complete: It holds up no other delivery" },
            ],
        })
    );
    assert_eq!(database.lane("k").await, Vec::<i64>::new());
}

#[tokio::test]
async fn a_skip_without_a_reason_is_wrong_usage() {
    for args in [
        &["delivery", "skip", "1"][..],
        &["delivery", "skip", "--reason", "wrong"],
        &["delivery", "skip", "x", "--reason", "wrong"],
        &["delivery", "skip", "1", "--reason", " "],
        &["delivery", "skip", "1", "--reason", &"x".repeat(501)],
        &["endpoint", "skip-key", "one"],
        &["endpoint", "skip-key", "one", "k", "--until", "tomorrow"],
        &["endpoint", "skip-key", "one", "k", "--reason", &"x".repeat(501)],
    ] {
        let output = CommandOutput::run("postgres://nobody@127.0.0.1:1/nothing", args).await;

        assert_eq!(output.code, Some(64), "{args:?}: {}", output.stderr);
    }
}

#[tokio::test]
async fn retry_says_of_each_delivery_whether_others_of_its_key_come_first() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["failed", "pending"]).await;
    database.insert_lane("one", "other", &["held_up", "pending"]).await;

    let output = CommandOutput::run(&database.url, &["delivery", "retry", "1", "3", "4"]).await;

    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(1), "delivery 1 waits for its turn: others of its key come first\ndelivery 3 is due now\n")
    );
    assert_eq!(
        output.complaint(),
        "delivery 4 waits for delivery 3, which comes first in its key: Retry that one with postrider.retry(3), or give it up with \
         postrider.skip(3, 'why')"
    );
}

#[tokio::test]
async fn retry_tells_programs_which_deliveries_come_behind_others_of_their_key() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["failed", "pending"]).await;
    database.insert_lane("one", "other", &["held_up"]).await;

    let output = CommandOutput::run(&database.url, &["delivery", "retry", "1", "3", "--json"]).await;

    assert_eq!(output.json(), json!({"retried": [1, 3], "behind": [1], "refused": []}));
}

#[tokio::test]
async fn a_key_is_skipped_by_command_in_as_many_steps_as_it_needs() {
    let database = ordered().await;
    fill(&database, 2_001).await;

    let args = ["endpoint", "skip-key", "one", "k", "--reason", "wrong"];
    let output = CommandOutput::run(&database.url, &args).await;

    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(0), "skipped: 2001 deliveries\n"),
        "{}",
        output.stderr
    );
    database
        .assert_row(
            "select count(*), min(last_error) as first, max(last_error) as last from postrider.delivery_status where status = 'failed'",
            json!({"count": 2_001, "first": "skipped: wrong", "last": "skipped: wrong"}),
        )
        .await;
}

#[tokio::test]
async fn a_key_is_skipped_up_to_a_time() {
    let database = ordered().await;
    database.insert_lane("one", "k", &["held_up", "pending", "pending"]).await;
    database.execute("update postrider.outbox set created_at = now() - (4 - id) * interval '1 hour'").await;

    let args = ["endpoint", "skip-key", "one", "k", "--until", "90m", "--json"];
    let output = CommandOutput::run(&database.url, &args).await;

    let done = output.json();
    assert_eq!(
        (&done["endpoint_id"], &done["key"], &done["skipped"]),
        (&json!("one"), &json!("k"), &json!(2))
    );
    assert!(done["until"].is_string(), "{done}");
    assert_eq!(database.deliveries().await, ["1 failed", "2 failed", "3 due"]);
}

#[tokio::test]
async fn a_skip_of_a_key_of_an_unknown_endpoint_proposes_the_nearest_one() {
    let database = ordered().await;

    let output = CommandOutput::run(&database.url, &["endpoint", "skip-key", "ome", "k"]).await;

    assert_eq!(
        (output.code, output.complaint()),
        (Some(1), "endpoint \"ome\" does not exist, did you mean \"one\"?")
    );
}

#[tokio::test]
async fn an_interrupted_skip_of_a_key_finishes_its_step_and_says_that_it_can_go_on() {
    let database = ordered().await;
    fill(&database, 1_500).await;
    let blocker = database.connect().await;
    blocker.batch_execute("begin; select from postrider.delivery where id = 1 for update").await.unwrap();
    let mut skip = command(&["endpoint", "skip-key", "one", "k"]);
    skip.env("DATABASE_URL", &database.url);
    let skip = RunningCommand::start(skip);
    database.until_somebody_waits_for_a_lock().await;

    skip.signal("INT").await;
    blocker.batch_execute("rollback").await.unwrap();
    let output = skip.ended().await;

    assert_eq!((output.code, output.stdout.as_str()), (Some(1), "skipped: 1000 deliveries\n"));
    assert!(output.complaint().contains("goes on with what is left"), "{}", output.stderr);
    assert_eq!((database.count("pending").await, database.count("failed").await), (500, 1_000));
}

async fn ordered() -> Database {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "ordered => true").await;
    database
}

/// As many deliveries of one key.
async fn fill(database: &Database, count: usize) {
    database
        .execute(&format!(
            "insert into postrider.outbox (topic, payload, key, status, deliveries, open_deliveries, failed)
             select 'order.changed', '{{}}', 'k', 'in_progress', 1, 1, 0 from generate_series(1, {count});
             insert into postrider.delivery (event_id, endpoint_no, status, lane, place)
             select o.id, e.endpoint_no, 'pending', o.key, o.id
             from postrider.outbox as o cross join postrider.endpoint as e order by o.id"
        ))
        .await;
}
