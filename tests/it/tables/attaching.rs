//! A table of the user's own is attached: its triggers, settings and view; attached again, paused, resumed, detached.

use serde_json::json;

use crate::database::schema::texts;
use crate::support::Database;

/// As the first page of the docs has it.
pub(crate) const EXAMPLE: &str = "
    create type configuration_update_status as enum ('pending', 'in_progress', 'complete', 'failed');
    create table configuration_update (id serial primary key, content jsonb, status configuration_update_status, destination inet);";

/// The settings of the first page, as arguments of `attach_table`.
pub(crate) const SETTINGS: &str =
    "'configuration_update', topic => 'configuration.updated', payload => 'content', key => 'destination',
    destination => 'devices/{destination}', status => 'status', when_sql => 'new.status = ''pending'''";

/// Everything that attaching makes outside of our schema, one line each.
const MADE: &str = "
    select 'trigger ' || tgname || ' on ' || tgrelid::regclass from pg_trigger where tgname like 'postrider%' and tgrelid <> 'postrider.outbox'::regclass
    union all
    select 'function ' || p.oid::regprocedure from pg_proc as p where p.proname like 'postrider%'
    union all
    select format('%s on %s to %s', a.privilege_type, t.attname, a.grantee::regrole)
    from pg_class as c join pg_attribute as t on t.attrelid = c.oid cross join lateral aclexplode(t.attacl) as a
    where c.relnamespace <> 'postrider'::regnamespace and c.relnamespace <> 'pg_catalog'::regnamespace
    order by 1";

#[tokio::test]
async fn the_example_of_the_docs_works_as_it_stands() {
    let database = Database::new().await;
    database.execute(EXAMPLE).await;

    let attached = database.json_rows(&format!("select * from postrider.attach_table({SETTINGS})")).await;
    database
        .execute(
            "insert into configuration_update (content, status, destination)
             values ('{\"a\": 1}', 'pending', '10.20.3.4'), ('{\"a\": 2}', 'complete', '10.20.3.5'), ('{\"a\": 3}', 'pending', '10.20.3.6/16')",
        )
        .await;

    assert_eq!(
        attached,
        [json!({"relation": "configuration_update", "result": "created", "missing_grants": [], "notes": [
            "there is no endpoint \"devices\" yet: until there is, its events fail",
        ]})]
    );
    database
        .assert_rows(
            "select topic, payload, key, destination, row_key from postrider.outbox order by id",
            vec![
                json!({"topic": "configuration.updated", "payload": {"a": 1}, "key": "10.20.3.4", "destination": "devices/10.20.3.4",
                       "row_key": "1[\"1\"]"}),
                json!({"topic": "configuration.updated", "payload": {"a": 3}, "key": "10.20.3.6", "destination": "devices/10.20.3.6",
                       "row_key": "1[\"3\"]"}),
            ],
        )
        .await;
    database
        .assert_row(
            "select relation, topic, state, status_column, events, lag_events, last_error, payload, key, destination, status_map, write_back,
                    on_ops, when_sql, columns, on_error, reason, paused_at, backfill_state, attached_at <= now() as is_past
             from postrider.attached_table",
            json!({
                "relation": "configuration_update", "topic": "configuration.updated", "state": "active", "status_column": "status",
                "events": 2, "lag_events": 2, "last_error": null, "payload": "content", "key": "destination",
                "destination": "devices/{destination}", "status_map": {}, "write_back": "all",
                "on_ops": ["insert", "update", "delete"], "when_sql": "new.status = 'pending'", "columns": null, "on_error": "fail",
                "reason": null, "paused_at": null, "backfill_state": null, "is_past": true
            }),
        )
        .await;
}

#[tokio::test]
async fn a_table_that_is_attached_again_has_the_new_settings_and_the_old_number() {
    let database = attached().await;

    let changed = database
        .json_rows("select result, notes[1] as first from postrider.attach_table('configuration_update', topic => 'b.{op}', on_ops => '{delete}')")
        .await;
    database
        .execute("insert into configuration_update (content) values ('1'); delete from configuration_update")
        .await;

    assert_eq!(
        changed,
        [json!({"result": "changed", "first": "destination: devices/{destination} -> none"})]
    );
    database
        .assert_row(
            "select topic, payload, destination, row_key from postrider.outbox",
            json!({"topic": "b.delete", "payload": {"id": 1, "content": 1, "status": null, "destination": null}, "destination": null,
                   "row_key": "1[\"1\"]"}),
        )
        .await;
    assert!(!texts(&database, MADE).await.concat().contains("postrider_insert"));
}

#[tokio::test]
async fn the_same_settings_again_change_nothing_and_wait_for_nobody() {
    let database = attached().await;
    let writer = database.connect().await;
    writer.batch_execute("begin; insert into configuration_update (content) values ('1')").await.unwrap();

    let again = format!("select result from postrider.attach_table({SETTINGS})");

    assert_eq!(database.json_rows(&again).await, [json!({"result": "unchanged"})]);
}

#[tokio::test]
async fn a_column_that_was_added_is_heard_once_the_table_is_attached_again() {
    let database = Database::new().await;
    database.execute("create table a (id int primary key)").await;
    database.execute("select postrider.attach_table('a', topic => 'a.b')").await;
    database.execute("alter table a add column more text; insert into a values (1, 'x')").await;

    let again = database.json_rows("select result from postrider.attach_table('a', topic => 'a.b')").await;
    database.execute("insert into a values (2, 'y')").await;

    assert_eq!(again, [json!({"result": "changed"})]);
    database
        .assert_rows(
            "select payload from postrider.outbox order by id",
            vec![json!({"payload": {"id": 1}}), json!({"payload": {"id": 2, "more": "y"}})],
        )
        .await;
}

#[tokio::test]
async fn nothing_is_left_of_a_table_that_is_detached() {
    let database = Database::new().await;
    database.execute(EXAMPLE).await;
    let before = texts(&database, MADE).await;
    database.execute(&format!("select postrider.attach_table({SETTINGS})")).await;
    let attached = texts(&database, MADE).await;

    let detached = database.json_rows("select * from postrider.detach_table('configuration_update')").await;
    database.execute("insert into configuration_update (status) values ('pending')").await;

    assert!(attached.len() > before.len() + 4, "{attached:#?}");
    assert_eq!(detached, [json!({"relation": "configuration_update", "result": "detached"})]);
    assert_eq!(texts(&database, MADE).await, before);
    database.assert_row("select count(*) from postrider.outbox", json!({"count": 0})).await;
    database.assert_rows("select * from postrider.attached_table", vec![]).await;
    let again = database.refusal("select postrider.detach_table('configuration_update')").await;
    assert_eq!(
        (again.code().code(), again.message()),
        ("P0002", "table public.configuration_update is not attached")
    );
}

#[tokio::test]
async fn changes_are_not_heard_while_a_table_is_paused() {
    let database = attached().await;
    let insert = "insert into configuration_update (content, status) values ('1', 'pending')";

    let paused = database
        .json_rows("select * from postrider.pause_table('configuration_update', 'a migration')")
        .await;
    database.execute(insert).await;
    let seen = database
        .json_rows("select state, reason, paused_at is null as never from postrider.attached_table")
        .await;
    database.execute("select postrider.pause_table('configuration_update')").await;
    let again = database.json_rows("select reason from postrider.attached_table").await;
    let resumed = database.json_rows("select * from postrider.resume_table('configuration_update')").await;
    database.execute(insert).await;

    assert_eq!(
        paused,
        [json!({"relation": "configuration_update", "reason": "a migration", "state": "paused"})]
    );
    assert_eq!(seen, [json!({"state": "paused", "reason": "a migration", "never": false})]);
    assert_eq!(again, [json!({"reason": "a migration"})]);
    assert_eq!(resumed, [json!({"relation": "configuration_update", "state": "active"})]);
    database.assert_row("select row_key from postrider.outbox", json!({"row_key": "1[\"2\"]"})).await;
    database
        .assert_row(
            "select state, reason, paused_at from postrider.attached_table",
            json!({"state": "active", "reason": null, "paused_at": null}),
        )
        .await;
    for call in [
        "pause_table('postrider.outbox')",
        "resume_table('postrider.outbox')",
        "resume_table('postrider.outbox', true)",
    ] {
        assert_eq!(
            database.refusal(&format!("select postrider.{call}")).await.code().code(),
            "P0002",
            "{call}"
        );
    }
}

#[tokio::test]
async fn what_attaching_would_execute_is_told_and_not_done() {
    let database = Database::new().await;
    database.execute(EXAMPLE).await;
    let before = texts(&database, MADE).await;

    let ddl: String = database
        .value(
            "select postrider.attachment_ddl('configuration_update', '{\"topic\": \"a.b\", \"status\": \"status\", \"on_ops\": [\"insert\"]}')",
        )
        .await;
    let after = texts(&database, MADE).await;
    database.execute(&ddl).await;

    for part in [
        "create or replace function public.postrider_capture_1() returns trigger",
        "create or replace trigger postrider_insert after insert on public.configuration_update",
        "create or replace function public.postrider_write_1(",
    ] {
        assert!(ddl.contains(part), "{part}: {ddl}");
    }
    assert_eq!(after, before);
    assert!(texts(&database, MADE).await.len() > before.len());
}

#[tokio::test]
async fn an_attachment_is_its_transactions() {
    let database = Database::new().await;
    database.execute(EXAMPLE).await;
    let before = texts(&database, MADE).await;

    database.execute(&format!("begin; select postrider.attach_table({SETTINGS}); rollback")).await;

    assert_eq!(texts(&database, MADE).await, before);
    database.assert_rows("select relation from postrider.attached_table", vec![]).await;
}

#[tokio::test]
async fn a_table_that_is_renamed_or_moved_stays_attached() {
    let database = attached().await;
    database
        .execute(
            "create schema app; alter table configuration_update set schema app;
             alter table app.configuration_update rename to updates",
        )
        .await;
    let insert = "insert into app.updates (content, status) values ('1', 'pending')";

    database.execute(insert).await;
    database.execute("select postrider.attach_table('app.updates', topic => 'c.d')").await;
    database.execute(insert).await;

    database
        .assert_rows(
            "select topic, row_key from postrider.outbox order by id",
            vec![
                json!({"topic": "configuration.updated", "row_key": "1[\"1\"]"}),
                json!({"topic": "c.d", "row_key": "1[\"2\"]"}),
            ],
        )
        .await;
    let made = texts(&database, MADE).await.join("\n");
    assert!(
        made.contains("function app.postrider_capture_1()")
            && !made.contains("function postrider_capture_1()"),
        "{made}"
    );
    database.execute("select postrider.detach_table('app.updates')").await;
    assert!(!texts(&database, MADE).await.join("\n").contains("function"), "{made}");
}

/// A database with the table of the example, attached.
pub(crate) async fn attached() -> Database {
    let database = Database::new().await;
    database.execute(EXAMPLE).await;
    database.execute(&format!("select postrider.attach_table({SETTINGS})")).await;
    database
}
