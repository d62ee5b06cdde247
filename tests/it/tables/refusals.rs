//! What cannot be attached, or not so, is one clear line, and changes nothing.

use crate::database::schema::texts;
use crate::support::Database;

const TABLES: &str = "
    create table good (id int primary key, name text, status text check (status in ('new', 'done', 'error')), code varchar(5), total int,
        sum int generated always as (total + 1) stored, \"row\" jsonb);
    create view a_view as select * from good;
    create materialized view a_matview as select * from good;
    create foreign data wrapper nothing; create server nowhere foreign data wrapper nothing;
    create foreign table a_foreign_table (id int) server nowhere;
    create sequence a_sequence;
    create temporary table a_temporary (id int primary key);
    create table keyless (id int);
    create table parted (id int primary key) partition by range (id);
    create table part partition of parted for values from (0) to (10);
    create table parent (id int primary key);
    create table child (primary key (id)) inherits (parent);
    create type mood as enum ('new', 'complete', 'failed')";

#[tokio::test]
async fn what_is_no_table_of_ones_own_with_a_primary_key_is_refused() {
    let database = Database::new().await;
    database.execute(TABLES).await;

    for (table, code, message) in [
        ("a_view", "42809", "public.a_view is a view, and no table"),
        ("a_matview", "42809", "public.a_matview is a materialized view, and no table"),
        ("a_foreign_table", "42809", "public.a_foreign_table is a foreign table, and no table"),
        ("a_sequence", "42809", "public.a_sequence is a sequence, and no table"),
        ("good_pkey", "42809", "public.good_pkey is an index, and no table"),
        ("a_temporary", "42809", "a_temporary is a temporary table"),
        ("keyless", "42P16", "public.keyless has no primary key"),
        ("part", "42809", "public.part is a partition of public.parted"),
        ("parent", "42809", "public.parent has tables that inherit from it"),
        ("child", "42809", "public.child inherits from another table"),
        ("postrider.outbox", "42809", "postrider.outbox is a table of Postrider"),
        ("pg_class", "42809", "pg_class is a table of PostgreSQL's own"),
        ("4000000000", "42P01", "table 4000000000: there is no such table"),
    ] {
        let refused =
            database.refusal(&format!("select postrider.attach_table('{table}', topic => 'a.b')")).await;

        assert_eq!(refused.code().code(), code, "{table}: {refused:?}");
        assert!(refused.message().ends_with(message), "{table}: {refused:?}");
        assert!(refused.detail().is_some(), "{table}: {refused:?}");
    }
}

#[tokio::test]
async fn a_partition_says_that_its_table_is_attached() {
    let database = Database::new().await;
    database.execute(TABLES).await;
    database.execute("select postrider.attach_table('parted', topic => 'a.b')").await;

    let refused = database.refusal("select postrider.attach_table('part', topic => 'a.b')").await;

    assert_eq!(refused.message(), "public.part is a partition of public.parted");
    assert_eq!(refused.detail(), Some("public.parted is attached, and so is each of its partitions"));
}

#[tokio::test]
async fn a_partition_that_was_attached_before_is_named() {
    let database = Database::new().await;
    database
        .execute(
            "create table parted (id int primary key) partition by range (id); create table part (id int primary key);
             select postrider.attach_table('part', topic => 'a.b');
             alter table parted attach partition part for values from (0) to (10)",
        )
        .await;

    let refused = database.refusal("select postrider.attach_table('parted', topic => 'a.b')").await;

    assert_eq!(refused.message(), "public.parted has the partition public.part, which is attached itself");
}

#[tokio::test]
async fn each_setting_that_cannot_be_is_named_with_what_is_allowed() {
    let database = Database::new().await;
    database.execute(TABLES).await;

    for (settings, code, message, detail) in [
        ("", "22023", "invalid topic", "Allowed is topic: a topic"),
        ("topic => 'a b'", "22023", "invalid topic", "dotted words"),
        ("topic => 'a.{'", "22023", "invalid topic", "dotted words"),
        ("topic => repeat('a', 129)", "22023", "invalid topic", "at most 128 bytes"),
        (
            "topic => 'a.{nme}'",
            "42703",
            "invalid topic: there is no column \"nme\"; \"name\" is meant?",
            "Allowed is id, name",
        ),
        (
            "topic => 'a', key => 'nobody'",
            "42703",
            "invalid key: there is no column \"nobody\"",
            "Allowed is id, name",
        ),
        (
            "topic => 'a', payload => 'tota'",
            "42703",
            "invalid payload: there is no column \"tota\"; \"total\" is meant?",
            "Allowed is",
        ),
        (
            "topic => 'a', payload => 'column:x'",
            "42703",
            "invalid payload: there is no column \"x\"",
            "Allowed is",
        ),
        (
            "payload => 'debezium'",
            "42703",
            "invalid payload: there is no column \"aggregatetype\"",
            "Allowed is",
        ),
        ("topic => 'a', destination => 'a b'", "22023", "invalid destination", "TEMPLATE/VALUE"),
        ("topic => 'a', destination => '/x'", "22023", "invalid destination", "TEMPLATE/VALUE"),
        (
            "topic => 'a', destination => 'a/{i d}'",
            "42703",
            "invalid destination: there is no column \"i d\"",
            "Allowed is",
        ),
        (
            "topic => 'a', status => 'state'",
            "42703",
            "invalid status: there is no column \"state\"",
            "Allowed is",
        ),
        (
            "topic => 'a', status => 'id'",
            "22023",
            "invalid status: column \"id\" is not to be written",
            "Allowed is a column",
        ),
        (
            "topic => 'a', status => 'sum'",
            "22023",
            "invalid status: column \"sum\" is not to be written",
            "Allowed is a column",
        ),
        (
            "topic => 'a', status => 'name', write_back => 'some'",
            "22023",
            "invalid write_back",
            "none, final",
        ),
        ("topic => 'a', write_back => 'final'", "22023", "invalid write_back", "unless status names"),
        (
            "topic => 'a', write_back => 'delete', status => 'name'",
            "22023",
            "invalid status",
            "none where rows are deleted",
        ),
        (
            "topic => 'a', status_map => '{\"complete\": \"x\"}'",
            "22023",
            "invalid status_map",
            "unless status names",
        ),
        (
            "topic => 'a', status => 'name', status_map => '{\"done\": \"x\"}'",
            "22023",
            "invalid status_map",
            "an object with words",
        ),
        (
            "topic => 'a', status => 'name', status_map => '{\"complete\": 1}'",
            "22023",
            "invalid status_map",
            "an object with words",
        ),
        (
            "topic => 'a', status => 'name', status_map => '[]'",
            "22023",
            "invalid status_map",
            "an object with words",
        ),
        ("topic => 'a', on_ops => '{}'", "22023", "invalid on_ops", "one or more of"),
        ("topic => 'a', on_ops => '{insert,upsert}'", "22023", "invalid on_ops", "one or more of"),
        ("topic => 'a', on_ops => '{insert,null}'", "22023", "invalid on_ops", "one or more of"),
        ("topic => 'a', columns => '{}'", "22023", "invalid columns", "names of columns"),
        ("topic => 'a', columns => '{id,null}'", "22023", "invalid columns", "names of columns"),
        (
            "topic => 'a', columns => '{id,naem}'",
            "42703",
            "invalid columns: there is no column \"naem\"; \"name\" is meant?",
            "Allowed is",
        ),
        ("topic => 'a', on_error => 'ignore'", "22023", "invalid on_error", "fail"),
        (
            "topic => 'a', when_sql => repeat(' ', 2) || repeat('x', 10001)",
            "22023",
            "invalid when_sql",
            "at most 10000 bytes",
        ),
    ] {
        let comma = if settings.is_empty() { "" } else { ", " };
        let refused =
            database.refusal(&format!("select postrider.attach_table('good'{comma}{settings})")).await;

        assert_eq!(refused.code().code(), code, "{settings}: {refused:?}");
        assert!(
            refused.message().starts_with(&format!("table public.good: {message}")),
            "{settings}: {refused:?}"
        );
        assert!(refused.detail().unwrap().contains(detail), "{settings}: {refused:?}");
    }
    assert_nothing_was_made(&database).await;
}

#[tokio::test]
async fn a_condition_that_is_none_is_refused_before_anything_is_made() {
    let database = Database::new().await;
    database.execute(TABLES).await;

    for (condition, reason) in [
        ("new.nme = 'a'", "column new.nme does not exist"),
        ("new.name", "must be type boolean"),
        ("new.name = ", "syntax error"),
        ("missing(new.id)", "function missing(integer) does not exist"),
        ("true); delete from good; select (true", "it is more than a condition"),
        ("exists (select from nowhere)", "relation \"nowhere\" does not exist"),
        ("new.id = 1 and", "syntax error"),
    ] {
        let sql =
            format!("select postrider.attach_table('good', topic => 'a', when_sql => $w${condition}$w$)");
        let refused = database.refusal(&sql).await;

        assert_eq!(refused.code().code(), "22023", "{condition}: {refused:?}");
        assert!(
            refused.message().starts_with("table public.good: invalid when_sql: "),
            "{condition}: {refused:?}"
        );
        assert!(refused.message().contains(reason), "{condition}: {refused:?}");
    }
    assert_nothing_was_made(&database).await;
}

#[tokio::test]
async fn a_condition_may_fail_for_nulls_and_end_in_a_comment() {
    let database = Database::new().await;
    database.execute(TABLES).await;

    database
        .execute("select postrider.attach_table('good', topic => 'a', when_sql => '10 / new.id > 1 -- said')")
        .await;
    database.execute("insert into good (id) values (1), (20)").await;

    assert_eq!(texts(&database, "select row_key from postrider.outbox").await, ["1[\"1\"]"]);
}

#[tokio::test]
async fn a_status_column_takes_each_word_that_would_be_written() {
    let database = Database::new().await;
    database.execute(TABLES).await;
    database.execute("alter table good add column mood mood, add column short char(20)").await;

    for (settings, refused) in [
        // A CHECK of the column is asked.
        (
            "status => 'status'",
            Some("column \"status\" (text) takes no word \"in_progress\" for in_progress"),
        ),
        (
            "status => 'status', write_back => 'final'",
            Some("column \"status\" (text) takes no word \"complete\" for complete"),
        ),
        (
            "status => 'status', write_back => 'final', status_map => '{\"complete\": \"done\", \"failed\": \"error\"}'",
            None,
        ),
        // A word that is too long would be cut off.
        ("status => 'code'", Some("column \"code\" (character varying(5)) takes no word \"in_progress\"")),
        ("status => 'short'", None),
        // An enum has labels.
        (
            "status => 'mood'",
            Some("column \"mood\" (public.mood) takes no word \"in_progress\" for in_progress"),
        ),
        ("status => 'mood', write_back => 'final'", None),
        ("status => 'mood', status_map => '{\"in_progress\": \"new\"}'", None),
        ("status => 'mood', write_back => 'none'", None),
        ("status => 'total'", Some("column \"total\" (integer) takes no word \"in_progress\"")),
        (
            "status => 'total', status_map => '{\"in_progress\": \"1\", \"complete\": \"2\", \"failed\": \"3\"}'",
            None,
        ),
    ] {
        let done = database
            .client
            .batch_execute(&format!("select postrider.attach_table('good', topic => 'a', {settings})"))
            .await;

        let fault = done.err().map(|fault| fault.as_db_error().unwrap().clone());
        let said = fault.as_ref().map_or("", |fault| fault.message());
        assert_eq!(fault.is_some(), refused.is_some(), "{settings}: {fault:?}");
        assert!(said.contains(refused.unwrap_or_default()), "{settings}: {said}");
        if let Some(fault) = fault {
            assert_eq!(fault.code().code(), "22023");
            assert!(fault.detail().unwrap().starts_with("Allowed is status_map => "), "{fault:?}");
        }
    }
    let labels =
        database.refusal("select postrider.attach_table('good', topic => 'a', status => 'mood')").await;
    assert!(
        labels.detail().unwrap().ends_with("a word that the column takes: new, complete, failed"),
        "{labels:?}"
    );
}

/// No attachment, trigger or function is left of what was refused.
async fn assert_nothing_was_made(database: &Database) {
    let made = texts(
        database,
        "select proname::text from pg_proc where proname like 'postrider%'
         union all select tgname::text from pg_trigger where tgname like 'postrider%'
         union all select relation::text from postrider.attached_table",
    )
    .await;
    assert_eq!(made, Vec::<String>::new());
}
