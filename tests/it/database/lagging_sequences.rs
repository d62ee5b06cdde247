//! Sequences that lie behind their tables, as logical replication leaves them: found, named, set forward, and never back.

use serde_json::json;

use crate::cli::doctor::{doctor, found, text};
use crate::support::{Api, CommandOutput, Database, Dispatcher, Receiver, one_endpoint};

/// Sequences as they are after a logical copy: none has given out anything.
const FORGET: &str = "
    select setval(s::regclass, 1, false)
    from unnest('{postrider.outbox_id_seq,postrider.delivery_id_seq,postrider.claim_id_seq,postrider.dispatcher_id_seq,
        postrider.endpoint_endpoint_no_seq,postrider.endpoint_change_id_seq}'::text[]) as s";

/// How many sequences give out ids that are taken.
const LAGGING: &str = "select count(*) from postrider.lagging_sequences()";

#[tokio::test]
async fn a_dispatcher_that_starts_after_a_logical_copy_sets_every_sequence_forward_and_delivers() {
    let database = with_history().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    database.execute(FORGET).await;

    let dispatcher = Dispatcher::start(&database, &[]).await;

    database.assert_row(LAGGING, json!({"count": 0})).await;
    database.insert("order.created", "1").await;
    assert_eq!(receiver.next().await.text(), "1");
    database.put_endpoint("two", &receiver.url(), "nothing", "").await;
    dispatcher.logged("set the sequence postrider.delivery_id_seq forward").await;
}

#[tokio::test]
async fn a_dispatcher_that_meets_a_sequence_behind_its_table_sets_it_forward_and_goes_on() {
    for sequence in ["delivery_id_seq", "claim_id_seq"] {
        let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
        receiver.hold();
        database.insert("order.created", "1").await;
        receiver.next().await;
        // More than failures in a row would use up.
        database
            .execute(&format!(
                "insert into postrider.dispatcher (id, host, version, lease_until, wake_mode) overriding system value
                 values (1000, 'other', '0', now() + interval '1 h', 'poll');
                 insert into postrider.claim (dispatcher_id, delivery_ids) select 1000, '{{0}}' from generate_series(1, 2000);
                 insert into postrider.delivery (event_id, endpoint_no, status, attempts, completed_at)
                 select -n, 1, 'complete', 1, now() from generate_series(1, 2000) as n;
                 select setval('postrider.{sequence}', 1, false)"
            ))
            .await;

        database.insert("order.created", "2").await;

        assert_eq!(receiver.next().await.text(), "2", "{sequence}");
        receiver.release();
        database.until_settled().await;
    }
}

#[tokio::test]
async fn a_dispatcher_that_registers_anew_meets_no_taken_id() {
    let flags = ["--lease", "2s", "--request-timeout", "1s"];
    let (database, receiver, dispatcher) = one_endpoint("", &flags).await;
    database
        .execute(
            "insert into postrider.dispatcher (id, host, version, lease_until, wake_mode) overriding system value
             select n, 'other', '0', now() + interval '1 h', 'poll' from generate_series(100, 110) as n;
             select setval('postrider.dispatcher_id_seq', 100, false)",
        )
        .await;

    dispatcher.signal("STOP").await;
    database
        .until("select bool_and(lease_until < now()) from postrider.dispatcher where host <> 'other'")
        .await;
    database.execute("delete from postrider.dispatcher where host <> 'other'").await;
    dispatcher.signal("CONT").await;

    database.insert("order.created", "1").await;
    assert_eq!(receiver.next().await.text(), "1");
}

#[tokio::test]
async fn doctor_names_a_sequence_behind_its_table_and_sets_it_forward_when_asked() {
    let database = with_history().await;
    database
        .execute("select setval('postrider.outbox_id_seq', 3, false), setval('postrider.claim_id_seq', 90)")
        .await;

    let before = doctor(&database.url, &[]).await;
    let mended = doctor(&database.url, &["--mend"]).await;

    let check = found(&before, "sequences");
    assert_eq!((before.code, text(&check, "result")), (Some(1), "fail"));
    let says = text(&check, "message");
    assert!(
        says.contains("postrider.outbox_id_seq gives out 3 next, but postrider.outbox has ids up to 10"),
        "{says}"
    );
    assert!(says.contains("on conflict do nothing") && !says.contains("claim_id_seq"), "{says}");
    assert_eq!(check["remedy"], "postrider doctor --mend");
    assert_eq!(text(&found(&mended, "sequences"), "result"), "ok", "{}", mended.stdout);
    assert_eq!(database.insert("order.created", "1").await, 11);
    // What is ahead stays where it is.
    assert_eq!(database.value::<i64>("select nextval('postrider.claim_id_seq')").await, 91);
}

#[tokio::test]
async fn a_sequence_that_is_far_behind_is_set_forward_at_once() {
    let database = with_history().await;
    database
        .execute(
            "insert into postrider.outbox (id, topic, payload) overriding system value values (5000000000, 'a.b', '{}');
             select postrider.mend_sequences()",
        )
        .await;

    assert_eq!(database.insert("order.created", "1").await, 5_000_000_001);
}

#[tokio::test]
async fn ids_that_others_take_while_a_sequence_is_mended_are_not_given_out_again() {
    let database = with_history().await;
    let producers = [database.connect().await, database.connect().await];

    for _ in 0..20 {
        database
            .execute(
                "select setval('postrider.outbox_id_seq', (select max(id) - 5 from postrider.outbox), false)",
            )
            .await;
        let insert = "insert into postrider.outbox (topic, payload) select 'a.b', '{}' from generate_series(1, 40) on conflict do nothing";
        let mend = "select postrider.mend_sequences()";
        let (first, second, mended) = tokio::join!(
            producers[0].batch_execute(insert),
            producers[1].batch_execute(insert),
            database.client.batch_execute(mend),
        );
        first.and(second).and(mended).unwrap();
        database.assert_row(LAGGING, json!({"count": 0})).await;
    }
}

#[tokio::test]
async fn an_event_that_is_published_while_the_sequence_is_behind_is_inserted_or_refused_and_never_lost() {
    let database = with_history().await;
    let behind = "select setval('postrider.outbox_id_seq', 3, false)";
    let producer = database.login(Some("postrider_producer")).await;

    database.execute(behind).await;
    let refused =
        CommandOutput::run(&producer, &["publish", "order.created", "{}", "--idempotency-key", "one"]).await;
    let by_owner =
        CommandOutput::run(&database.url, &["publish", "order.created", "{}", "--idempotency-key", "one"])
            .await;
    let again =
        CommandOutput::run(&producer, &["publish", "order.created", "{}", "--idempotency-key", "one"]).await;

    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(refused.stderr.contains("postrider.outbox_id_seq"), "{}", refused.stderr);
    assert!(refused.stderr.contains("postrider doctor --mend"), "{}", refused.stderr);
    assert_eq!(by_owner.stdout.trim(), "11", "{}", by_owner.stderr);
    assert_eq!(again.stdout.trim(), "11", "{}", again.stderr);
    assert!(again.stderr.starts_with("repeat: "), "{}", again.stderr);
}

#[tokio::test]
async fn the_api_inserts_an_event_although_the_sequence_was_behind() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    for _ in 0..10 {
        database.insert("order.created", "{}").await;
    }
    let api = Api::of(&dispatcher).await;
    database.execute("select setval('postrider.outbox_id_seq', 3, false)").await;

    let body = serde_json::json!({ "payload": {}, "idempotency_key": "one" });
    let first = api.send("POST", "/v1/topics/order.created/events", &body).await;
    let second = api.send("POST", "/v1/topics/order.created/events", &body).await;

    assert_eq!((first.status, &first.json()["id"]), (201, &serde_json::json!(11)));
    assert_eq!((second.status, &second.json()["is_repeat"]), (200, &serde_json::json!(true)));
}

/// Ten events that were delivered, to an endpoint that is there, by a dispatcher that is gone.
async fn with_history() -> Database {
    let database = Database::new().await;
    database.put_endpoint("old", "https://example.com/", "nothing", "").await;
    database.insert_settled("old", "old.event", "complete", 10).await;
    database
        .execute(
            "insert into postrider.dispatcher (host, version, lease_until, wake_mode)
             select 'old', '0', now() + interval '1 h', 'poll' from generate_series(1, 5);
             insert into postrider.claim (dispatcher_id, delivery_ids) select 1, '{1}' from generate_series(1, 5)",
        )
        .await;
    database
}
