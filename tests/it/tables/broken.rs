//! What is gone or has changed under an attached table is named by the view; attaching again mends it.

use serde_json::json;

use super::attaching::{SETTINGS, attached};
use crate::database::emptied_tables::pg_dump;
use crate::database::migration_by_hand::psql;
use crate::support::{CommandOutput, Database, Dispatcher};

const SHOWN: &str = "select state, last_error from postrider.attached_table";

#[tokio::test]
async fn what_is_gone_or_has_changed_breaks_a_table_until_it_is_attached_again() {
    for (change, reason) in [
        ("alter table configuration_update drop column content", "column content is gone: attach it again"),
        (
            "alter table configuration_update rename column content to body",
            "column content is gone: attach it again",
        ),
        (
            "alter table configuration_update alter destination type text using destination::text",
            "column destination has the type text, and had inet: attach it again",
        ),
        ("alter table configuration_update rename column id to no", "column id is gone: attach it again"),
        (
            "alter table configuration_update drop constraint configuration_update_pkey, add column no serial primary key",
            "the primary key is not (id) any more: attach it again",
        ),
        (
            "alter table configuration_update disable trigger postrider_update",
            "trigger postrider_update does not fire: attach it again",
        ),
        (
            "alter table configuration_update enable replica trigger postrider_insert",
            "trigger postrider_insert does not fire: attach it again",
        ),
        (
            "drop trigger postrider_delete on configuration_update",
            "trigger postrider_delete is missing: attach it again",
        ),
        (
            "drop function postrider_capture_1() cascade",
            "trigger postrider_delete is missing: attach it again",
        ),
        (
            "drop function postrider_backfill_1",
            "function postrider_backfill_1 is gone, or does not run with the rights of role ROLE: attach it again",
        ),
        (
            "drop function postrider_write_1",
            "function postrider_write_1 is gone, or does not run with the rights of role ROLE: attach it again",
        ),
    ] {
        let database = attached().await;
        database.assert_row(SHOWN, json!({"state": "active", "last_error": null})).await;

        database.execute(change).await;
        let owner: String = database.value("select current_user::text").await;
        let reason = reason.replace("ROLE", &owner);
        database.assert_row(SHOWN, json!({"state": "broken", "last_error": reason})).await;
        let settings =
            if change.contains("content") { "'configuration_update', topic => 'a'" } else { SETTINGS };
        database.execute(&format!("select postrider.attach_table({settings})")).await;

        database.assert_row(SHOWN, json!({"state": "active", "last_error": null})).await;
        database.execute("insert into configuration_update (status) values ('pending')").await;
        database.assert_row("select count(*) from postrider.outbox", json!({"count": 1})).await;
    }
}

#[tokio::test]
async fn a_change_of_what_no_event_shows_breaks_nothing() {
    let database = Database::new().await;
    database.execute("create table a (id int primary key, body json, other text, label varchar(10))").await;
    database.execute("select postrider.attach_table('a', topic => 'a', payload => 'body', when_sql => 'new.label <> ''x''')").await;

    database
        .execute("alter table a drop column other, add column more int, alter label type varchar(20); alter table a rename to b")
        .await;

    database.assert_row(SHOWN, json!({"state": "active", "last_error": null})).await;
    database.execute("alter table b alter label type text").await;
    database
        .assert_row(
            SHOWN,
            json!({"state": "broken", "last_error": "column label has the type text, and had character varying(10): attach it again"}),
        )
        .await;
}

#[tokio::test]
async fn a_partition_that_came_later_and_one_that_went_are_named() {
    let database = Database::new().await;
    database
        .execute(
            "create table parted (id int primary key) partition by range (id);
             create table one partition of parted for values from (0) to (10);
             select postrider.attach_table('parted', topic => 'a')",
        )
        .await;
    database.assert_row(SHOWN, json!({"state": "active", "last_error": null})).await;

    database.execute("create table two partition of parted for values from (10) to (20)").await;
    let added = database.json_rows(SHOWN).await;
    database
        .execute("select postrider.attach_table('parted', topic => 'a'); insert into two values (10)")
        .await;
    let mended = database.json_rows(SHOWN).await;
    database.execute("alter table parted detach partition one").await;
    let gone = database.json_rows(SHOWN).await;
    database
        .execute("select postrider.attach_table('parted', topic => 'a'); insert into one values (1)")
        .await;

    let missing = "trigger postrider_delete is missing on the partition two: attach it again";
    assert_eq!(added, [json!({"state": "broken", "last_error": missing})]);
    assert_eq!(mended, [json!({"state": "active", "last_error": null})]);
    assert_eq!(
        gone,
        [
            json!({"state": "broken", "last_error": "one has triggers of it, and is no part of it: attach it again"})
        ]
    );
    database.assert_row("select row_key from postrider.outbox", json!({"row_key": "1[\"10\"]"})).await;
    database.assert_row(SHOWN, json!({"state": "active", "last_error": null})).await;
}

#[tokio::test]
async fn a_table_with_another_owner_is_named_and_attached_again_runs_as_that_one() {
    let database = Database::new().await;
    let (one, two) =
        (database.login(Some("pg_monitor")).await, database.login(Some("pg_read_all_stats")).await);
    let [one, two] = [one, two].map(|url| name_of(&url));
    database
        .execute(&format!(
            "create schema app; create table app.a (id int primary key); alter table app.a owner to {one};
             select postrider.attach_table('app.a', topic => 'a'); alter table app.a owner to {two}"
        ))
        .await;

    let changed = database.json_rows(SHOWN).await;
    database.execute("insert into app.a values (1)").await;
    database
        .execute("select postrider.attach_table('app.a', topic => 'a'); insert into app.a values (2)")
        .await;

    let reason = format!("its function belongs to role {one}, and the table to {two}: attach it again");
    assert_eq!(changed, [json!({"state": "broken", "last_error": reason})]);
    database.assert_row(SHOWN, json!({"state": "active", "last_error": null})).await;
    database.assert_row("select count(*) from postrider.outbox", json!({"count": 2})).await;
    let held = format!("select has_column_privilege('{one}', 'postrider.outbox', 'row_key', 'insert')");
    assert!(!database.is(&held).await);
}

#[tokio::test]
async fn a_right_that_somebody_took_from_the_owner_is_named_and_a_migration_gives_it_back() {
    let database = Database::new().await;
    let owner = name_of(&database.login(Some("pg_monitor")).await);
    database
        .execute(&format!(
            "create schema app; create table app.a (id int primary key); alter table app.a owner to {owner};
             select postrider.attach_table('app.a', topic => 'a');
             revoke insert (key) on postrider.outbox from {owner}"
        ))
        .await;

    let taken = database.json_rows(SHOWN).await;
    // It runs whenever something else is to be done, too.
    database.execute("revoke select on postrider.backlog from postrider_reader").await;
    let migrated = CommandOutput::run(&database.url, &["migrate"]).await;

    let reason = format!("role {owner} lacks insert (key) on table postrider.outbox: attach it again");
    assert_eq!(taken, [json!({"state": "broken", "last_error": reason})]);
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    database.assert_row(SHOWN, json!({"state": "active", "last_error": null})).await;
    database.execute("insert into app.a values (1)").await;
    database.assert_row("select count(*) from postrider.outbox", json!({"count": 1})).await;
}

#[tokio::test]
async fn what_a_dispatcher_may_not_call_is_shown_as_what_to_grant() {
    let database = attached().await;

    database.execute("revoke execute on function postrider_write_1 from postrider_dispatcher").await;

    let asked_for =
        "grant execute on function public.postrider_write_1(text[],text[]) to postrider_dispatcher";
    database.assert_row(SHOWN, json!({"state": "active", "last_error": asked_for})).await;
    let again = database.json_rows(&format!("select result from postrider.attach_table({SETTINGS})")).await;
    assert_eq!(again, [json!({"result": "unchanged"})]);
    database.assert_row(SHOWN, json!({"state": "active", "last_error": null})).await;
}

#[tokio::test]
async fn a_table_that_was_dropped_is_forgotten_by_a_dispatcher_and_its_rights_go() {
    let database = Database::new().await;
    let owner = name_of(&database.login(Some("pg_monitor")).await);
    database
        .execute(&format!(
            "create schema app; create table app.a (id int primary key); alter table app.a owner to {owner};
             select postrider.attach_table('app.a', topic => 'a.b')"
        ))
        .await;
    database.execute("drop table app.a").await;
    let dropped = database.json_rows(SHOWN).await;
    let login = database.login(Some("postrider_dispatcher")).await;

    let dispatcher = Dispatcher::spawn(&login, &["--no-migrate", "--lease", "4s", "--request-timeout", "2s"]);
    dispatcher.logged("forgot attached table 1 (topic a.b), which was dropped").await;

    assert_eq!(
        dropped,
        [json!({"state": "broken", "last_error": "the table was dropped: it is forgotten soon"})]
    );
    database.until("select not exists (select from postrider.attached_table)").await;
    let held = format!("select has_column_privilege('{owner}', 'postrider.outbox', 'row_key', 'insert')");
    assert!(!database.is(&held).await);
    assert!(dispatcher.terminate().await.success());
}

#[tokio::test]
async fn a_dropped_table_is_detached_by_its_number() {
    let database = attached().await;
    let oid: u32 = database.value("select 'configuration_update'::regclass::oid").await;
    database.execute("drop table configuration_update").await;

    database.execute(&format!("select postrider.detach_table({oid}::oid)")).await;

    database.assert_rows(SHOWN, vec![]).await;
}

#[tokio::test]
async fn an_attachment_survives_a_dump() {
    let database = attached().await;
    database.execute("insert into configuration_update (content, status) values ('1', 'pending')").await;
    for flags in [&[][..], &["--no-owner", "--no-privileges"]] {
        let Some(script) = pg_dump(&database.url, flags).await else { return };
        let copy = Database::without_schema().await;
        psql(&copy.url, &script).await;
        CommandOutput::run(&copy.url, &["migrate"]).await;

        let shown = copy.json_rows("select relation, state, events from postrider.attached_table").await;
        copy.execute("insert into configuration_update (content, status) values ('2', 'pending')").await;

        assert_eq!(
            shown,
            [json!({"relation": "configuration_update", "state": "active", "events": 1})],
            "{flags:?}"
        );
        copy.assert_rows(
            "select payload from postrider.outbox order by id",
            vec![json!({"payload": 1}), json!({"payload": 2})],
        )
        .await;
    }
}

#[tokio::test]
async fn what_is_missing_after_a_restore_of_a_part_is_named() {
    let database = attached().await;
    let Some(script) = pg_dump(&database.url, &["--section=pre-data", "--section=data"]).await else {
        return;
    };
    let copy = Database::without_schema().await;
    psql(&copy.url, &script).await;

    let keyless = copy.json_rows(SHOWN).await;
    copy.execute("alter table configuration_update add primary key (id)").await;

    let reason = "the primary key is not (id) any more: attach it again";
    assert_eq!(keyless, [json!({"state": "broken", "last_error": reason})]);
    copy.assert_row(
        SHOWN,
        json!({"state": "broken", "last_error": "trigger postrider_delete is missing: attach it again"}),
    )
    .await;
}

/// The role of a URL that [`Database::login`] returned.
fn name_of(url: &str) -> String {
    let (_, rest) = url.split_once("//").unwrap();
    rest.split([':', '@', '/']).next().unwrap().to_owned()
}
