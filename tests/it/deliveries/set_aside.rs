//! What the database refuses to write, and what somebody has locked: where it is seen, when it is tried again, and what
//! becomes of it.

use std::time::Duration;

use serde_json::json;

use crate::cli::doctor::{doctor, found, text};
use crate::support::{
    Dispatcher, SHORT_LEASE, Scene, Scraped, Stranger, connect, eventually, get, refuse, refuse_no_more,
};

const ROUTED: &str = "new.topic like 'bad%' and new.status = 'in_progress'";
const COMPLETE: &str = "new.status = 'complete'
    and (select e.id from postrider.endpoint as e where e.endpoint_no = new.endpoint_no) = 'bad'";
const RAISE: &str = "raise exception 'the ledger is closed'";

#[tokio::test]
async fn an_event_that_is_refused_is_seen_with_its_reason_until_it_gets_through() {
    let scene = Scene::start().await;
    refuse(&scene.database, "outbox", "before update", ROUTED, RAISE).await;

    scene.insert_ten().await;
    scene.assert_good_ones_are_done().await;
    scene.soon("select count(*) = 1 from postrider.set_aside").await;

    scene
        .database
        .assert_row(
            "select s.stage, s.event_id = o.id as is_bad_event, s.delivery_id, s.topic,
                    s.reason like 'the ledger is closed%' as has_reason, s.tries,
                    s.next_try_at between s.since + interval '4 s' and s.since + interval '6 s' as is_soon
             from postrider.set_aside as s, postrider.outbox as o where o.topic like 'bad%'",
            json!({
                "stage": "route", "is_bad_event": true, "delivery_id": null, "topic": "bad.one", "has_reason": true,
                "tries": 1, "is_soon": true
            }),
        )
        .await;
    refuse_no_more(&scene.database).await;
    scene.assert_all_is_done().await;
    scene.database.until("select not exists (select from postrider.set_aside)").await;
}

#[tokio::test]
async fn an_outcome_that_is_refused_is_seen_with_its_endpoint_and_its_request_is_not_made_again() {
    let scene = Scene::start().await;
    refuse(&scene.database, "delivery", "before update", COMPLETE, RAISE).await;

    scene.insert_ten().await;
    scene.assert_good_ones_are_done().await;
    scene.soon("select count(*) = 1 from postrider.set_aside").await;

    scene
        .database
        .assert_row(
            "select s.stage, s.endpoint_id, s.topic, d.status,
                    s.delivery_id = d.delivery_id and s.event_id = d.event_id as is_bad_delivery
             from postrider.set_aside as s, postrider.delivery_status as d where d.endpoint_id = 'bad'",
            json!({
                "stage": "settle", "endpoint_id": "bad", "topic": "bad.one", "status": "in_progress",
                "is_bad_delivery": true
            }),
        )
        .await;
    refuse_no_more(&scene.database).await;
    scene.assert_all_is_done().await;
    scene.database.until("select not exists (select from postrider.set_aside)").await;
    assert_eq!(scene.bad.count(), 1);
}

#[tokio::test]
async fn what_is_refused_is_told_by_doctor_and_metrics_and_a_dispatcher_stays_ready() {
    let scene = Scene::start().await;
    refuse(&scene.database, "outbox", "before update", ROUTED, RAISE).await;
    scene.insert_ten().await;
    scene.soon("select count(*) = 1 from postrider.set_aside").await;

    Scraped::until(&scene.dispatcher, "it is counted", |scraped| {
        scraped.value("postrider_backlog_set_aside") == Some(1.0)
    })
    .await;
    let check = found(&doctor(&scene.database.url, &[]).await, "backlog");
    let ready = get(&format!("http://{}/readyz", scene.dispatcher.api().await)).await.status();

    assert_eq!(check["result"], "warn", "{check}");
    assert!(text(&check, "message").contains("the ledger is closed"), "{check}");
    assert!(text(&check, "remedy").contains("postrider.retry_set_aside()"), "{check}");
    assert_eq!(ready, 200);
}

#[tokio::test]
async fn readers_see_what_is_refused() {
    let scene = Scene::start().await;
    refuse(&scene.database, "outbox", "before update", ROUTED, RAISE).await;
    scene.insert_ten().await;
    scene.soon("select count(*) = 1 from postrider.set_aside").await;

    let reader = connect(&scene.database.login(Some("postrider_reader")).await).await;
    let row = reader.query_one("select topic from postrider.set_aside", &[]).await.unwrap();

    assert_eq!(row.get::<_, &str>(0), "bad.one");
}

#[tokio::test]
async fn what_is_refused_again_is_tried_later_and_later() {
    let scene = Scene::start().await;
    refuse(&scene.database, "outbox", "before update", ROUTED, RAISE).await;
    scene.insert_ten().await;

    for (tries, pause) in [(1, "5 s"), (2, "5 min"), (3, "30 min"), (4, "2 h")] {
        scene.soon(&format!("select exists (select from postrider.refused where tries = {tries})")).await;
        let is_due_then = format!(
            "select retry_at between clock_timestamp() + interval '{pause}' - interval '10 s' and clock_timestamp() + interval '{pause}'
             from postrider.refused"
        );
        assert!(scene.database.is(&is_due_then).await, "try {tries}");
        scene.database.execute("select postrider.retry_set_aside()").await;
    }
}

#[tokio::test]
async fn one_that_gets_through_brings_those_that_were_refused_for_the_same_reason() {
    for (table, condition) in [("outbox", ROUTED), ("delivery", COMPLETE)] {
        let scene = Scene::start().await;
        refuse(&scene.database, table, "before update", condition, RAISE).await;
        scene.database.insert_many("bad.one", 12).await;
        scene.soon("select count(*) = 12 from postrider.set_aside").await;
        scene
            .database
            .execute("update postrider.refused set retry_at = clock_timestamp() + interval '1 h'")
            .await;
        refuse_no_more(&scene.database).await;

        scene
            .database
            .execute(
                "update postrider.refused set retry_at = clock_timestamp() where id = (select min(id) from postrider.refused);
                 select pg_notify('postrider', '')",
            )
            .await;
        scene.database.until_settled().await;

        scene
            .database
            .assert_row("select distinct status from postrider.outbox", json!({"status": "complete"}))
            .await;
        assert_eq!(scene.bad.count(), 12);
    }
}

#[tokio::test]
async fn what_is_refused_keeps_no_dispatcher_from_ending_and_is_done_by_the_next() {
    let Scene { database, bad, dispatcher, .. } = Scene::start_with("", &SHORT_LEASE).await;
    refuse(&database, "delivery", "before update", COMPLETE, RAISE).await;
    database.insert("bad.one", "1").await;
    bad.next().await;
    database.until("select count(*) = 1 from postrider.set_aside").await;

    assert!(dispatcher.terminate().await.success());
    refuse_no_more(&database).await;
    let _next = Dispatcher::start(&database, &SHORT_LEASE).await;
    database.execute("select postrider.retry_set_aside()").await;
    database.until_settled().await;

    // Its outcome was in the memory of the one that ended.
    database.assert_row("select status from postrider.outbox", json!({"status": "complete"})).await;
    assert_eq!((bad.count(), bad.webhook_ids().len()), (2, 1));
    database.until("select not exists (select from postrider.set_aside)").await;
}

#[tokio::test]
async fn a_row_that_somebody_has_locked_is_not_refused_and_is_counted_as_put_off() {
    let scene = Scene::start().await;
    scene.send(3, 1).await;
    let stranger = Stranger::begin(&scene.database, "select from postrider.delivery for update").await;

    scene.answer();
    Scraped::until(&scene.dispatcher, "they are put off", |scraped| {
        scraped.value("postrider_outcomes_deferred_total") >= Some(4.0)
    })
    .await;
    scene.dispatcher.logged("somebody's open transaction holds their rows").await;
    scene.database.assert_row("select count(*) from postrider.refused", json!({"count": 0})).await;

    stranger.commit().await;
    scene.assert_all_is_done().await;
    assert_eq!((scene.bad.count(), scene.good.count()), (3, 1));
}

#[tokio::test]
async fn more_outcomes_than_fit_into_a_batch_wait_for_one_transaction_and_keep_nobody_else_from_being_sent() {
    let scene = Scene::start_with("max_in_flight => 600", &["--max-in-flight", "2000"]).await;
    scene.bad.answer_after(Duration::from_millis(300));
    scene.database.insert_many("bad.one", 600).await;
    eventually("bad ones are on their way", || async { scene.bad.count() > 0 }).await;
    scene.database.until("select unrouted = 0 from postrider.backlog").await;
    let all = "select from postrider.outbox as o where o.topic like 'bad%' for update";
    let stranger = Stranger::begin(&scene.database, all).await;

    scene.assert_good_ones_are_done().await;

    stranger.commit().await;
    scene.assert_all_is_done().await;
    assert_eq!(scene.bad.count(), 600);
}
