//! What statements tell: INSERT, UPDATE, DELETE, COPY, upserts, MERGE, cascades, transactions, and what is not heard.

use crate::support::{connect, one_endpoint, skip};

use super::told::{attach, attached, server_major, told, told_as, told_sorted};

const THING: &str = "create table thing (id int primary key, name text)";
const ROWS: &str = "'thing', topic => 'thing.{op}'";

#[tokio::test]
async fn a_statement_tells_of_each_of_its_rows() {
    let database = attached(THING, ROWS).await;

    database.execute("insert into thing select n, 'new' from generate_series(1, 3) as n").await;
    database.execute("update thing set name = 'changed' where id > 1").await;
    database.execute("delete from thing where id < 3").await;

    assert_eq!(
        told(&database).await,
        [
            r#"thing.insert {"id":1,"name":"new"}"#,
            r#"thing.insert {"id":2,"name":"new"}"#,
            r#"thing.insert {"id":3,"name":"new"}"#,
            r#"thing.update {"id":2,"name":"changed"}"#,
            r#"thing.update {"id":3,"name":"changed"}"#,
            r#"thing.delete {"id":1,"name":"new"}"#,
            r#"thing.delete {"id":2,"name":"changed"}"#,
        ]
    );
}

#[tokio::test]
async fn an_event_names_its_row_and_has_the_primary_key_as_its_key() {
    let database = attached(THING, "'thing', topic => 'thing.changed'").await;
    let number: i32 = database.value("select attachment_no from postrider.attachment").await;

    database.execute("insert into thing values (42, 'x')").await;

    let told = told_as(&database, "concat_ws(' ', key, row_key, coalesce(destination, 'all'))").await;
    assert_eq!(told, [format!(r#"42 {number}["42"] all"#)]);
}

#[tokio::test]
async fn a_table_is_heard_through_http() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.execute(THING).await;
    attach(&database, ROWS).await;

    database.execute("insert into thing values (1, 'it''s')").await;

    let received = receiver.next().await;
    assert_eq!(received.text(), r#"{"id":1,"name":"it's"}"#);
    received.verify();
}

#[tokio::test]
async fn only_named_operations_are_heard() {
    let database = attached(THING, &format!("{ROWS}, on_ops => '{{insert}}'")).await;

    database
        .execute("insert into thing values (1, 'a'); update thing set name = 'b'; delete from thing")
        .await;

    assert_eq!(told(&database).await, [r#"thing.insert {"id":1,"name":"a"}"#]);
}

#[tokio::test]
async fn copy_is_heard() {
    let database = attached(THING, ROWS).await;

    database.execute(r#"copy thing from program 'printf "1\tone\n2\ttwo\n"'"#).await;

    assert_eq!(
        told(&database).await,
        [r#"thing.insert {"id":1,"name":"one"}"#, r#"thing.insert {"id":2,"name":"two"}"#]
    );
}

#[tokio::test]
async fn an_upsert_tells_what_became_of_each_row() {
    let database = attached(THING, ROWS).await;
    database.execute("insert into thing values (1, 'old'), (2, 'same'), (3, 'kept')").await;
    told(&database).await;

    database
        .execute(
            "insert into thing values (1, 'new'), (2, 'same'), (4, 'added')
             on conflict (id) do update set name = excluded.name;
             insert into thing values (3, 'ignored') on conflict do nothing",
        )
        .await;

    assert_eq!(
        told_sorted(&database).await,
        [r#"thing.insert {"id":4,"name":"added"}"#, r#"thing.update {"id":1,"name":"new"}"#]
    );
}

#[tokio::test]
async fn merge_is_heard() {
    let database = attached(THING, ROWS).await;
    if server_major(&database).await < 15 {
        skip("capture::merge_is_heard", "MERGE came with PostgreSQL 15");
        return;
    }
    database.execute("insert into thing values (1, 'goes'), (2, 'old')").await;
    told(&database).await;

    database
        .execute(
            "merge into thing as t using (values (1, null), (2, 'new'), (3, 'added')) as s (id, name) on t.id = s.id
             when matched and s.name is null then delete
             when matched then update set name = s.name
             when not matched then insert values (s.id, s.name)",
        )
        .await;

    assert_eq!(
        told_sorted(&database).await,
        [
            r#"thing.delete {"id":1,"name":"goes"}"#,
            r#"thing.insert {"id":3,"name":"added"}"#,
            r#"thing.update {"id":2,"name":"new"}"#,
        ]
    );
}

#[tokio::test]
async fn several_statements_in_one_are_all_heard() {
    let database = attached(THING, ROWS).await;
    database.execute("insert into thing values (1, 'old'), (2, 'goes')").await;
    told(&database).await;

    database
        .execute(
            "with u as (update thing set name = 'new' where id = 1), d as (delete from thing where id = 2)
             insert into thing values (3, 'added')",
        )
        .await;

    assert_eq!(
        told_sorted(&database).await,
        [
            r#"thing.delete {"id":2,"name":"goes"}"#,
            r#"thing.insert {"id":3,"name":"added"}"#,
            r#"thing.update {"id":1,"name":"new"}"#,
        ]
    );
}

#[tokio::test]
async fn cascades_are_heard() {
    let database = attached(
        "create table owner (id int primary key);
         create table thing (id int primary key, owner_id int references owner on delete cascade on update cascade,
                             heir_id int references owner on delete set null)",
        ROWS,
    )
    .await;
    database.execute("insert into owner values (1), (2), (3)").await;
    database.execute("insert into thing values (1, 1, null), (2, 1, null), (3, 2, 3), (4, 2, null)").await;
    told(&database).await;

    database.execute("delete from owner where id in (1, 3)").await;
    database.execute("update owner set id = 20 where id = 2").await;

    assert_eq!(
        told_sorted(&database).await,
        [
            r#"thing.delete {"id":1,"owner_id":1,"heir_id":null}"#,
            r#"thing.delete {"id":2,"owner_id":1,"heir_id":null}"#,
            r#"thing.update {"id":3,"owner_id":2,"heir_id":null}"#,
            r#"thing.update {"id":3,"owner_id":20,"heir_id":null}"#,
            r#"thing.update {"id":4,"owner_id":20,"heir_id":null}"#,
        ]
    );
}

/// Both foreign keys are set to null when one owner goes, one after the other, in one statement.
#[tokio::test]
async fn a_row_that_one_statement_changes_twice_is_told_of_twice() {
    let database = attached(
        "create table owner (id int primary key);
         create table thing (id int primary key, sender int references owner on delete set null,
                             receiver int references owner on delete set null)",
        "'thing', topic => 'thing.{op}', payload => 'change'",
    )
    .await;
    database.execute("insert into owner values (1); insert into thing values (1, 1, 1), (2, 1, 1)").await;
    told(&database).await;

    database.execute("delete from owner").await;

    let shown = "concat_ws(' ', payload -> 'record' ->> 'id', payload ->> 'changed', payload ->> 'previous')";
    let mut told = told_as(&database, shown).await;
    told.sort();
    assert_eq!(
        told,
        [
            r#"1 ["receiver"] { "receiver" : 1 }"#,
            r#"1 ["sender"] { "sender" : 1 }"#,
            r#"2 ["receiver"] { "receiver" : 1 }"#,
            r#"2 ["sender"] { "sender" : 1 }"#,
        ]
    );
}

#[tokio::test]
async fn what_is_rolled_back_is_not_told() {
    let database = attached(THING, ROWS).await;

    database
        .execute(
            "begin; insert into thing values (1, 'kept');
             savepoint s; insert into thing values (2, 'gone'); update thing set name = 'gone'; rollback to s;
             insert into thing values (3, 'kept'); commit;
             begin; delete from thing; rollback",
        )
        .await;

    assert_eq!(
        told(&database).await,
        [r#"thing.insert {"id":1,"name":"kept"}"#, r#"thing.insert {"id":3,"name":"kept"}"#]
    );
}

#[tokio::test]
async fn a_prepared_transaction_is_told_once_it_is_committed() {
    let database = attached(THING, ROWS).await;
    let name: String = database.value("select current_database()::text").await;

    database
        .execute(&format!(
            "begin; set local postrider.ring = off; insert into thing values (1, 'x'); prepare transaction '{name}'"
        ))
        .await;
    let before = told(&database).await;
    database.execute(&format!("commit prepared '{name}'")).await;

    assert_eq!(before, [""; 0]);
    assert_eq!(told(&database).await, [r#"thing.insert {"id":1,"name":"x"}"#]);
}

#[tokio::test]
async fn a_changed_primary_key_is_a_row_that_goes_and_one_that_comes() {
    let database = attached(THING, ROWS).await;
    database.execute("insert into thing values (1, 'x'), (2, 'y')").await;
    told(&database).await;

    database.execute("update thing set id = id + 10").await;

    assert_eq!(
        told_sorted(&database).await,
        [
            r#"thing.delete {"id":1,"name":"x"}"#,
            r#"thing.delete {"id":2,"name":"y"}"#,
            r#"thing.insert {"id":11,"name":"x"}"#,
            r#"thing.insert {"id":12,"name":"y"}"#,
        ]
    );
}

/// Whoever keeps a copy by the primary key has the right rows afterwards.
#[tokio::test]
async fn rows_that_exchange_their_keys_are_changed() {
    let database = attached("create table thing (id int primary key deferrable, name text)", ROWS).await;
    database.execute("insert into thing values (1, 'x'), (2, 'y'), (3, 'z')").await;
    told(&database).await;

    database.execute("update thing set id = case id when 1 then 2 when 2 then 1 else 4 end").await;

    assert_eq!(
        told_sorted(&database).await,
        [
            r#"thing.delete {"id":3,"name":"z"}"#,
            r#"thing.insert {"id":4,"name":"z"}"#,
            r#"thing.update {"id":1,"name":"y"}"#,
            r#"thing.update {"id":2,"name":"x"}"#,
        ]
    );
}

#[tokio::test]
async fn a_changed_key_is_heard_as_far_as_its_halves_are() {
    for (heard, expected) in [
        ("{delete}", &["thing.delete"][..]),
        ("{insert,delete}", &["thing.delete", "thing.insert"]),
        ("{update}", &[]),
        ("{update,insert}", &["thing.insert"]),
        ("{insert}", &[]),
    ] {
        let database = attached(THING, &format!("{ROWS}, on_ops => '{heard}'")).await;
        database.execute("insert into thing values (1, 'x')").await;
        told(&database).await;

        database.execute("update thing set id = 2").await;

        let mut told = told_as(&database, "topic").await;
        told.sort();
        assert_eq!(told, expected, "{heard}");
    }
}

#[tokio::test]
async fn an_update_that_changes_nothing_is_not_told() {
    let database = attached(
        "create table thing (id int primary key, name text, seen int)",
        &format!("{ROWS}, columns => '{{id,name}}'"),
    )
    .await;
    database.execute("insert into thing values (1, null, 0), (2, 'x', 0)").await;
    told(&database).await;

    database.execute("update thing set name = name; update thing set seen = seen + 1").await;
    database.execute("update thing set name = 'x', seen = 9").await;

    assert_eq!(told(&database).await, [r#"thing.update {"id":1,"name":"x"}"#]);
}

#[tokio::test]
async fn a_condition_chooses_the_rows() {
    let database = attached(
        THING,
        &format!("{ROWS}, when_sql => 'new.name = ''ready'' and old.name is distinct from new.name'"),
    )
    .await;

    database.execute("insert into thing values (1, 'ready'), (2, 'draft'), (3, null)").await;
    database.execute("update thing set name = 'ready'").await;
    database.execute("delete from thing").await;

    assert_eq!(
        told(&database).await,
        [
            r#"thing.insert {"id":1,"name":"ready"}"#,
            r#"thing.update {"id":2,"name":"ready"}"#,
            r#"thing.update {"id":3,"name":"ready"}"#,
        ]
    );
}

#[tokio::test]
async fn a_paused_table_is_not_heard() {
    let database = attached(THING, ROWS).await;

    database.execute("select postrider.pause_table('thing')").await;
    database.execute("insert into thing values (1, 'x'); update thing set name = 'y'; truncate thing").await;
    let meanwhile = told(&database).await;
    database.execute("select postrider.resume_table('thing')").await;
    database.execute("insert into thing values (2, 'z')").await;

    assert_eq!(meanwhile, [""; 0]);
    assert_eq!(told(&database).await, [r#"thing.insert {"id":2,"name":"z"}"#]);
}

#[tokio::test]
async fn a_session_that_loads_rows_as_a_replica_is_not_heard() {
    let database = attached(THING, ROWS).await;

    database
        .execute(
            "begin; set local session_replication_role = replica; insert into thing values (1, 'x'); commit",
        )
        .await;

    assert_eq!(told(&database).await, [""; 0]);
}

/// Only what is written back itself is not heard.
#[tokio::test]
async fn what_a_trigger_of_the_user_does_during_a_write_back_is_heard() {
    let database = attached(
        "create table thing (id int primary key, name text);
         create table log (id int generated always as identity primary key);
         create function note() returns trigger language plpgsql as $$ begin
             if new.id = 1 then update thing set name = 'seen' where id = 2; end if; return null; end $$;
         create trigger note after update on thing for each row execute function note()",
        ROWS,
    )
    .await;
    database.execute("insert into thing values (1, 'a'), (2, 'b')").await;
    told(&database).await;

    database
        .execute(
            "begin;
             select set_config('postrider.write_back', (select attachment_no::text from postrider.attachment), true);
             update thing set name = 'written' where id = 1; commit;
             update thing set name = 'by a user' where id = 1",
        )
        .await;

    assert_eq!(
        told_sorted(&database).await,
        [r#"thing.update {"id":1,"name":"by a user"}"#, r#"thing.update {"id":2,"name":"seen"}"#]
    );
}

#[tokio::test]
async fn a_truncate_is_refused_where_deletes_are_heard() {
    let database = attached(THING, ROWS).await;

    let refusal = database.refusal("truncate thing").await;

    assert_eq!(
        refusal.message(),
        "table public.thing is attached to Postrider, and would not hear which rows go: delete them, attach the table with truncate in \
         on_ops, or pause it before"
    );
}

#[tokio::test]
async fn a_truncate_is_one_event_where_it_is_heard_and_none_where_neither_is() {
    let heard =
        attached(THING, &format!("{ROWS}, on_ops => '{{delete,truncate}}', payload => 'change'")).await;
    let ignored = attached(THING, &format!("{ROWS}, on_ops => '{{insert,update}}'")).await;
    for database in [&heard, &ignored] {
        database.execute("insert into thing values (1, 'x'), (2, 'y')").await;
        told(database).await;
        database.execute("truncate thing").await;
    }

    let shown = "concat_ws(' ', topic, payload::jsonb - 'at', coalesce(row_key, 'no row'))";
    assert_eq!(
        told_as(&heard, shown).await,
        [
            r#"thing.truncate {"op": "truncate", "table": "thing", "record": null, "schema": "public", "changed": null, "previous": null} no row"#
        ]
    );
    assert_eq!(told(&ignored).await, [""; 0]);
}

/// The trigger runs with the rights of the table's owner: who changes rows needs none of ours.
#[tokio::test]
async fn a_role_that_may_change_the_table_alone_is_heard() {
    let database = attached(THING, ROWS).await;
    let url = database.login(None).await;
    let role: String = database.value("select current_database() || '_nobody'").await;
    database.execute(&format!("grant insert on thing to {role}")).await;
    let client = connect(&url).await;

    client.batch_execute("insert into thing values (1, 'x')").await.unwrap();

    assert_eq!(told(&database).await, [r#"thing.insert {"id":1,"name":"x"}"#]);
    let made = client
        .batch_execute(
            "create temp table mine (id int); create trigger mine after insert on mine referencing new table as new_rows
             for each statement execute function postrider_capture_1()",
        )
        .await;
    assert_eq!(made.unwrap_err().as_db_error().unwrap().code().code(), "42501");
}
