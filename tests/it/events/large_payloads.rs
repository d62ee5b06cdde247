//! Payloads that are stored small and are large: how large is known without looking into them, and they hold up nobody.

use serde_json::json;

use crate::support::Scene;

/// So many bytes of one letter, stored in a hundredth of that.
const LETTERS: usize = 60_000_000;

#[tokio::test]
async fn payloads_that_compress_well_and_are_too_large_are_given_up_and_hold_up_nobody() {
    let scene = Scene::start_with("", &["--max-payload", "1MiB"]).await;
    let before = scene.dispatcher.memory_max_mib();

    insert_letters(&scene, 8, LETTERS).await;
    scene.assert_good_ones_are_done().await;
    scene
        .soon("select count(*) = 8 from postrider.outbox where topic = 'bad.large' and status = 'failed'")
        .await;

    scene
        .database
        .assert_row(
            "select count(*), count(*) filter (where last_error like '%payload%') as of_payload
             from postrider.delivery_status where topic = 'bad.large'",
            json!({"count": 8, "of_payload": 8}),
        )
        .await;
    assert_eq!(scene.bad.count(), 0);
    let grown = scene.dispatcher.memory_max_mib() - before;
    assert!(grown < 40, "{grown} MiB for payloads that are not sent");
}

#[tokio::test]
async fn payloads_that_compress_well_are_delivered_where_they_may_be_and_hold_up_nobody() {
    let scene = Scene::start_with("", &["--max-payload", "2MiB"]).await;

    // What the receiver takes at most is 2 MB.
    insert_letters(&scene, 40, 1_900_000).await;
    scene.assert_good_ones_are_done().await;

    scene.assert_all_is_done().await;
    assert_eq!(scene.bad.count(), 40);
    assert!(scene.bad.all().iter().all(|received| received.body.len() == 1_900_002));
}

#[tokio::test]
async fn payloads_that_waited_and_compress_well_hold_up_nobody() {
    let scene = Scene::start_with("", &["--max-payload", "1MiB"]).await;
    scene
        .database
        .execute("select postrider.pause_endpoint(id) from unnest('{good,bad}'::text[]) as id")
        .await;
    insert_letters(&scene, 8, LETTERS).await;
    scene.database.until("select unrouted = 0 and pending >= 8 from postrider.backlog").await;

    scene
        .database
        .execute("select postrider.resume_endpoint(id) from unnest('{good,bad}'::text[]) as id")
        .await;
    scene.assert_good_ones_are_done().await;

    scene
        .soon("select count(*) = 8 from postrider.outbox where topic = 'bad.large' and status = 'failed'")
        .await;
}

#[tokio::test]
async fn a_payload_that_cannot_be_read_is_given_up_or_kept_back_and_holds_up_nobody() {
    unreadable_payloads_hold_up_nobody("", &[]).await;
}

#[tokio::test]
async fn the_size_of_a_payload_that_cannot_be_read_is_known() {
    let scene = unreadable_payloads_hold_up_nobody("", &["--max-payload", "100KiB"]).await;

    scene
        .soon("select count(*) = 2 from postrider.outbox where topic = 'bad.torn' and status = 'failed'")
        .await;
    scene
        .database
        .assert_row(
            "select count(*), count(*) filter (where last_error like '%payload%') as of_payload
             from postrider.delivery_status where topic = 'bad.torn'",
            json!({"count": 2, "of_payload": 2}),
        )
        .await;
}

/// Two payloads whose storage is damaged, among ten others.
async fn unreadable_payloads_hold_up_nobody(more: &str, flags: &[&str]) -> Scene {
    let scene = Scene::start_with(more, flags).await;
    scene.dispatcher.signal("STOP").await;
    scene.insert_ten().await;
    scene
        .database
        .execute(
            "insert into postrider.outbox (topic, payload)
             select 'bad.torn', to_json(string_agg(md5(n::text || m::text), '')) from generate_series(1, 20000) as n,
                 generate_series(1, 2) as m group by m",
        )
        .await;
    tear_payloads(&scene).await;

    scene.dispatcher.signal("CONT").await;
    scene.assert_good_ones_are_done().await;
    scene.insert_ten().await;
    scene
        .soon("select count(*) = 2 from postrider.outbox where topic = 'bad.one' and status = 'complete'")
        .await;
    scene
}

/// Takes away what is stored of the payloads that are not in their rows, as a failing disk does.
async fn tear_payloads(scene: &Scene) {
    scene
        .database
        .execute(
            "set allow_system_table_mods = on;
             do $$
             declare
                 toast regclass := (select reltoastrelid from pg_class where oid = 'postrider.outbox'::regclass);
             begin
                 -- As an ordinary table it can be written. (What is deleted there can still be read.)
                 update pg_class set relkind = 'r' where oid = toast;
                 execute format('truncate %s', toast);
                 update pg_class set relkind = 't' where oid = toast;
             end $$",
        )
        .await;
}

/// So many events of `bad`, each so large and one letter throughout, and ten more of which nine are good, in one transaction.
async fn insert_letters(scene: &Scene, count: usize, letters: usize) {
    scene
        .database
        .execute(&format!(
            "begin;
             insert into postrider.outbox (topic, payload)
             select 'bad.large', to_json(repeat('a', {letters})) from generate_series(1, {count});
             insert into postrider.outbox (topic, payload) select 'good.one', '{{}}' from generate_series(1, 10);
             commit"
        ))
        .await;
}
