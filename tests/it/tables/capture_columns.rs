//! Columns that change after the table was attached, names that mean something elsewhere, and conditions that are written oddly.

use crate::support::{Database, connect};

use super::told::{attach, attached, told, told_as, told_sorted};

const THING: &str = "create table thing (id int primary key, name text, body jsonb, size int)";
const ROWS: &str = "'thing', topic => 'thing.{op}'";

/// Statements of a session that knew the table before, and of one that did not.
async fn in_both(database: &Database, change: &str, statements: &[&str]) -> [Vec<String>; 2] {
    let (old, new) = (database.connect().await, database.connect().await);
    old.batch_execute("insert into thing (id) values (-1); update thing set id = -2 where id = -1; delete from thing where id = -2").await.unwrap();
    database.execute(change).await;
    told(database).await;
    let mut both = [Vec::new(), Vec::new()];
    for (session, seen) in [old, new].iter().zip(&mut both) {
        for statement in statements {
            session
                .batch_execute(statement)
                .await
                .unwrap_or_else(|fault| panic!("{change}: {statement}: {fault:?}"));
        }
        *seen = told_sorted(database).await;
    }
    both
}

#[tokio::test]
async fn a_column_that_is_gone_is_null() {
    for change in ["alter table thing drop column name", "alter table thing rename column name to title"] {
        let database = attached(THING, &format!("{ROWS}, payload => 'change', key => 'name'")).await;
        database.execute(change).await;

        database
            .execute(
                "insert into thing (id, size) values (1, 5); update thing set size = 6; delete from thing",
            )
            .await;

        assert_eq!(
            told_as(
                &database,
                "concat_ws(' ', topic, coalesce(key, 'no key'), payload ->> 'record', payload ->> 'changed')"
            )
            .await,
            [
                r#"thing.insert no key {"id":1,"name":null,"body":null,"size":5}"#,
                r#"thing.update no key {"id":1,"name":null,"body":null,"size":6} ["size"]"#,
                r#"thing.delete no key {"id":1,"name":null,"body":null,"size":6}"#,
            ],
            "{change}"
        );
    }
}

#[tokio::test]
async fn a_session_notices_at_once_that_a_column_is_gone_or_has_another_type() {
    let statements =
        ["insert into thing (id) values (1)", "update thing set size = 6", "delete from thing where id = 1"];
    for (change, name) in [
        ("alter table thing drop column name", "null"),
        ("alter table thing rename column name to title", "null"),
        ("alter table thing alter column name type int using 7, alter column name set default 7", "7"),
    ] {
        let database = attached(THING, ROWS).await;

        let both = in_both(&database, change, &statements).await;

        let expected = [
            format!(r#"thing.delete {{"id":1,"name":{name},"body":null,"size":6}}"#),
            format!(r#"thing.insert {{"id":1,"name":{name},"body":null,"size":null}}"#),
            format!(r#"thing.update {{"id":1,"name":{name},"body":null,"size":6}}"#),
        ];
        assert_eq!(both, [expected.to_vec(), expected.to_vec()], "{change}");
    }
}

#[tokio::test]
async fn a_key_that_becomes_wider_names_the_same_rows() {
    let database = attached(THING, ROWS).await;
    database.execute("insert into thing values (1)").await;
    let before = told_as(&database, "row_key").await;

    database
        .execute("alter table thing alter column id type bigint; update thing set size = 1 where id = 1")
        .await;

    assert_eq!(told_as(&database, "row_key").await, before);
}

/// Rows are told of, though nobody can say which they are.
#[tokio::test]
async fn a_primary_key_that_is_gone_fails_no_statement() {
    let database = attached(THING, ROWS).await;
    database.execute("insert into thing values (1, 'a'), (2, 'b')").await;
    told(&database).await;

    database.execute("alter table thing rename column id to ident").await;
    database
        .execute(
            "insert into thing values (3, 'c'); update thing set size = 1; delete from thing where ident = 3",
        )
        .await;

    let mut told = told_as(&database, "concat_ws(' ', topic, coalesce(row_key, 'no row'), payload)").await;
    told.sort();
    assert_eq!(
        told,
        [
            r#"thing.delete no row {"id":null,"name":"c","body":null,"size":1}"#,
            r#"thing.insert no row {"id":null,"name":"c","body":null,"size":null}"#,
            r#"thing.update no row {"id":null,"name":"a","body":null,"size":1}"#,
            r#"thing.update no row {"id":null,"name":"b","body":null,"size":1}"#,
            r#"thing.update no row {"id":null,"name":"c","body":null,"size":1}"#,
        ]
    );
}

/// The condition compares a word with what is a number now. No statement fails for it, and what was not told is counted.
#[tokio::test]
async fn a_condition_that_fits_a_column_no_more_fails_no_statement() {
    let database = attached(THING, &format!("{ROWS}, when_sql => 'new.name = ''ready'''")).await;

    database.execute("alter table thing alter column name type int using 7").await;
    database
        .execute("insert into thing values (1, 7), (2, 8); update thing set name = 9; delete from thing")
        .await;

    assert_eq!(told(&database).await, [""; 0]);
    let skipped = "select sum(row_count)::text || ' ' || min(reason) from postrider.row_skipped";
    assert_eq!(database.value::<String>(skipped).await, "6 22P02");
}

/// `status` renamed: its condition finds null, and so no row.
#[tokio::test]
async fn a_condition_on_a_column_that_is_gone_finds_null() {
    let database = attached(THING, &format!("{ROWS}, when_sql => 'new.name is null or new.size > 1'")).await;

    database
        .execute("alter table thing rename column name to title; insert into thing values (1, 'x', null, 0)")
        .await;

    assert_eq!(told(&database).await, [r#"thing.insert {"id":1,"name":null,"body":null,"size":0}"#]);
}

#[tokio::test]
async fn a_type_that_is_called_otherwise_or_has_other_labels_changes_nothing() {
    let database = attached(
        "create type color as enum ('red', 'green'); create domain short as text not null;
         create table thing (id int primary key, color color, name short)",
        "'thing', topic => 'x'",
    )
    .await;

    database
        .execute(
            "insert into thing values (1, 'red', 'a'); alter type color rename to paint; alter domain short rename to brief;
             insert into thing values (2, 'red', 'a'); update thing set color = 'green' where id = 2;
             alter type paint rename value 'red' to 'rot'; delete from thing where id = 1",
        )
        .await;

    assert_eq!(
        told(&database).await,
        [
            r#"x {"id":1,"color":"red","name":"a"}"#,
            r#"x {"id":2,"color":"red","name":"a"}"#,
            r#"x {"id":2,"color":"green","name":"a"}"#,
            r#"x {"id":1,"color":"rot","name":"a"}"#,
        ]
    );
}

#[tokio::test]
async fn a_new_column_is_not_told_until_the_table_is_attached_again() {
    let database = attached("create table thing (id int primary key)", "'thing', topic => 'x'").await;

    database.execute("alter table thing add column more int; insert into thing values (1, 5)").await;
    let before = told(&database).await;
    attach(&database, "'thing', topic => 'x'").await;
    database.execute("insert into thing values (2, 6)").await;

    assert_eq!(before, [r#"x {"id":1}"#]);
    assert_eq!(told(&database).await, [r#"x {"id":2,"more":6}"#]);
}

/// Names of the generated function's own, of SQL, and names that must be quoted. Each is a column.
const NAMES: &str = r#"new|old|told|event|op|r|c|o|a|p|present|absent|place|place_|pair|reason|skipped|statement|
is_heard|is_seen|is_late|mark|actions|one|place__|is_as_attached|select|tg_op|Upper|with space|quo"te|apo'strophe|ünïcode|$1|$code$|
$capture$|back\slash|per%cent %s %1$s|brace{x}|new_rows|old_rows|row_key|payload|topic|record|
name|difference|changed|previous"#;
/// The table has such a name, too, and so has its schema.
const SCHEMA: &str = r#""a ""schema"" %s""#;
const TABLE: &str = r#""a ""schema"" %s"."ta'b\le $code$""#;

/// Inserts a row, changes its key, changes another column, and deletes it. Shows topic, key, and what the payload says of one column.
async fn told_of_names(database: &Database) -> Vec<String> {
    database
        .execute(&format!(
            "insert into {TABLE} default values; update {TABLE} set \"new\" = 2; update {TABLE} set r = 2; delete from {TABLE}"
        ))
        .await;
    let shown = "concat_ws(' ', topic, key, payload::jsonb #>> '{record,Upper}', payload::jsonb ->> 'Upper')";
    let mut told = told_as(database, shown).await;
    told.sort();
    told
}

#[tokio::test]
async fn names_may_be_anything() {
    let quoted = |name: &str| format!("\"{}\" int default 1", name.trim().replace('"', "\"\""));
    let columns = NAMES.split('|').map(quoted).collect::<Vec<_>>().join(", ");
    let table = format!(
        "create schema {SCHEMA}; create table {TABLE} ({columns}, primary key (\"new\", \"quo\"\"te\"))"
    );
    for (payload, on_error, deleted) in
        [("row", "fail", " 1"), ("change", "skip", " 1"), ("supabase", "skip", "")]
    {
        let settings = format!(
            "$t${TABLE}$t$, topic => 'x.{{op}}.{{new}}.{{with space}}', key => 'quo\"te', payload => '{payload}', \
             on_error => '{on_error}', when_sql => 'coalesce(new.\"select\", old.\"select\") = 1'"
        );
        let database = attached(&table, &settings).await;

        let told = told_of_names(&database).await;
        // The way of the columns of today takes the same names.
        database.execute(&format!("alter table {TABLE} drop column a")).await;
        let again = told_of_names(&database).await;

        let expected = [
            format!("x.delete.1.1 1{deleted}"),
            format!("x.delete.2.1 1{deleted}"),
            "x.insert.1.1 1 1".into(),
            "x.insert.2.1 1 1".into(),
            "x.update.2.1 1 1".into(),
        ];
        assert_eq!(told, expected, "{payload}");
        assert_eq!(again, expected, "{payload}");
    }
}

#[tokio::test]
async fn a_condition_may_have_comments_quotes_and_queries() {
    for when in [
        "new.name = 'it''s' -- and no more",
        "new.name = 'it''s' /* ) or true */",
        "new.name = $q$it's$q$",
        "(new.name) = E'it\\'s'",
        "exists (select from lateral (values ('it''s')) as v (name) where v.name = new.name)",
        "new.name like '%''%' and new.name = format('%s', 'it''s')",
        "case when new.id > 0 then new.name = 'it''s' end",
        "to_jsonb(new) ->> 'name' = 'it''s'",
        "helper(new.name)",
    ] {
        let database = attached(
            "create table thing (id int primary key, name text);
             create function helper(text) returns boolean language sql return $1 = 'it''s'",
            &format!("'thing', topic => 'x', when_sql => $when${when}$when$"),
        )
        .await;

        database.execute("insert into thing values (1, 'it''s'), (2, 'other'), (3, null)").await;

        assert_eq!(told(&database).await, [r#"x {"id":1,"name":"it's"}"#], "{when}");
    }
}

#[tokio::test]
async fn a_renamed_table_is_still_heard() {
    let database = attached(THING, ROWS).await;

    database
        .execute(
            "alter table thing rename to other; create schema s; alter table other set schema s; alter schema public rename to old_public;
             insert into s.other values (1); update s.other set size = 2; delete from s.other",
        )
        .await;

    assert_eq!(told_as(&database, "topic").await, ["thing.insert", "thing.update", "thing.delete"]);
}

/// The owner is granted what the triggers need, and no more than that: neither superuser nor member of our roles.
#[tokio::test]
async fn a_role_without_rights_of_ours_owns_the_table() {
    let database = Database::new().await;
    let url = database.login(None).await;
    let role: String = database.value("select current_database() || '_nobody'").await;
    database
        .execute(&format!(
            "create schema app authorization {role}; set role {role}; {}; reset role",
            THING.replace("thing", "app.thing")
        ))
        .await;
    attach(&database, "'app.thing', topic => 'thing.{op}', payload => 'change', on_error => 'skip', on_ops => '{insert,update,delete,truncate}'").await;
    let owner = connect(&url).await;
    let statements = "insert into app.thing (id) values (1), (2); update app.thing set size = 1; delete from app.thing where id = 1;
                      truncate app.thing";

    owner.batch_execute(statements).await.unwrap();
    let before = told_as(&database, "topic").await;
    owner.batch_execute(&format!("alter table app.thing drop column name; {statements}")).await.unwrap();
    let after = told_as(&database, "topic").await;

    let expected =
        ["insert", "insert", "update", "update", "delete", "truncate"].map(|op| format!("thing.{op}"));
    assert_eq!(before, expected);
    assert_eq!(after, expected);
    assert_eq!(database.value::<i64>("select count(*) from postrider.row_skipped").await, 0);
}
