//! What somebody else has locked, or refuses to let go, keeps nothing else from being deleted or tidied up.

use postrider::store::STATEMENTS;
use serde_json::json;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::support::{Database, Dispatcher};

/// Housekeeping steps every second.
const SHORT_LEASE: [&str; 4] = ["--lease", "4s", "--request-timeout", "2s"];

#[tokio::test]
async fn a_row_that_somebody_has_locked_keeps_its_event_and_no_other() {
    for locked in [
        "outbox as t where t.id = 2 for key share",
        "delivery as t where t.event_id = 2 for update",
        "delivery as t where t.event_id = 2 for key share",
        "attempt as t where t.delivery_id = (select max(d.id) from postrider.delivery as d where d.event_id = 2) for share",
    ] {
        println!("locked: {locked}");
        let database = with_old_events(3).await;
        let other = database.connect().await;
        other.batch_execute(&format!("begin; select from postrider.{locked}")).await.unwrap();

        let row = delete_finished(&database).await;

        assert_eq!((row.get::<_, i64>("looked_at"), row.get::<_, i64>("deleted")), (3, 2), "{locked}");
        assert_eq!(row.get::<_, i64>("kept_id"), 2, "{locked}");
        database.assert_row("select array_agg(id) as ids from postrider.outbox", json!({"ids": [2]})).await;
        database.assert_row("select count(*) from postrider.delivery", json!({"count": 1})).await;
        database.assert_row("select count(*) from postrider.attempt", json!({"count": 1})).await;

        other.batch_execute("commit").await.unwrap();
        assert_eq!(delete_finished(&database).await.get::<_, i64>("deleted"), 1, "{locked}");
        database.assert_row("select count(*) from postrider.attempt", json!({"count": 0})).await;
    }
}

#[tokio::test]
async fn a_replay_that_waits_for_an_event_is_not_waited_for() {
    let database = with_old_events(3).await;
    let replaying = database.connect().await;
    // As replay locks them: the deliveries, then the events.
    replaying
        .batch_execute(
            "begin; select from postrider.delivery where event_id in (1, 2) order by id for update",
        )
        .await
        .unwrap();

    assert_eq!(delete_finished(&database).await.get::<_, i64>("deleted"), 1);

    replaying
        .batch_execute(
            "select from postrider.outbox where id in (1, 2) order by id for update nowait; commit",
        )
        .await
        .unwrap();
    database
        .assert_row("select array_agg(id order by id) as ids from postrider.outbox", json!({"ids": [1, 2]}))
        .await;
}

#[tokio::test]
async fn replays_of_what_is_being_deleted_never_end_in_a_deadlock() {
    let database = with_old_events(0).await;
    for _ in 0..12 {
        insert_old(&database, 300).await;
        let (one, two) = (database.connect().await, database.connect().await);

        let (replayed, retried, _deleted) = tokio::join!(
            one.batch_execute("select postrider.replay('one', '-infinity', topics => '{**}')"),
            two.batch_execute(
                "select postrider.replay('one', '-infinity', topics => '{**}', after_event_id => 100)"
            ),
            delete_finished(&database),
        );

        replayed.and(retried).unwrap();
        database.assert_counts_agree().await;
    }
}

#[tokio::test]
async fn an_event_that_somebody_keeps_from_being_deleted_is_set_aside_and_the_others_go() {
    for (kept, relation, row) in [
        ("a trigger on the event", "outbox", "old.id = 7"),
        ("a trigger on a delivery", "delivery", "old.event_id = 7"),
        ("a trigger on an attempt", "attempt", "old.delivery_id = 7"),
    ] {
        println!("kept by {kept}");
        let database = with_old_events(300).await;
        database
            .execute(&format!(
                "create function public.keep() returns trigger language plpgsql as $$
                 begin if {row} then raise exception 'not this one'; end if; return old; end $$;
                 create trigger keep before delete on postrider.{relation} for each row execute function public.keep()"
            ))
            .await;
        let dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;

        database.until("select array_agg(id) = '{7}' from postrider.outbox").await;
        database.until("select event_id = 7 and stage = 'delete' and reason like '%not this one%' from postrider.set_aside").await;
        database.assert_row("select count(*) from postrider.delivery", json!({"count": 1})).await;

        database
            .execute(&format!(
                "drop trigger keep on postrider.{relation};
                 update postrider.refused set retry_at = now()"
            ))
            .await;
        database.until("select not exists (select from postrider.outbox)").await;
        database.until("select not exists (select from postrider.set_aside)").await;
        assert!(dispatcher.terminate().await.success(), "{kept}");
    }
}

#[tokio::test]
async fn events_that_a_table_of_somebody_else_refers_to_stay_and_keep_no_other() {
    let database = with_old_events(300).await;
    database
        .execute(
            "create table public.invoice (event_id bigint references postrider.outbox (id));
             insert into public.invoice select unnest('{1,150,151,300}'::bigint[])",
        )
        .await;

    let _dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;

    database.until("select array_agg(id order by id) = '{1,150,151,300}' from postrider.outbox").await;
    database.until("select count(*) = 4 from postrider.set_aside where stage = 'delete'").await;
}

#[tokio::test]
async fn an_event_whose_deletion_would_wait_for_a_table_of_somebody_else_keeps_no_other() {
    let database = with_old_events(300).await;
    database
        .execute(
            "create table public.note (event_id bigint primary key references postrider.outbox (id) on delete cascade);
             insert into public.note values (150)",
        )
        .await;
    let other = database.connect().await;
    other.batch_execute("begin; select from public.note for update").await.unwrap();

    let _dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;

    database.until("select array_agg(id) = '{150}' from postrider.outbox").await;
    other.batch_execute("commit").await.unwrap();
}

#[tokio::test]
async fn a_step_of_housekeeping_that_fails_keeps_no_other_from_being_done() {
    let database = with_old_events(20).await;
    database
        .execute(
            // Deletions from the table are refused as such, not those of a row.
            "alter table postrider.endpoint_stat replica identity nothing;
             create publication everything for all tables;
             insert into postrider.endpoint_stat (endpoint_no, complete, failed) values (1, 1, 0)",
        )
        .await;

    let dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;

    database.until("select not exists (select from postrider.outbox)").await;
    dispatcher.logged("does not have a replica identity").await;
}

#[tokio::test]
async fn statistics_whose_hours_somebody_has_locked_keep_no_other_from_being_aggregated() {
    let database = with_old_events(0).await;
    database
        .execute(
            "insert into postrider.endpoint_stat (endpoint_no, complete, failed) select 1, 1, 0 from generate_series(1, 3000);
             insert into postrider.endpoint_stat (endpoint_no, complete, failed) values (2, 1, 0);
             insert into postrider.endpoint_stat_hourly (endpoint_no, hour, complete, failed)
             select 1, date_trunc('hour', t.at), 0, 0 from postrider.endpoint_stat as t where t.endpoint_no = 1 group by 2;
             insert into postrider.endpoint_stat_hourly (endpoint_no, hour, complete, failed)
             select no, hour, 1, 0 from (values (1, '-infinity'::timestamptz), (1, now() - interval '3 days'), (2, now() - interval '3 days'))
                 as h (no, hour)",
        )
        .await;
    let other = database.connect().await;
    other
        .batch_execute("begin; select from postrider.endpoint_stat_hourly where endpoint_no = 1 for update")
        .await
        .unwrap();

    let _dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;

    database.until("select not exists (select from postrider.endpoint_stat where endpoint_no = 2)").await;
    database
        .until("select array_agg(complete order by hour) = '{1,1}' from postrider.endpoint_stat_hourly where endpoint_no = 2")
        .await;
    database
        .assert_row(
            "select count(*) from postrider.endpoint_stat where endpoint_no = 1",
            json!({"count": 3000}),
        )
        .await;
    other.batch_execute("commit").await.unwrap();
    database.until("select not exists (select from postrider.endpoint_stat)").await;
}

#[tokio::test]
async fn statistics_and_failures_of_an_endpoint_that_somebody_has_locked_are_written() {
    let database = with_old_events(0).await;
    database
        .execute("insert into postrider.endpoint_stat (endpoint_no, complete, failed) values (1, 1, 0)")
        .await;
    let other = database.connect().await;
    other.batch_execute("begin; select from postrider.endpoint for update").await.unwrap();

    let _dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;

    database.until("select not exists (select from postrider.endpoint_stat)").await;
    other.batch_execute("commit").await.unwrap();
}

#[tokio::test]
async fn a_deleted_endpoint_that_somebody_has_locked_keeps_no_other_from_being_forgotten() {
    let database = with_old_events(0).await;
    database
        .execute(
            "insert into postrider.endpoint_stat_hourly (endpoint_no, hour, complete, failed) select endpoint_no, now(), 1, 0 from postrider.endpoint;
             insert into postrider.circuit (endpoint_no, failures, failing_since, changed_at) select endpoint_no, 1, now(), now() from postrider.endpoint;
             select postrider.delete_endpoint('one'); select postrider.delete_endpoint('two')",
        )
        .await;
    let other = database.connect().await;
    other
        .batch_execute("begin; select from postrider.endpoint where id = 'one' for key share")
        .await
        .unwrap();

    let forgotten: i64 = database.value("select postrider.forget_endpoints('infinity')").await;

    assert_eq!(forgotten, 1);
    database.assert_row("select array_agg(id) as ids from postrider.endpoint", json!({"ids": ["one"]})).await;
    database
        .assert_row(
            "select array_agg(endpoint_no) as endpoint_nos from postrider.endpoint_stat_hourly",
            json!({"endpoint_nos": [1]}),
        )
        .await;
    other.batch_execute("commit").await.unwrap();
    assert_eq!(database.value::<i64>("select postrider.forget_endpoints('infinity')").await, 1);
    database
        .assert_row(
            "select (select count(*) from postrider.endpoint_stat_hourly) as hours, (select count(*) from postrider.circuit) as circuits",
            json!({"hours": 0, "circuits": 0}),
        )
        .await;
}

#[tokio::test]
async fn an_old_secret_or_a_dead_dispatcher_that_somebody_has_locked_keeps_no_other() {
    let database = with_old_events(0).await;
    database
        .execute(
            "select postrider.rotate_secret('one'), postrider.rotate_secret('two');
             update postrider.old_secret set valid_until = now() - interval '1 h';
             insert into postrider.dispatcher (host, version, lease_until, wake_mode)
             select n::text, '0', now() - interval '1 h', 'poll' from generate_series(1, 2) as n",
        )
        .await;
    let other = database.connect().await;
    other
        .batch_execute(
            "begin; select from postrider.old_secret where endpoint_no = 1 for update;
             select from postrider.dispatcher where host = '1' for update",
        )
        .await
        .unwrap();

    let _dispatcher = Dispatcher::start(&database, &SHORT_LEASE).await;

    database.until("select array_agg(endpoint_no) = '{1}' from postrider.old_secret").await;
    database
        .until("select array_agg(host) = '{1}' from postrider.dispatcher where lease_until < now()")
        .await;
    other.batch_execute("commit").await.unwrap();
}

/// Two endpoints that receive nothing, and events of `one` that were complete eight days ago, each with a delivery and an attempt.
async fn with_old_events(count: usize) -> Database {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "nothing", "").await;
    database.put_endpoint("two", "https://example.com/", "nothing", "").await;
    insert_old(&database, count).await;
    database
}

async fn insert_old(database: &Database, count: usize) {
    database.insert_settled("one", "old.event", "complete", count).await;
    database
        .execute(
            "update postrider.outbox set created_at = now() - interval '8 days', completed_at = now() - interval '8 days'
             where status = 'complete'",
        )
        .await;
}

/// The statement, with a retention of a week.
async fn delete_finished(database: &Database) -> Row {
    let (week_ms, rows_max, until): (i64, i64, Option<&str>) = (7 * 24 * 3600 * 1000, 1000, None);
    let statement = STATEMENTS.iter().find(|statement| statement.name == "delete_finished").unwrap();
    let params: [&(dyn ToSql + Sync); 7] = [&"0", &0_i64, &rows_max, &week_ms, &week_ms, &week_ms, &until];
    database.rows(statement.sql, &params).await.into_iter().next().unwrap()
}
