//! Triggers of somebody else's that raise for one row while deliveries are given back, taken back and given up, endpoints
//! disabled, circuits opened and old events deleted.

use serde_json::json;

use crate::support::{
    Dispatcher, SHORT_LEASE, SHORT_RETENTION, Scene, eventually, refuse, refuse_no_more, soon,
};

const RAISE: &str = "raise exception 'not this one'";
const OF_BAD: &str = "(select o.topic from postrider.outbox as o where o.id = new.event_id) like 'bad%'";

#[tokio::test]
async fn a_trigger_that_raises_at_sigterm_keeps_no_other_delivery_from_being_given_back() {
    let Scene { database, good, bad, mut dispatcher } =
        Scene::start_with("", &["--lease", "10m", "--grace-period", "1s"]).await;
    good.hold();
    bad.hold();
    database.insert_many("bad.one", 1).await;
    database.insert_many("good.one", 9).await;
    eventually("all are on their way", || async { good.under_way() + bad.under_way() == 10 }).await;
    refuse(&database, "delivery", "before update", &format!("new.status = 'pending' and {OF_BAD}"), RAISE)
        .await;

    dispatcher.signal("TERM").await;
    soon(&database, &dispatcher, "select pending = 9 from postrider.backlog").await;
    assert!(dispatcher.ended().await.code().is_some(), "it stops, whatever raises");

    refuse_no_more(&database).await;
    good.release();
    let next = Dispatcher::start(&database, &[]).await;
    soon(&database, &next, "select count(*) = 9 from postrider.outbox where status = 'complete'").await;
}

#[tokio::test]
async fn a_trigger_that_raises_for_a_delivery_of_the_dead_keeps_no_other_from_being_taken_back() {
    let (database, good, bad) = Scene::left_by_the_dead().await;
    refuse(&database, "delivery", "before update", &format!("new.status = 'pending' and {OF_BAD}"), RAISE)
        .await;

    good.release();
    bad.release();
    let next = Dispatcher::start(&database, &SHORT_LEASE).await;
    database.make_lease_end(1).await;
    soon(&database, &next, "select count(*) = 9 from postrider.outbox where status = 'complete'").await;

    refuse_no_more(&database).await;
    database.execute("select postrider.retry_set_aside()").await;
    database.until_settled().await;
    database.until("select not exists (select from postrider.claim)").await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_trigger_that_raises_for_a_delivery_of_a_deleted_endpoint_keeps_no_other_from_being_given_up() {
    others_are_given_up("delivery", &format!("new.status = 'failed' and {OF_BAD}")).await;
}

#[tokio::test]
async fn a_trigger_that_raises_for_an_event_of_a_deleted_endpoint_keeps_no_other_from_being_given_up() {
    others_are_given_up("outbox", "new.status = 'failed' and new.topic like 'bad%'").await;
}

async fn others_are_given_up(table: &str, condition: &str) {
    let scene = Scene::start_with("", &SHORT_LEASE).await;
    scene.database.put_endpoint("paused", &scene.good.url(), "**", "").await;
    scene.database.execute("select postrider.pause_endpoint('paused')").await;
    scene.insert_ten().await;
    let waiting = "select pending = 10 from postrider.endpoint_health where endpoint_id = 'paused'";
    scene.database.until(waiting).await;
    scene.database.until("select in_progress = 0 and unrouted = 0 from postrider.backlog").await;
    refuse(&scene.database, table, "before update", condition, RAISE).await;

    scene.database.execute("select postrider.delete_endpoint('paused')").await;
    scene.soon("select count(*) = 9 from postrider.outbox where status = 'failed'").await;

    refuse_no_more(&scene.database).await;
    scene.database.execute("select postrider.retry_set_aside()").await;
    scene.database.until_settled().await;
    scene.database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_trigger_that_raises_for_an_old_event_keeps_no_other_from_being_deleted() {
    others_are_deleted("outbox", "old.topic like 'bad%'").await;
}

#[tokio::test]
async fn a_trigger_that_raises_for_an_old_delivery_keeps_no_other_event_from_being_deleted() {
    let of_bad = "(select e.id from postrider.endpoint as e where e.endpoint_no = old.endpoint_no) = 'bad'";
    others_are_deleted("delivery", of_bad).await;
}

async fn others_are_deleted(table: &str, condition: &str) {
    let scene = Scene::start_with("", &SHORT_RETENTION).await;
    scene.insert_ten().await;
    scene.database.until_settled().await;
    refuse(&scene.database, table, "before delete", condition, RAISE).await;

    scene.database.make_older(9).await;
    scene.soon("select not exists (select from postrider.outbox where topic like 'good%')").await;

    refuse_no_more(&scene.database).await;
    scene.database.execute("select postrider.retry_set_aside()").await;
    scene.database.until("select not exists (select from postrider.outbox)").await;
}

#[tokio::test]
async fn an_old_event_that_a_table_of_somebody_refers_to_keeps_no_other_from_being_deleted() {
    let scene = Scene::start_with("", &SHORT_LEASE).await;
    scene.insert_ten().await;
    scene.database.until_settled().await;
    scene
        .database
        .execute(
            "create table public.letter (event_id bigint not null references postrider.outbox);
             insert into public.letter select o.id from postrider.outbox as o where o.topic like 'bad%'",
        )
        .await;

    scene.database.make_older(9).await;
    scene.soon("select not exists (select from postrider.outbox where topic like 'good%')").await;

    scene.database.assert_row("select count(*) from postrider.outbox", json!({"count": 1})).await;
}

#[tokio::test]
async fn a_trigger_that_raises_when_an_endpoint_is_disabled_keeps_no_other_from_it() {
    let scene = Scene::start().await;
    scene.bad.answer(410);
    scene.database.put_endpoint("gone", &scene.bad.url(), "bad.**", "").await;
    let disabled = "new.id = 'bad' and new.state = 'disabled'";
    refuse(&scene.database, "endpoint", "before update", disabled, RAISE).await;

    scene.insert_ten().await;
    scene.assert_good_ones_are_done().await;
    let gone = "select state = 'disabled' from postrider.endpoint_health where endpoint_id = 'gone'";
    scene.soon(gone).await;

    refuse_no_more(&scene.database).await;
    scene
        .database
        .until("select state = 'disabled' from postrider.endpoint_health where endpoint_id = 'bad'")
        .await;
}

#[tokio::test]
async fn a_trigger_that_raises_when_a_circuit_opens_keeps_no_other_from_it() {
    let scene = Scene::start_with("retry_schedule => '{1h}'", &[]).await;
    scene.good.answer(500);
    scene.bad.answer(500);
    let of_bad = "(select e.id from postrider.endpoint as e where e.endpoint_no = new.endpoint_no) = 'bad'";
    refuse(&scene.database, "circuit", "before insert or update", of_bad, RAISE).await;

    scene.database.insert_many("bad.one", 20).await;
    scene.database.insert_many("good.one", 20).await;
    scene.soon("select circuit = 'open' from postrider.endpoint_health where endpoint_id = 'good'").await;

    refuse_no_more(&scene.database).await;
    scene
        .database
        .until("select circuit = 'open' from postrider.endpoint_health where endpoint_id = 'bad'")
        .await;
}

#[tokio::test]
async fn a_trigger_that_raises_when_counts_are_summed_up_keeps_no_others_from_it() {
    let scene = Scene::start_with("", &SHORT_LEASE).await;
    let of_bad = "(select e.id from postrider.endpoint as e where e.endpoint_no = new.endpoint_no) = 'bad'";
    refuse(&scene.database, "endpoint_stat_hourly", "before insert or update", of_bad, RAISE).await;

    scene.insert_ten().await;
    let of_good = "select exists (select from postrider.endpoint_stat_hourly as h join postrider.endpoint as e on e.endpoint_no = h.endpoint_no
        where e.id = 'good')";
    scene.soon(of_good).await;

    refuse_no_more(&scene.database).await;
    scene.database.until("select not exists (select from postrider.endpoint_stat)").await;
    scene.assert_all_is_done().await;
}
