//! Rows that a stranger's transaction holds while outcomes are written, events are routed and deliveries claimed.

use crate::support::{Database, Dispatcher, IS_BAD, Scene, Stranger, eventually};

/// The deliveries of bad events.
fn deliveries(locking: &str) -> String {
    format!(
        "select from postrider.delivery as d join postrider.outbox as o on o.id = d.event_id where {IS_BAD} {locking}"
    )
}

#[tokio::test]
async fn a_delivery_that_somebody_holds_keeps_no_other_outcome_from_being_written() {
    outcomes_of_others_are_written(1, 200, &deliveries("for update of d")).await;
}

#[tokio::test]
async fn several_deliveries_that_somebody_holds_keep_no_other_outcome_from_being_written() {
    outcomes_of_others_are_written(20, 200, &deliveries("for share of d")).await;
}

#[tokio::test]
async fn an_event_that_somebody_holds_keeps_no_other_outcome_from_being_written() {
    let event = format!("select from postrider.outbox as o where {IS_BAD} for update");
    outcomes_of_others_are_written(3, 200, &event).await;
}

#[tokio::test]
async fn an_event_and_its_delivery_that_somebody_holds_keep_no_failure_of_others_from_being_written() {
    outcomes_of_others_are_written(2, 500, &deliveries("for update")).await;
}

#[tokio::test]
async fn a_claim_that_somebody_holds_keeps_no_other_outcome_from_being_written() {
    let claim = "select from postrider.claim as c
        where exists (select from postrider.delivery as d join postrider.outbox as o on o.id = d.event_id
                      where d.id = any (c.delivery_ids) and o.topic like 'bad%') for update";
    let scene = Scene::start().await;
    scene.send(1, 10).await;
    let stranger = Stranger::begin(&scene.database, claim).await;

    scene.answer();
    scene.assert_good_ones_are_done().await;

    stranger.commit().await;
    scene.assert_all_is_done().await;
    assert_eq!(scene.bad.count(), 1);
}

#[tokio::test]
async fn the_installation_that_somebody_holds_keeps_nothing_from_going_on() {
    let scene = Scene::start().await;
    scene.bad.answer(410);
    scene.send(1, 10).await;
    let stranger = Stranger::begin(&scene.database, "select from postrider.installation for update").await;

    scene.answer();
    scene.assert_good_ones_are_done().await;

    stranger.commit().await;
    scene
        .database
        .until("select state = 'disabled' from postrider.endpoint_health where endpoint_id = 'bad'")
        .await;
}

#[tokio::test]
async fn an_endpoint_that_somebody_holds_is_sent_what_is_for_it() {
    let scene = Scene::start().await;
    let hold = "select from postrider.endpoint where id = 'good' for update";
    let stranger = Stranger::begin(&scene.database, hold).await;

    scene.insert_ten().await;
    scene.assert_good_ones_are_done().await;

    stranger.commit().await;
    scene.assert_all_is_done().await;
}

#[tokio::test]
async fn an_endpoint_that_fails_while_somebody_holds_it_keeps_no_other_outcome_from_being_written() {
    outcomes_of_others_are_written(1, 500, &format!("{} for update", endpoint())).await;
}

#[tokio::test]
async fn an_endpoint_that_is_gone_while_somebody_holds_it_keeps_no_other_outcome_from_being_written() {
    let scene = Scene::start().await;
    scene.bad.answer(410);
    scene.send(3, 10).await;
    let stranger = Stranger::begin(&scene.database, &format!("{} for update", endpoint())).await;

    scene.answer();
    scene.assert_good_ones_are_done().await;
    scene.soon("select count(*) = 3 from postrider.attempt_log where status_code = 410").await;

    stranger.commit().await;
    scene
        .database
        .until("select state = 'disabled' from postrider.endpoint_health where endpoint_id = 'bad'")
        .await;
    assert_eq!(scene.bad.count(), 3);
}

#[tokio::test]
async fn many_endpoints_that_are_gone_while_somebody_holds_one_are_disabled() {
    let scene = Scene::start().await;
    scene.bad.answer(410);
    for number in 0..8 {
        scene.database.put_endpoint(&format!("gone-{number}"), &scene.bad.url(), "bad.**", "").await;
    }
    let held = "select from postrider.endpoint where id = 'gone-3' for update";
    let stranger = Stranger::begin(&scene.database, held).await;

    scene.insert_ten().await;
    scene.assert_good_ones_are_done().await;
    scene.soon("select count(*) = 8 from postrider.endpoint_health where state = 'disabled'").await;

    stranger.commit().await;
    scene.database.until("select count(*) = 9 from postrider.endpoint_health where state = 'disabled'").await;
}

#[tokio::test]
async fn a_circuit_that_somebody_holds_keeps_no_other_from_opening() {
    let scene = Scene::start_with("retry_schedule => '{1h}'", &[]).await;
    scene.good.answer(500);
    scene.bad.answer(500);
    scene.database.insert_many("bad.one", 1).await;
    scene.database.until("select exists (select from postrider.circuit)").await;
    let stranger = Stranger::begin(&scene.database, "select from postrider.circuit for update").await;

    scene.database.insert_many("bad.one", 20).await;
    scene.database.insert_many("good.one", 20).await;
    scene.soon("select circuit = 'open' from postrider.endpoint_health where endpoint_id = 'good'").await;

    stranger.commit().await;
    scene
        .database
        .until("select circuit = 'open' from postrider.endpoint_health where endpoint_id = 'bad'")
        .await;
}

#[tokio::test]
async fn a_row_of_the_same_key_that_somebody_has_not_committed_keeps_no_other_outcome_from_being_written() {
    let attempt =
        "insert into postrider.attempt (delivery_id, started_at, endpoint_no, duration_ms, attempt, outcome)
        select d.id, now(), d.endpoint_no, 1, 1, 'pending'
        from postrider.delivery as d join postrider.outbox as o on o.id = d.event_id where o.topic like 'bad%'
        returning attempt";
    outcomes_of_others_are_written(1, 500, attempt).await;
}

#[tokio::test]
async fn a_delivery_of_the_same_event_that_somebody_has_not_committed_keeps_no_other_event_from_being_routed()
{
    let scene = Scene::start().await;
    // The first event of a new database.
    let delivery = "insert into postrider.delivery (event_id, endpoint_no, status, due_at)
        select 1, e.endpoint_no, 'pending', now() from postrider.endpoint as e where e.id = 'bad' returning id";
    let stranger = Stranger::begin(&scene.database, delivery).await;

    scene.database.insert_many("bad.one", 1).await;
    scene.insert_ten().await;
    scene.assert_good_ones_are_done().await;

    stranger.rollback().await;
    scene.assert_all_is_done().await;
}

#[tokio::test]
async fn an_event_that_somebody_holds_keeps_no_other_from_being_routed() {
    let scene = Scene::start().await;
    // Routed by nobody before it is held: the dispatcher stands still.
    scene.dispatcher.signal("STOP").await;
    scene.insert_ten().await;
    let held = "select from postrider.outbox as o where o.topic like 'bad%' for update";
    let stranger = Stranger::begin(&scene.database, held).await;

    scene.dispatcher.signal("CONT").await;
    scene.assert_good_ones_are_done().await;
    scene.assert_bad_ones_are_not_done().await;

    stranger.commit().await;
    scene.assert_all_is_done().await;
}

#[tokio::test]
async fn a_waiting_delivery_that_somebody_holds_keeps_no_other_from_being_claimed() {
    let scene = Scene::start().await;
    scene
        .database
        .execute("select postrider.pause_endpoint(id) from unnest('{good,bad}'::text[]) as id")
        .await;
    scene.insert_ten().await;
    scene.database.until("select pending = 10 from postrider.backlog").await;
    let stranger = Stranger::begin(&scene.database, &deliveries("for update")).await;

    scene
        .database
        .execute("select postrider.resume_endpoint(id) from unnest('{good,bad}'::text[]) as id")
        .await;
    scene.assert_good_ones_are_done().await;
    scene.assert_bad_ones_are_not_done().await;

    stranger.commit().await;
    scene.assert_all_is_done().await;
}

#[tokio::test]
async fn a_dispatcher_that_somebody_holds_keeps_no_other_from_working() {
    let scene = Scene::start_with("", &["--lease", "1m"]).await;
    let held = "select from postrider.dispatcher for update";
    let stranger = Stranger::begin(&scene.database, held).await;
    let other = Dispatcher::start(&scene.database, &["--lease", "1m"]).await;

    for _ in 0..10 {
        scene.database.insert("good.one", "1").await;
    }
    scene.soon("select bool_and(status = 'complete') from postrider.outbox").await;

    stranger.commit().await;
    scene.assert_all_is_done().await;
    drop(other);
}

#[tokio::test]
async fn a_table_of_endpoints_that_somebody_has_locked_keeps_no_dispatcher_from_starting() {
    let database = Database::new().await;
    let stranger = database.connect().await;
    stranger.batch_execute("begin; lock postrider.endpoint in access exclusive mode").await.unwrap();

    let dispatcher = Dispatcher::start(&database, &[]).await;

    // Nothing but the stranger ends the lock.
    dispatcher.logged("API on http://").await;
    stranger.batch_execute("rollback").await.unwrap();
    database.insert("order.created", "1").await;
    database.until_settled().await;
}

/// The bad endpoint.
fn endpoint() -> &'static str {
    "select from postrider.endpoint where id = 'bad'"
}

/// Bad and good requests are answered, bad ones with this status, while somebody holds what belongs to the bad ones.
async fn outcomes_of_others_are_written(bad: usize, status: u16, hold: &str) {
    let scene = Scene::start_with("retry_schedule => '{1ms,1ms,1ms}'", &[]).await;
    for _ in 0..bad {
        scene.bad.answer_once(status, &[], b"");
        scene.good.answer_once(status, &[], b"");
    }
    scene.send(bad, 10).await;
    let stranger = Stranger::begin(&scene.database, hold).await;

    scene.answer();
    scene.assert_good_ones_are_done().await;

    stranger.rollback().await;
    scene.assert_all_is_done().await;
    // What was answered is not sent again: its outcome was kept until it could be written.
    let expected = if status == 200 { bad } else { 2 * bad };
    eventually("nothing is on its way", || async { scene.bad.under_way() == 0 }).await;
    assert_eq!(scene.bad.count(), expected);
}
