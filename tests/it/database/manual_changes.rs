//! Whoever owns the tables may change them by hand, put triggers on them, and lead names astray: the dispatcher goes on.

use serde_json::json;

use crate::support::{CommandOutput, Database, Dispatcher, Receiver, connect, one_endpoint};

/// Raises, whatever stands in for it.
pub(crate) const LED_ASTRAY: &str = "
    create schema astray;
    create function astray.raise() returns bool language plpgsql as $$ begin raise exception 'led astray'; end $$;
    create function astray.now() returns timestamptz language sql as
        $$ select case when astray.raise() then clock_timestamp() end $$;
    create function astray.clock_timestamp() returns timestamptz language sql as $$ select astray.now() $$;
    create function astray.octet_length(text) returns int language sql as $$ select astray.raise()::int $$;
    create function astray.pg_notify(text, text) returns bool language sql as $$ select astray.raise() $$;
    create function astray.pg_try_advisory_xact_lock_shared(bigint) returns bool language sql as
        $$ select astray.raise() $$;
    create function astray.times(bigint, interval) returns interval language sql as
        $$ select case when astray.raise() then $2 end $$;
    create operator astray.* (function = astray.times, leftarg = bigint, rightarg = interval);
    create table astray.outbox ();
    create table astray.delivery ();
    grant usage on schema astray to public";

#[tokio::test]
async fn a_delivery_that_was_changed_by_hand_while_it_was_attempted_stays_so() {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    receiver.hold();
    database.insert("order.created", "1").await;
    receiver.next().await;

    database
        .execute("update postrider.delivery set status = 'pending', claim_id = null, due_at = now() + interval '1 h'")
        .await;
    receiver.release();
    dispatcher.logged("their claims were lost").await;
    let good = database.insert("order.created", "2").await;
    database.until(&format!("select status = 'complete' from postrider.outbox where id = {good}")).await;

    assert_eq!((database.count("pending").await, receiver.count()), (1, 2));
    database.assert_row("select count(*) from postrider.attempt_log", json!({"count": 1})).await;
    assert_eq!(dispatcher.log().matches("their claims were lost").count(), 1);
}

#[tokio::test]
async fn an_event_that_was_settled_by_hand_holds_up_no_outcome() {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    receiver.hold();
    database.insert_many("order.created", 2).await;
    receiver.next().await;
    receiver.next().await;

    database
        .execute(
            "update postrider.outbox set status = 'failed', open_deliveries = 0, failed = 1, completed_at = '2026-01-01' where id = 1",
        )
        .await;
    receiver.release();
    database.until("select count(*) = 2 from postrider.delivery_status where status = 'complete'").await;

    database
        .assert_row(
            "select status, completed_at::timestamp from postrider.outbox where id = 1",
            json!({"status": "failed", "completed_at": "2026-01-01T00:00:00"}),
        )
        .await;
    database
        .assert_row("select status from postrider.outbox where id = 2", json!({"status": "complete"}))
        .await;
    assert!(!dispatcher.log().contains("outcomes not written"), "{}", dispatcher.log());
}

#[tokio::test]
async fn what_waits_of_an_event_that_was_settled_by_hand_is_given_up_with_its_endpoint() {
    let flags = ["--lease", "4s", "--request-timeout", "2s"];
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1h}'", &flags).await;
    receiver.answer(500);
    database.insert_many("order.created", 2).await;
    database.until("select pending = 2 from postrider.endpoint_health").await;

    database
        .execute(
            "update postrider.outbox set status = 'complete', open_deliveries = 0, completed_at = now() where id = 1;
             select postrider.delete_endpoint('one')",
        )
        .await;

    database.until("select count(*) = 2 from postrider.delivery_status where status = 'failed'").await;
    database
        .assert_row(
            "select array_agg(status::text order by id) as statuses from postrider.outbox",
            json!({"statuses": ["complete", "failed"]}),
        )
        .await;
}

#[tokio::test]
async fn an_event_that_was_made_pending_by_hand_holds_up_no_other() {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    // As long as it is open, every look begins below what it can see.
    let old = database.connect().await;
    old.batch_execute("begin; select pg_current_xact_id()").await.unwrap();
    receiver.hold();
    let event = database.insert("order.created", "1").await;
    receiver.next().await;

    let make_pending = "set status = 'pending', deliveries = null, open_deliveries = null, failed = null";
    database.execute(&format!("update postrider.outbox {make_pending} where id = {event}")).await;
    let good = database.insert("order.created", "2").await;
    receiver.next().await;
    receiver.release();
    database.until(&format!("select status = 'complete' from postrider.outbox where id = {good}")).await;
    database.until_settled().await;

    dispatcher.logged("made pending by hand").await;
    assert_eq!((database.count("complete").await, receiver.count()), (2, 2));
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn what_is_deleted_by_hand_while_it_is_attempted_holds_up_nobody() {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    receiver.hold();
    database.insert_many("order.created", 3).await;
    for _ in 0..3 {
        receiver.next().await;
    }

    database
        .execute(
            "delete from postrider.delivery where event_id = 1; delete from postrider.outbox where id <= 2",
        )
        .await;
    receiver.release();
    database.until("select status = 'complete' from postrider.outbox where id = 3").await;
    dispatcher.logged("their claims were lost").await;

    database.until("select not exists (select from postrider.claim)").await;
    database
        .assert_row(
            "select array_agg(status::text) as statuses from postrider.delivery",
            json!({"statuses": ["complete", "complete"]}),
        )
        .await;
    assert_eq!(receiver.count(), 3);
}

#[tokio::test]
async fn a_producer_whose_search_path_leads_astray_inserts_as_others_do() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.execute(LED_ASTRAY).await;
    let producer = connect(&database.login(Some("postrider_producer")).await).await;
    producer.batch_execute("set search_path = astray, pg_catalog").await.unwrap();
    let astray = producer.batch_execute("select now()").await.unwrap_err();

    producer
        .batch_execute(
            "insert into postrider.outbox (topic, payload, key) values ('order.created', '1', 'a')",
        )
        .await
        .unwrap();

    assert_eq!(astray.as_db_error().unwrap().message(), "led astray");
    assert_eq!(receiver.next().await.text(), "1");
}

#[tokio::test]
async fn a_database_whose_search_path_leads_astray_is_served() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "retry_schedule => '{1ms}'").await;
    database.execute(LED_ASTRAY).await;
    database
        .execute("do $$ begin execute format('alter database %I set search_path = astray, pg_catalog', current_database()); end $$")
        .await;
    receiver.answer_once(500, &[], b"");

    let dispatcher = Dispatcher::start(&database, &[]).await;
    database.insert("order.created", "{}").await;
    database.until_settled().await;
    let status = CommandOutput::run(&database.url, &["status"]).await;

    assert_eq!((receiver.count(), database.count("complete").await), (2, 1));
    assert_eq!(status.code, Some(0), "{}", status.stderr);
    assert!(!dispatcher.log().contains("led astray"), "{}", dispatcher.log());
}

#[tokio::test]
async fn a_trigger_of_somebody_else_that_raises_is_named_and_waited_for() {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    let trigger = |table: &str, event: &str| {
        format!(
            "create trigger refuse after {event} on postrider.{table} for each row
                 when (current_setting('application_name') = 'postrider') execute function public.refuse('{event} of {table}')"
        )
    };
    database
        .execute(
            "create function public.refuse() returns trigger language plpgsql as
             $$ begin raise exception 'no %', tg_argv[0]; end $$",
        )
        .await;

    for (table, event) in [("delivery", "insert"), ("delivery", "update"), ("outbox", "update")] {
        database.execute(&trigger(table, event)).await;
        database.insert("order.created", "{}").await;
        dispatcher
            .logged(&format!("no {event} of {table} (in function public.refuse() line 1 at RAISE)"))
            .await;
        database.execute(&format!("drop trigger refuse on postrider.{table}")).await;
        database.until_settled().await;
    }

    // What was attempted was not attempted again: its outcome was kept until it could be written.
    assert_eq!(receiver.count(), 3);
}

#[tokio::test]
async fn an_endpoint_that_is_none_any_more_waits_and_keeps_no_other_from_its_events() {
    for (column, nonsense, named) in [
        ("topics", "array['a b']", "topics"),
        ("rate_limit", "'fast'", "rate_limit"),
        ("format", "'smoke'", "format"),
        ("secret", "'open sesame'", "secret"),
    ] {
        let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
        database.put_endpoint("two", &receiver.url(), "**", "").await;
        database
            .execute(
                "do $$
                 declare name text;
                 begin
                     for name in select conname from pg_constraint
                         where conrelid = 'postrider.endpoint'::regclass and contype = 'c' loop
                         execute format('alter table postrider.endpoint drop constraint %I', name);
                     end loop;
                 end $$",
            )
            .await;

        database
            .execute(&format!("update postrider.endpoint set {column} = {nonsense} where id = 'two'"))
            .await;
        let event = database.insert("order.created", "1").await;

        receiver.next().await;
        database
            .until(&format!(
                "select status = 'complete' from postrider.delivery_status
                 where event_id = {event} and endpoint_id = 'one'"
            ))
            .await;
        dispatcher.logged(&format!("\"two\" has one that is invalid: {named}")).await;
        assert!(!dispatcher.log().contains("open sesame"), "{column}");
        assert_eq!(receiver.count(), 1, "{column}");
    }
}
