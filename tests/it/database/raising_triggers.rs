//! Triggers of somebody else's that raise for one row of ten: the nine go on, and the tenth comes through when the trigger
//! is gone.

use crate::support::{Dispatcher, Scene, refuse, refuse_no_more};

/// What a trigger does unless it matters.
const RAISE: &str = "raise exception 'not this one'";
/// Whether the event of a delivery is a bad one.
const OF_BAD: &str = "(select o.topic from postrider.outbox as o where o.id = new.event_id) like 'bad%'";
/// Whether the delivery of an attempt is of a bad event.
const ATTEMPT_OF_BAD: &str =
    "(select o.topic from postrider.delivery as d join postrider.outbox as o on o.id = d.event_id
    where d.id = new.delivery_id) like 'bad%'";
/// Whether a bad event is in a claim.
const CLAIM_OF_BAD: &str =
    "exists (select from postrider.delivery as d join postrider.outbox as o on o.id = d.event_id
    where d.id = any (new.delivery_ids) and o.topic like 'bad%')";

#[tokio::test]
async fn a_trigger_that_raises_when_an_event_is_routed_keeps_back_that_event() {
    nine_of_ten_go_on("outbox", "before update", "new.topic like 'bad%' and new.status = 'in_progress'")
        .await;
}

#[tokio::test]
async fn a_trigger_that_raises_when_an_event_is_finished_keeps_back_that_event() {
    nine_of_ten_go_on("outbox", "after update", "new.topic like 'bad%' and new.status = 'complete'").await;
}

#[tokio::test]
async fn a_trigger_that_raises_when_a_delivery_is_born_keeps_back_its_event() {
    nine_of_ten_go_on("delivery", "before insert", OF_BAD).await;
}

#[tokio::test]
async fn a_trigger_that_raises_when_a_delivery_is_complete_keeps_back_that_delivery() {
    nine_of_ten_go_on("delivery", "before update", &format!("new.status = 'complete' and {OF_BAD}")).await;
}

#[tokio::test]
async fn a_trigger_that_raises_when_events_are_claimed_keeps_back_its_event() {
    nine_of_ten_go_on("claim", "after insert", CLAIM_OF_BAD).await;
}

#[tokio::test]
async fn a_trigger_that_raises_when_a_claim_is_done_keeps_back_what_is_in_it() {
    let scene = Scene::start().await;
    scene.send(1, 9).await;
    refuse(&scene.database, "claim", "before delete", &CLAIM_OF_BAD.replace("new.", "old."), RAISE).await;

    scene.answer();
    scene.assert_good_ones_are_done().await;

    refuse_no_more(&scene.database).await;
    scene.assert_all_is_done().await;
    assert_eq!(scene.bad.count(), 1);
}

#[tokio::test]
async fn a_trigger_that_raises_when_outcomes_of_an_endpoint_are_counted_keeps_back_its_deliveries() {
    let of_bad = "(select e.id from postrider.endpoint as e where e.endpoint_no = new.endpoint_no) = 'bad'";
    nine_of_ten_go_on("endpoint_stat", "before insert", of_bad).await;
}

#[tokio::test]
async fn a_trigger_that_raises_at_commit_when_an_event_is_routed_keeps_back_that_event() {
    let routed = "new.topic like 'bad%' and new.status = 'in_progress'";
    nine_of_ten_go_on("outbox", "deferred update", routed).await;
}

#[tokio::test]
async fn a_trigger_that_raises_at_commit_when_a_delivery_is_complete_keeps_back_that_delivery() {
    let complete = format!("new.status = 'complete' and {OF_BAD}");
    nine_of_ten_go_on("delivery", "deferred update", &complete).await;
}

#[tokio::test]
async fn a_trigger_that_raises_when_a_waiting_delivery_is_claimed_keeps_back_that_delivery() {
    let scene = Scene::start().await;
    let claimed = format!("old.status = 'pending' and new.status = 'in_progress' and {OF_BAD}");
    refuse(&scene.database, "delivery", "before update", &claimed, RAISE).await;
    scene.insert_ten_with("now() + interval '1 h'").await;
    scene.database.until("select pending = 10 from postrider.backlog").await;

    scene.database.make_due().await;
    scene.assert_good_ones_are_done().await;
    scene.assert_bad_ones_are_not_done().await;

    refuse_no_more(&scene.database).await;
    scene.assert_all_is_done().await;
}

#[tokio::test]
async fn a_trigger_that_raises_when_a_failure_is_recorded_keeps_back_that_delivery() {
    nine_of_ten_failures_go_on("attempt", "before insert", ATTEMPT_OF_BAD).await;
}

#[tokio::test]
async fn a_trigger_that_raises_when_a_delivery_is_to_be_retried_keeps_back_that_delivery() {
    let retried = format!("old.status = 'in_progress' and new.status = 'pending' and {OF_BAD}");
    nine_of_ten_failures_go_on("delivery", "after update", &retried).await;
}

#[tokio::test]
async fn a_trigger_that_raises_at_commit_when_a_failure_is_recorded_keeps_back_that_delivery() {
    nine_of_ten_failures_go_on("attempt", "deferred insert", ATTEMPT_OF_BAD).await;
}

#[tokio::test]
async fn triggers_that_raise_with_any_code_keep_back_their_events_alone() {
    let codes =
        ["P0001", "22012", "22P02", "23514", "23505", "42703", "42501", "57014", "53400", "XX000", "ZZZZZ"];
    events_are_kept_back_alone(&codes).await;
}

#[tokio::test]
async fn triggers_that_raise_with_a_code_of_locks_keep_back_their_events_alone() {
    // As a trigger does that asks for a lock, "nowait", or meets a deadlock, whenever it is tried.
    events_are_kept_back_alone(&["40001", "40P01", "55P03"]).await;
}

/// Triggers raise with these codes, for one event each.
async fn events_are_kept_back_alone(codes: &[&str]) {
    let topic = "(select o.topic from postrider.outbox as o where o.id = new.event_id)";
    for (table, condition, topic) in [
        ("outbox", "new.topic like 'bad%' and new.status = 'in_progress'".to_owned(), "new.topic"),
        ("delivery", format!("new.status = 'complete' and {OF_BAD}"), topic),
    ] {
        let scene = Scene::start().await;
        let statement = format!("raise exception 'not this one' using errcode = split_part({topic}, '.', 2)");
        refuse(&scene.database, table, "before update", &condition, &statement).await;

        let codes = codes.join(",");
        scene
            .database
            .execute(&format!(
                "insert into postrider.outbox (topic, payload)
                 select case when n % 2 = 0 then 'good.one' else 'bad.' || code end, '{{}}'
                 from unnest('{{{codes}}}'::text[]) as code, generate_series(1, 2) as n"
            ))
            .await;
        scene.assert_good_ones_are_done().await;
        scene.assert_bad_ones_are_not_done().await;

        refuse_no_more(&scene.database).await;
        scene.assert_all_is_done().await;
    }
}

#[tokio::test]
async fn a_trigger_that_fails_by_itself_keeps_back_its_event_alone() {
    let faults = [
        "perform 1 / 0",
        "perform new.no_such_column",
        "new.no_such_column := 1",
        "perform 'x'::int",
        "execute 'select 1 from no_such_table'",
        "insert into public.no_such_table values (1)",
        "perform public.no_such_function()",
    ];
    for statement in faults {
        let scene = Scene::start().await;
        refuse(&scene.database, "delivery", "before insert", OF_BAD, statement).await;

        scene.insert_ten().await;
        scene.assert_good_ones_are_done().await;
        scene.assert_bad_ones_are_not_done().await;

        refuse_no_more(&scene.database).await;
        scene.assert_all_is_done().await;
    }
}

#[tokio::test]
async fn a_trigger_that_raises_for_every_row_of_a_topic_keeps_back_that_topic_alone() {
    for (table, condition) in [
        ("outbox", "new.topic like 'bad%' and new.status = 'in_progress'".to_owned()),
        ("delivery", format!("new.status = 'complete' and {OF_BAD}")),
    ] {
        let scene = Scene::start().await;
        refuse(&scene.database, table, "before update", &condition, RAISE).await;

        scene
            .database
            .execute(
                "insert into postrider.outbox (topic, payload)
                 select case when n % 4 = 0 then 'bad.one' else 'good.one' end, '{}' from generate_series(1, 120) as n",
            )
            .await;
        scene.assert_good_ones_are_done().await;
        scene.assert_bad_ones_are_not_done().await;

        refuse_no_more(&scene.database).await;
        scene.assert_all_is_done().await;
    }
}

#[tokio::test]
async fn what_a_trigger_keeps_back_is_tried_again_as_rarely_as_a_retry() {
    for (table, condition) in [
        ("outbox", "new.topic like 'bad%' and new.status = 'in_progress'".to_owned()),
        ("delivery", format!("new.status = 'complete' and {OF_BAD}")),
    ] {
        let scene = Scene::start().await;
        let _two = Dispatcher::start(&scene.database, &[]).await;
        // A sequence counts what is rolled back, too.
        scene.database.execute("create sequence public.tries").await;
        let statement = format!("perform nextval('public.tries'); {RAISE}");
        refuse(&scene.database, table, "before update", &condition, &statement).await;
        scene.insert_ten().await;
        scene.assert_good_ones_are_done().await;
        scene.soon("select exists (select from postrider.set_aside)").await;
        let tries = "select last_value from public.tries";
        let before: i64 = scene.database.value(tries).await;

        for _ in 0..20 {
            scene.database.insert("good.four", "{}").await;
            scene.assert_good_ones_are_done().await;
        }

        let more = scene.database.value::<i64>(tries).await - before;
        assert!(more <= 3, "tried again {more} times in the time of 220 events");
        refuse_no_more(&scene.database).await;
        scene.assert_all_is_done().await;
    }
}

/// While a trigger raises for the bad one of ten events.
async fn nine_of_ten_go_on(table: &str, when: &str, condition: &str) {
    let scene = Scene::start().await;
    refuse(&scene.database, table, when, condition, RAISE).await;

    scene.insert_ten().await;
    scene.assert_good_ones_are_done().await;
    scene.assert_bad_ones_are_not_done().await;

    refuse_no_more(&scene.database).await;
    scene.assert_all_is_done().await;
}

/// The same; the first attempt of each event fails.
async fn nine_of_ten_failures_go_on(table: &str, when: &str, condition: &str) {
    let scene = Scene::start_with("retry_schedule => '{1ms,1ms}'", &[]).await;
    refuse(&scene.database, table, when, condition, RAISE).await;
    for _ in 0..9 {
        scene.good.answer_once(500, &[], b"");
    }
    scene.bad.answer_once(500, &[], b"");

    scene.insert_ten().await;
    scene.assert_good_ones_are_done().await;
    scene.assert_bad_ones_are_not_done().await;

    refuse_no_more(&scene.database).await;
    scene.assert_all_is_done().await;
    assert_eq!(scene.bad.count(), 2);
}
