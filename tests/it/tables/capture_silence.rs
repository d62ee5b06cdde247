//! What attached tables do not tell: pauses, replicas, what is written back, TRUNCATE where it is not heard; and whose rights count.

use crate::support::connect;

use super::told::{attached, told, told_as, told_sorted};

const THING: &str = "create table thing (id int primary key, name text)";
const ROWS: &str = "'thing', topic => 'thing.{op}'";

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
