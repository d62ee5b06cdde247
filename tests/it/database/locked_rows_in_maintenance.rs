//! Rows that a stranger's transaction holds while deliveries are given back, taken back and given up, and old events
//! deleted.

use crate::support::{Dispatcher, SHORT_LEASE, SHORT_RETENTION, Scene, Stranger, eventually, soon};

const BAD_DELIVERY: &str =
    "select from postrider.delivery as d join postrider.outbox as o on o.id = d.event_id
    where o.topic like 'bad%' for update";

#[tokio::test]
async fn a_delivery_that_somebody_holds_at_sigterm_keeps_no_other_from_being_given_back() {
    let Scene { database, good, bad, mut dispatcher } =
        Scene::start_with("", &["--lease", "10m", "--grace-period", "1s"]).await;
    good.hold();
    bad.hold();
    database.insert_many("bad.one", 1).await;
    database.insert_many("good.one", 10).await;
    eventually("all are on their way", || async { good.under_way() + bad.under_way() == 11 }).await;
    let stranger = Stranger::begin(&database, BAD_DELIVERY).await;

    dispatcher.signal("TERM").await;
    soon(&database, &dispatcher, "select pending = 10 from postrider.backlog").await;
    assert!(dispatcher.ended().await.code().is_some(), "it stops, whatever is held");

    stranger.commit().await;
    good.release();
    let next = Dispatcher::start(&database, &[]).await;
    soon(&database, &next, "select count(*) = 10 from postrider.outbox where status = 'complete'").await;
}

#[tokio::test]
async fn a_delivery_that_somebody_holds_keeps_no_other_from_being_taken_back() {
    others_are_taken_back(BAD_DELIVERY).await;
}

#[tokio::test]
async fn an_event_that_somebody_holds_keeps_no_delivery_from_being_taken_back() {
    others_are_taken_back("select from postrider.outbox as o where o.topic like 'bad%' for update").await;
}

async fn others_are_taken_back(hold: &str) {
    let (database, good, bad) = Scene::left_by_the_dead().await;
    let stranger = Stranger::begin(&database, hold).await;

    good.release();
    bad.release();
    let next = Dispatcher::start(&database, &SHORT_LEASE).await;
    database.make_lease_end(1).await;
    soon(&database, &next, "select count(*) = 9 from postrider.outbox where status = 'complete'").await;

    stranger.commit().await;
    database.until_settled().await;
    database.until("select not exists (select from postrider.claim)").await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_delivery_that_somebody_holds_keeps_no_other_of_its_deleted_endpoint_from_being_given_up() {
    others_are_given_up(BAD_DELIVERY).await;
}

#[tokio::test]
async fn an_event_that_somebody_holds_keeps_no_other_delivery_from_being_given_up() {
    others_are_given_up("select from postrider.outbox as o where o.topic like 'bad%' for update").await;
}

async fn others_are_given_up(hold: &str) {
    let scene = Scene::start_with("", &SHORT_LEASE).await;
    scene.database.put_endpoint("paused", &scene.good.url(), "**", "").await;
    scene.database.execute("select postrider.pause_endpoint('paused')").await;
    scene.insert_ten().await;
    let waiting = "select pending = 10 from postrider.endpoint_health where endpoint_id = 'paused'";
    scene.database.until(waiting).await;
    scene.database.until("select in_progress = 0 and unrouted = 0 from postrider.backlog").await;
    let stranger = Stranger::begin(&scene.database, hold).await;
    scene.database.execute("select postrider.delete_endpoint('paused')").await;

    scene.soon("select count(*) = 9 from postrider.outbox where status = 'failed'").await;

    stranger.commit().await;
    scene.database.until_settled().await;
    scene.database.assert_counts_agree().await;
}

#[tokio::test]
async fn an_old_event_that_somebody_holds_keeps_no_other_from_being_deleted() {
    others_are_deleted("select from postrider.outbox as o where o.topic like 'bad%' for key share").await;
}

#[tokio::test]
async fn an_old_delivery_that_somebody_holds_keeps_no_other_event_from_being_deleted() {
    others_are_deleted(BAD_DELIVERY).await;
}

#[tokio::test]
async fn the_installation_that_somebody_holds_keeps_no_old_event_from_being_deleted() {
    others_are_deleted("select from postrider.installation for update").await;
}

async fn others_are_deleted(hold: &str) {
    let scene = Scene::start_with("", &SHORT_RETENTION).await;
    scene.insert_ten().await;
    scene.database.until_settled().await;
    // It looks at nothing that is old before somebody holds a part of it.
    scene.dispatcher.signal("STOP").await;
    scene.database.make_older(9).await;
    let stranger = Stranger::begin(&scene.database, hold).await;

    scene.dispatcher.signal("CONT").await;
    scene.soon("select not exists (select from postrider.outbox where topic like 'good%')").await;

    stranger.commit().await;
    scene.database.until("select not exists (select from postrider.outbox)").await;
    scene.database.until("select not exists (select from postrider.delivery)").await;
}
