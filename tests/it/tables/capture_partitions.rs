//! Partitioned tables: statements that name the root, and statements that name a partition.

use super::told::{attached, told, told_as, told_sorted};

const PARTS: &str = "
    create table thing (region text, id int, name text, primary key (region, id)) partition by list (region);
    create table thing_east (name text, id int not null, region text not null);
    alter table thing attach partition thing_east for values in ('east');
    create table thing_rest partition of thing default partition by range (id);
    create table thing_low partition of thing_rest for values from (0) to (100);
    create table thing_high partition of thing_rest for values from (100) to (200)";
const ROWS: &str = "'thing', topic => 'thing.{op}', columns => '{region,id,name}'";

#[tokio::test]
async fn a_statement_is_heard_whether_it_names_the_root_or_a_partition() {
    let database = attached(PARTS, ROWS).await;

    database
        .execute(
            "insert into thing values ('east', 1, 'a'), ('west', 2, 'b'), ('west', 150, 'c');
             insert into thing_east (region, id, name) values ('east', 3, 'd');
             insert into thing_rest values ('north', 4, 'e');
             insert into thing_low values ('south', 5, 'f');
             update thing_east set name = 'z' where id = 3;
             update thing_rest set name = 'y' where id = 4;
             delete from thing_low where id = 5;
             delete from thing where id = 150",
        )
        .await;

    let told = told_as(
        &database,
        "concat_ws(' ', topic, payload ->> 'region', payload ->> 'id', payload ->> 'name')",
    )
    .await;
    assert_eq!(
        told,
        [
            "thing.insert east 1 a",
            "thing.insert west 2 b",
            "thing.insert west 150 c",
            "thing.insert east 3 d",
            "thing.insert north 4 e",
            "thing.insert south 5 f",
            "thing.update east 3 z",
            "thing.update north 4 y",
            "thing.delete south 5 f",
            "thing.delete west 150 c",
        ]
    );
}

#[tokio::test]
async fn a_row_that_moves_to_another_partition_goes_and_comes() {
    let database = attached(PARTS, ROWS).await;
    database.execute("insert into thing values ('east', 1, 'a'), ('west', 2, 'b')").await;
    told(&database).await;

    database.execute("update thing set region = 'west', name = 'moved' where id = 1").await;
    database.execute("update thing_rest set id = 120 where id = 2").await;

    let mut told = told_as(
        &database,
        "concat_ws(' ', topic, payload ->> 'region', payload ->> 'id', payload ->> 'name')",
    )
    .await;
    told.sort();
    assert_eq!(
        told,
        [
            "thing.delete east 1 a",
            "thing.delete west 2 b",
            "thing.insert west 1 moved",
            "thing.insert west 120 b"
        ]
    );
}

#[tokio::test]
async fn a_change_of_a_partition_is_named_after_the_table() {
    let database = attached(PARTS, "'thing', topic => 'x', payload => 'change'").await;

    database
        .execute("insert into thing_low values ('west', 1, 'a'); insert into thing values ('west', 2, 'b')")
        .await;

    assert_eq!(told_as(&database, "payload ->> 'table'").await, ["thing", "thing"]);
}

#[tokio::test]
async fn a_truncate_is_told_once_of_a_table_and_of_each_partition_that_is_named() {
    let database = attached(PARTS, &format!("{ROWS}, on_ops => '{{truncate}}'")).await;
    for (statement, count) in [
        ("truncate thing", 1),
        ("truncate thing_rest", 1),
        ("truncate thing_low, thing_east", 2),
        ("begin; truncate thing; truncate thing_low; truncate thing; commit", 3),
    ] {
        database.execute(statement).await;

        assert_eq!(
            told(&database).await,
            vec![r#"thing.truncate {"op" : "truncate"}"#; count],
            "{statement}"
        );
    }
}

#[tokio::test]
async fn a_truncate_of_a_partition_is_refused_where_deletes_are_heard() {
    let database = attached(PARTS, ROWS).await;
    for statement in ["truncate thing", "truncate thing_rest", "truncate thing_low"] {
        let refusal = database.refusal(statement).await;

        assert_eq!(refusal.code().code(), "22023", "{statement}: {}", refusal.message());
    }
}

#[tokio::test]
async fn a_column_of_a_partitioned_table_that_is_gone_is_null_in_every_partition() {
    let database = attached(PARTS, ROWS).await;

    database.execute("alter table thing drop column name").await;
    database
        .execute("insert into thing values ('east', 1), ('west', 2); insert into thing_east (region, id) values ('east', 3)")
        .await;

    assert_eq!(
        told_sorted(&database).await,
        [
            r#"thing.insert {"region":"east","id":1,"name":null}"#,
            r#"thing.insert {"region":"east","id":3,"name":null}"#,
            r#"thing.insert {"region":"west","id":2,"name":null}"#,
        ]
    );
}

/// It keeps its triggers, and is another table now.
#[tokio::test]
async fn a_partition_that_was_detached_is_not_heard_any_more() {
    let database = attached(PARTS, ROWS).await;

    database.execute("alter table thing detach partition thing_rest").await;
    database
        .execute(
            "insert into thing_rest values ('west', 1, 'a'); insert into thing_low values ('west', 2, 'b');
             update thing_low set name = 'c'; delete from thing_rest; truncate thing_rest; insert into thing values ('east', 3, 'd')",
        )
        .await;

    assert_eq!(told_as(&database, "topic || ' ' || key").await, [r#"thing.insert ["east", "3"]"#]);
}
