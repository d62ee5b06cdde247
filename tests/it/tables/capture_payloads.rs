//! The shapes of payloads: a column as it stands, the row, the change, the shape of Supabase's webhooks, Debezium's outbox.

use serde_json::{Value, json};

use crate::support::{Database, one_endpoint};

use super::told::{attach, attached, told, told_as};

const THING: &str = "create table thing (id int primary key, body json, text text, number numeric, address inet, tags text[])";

/// Every value of a column goes through a dispatcher as its receiver gets it.
#[tokio::test]
async fn json_and_text_are_delivered_byte_for_byte() {
    let (database, receiver, _dispatcher) = one_endpoint("", &["--max-in-flight", "1"]).await;
    database
        .execute("create table a (id int primary key, body json); create table b (id int primary key, body text); create domain doc as json; create table c (id int primary key, body doc)")
        .await;
    let bodies = [
        r#"{"b" : 1,  "a":1.10, "a": 2}"#,
        "[1,\n  2]",
        r#""\u00e9 é""#,
        "1e400",
        " null ",
        r#"{"a":"\u0000"}"#,
    ];
    for table in ["a", "b", "c"] {
        attach(&database, &format!("'{table}', topic => 'x', payload => 'body'")).await;
        for (id, body) in (1..).zip(bodies) {
            let sql = format!("insert into {table} values ({id}, $1::text::json)");
            database.client.execute(&sql, &[&body]).await.unwrap();

            assert_eq!(receiver.next().await.text(), body);
        }
    }
}

#[tokio::test]
async fn a_column_of_another_type_is_its_json_and_null_is_the_json_null() {
    for (column, expected) in [
        ("body", r#"{"a" :1}"#),
        ("text", r#"["in it"]"#),
        ("number", "1.50"),
        ("address", r#""10.20.3.4""#),
        ("tags", r#"["a","b c"]"#),
    ] {
        let database = attached(THING, &format!("'thing', topic => 'x', payload => '{column}'")).await;

        database
            .execute(
                r#"insert into thing values (1, '{"a" :1}', '["in it"]', 1.50, '10.20.3.4', '{a,b c}');
                   insert into thing (id) values (2)"#,
            )
            .await;

        assert_eq!(told(&database).await, [format!("x {expected}"), "x null".into()], "{column}");
    }
}

#[tokio::test]
async fn the_row_shows_the_columns_that_were_named() {
    let database = attached(THING, "'thing', topic => 'x', payload => 'row', columns => '{id,number}'").await;

    database.execute("insert into thing (id, number, text) values (1, 2.50, 'left out')").await;

    assert_eq!(told(&database).await, [r#"x {"id":1,"number":2.50}"#]);
}

#[tokio::test]
async fn a_change_shows_what_changed_and_what_was_before() {
    let database = attached(
        "create table thing (id int primary key, name text, body json, size int)",
        "'thing', topic => 'x', payload => 'change'",
    )
    .await;
    let before: String = database.value("select to_json(date_trunc('milliseconds', now()))::text").await;

    database
        .execute(
            r#"set timezone = 'Asia/Kolkata';
               insert into thing values (1, 'a', '{"n":1}');
               update thing set name = null, body = '{"n":2}', size = 5;
               delete from thing"#,
        )
        .await;

    let told = told_as(&database, "payload::text").await;
    let payloads: Vec<Value> = told.iter().map(|payload| serde_json::from_str(payload).unwrap()).collect();
    let expected = |op: &str, record: Value, changed: Value, previous: Value| json!({"op": op, "schema": "public", "table": "thing", "record": record, "changed": changed, "previous": previous});
    let shown: Vec<Value> = payloads
        .iter()
        .cloned()
        .map(|mut payload| {
            let at = payload.as_object_mut().unwrap().remove("at").unwrap();
            assert!(at.as_str().unwrap().ends_with("+00:00"), "{at}");
            assert!(at.as_str().unwrap() > &before[1..20], "{at} {before}");
            payload
        })
        .collect();
    assert_eq!(
        shown,
        [
            expected(
                "insert",
                json!({"id": 1, "name": "a", "body": {"n": 1}, "size": null}),
                Value::Null,
                Value::Null
            ),
            expected(
                "update",
                json!({"id": 1, "name": null, "body": {"n": 2}, "size": 5}),
                json!(["name", "body", "size"]),
                json!({"name": "a", "body": {"n": 1}, "size": null})
            ),
            expected(
                "delete",
                json!({"id": 1, "name": null, "body": {"n": 2}, "size": 5}),
                Value::Null,
                Value::Null
            ),
        ]
    );
}

#[tokio::test]
async fn a_change_is_named_after_the_table_as_it_is_called_now() {
    let database = attached(THING, "'thing', topic => 'x', payload => 'change'").await;

    database
        .execute("alter table thing rename to other; create schema s; alter table other set schema s; insert into s.other values (1)")
        .await;

    assert_eq!(told_as(&database, "payload ->> 'schema' || ' ' || (payload ->> 'table')").await, ["s other"]);
}

/// As in the documentation of Supabase, "Database Webhooks".
#[tokio::test]
async fn the_shape_of_supabase_has_the_record_and_the_old_one() {
    let database = attached(
        "create table thing (id int primary key, name text)",
        "'thing', topic => 'x', payload => 'supabase'",
    )
    .await;

    database
        .execute("insert into thing values (1, 'a'); update thing set name = 'b'; delete from thing")
        .await;

    let told = told_as(&database, "payload::text").await;
    let payloads: Vec<Value> = told.iter().map(|payload| serde_json::from_str(payload).unwrap()).collect();
    let (a, b) = (json!({"id": 1, "name": "a"}), json!({"id": 1, "name": "b"}));
    let expected = |kind: &str, record: &Value, old: &Value| json!({"type": kind, "table": "thing", "schema": "public", "record": record, "old_record": old});
    assert_eq!(
        payloads,
        [
            expected("INSERT", &a, &Value::Null),
            expected("UPDATE", &b, &a),
            expected("DELETE", &Value::Null, &b)
        ]
    );
}

/// The table of Debezium's outbox event router, with its own names.
#[tokio::test]
async fn an_outbox_of_debezium_is_sent_as_it_stands() {
    let database = attached(
        "create table outbox (id uuid primary key default gen_random_uuid(), aggregatetype text not null,
                              aggregateid text not null, type text not null, payload jsonb)",
        "'outbox', payload => 'debezium', on_ops => '{insert}'",
    )
    .await;
    let id = "11111111-2222-3333-4444-555555555555";

    database
        .execute(&format!(
            "insert into outbox values ('{id}', 'Order', 'o-1', 'OrderCreated', '{{\"total\": 5}}')"
        ))
        .await;

    assert_eq!(
        told_as(&database, "concat_ws(' ', topic, key, headers, payload)").await,
        [format!(r#"Order.OrderCreated o-1 {{"id": "{id}"}} {{"total": 5}}"#)]
    );
}

/// How many blocks of large values were read so far, once all updates so far are counted.
async fn toast_blocks(database: &Database, table: &str, updates: u32) -> i64 {
    database
        .until(&format!("select n_tup_upd = {updates} from pg_stat_user_tables where relname = '{table}'"))
        .await;
    let query = "select coalesce(toast_blks_hit, 0) + coalesce(toast_blks_read, 0) from pg_statio_user_tables where relname = ";
    database.value(&format!("{query} '{table}'")).await
}

/// 2 MB are more than 250 blocks.
#[tokio::test]
async fn a_large_column_that_is_left_out_is_not_read() {
    let mut read = Vec::new();
    for columns in ["{id,name}", "{id,name,large}"] {
        let database = attached(
            "create table thing (id int primary key, name text, large text);
             alter table thing alter large set storage external",
            &format!("'thing', topic => 'x', columns => '{columns}'"),
        )
        .await;
        database
            .execute("insert into thing values (1, 'a', repeat('x', 2000000)); update thing set name = 'b'")
            .await;
        let before = toast_blocks(&database, "thing", 1).await;

        database.connect().await.batch_execute("update thing set name = 'c'").await.unwrap();

        read.push(toast_blocks(&database, "thing", 2).await - before);
        assert_eq!(told(&database).await.len(), 3);
    }

    assert!(read[0] < 10 && read[1] > 250, "{read:?}");
}

/// The events of a database whose sessions have settings of their own.
async fn told_under(database: &Database, settings: &str, sql: &str) -> Vec<String> {
    let client = database.connect().await;
    client.batch_execute(settings).await.unwrap();
    client.batch_execute(sql).await.unwrap();
    told_as(database, "concat_ws(' ', row_key, key, payload)").await
}

#[tokio::test]
async fn settings_of_a_session_change_no_event() {
    let database = attached(
        "create table thing (at timestamptz, span interval, raw bytea, weight float8, primary key (at, span, raw, weight))",
        "'thing', topic => 'x', on_ops => '{insert}'",
    )
    .await;
    let insert = r"insert into thing values ('2026-05-06 07:08:09.5+00', interval '1 day 02:03:04', '\xdeadbeef', 0.1::float8 + 0.2)";

    let plain = told_under(&database, "select", insert).await;
    database.execute("truncate thing").await;
    let other = told_under(
        &database,
        "set timezone = 'America/New_York'; set datestyle = 'German'; set intervalstyle = 'iso_8601';
         set bytea_output = 'escape'; set extra_float_digits = -5",
        insert,
    )
    .await;

    assert_eq!(plain, other);
    assert!(
        plain[0].contains(
            r#"["2026-05-06 07:08:09.5+00", "1 day 02:03:04", "\\xdeadbeef", "0.30000000000000004"]"#
        ),
        "{plain:?}"
    );
}
