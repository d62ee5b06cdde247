//! Functions that somebody has called and not committed: everybody else goes on, and other endpoints can be put.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use crate::support::{SECRET, SOON, Scene, Stranger};

/// An endpoint that nobody has put yet, at a URL that nobody calls.
const PUT_THIRD: &str = "select postrider.put_endpoint('third', 'https://example.com/', '{third}')";

#[tokio::test]
async fn a_new_endpoint_that_is_not_committed_holds_up_nobody() {
    nobody_is_held_up_by(PUT_THIRD).await;
}

#[tokio::test]
async fn an_endpoint_whose_change_is_not_committed_holds_up_nobody() {
    nobody_is_held_up_by("select postrider.put_endpoint('bad', 'https://example.com/', '{other}')").await;
}

#[tokio::test]
async fn a_pause_that_is_not_committed_holds_up_nobody() {
    nobody_is_held_up_by("select postrider.pause_endpoint('bad', 'maintenance')").await;
}

#[tokio::test]
async fn a_resumption_that_is_not_committed_holds_up_nobody() {
    nobody_is_held_up_by("select postrider.resume_endpoint('bad')").await;
}

#[tokio::test]
async fn a_new_secret_that_is_not_committed_holds_up_nobody() {
    nobody_is_held_up_by("select postrider.rotate_secret('bad')").await;
}

#[tokio::test]
async fn a_deletion_of_an_endpoint_that_is_not_committed_holds_up_nobody() {
    nobody_is_held_up_by("select postrider.delete_endpoint('bad')").await;
}

#[tokio::test]
async fn a_cancellation_that_is_not_committed_holds_up_nobody() {
    let cancel = "select postrider.cancel(o.id) from postrider.outbox as o where o.topic like 'bad%'";
    nobody_is_held_up_by(cancel).await;
}

#[tokio::test]
async fn a_replay_that_is_not_committed_holds_up_nobody() {
    let scene = Scene::start().await;
    scene.insert_ten().await;
    scene.database.until_settled().await;
    let replay = "select * from postrider.replay('bad', '-infinity', 'infinity')";
    let stranger = Stranger::begin(&scene.database, replay).await;

    scene.insert_ten().await;
    scene.assert_good_ones_are_done().await;

    stranger.commit().await;
    scene.assert_all_is_done().await;
    assert_eq!(scene.bad.count(), 3);
}

#[tokio::test]
async fn a_retry_that_is_not_committed_holds_up_nobody() {
    a_second_try_that_is_not_committed_holds_up_nobody(
        "select postrider.retry(d.delivery_id) from postrider.delivery_status as d where d.status = 'failed'",
    )
    .await;
}

#[tokio::test]
async fn a_retry_of_all_that_failed_that_is_not_committed_holds_up_nobody() {
    a_second_try_that_is_not_committed_holds_up_nobody("select postrider.retry_failed('bad')").await;
}

/// One event for both endpoints: complete at the good one, given up at the bad one, and the event is held while the good
/// one gets others.
async fn a_second_try_that_is_not_committed_holds_up_nobody(call: &str) {
    let scene = Scene::start_with("retry_schedule => '{1ms}'", &[]).await;
    scene.bad.answer_once(500, &[], b"");
    scene.bad.answer_once(500, &[], b"");
    scene.insert_ten().await;
    scene.database.until_settled().await;
    let stranger = Stranger::begin(&scene.database, call).await;

    scene.insert_ten().await;
    scene.assert_good_ones_are_done().await;

    stranger.commit().await;
    scene.assert_all_is_done().await;
    assert_eq!(scene.bad.count(), 4);
}

#[tokio::test]
async fn an_endpoint_can_be_put_while_another_is_not_committed() {
    let scene = Scene::start().await;
    let stranger = Stranger::begin(&scene.database, PUT_THIRD).await;

    let fourth = format!("select postrider.put_endpoint('fourth', '{}', '{{fourth}}')", scene.good.url());
    let put = scene.database.execute(&fourth);
    assert!(timeout(SOON, put).await.is_ok(), "it waits for another endpoint's transaction");
    scene.database.insert("fourth", "1").await;
    timeout(SOON, scene.good.next()).await.expect("the new endpoint receives");

    stranger.commit().await;
    scene.database.insert("third", "1").await;
    scene
        .database
        .until("select exists (select from postrider.delivery_status where endpoint_id = 'third')")
        .await;
}

#[tokio::test]
async fn every_endpoint_can_be_changed_while_another_change_is_not_committed() {
    let scene = Scene::start().await;
    scene.database.put_endpoint("spare", "https://example.com/", "spare", "").await;
    let stranger = Stranger::begin(&scene.database, PUT_THIRD).await;

    for change in [
        "select postrider.pause_endpoint('good')",
        "select postrider.resume_endpoint('good')",
        "select postrider.rotate_secret('bad')",
        "select postrider.delete_endpoint('spare')",
    ] {
        let changed = timeout(SOON, scene.database.execute(change)).await;
        assert!(changed.is_ok(), "it waits: {change}");
    }
    scene.database.insert_many("good.one", 10).await;
    scene.assert_good_ones_are_done().await;

    stranger.commit().await;
}

#[tokio::test]
async fn two_transactions_that_change_endpoints_do_not_wait_for_each_other() {
    let scene = Scene::start().await;
    let other = Stranger::begin(&scene.database, PUT_THIRD).await;
    let stranger = Stranger::begin(&scene.database, "select postrider.pause_endpoint('bad')").await;

    let pause = other.client.query("select postrider.pause_endpoint('good')", &[]);
    timeout(SOON, pause).await.expect("it waits for nobody").unwrap();
    other.commit().await;
    let resume = stranger.client.query("select postrider.resume_endpoint('third')", &[]);
    timeout(SOON, resume).await.expect("it waits for nobody").unwrap();
    stranger.commit().await;

    scene
        .database
        .assert_row(
            "select distinct state from postrider.endpoint_health where endpoint_id in ('good', 'bad')",
            json!({"state": "paused"}),
        )
        .await;
}

#[tokio::test]
async fn an_endpoint_that_was_committed_before_an_insert_receives_the_event_whatever_else_is_open() {
    let scene = Scene::start().await;
    let stranger = Stranger::begin(&scene.database, PUT_THIRD).await;

    for number in 0..20 {
        let put = format!(
            "select postrider.put_endpoint('late-{number}', '{}', '{{late-{number}}}', secret => '{SECRET}')",
            scene.good.url()
        );
        timeout(SOON, scene.database.execute(&put)).await.expect("it waits for nobody");
        scene.database.insert(&format!("late-{number}"), "1").await;
    }
    scene
        .soon(
            "select count(*) = 20 and bool_and(status = 'complete' and deliveries = 1) from postrider.outbox",
        )
        .await;

    stranger.rollback().await;
}

#[tokio::test]
async fn an_endpoint_that_is_put_in_the_transaction_of_an_event_receives_it_whatever_else_is_open() {
    let scene = Scene::start().await;
    let stranger = Stranger::begin(&scene.database, PUT_THIRD).await;

    for number in 0..20 {
        let put = format!(
            "begin;
             insert into postrider.outbox (topic, payload) values ('own-{number}', '1');
             select postrider.put_endpoint('own-{number}', '{}', '{{own-{number}}}', secret => '{SECRET}');
             commit",
            scene.good.url()
        );
        timeout(SOON, scene.database.execute(&put)).await.expect("it waits for nobody");
    }
    scene
        .soon(
            "select count(*) = 20 and bool_and(status = 'complete' and deliveries = 1) from postrider.outbox",
        )
        .await;

    stranger.rollback().await;
}

#[tokio::test]
async fn an_endpoint_that_commits_long_after_another_is_known_from_then_on() {
    let scene = Scene::start().await;
    let first = format!(
        "select postrider.put_endpoint('first', '{}', '{{first}}', secret => '{SECRET}')",
        scene.good.url()
    );
    let stranger = Stranger::begin(&scene.database, &first).await;
    // It changed later, and commits earlier.
    let second = first.replace("first", "second");
    timeout(SOON, scene.database.execute(&second)).await.expect("it waits for nobody");
    scene.database.insert("second", "1").await;
    timeout(SOON, scene.good.next()).await.expect("the second one receives");

    stranger.commit().await;
    scene.database.insert("first", "1").await;

    timeout(SOON, scene.good.next()).await.expect("the first one receives");
}

/// While a call is not committed, an endpoint that is gone, and others that are not, get what is for them.
async fn nobody_is_held_up_by(call: &str) {
    let scene = Scene::start().await;
    scene.database.put_endpoint("gone", &scene.bad.url(), "gone", "").await;
    scene.bad.answer_once(200, &[], b"");
    scene.send(1, 10).await;
    let stranger = Stranger::begin(&scene.database, call).await;

    scene.bad.answer(410);
    scene.database.insert("gone", "1").await;
    scene.answer();
    scene.assert_good_ones_are_done().await;
    let gone = "select state = 'disabled' from postrider.endpoint_health where endpoint_id = 'gone'";
    scene.soon(gone).await;

    stranger.rollback().await;
    let done = "select bool_and(status = 'complete') from postrider.outbox where topic <> 'gone'";
    timeout(Duration::from_mins(1), scene.database.until(done)).await.unwrap();
    assert_eq!(scene.bad.count(), 2);
}
