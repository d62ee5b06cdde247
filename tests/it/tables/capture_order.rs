//! The last event of a row says what has become of it: foreign keys' actions, triggers that change the row again, old snapshots.

use crate::support::{Database, connect};

use super::told::{attach, attached, told, told_as};

const CHILD: &str = "create table parent (id int primary key);
    create table child (id int primary key, a int references parent on delete cascade, b int references parent on delete set null)";
const ROWS: &str = "'child', topic => 'child.{op}'";

/// The actions for parent 1 come before those for parent 2, and all deletes of the child are told before its updates.
#[tokio::test]
async fn a_row_that_foreign_keys_change_and_delete_is_told_as_gone_at_last() {
    let database = attached(CHILD, ROWS).await;
    database.execute("insert into parent values (1), (2)").await;
    database.execute("insert into child values (1, 2, 1), (2, null, 1)").await;
    told(&database).await;

    database.execute("delete from parent").await;

    assert_eq!(
        told(&database).await,
        [r#"child.delete {"id":1,"a":2,"b":null}"#, r#"child.update {"id":2,"a":null,"b":null}"#,]
    );
}

/// The session has planned the trigger's statements before.
#[tokio::test]
async fn a_foreign_key_that_is_added_later_counts_at_once() {
    let database = attached(
        "create table parent (id int primary key); create table child (id int primary key, a int, b int)",
        ROWS,
    )
    .await;
    database.execute("insert into parent values (1), (2)").await;
    database
        .execute("insert into child values (1, 2, 1), (9, null, null); delete from child where id = 9")
        .await;
    database.execute("update child set b = 2; update child set b = 1").await;
    told(&database).await;
    let session = database.connect().await;
    session
        .batch_execute("insert into child values (8, null, null); update child set b = 1 where id = 8")
        .await
        .unwrap();
    session.batch_execute("delete from child where id = 8").await.unwrap();
    told(&database).await;

    database
        .execute(
            "alter table child add foreign key (a) references parent on delete cascade;
             alter table child add foreign key (b) references parent on delete set null",
        )
        .await;
    session.batch_execute("delete from parent").await.unwrap();

    assert_eq!(told(&database).await, [r#"child.delete {"id":1,"a":2,"b":null}"#]);
}

/// Where the condition hides the delete, the update is the last that is heard of the row.
#[tokio::test]
async fn an_update_is_not_left_out_for_a_delete_that_is_not_told() {
    for settings in ["when_sql => 'new.id = 1 -- no more'", "on_ops => '{update}'"] {
        let database = attached(CHILD, &format!("{ROWS}, {settings}")).await;
        database.execute("insert into parent values (1), (2); insert into child values (1, 2, 1)").await;
        told(&database).await;

        database.execute("delete from parent").await;

        assert_eq!(told(&database).await, [r#"child.update {"id":1,"a":2,"b":null}"#], "{settings}");
    }
}

/// A table whose trigger does something about a row that was just changed.
async fn with_trigger(events: &str, body: &str, settings: &str) -> Database {
    let tables = format!(
        "create table thing (id int primary key, n int);
         create function again() returns trigger language plpgsql as $$ begin {body} return null; end $$;
         create trigger again after {events} on thing for each row execute function again()"
    );
    attached(&tables, &format!("'thing', topic => 'thing.{{op}}', {settings}")).await
}

#[tokio::test]
async fn a_row_that_its_own_trigger_changes_again_is_told_as_it_is_by_then() {
    let body = "if new.n < 10 then update thing set n = n + 10 where id = new.id; end if;";
    for settings in ["on_error => 'fail'", "on_error => 'skip'", "when_sql => 'new.n > 0'"] {
        let database = with_trigger("insert or update", body, settings).await;

        database.execute("insert into thing values (1, 1)").await;
        database
            .execute("insert into thing values (1, 2), (2, 3) on conflict (id) do update set n = excluded.n")
            .await;

        assert_eq!(
            told(&database).await,
            [
                r#"thing.update {"id":1,"n":11}"#,
                r#"thing.insert {"id":1,"n":11}"#,
                r#"thing.update {"id":1,"n":12}"#,
                r#"thing.update {"id":2,"n":13}"#,
                r#"thing.update {"id":1,"n":12}"#,
                r#"thing.insert {"id":2,"n":13}"#,
            ],
            "{settings}"
        );
    }
}

#[tokio::test]
async fn a_row_that_its_own_trigger_deletes_is_told_as_gone_at_last() {
    for (settings, expected) in [
        ("on_ops => '{insert,delete}'", r#"thing.delete {"id":1,"n":1}"#),
        ("when_sql => 'new.n = 1'", r#"thing.insert {"id":1,"n":1}"#),
        ("on_ops => '{insert}'", r#"thing.insert {"id":1,"n":1}"#),
    ] {
        let database = with_trigger("insert", "delete from thing where id = new.id;", settings).await;

        database.execute("insert into thing values (1, 1)").await;

        assert_eq!(told(&database).await, [expected], "{settings}");
    }
}

#[tokio::test]
async fn a_row_that_its_own_trigger_inserts_again_is_told_as_there_at_last() {
    let body = "if old.n < 5 then insert into thing values (old.id, 5); end if;";
    let database = with_trigger("delete", body, "on_ops => '{insert,delete}'").await;
    database.execute("insert into thing values (1, 1)").await;
    told(&database).await;

    database.execute("delete from thing").await;
    let first = told(&database).await;
    database.execute("delete from thing").await;

    assert_eq!(first, [r#"thing.insert {"id":1,"n":5}"#]);
    assert_eq!(told(&database).await, [r#"thing.delete {"id":1,"n":5}"#]);
}

/// In one transaction, in one function: what one statement left behind says nothing of the next.
#[tokio::test]
async fn statements_one_after_the_other_are_told_as_they_were() {
    let body = "if new.n = 1 then update thing set n = 2 where id = new.id; end if;";
    let database = with_trigger("insert", body, "on_error => 'fail'").await;

    database
        .execute(
            "do $$ begin insert into thing values (1, 1); update thing set n = 3; update thing set n = 4; delete from thing; end $$",
        )
        .await;

    assert_eq!(
        told(&database).await,
        [
            r#"thing.update {"id":1,"n":2}"#,
            r#"thing.insert {"id":1,"n":2}"#,
            r#"thing.update {"id":1,"n":3}"#,
            r#"thing.update {"id":1,"n":4}"#,
            r#"thing.delete {"id":1,"n":4}"#,
        ]
    );
}

/// Then nobody can say what has become of a row, and it is told as the statement left it.
#[tokio::test]
async fn nothing_is_lost_where_policies_hide_the_rows_from_their_owner() {
    let database = Database::new().await;
    let name: String = database.value("select current_database()::text").await;
    database
        .execute(&format!(
            "create role {name}_owner; create schema s authorization {name}_owner; set role {name}_owner;
             create table s.thing (id int primary key, n int);
             create function s.again() returns trigger language plpgsql as $$ begin update s.thing set n = 2; return null; end $$;
             create trigger again after insert on s.thing for each row execute function s.again();
             alter table s.thing enable row level security; alter table s.thing force row level security;
             create policy written on s.thing for insert with check (true);
             create policy changed on s.thing for update using (current_setting('s.is_open', true) = 'yes');
             create policy seen on s.thing for select using (current_setting('s.is_open', true) = 'yes');
             reset role"
        ))
        .await;
    attach(&database, "'s.thing', topic => 'thing.{op}'").await;

    database
        .execute(
            "create function s.shut() returns trigger language plpgsql as $$ begin perform set_config('s.is_open', 'no', true); return null; end $$;
             create trigger a_shut after insert on s.thing for each statement execute function s.shut();
             begin; set local s.is_open = 'yes'; insert into s.thing values (1, 1); commit",
        )
        .await;

    assert_eq!(told(&database).await, [r#"thing.update {"id":1,"n":2}"#, r#"thing.insert {"id":1,"n":1}"#]);
    database
        .execute(&format!("drop schema s cascade; drop owned by {name}_owner; drop role {name}_owner"))
        .await;
}

/// The trigger is there for everybody, and the attachment is not in this snapshot.
#[tokio::test]
async fn a_snapshot_from_before_the_table_was_attached_is_heard() {
    for level in ["repeatable read", "serializable"] {
        for partition in ["", "partition by list (id)"] {
            let database = Database::new().await;
            database.execute(&format!("create table thing (id int primary key, n int) {partition}")).await;
            if !partition.is_empty() {
                database.execute("create table thing_all partition of thing default").await;
            }
            let old = connect(&database.url).await;
            old.batch_execute(&format!("begin isolation level {level}; select count(*) from pg_class"))
                .await
                .unwrap();
            attach(&database, "'thing', topic => 'thing.{op}'").await;

            old.batch_execute(
                "insert into thing values (1, 1); update thing set n = 2; delete from thing; commit",
            )
            .await
            .unwrap();
            old.batch_execute("insert into thing values (2, 1); update thing set n = 2; delete from thing")
                .await
                .unwrap();

            let words = ["insert 1", "update 1", "delete 1", "insert 2", "update 2", "delete 2"]
                .map(|w| format!("thing.{w}"));
            let shown = "concat_ws(' ', topic, payload ->> 'id')";
            assert_eq!(told_as(&database, shown).await, words, "{level} {partition}");
        }
    }
}

/// A snapshot shows a pause that has ended, and one that began later does not show.
#[tokio::test]
async fn an_old_snapshot_is_heard_once_the_pause_has_ended() {
    let database = attached(
        "create table thing (id int primary key)",
        "'thing', topic => 'x', on_ops => '{insert,truncate}'",
    )
    .await;
    let old = connect(&database.url).await;
    let begin = "begin isolation level repeatable read; select count(*) from pg_class";

    database.execute("select postrider.pause_table('thing')").await;
    old.batch_execute(&format!("{begin}; insert into thing values (1)")).await.unwrap();
    database.execute("select postrider.resume_table('thing')").await;
    old.batch_execute("insert into thing values (2); truncate thing; commit").await.unwrap();
    let resumed = told(&database).await;
    old.batch_execute(begin).await.unwrap();
    database.execute("select postrider.pause_table('thing')").await;
    old.batch_execute("insert into thing values (3); commit; insert into thing values (4)").await.unwrap();

    assert_eq!(resumed, [r#"x {"id":2}"#, r#"x {"op" : "truncate"}"#]);
    assert_eq!(told(&database).await, [r#"x {"id":3}"#]);
}

/// The old snapshot shows the column. So does what the session has planned in it.
#[tokio::test]
async fn a_column_that_is_gone_since_an_old_snapshot_is_null() {
    let database =
        attached("create table thing (id int primary key, n int, x int)", "'thing', topic => 'x'").await;
    let old = connect(&database.url).await;
    old.batch_execute("begin isolation level repeatable read; select count(*) from pg_class").await.unwrap();
    database.execute("alter table thing drop column x").await;

    old.batch_execute("insert into thing values (1, 1); commit; insert into thing values (2, 2)")
        .await
        .unwrap();

    assert_eq!(told(&database).await, [r#"x {"id":1,"n":1,"x":null}"#, r#"x {"id":2,"n":2,"x":null}"#]);
}
