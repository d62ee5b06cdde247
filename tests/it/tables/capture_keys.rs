//! Keys, topics and destinations of events: odd primary keys, templates, values that fit nowhere.

use super::told::{attached, told, told_as};
use crate::support::Database;

/// The primary key as it stands in `row_key`, without the number of the attachment, and the key.
async fn named(database: &Database) -> Vec<String> {
    told_as(database, "concat_ws(' ', substr(row_key, position('[' in row_key)), key)").await
}

#[tokio::test]
async fn keys_of_any_type_name_their_rows() {
    for (key, value, expected) in [
        ("text", "'a \"quoted\" \\ back'", r#"["a \"quoted\" \\ back"] a "quoted" \ back"#),
        ("text", "E'line\\nbreak'", "[\"line\\nbreak\"] line\nbreak"),
        ("text", "'ключ'", r#"["ключ"] ключ"#),
        ("bytea", "'\\x00ff'", r#"["\\x00ff"] \x00ff"#),
        (
            "uuid",
            "'11111111-2222-3333-4444-555555555555'",
            r#"["11111111-2222-3333-4444-555555555555"] 11111111-2222-3333-4444-555555555555"#,
        ),
        ("numeric", "1.50", r#"["1.50"] 1.50"#),
        ("inet", "'10.20.3.4'", r#"["10.20.3.4/32"] 10.20.3.4"#),
        ("date", "'2026-05-06'", r#"["2026-05-06"] 2026-05-06"#),
        ("int4range", "'[1,3)'", r#"["[1,3)"] [1,3)"#),
        ("boolean", "true", r#"["true"] true"#),
        ("text[]", "'{a,\"b c\"}'", r#"["{a,\"b c\"}"] {a,"b c"}"#),
        ("color", "'red'", r#"["red"] red"#),
        ("short", "'x'", r#"["x"] x"#),
        ("text", "''", r#"[""]"#),
    ] {
        let database = attached(
            &format!(
                "create type color as enum ('red'); create domain short as text not null check (length(value) < 5);
                 create table thing (id {key} primary key, n int)"
            ),
            "'thing', topic => 'x'",
        )
        .await;

        database
            .execute(&format!(
                "insert into thing values ({value}, 1); update thing set n = 2; delete from thing"
            ))
            .await;

        assert_eq!(named(&database).await, [expected; 3], "{key}");
    }
}

#[tokio::test]
async fn a_composite_key_is_an_array_in_the_order_of_the_key() {
    let database = attached(
        "create table thing (n int, name text, id int, primary key (id, name))",
        "'thing', topic => 'x'",
    )
    .await;

    database
        .execute(
            "insert into thing values (0, 'a,b', 7); update thing set n = 1; update thing set name = 'c'",
        )
        .await;

    let mut named = named(&database).await;
    named.sort();
    assert_eq!(
        named,
        [r#"["7", "a,b"] ["7", "a,b"]"#; 3]
            .map(str::to_owned)
            .into_iter()
            .chain([r#"["7", "c"] ["7", "c"]"#.to_owned()])
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_key_of_citext_differs_by_its_letters() {
    let database = Database::new().await;
    if !database.is("select exists (select from pg_available_extensions where name = 'citext')").await {
        crate::support::skip("capture_keys::citext", "the extension citext is not here");
        return;
    }
    database.execute("create extension citext; create table thing (id citext primary key, n int)").await;
    super::told::attach(&database, "'thing', topic => 'thing.{op}'").await;

    database.execute("insert into thing values ('Ab', 1); update thing set n = 2 where id = 'aB'; update thing set id = 'ab'").await;

    let mut told = told(&database).await;
    told.sort();
    assert_eq!(
        told,
        [
            r#"thing.delete {"id":"Ab","n":2}"#,
            r#"thing.insert {"id":"Ab","n":1}"#,
            r#"thing.insert {"id":"ab","n":2}"#,
            r#"thing.update {"id":"Ab","n":2}"#,
        ]
    );
}

#[tokio::test]
async fn a_key_that_is_too_long_is_a_digest() {
    let database = attached(
        "create table thing (id int primary key, name text)",
        "'thing', topic => 'x', key => 'name'",
    )
    .await;

    database
        .execute("insert into thing values (1, repeat('é', 128)), (2, repeat('x', 257)), (3, ''), (4, null)")
        .await;

    // RFC 1321 gives no such text: the digest is what md5sum says of 257 times x.
    assert_eq!(
        told_as(&database, "coalesce(key, 'none')").await,
        ["é".repeat(128), format!("md5:{}", MD5_OF_257_X), "none".into(), "none".into()]
    );
}

/// `printf 'x%.0s' $(seq 257) | md5sum`
const MD5_OF_257_X: &str = "d36a37136d406826a19f8d222217fcf2";

#[tokio::test]
async fn templates_are_filled_with_values_of_the_row() {
    let database = attached(
        "create table \"order\" (id int primary key, \"Kind\" text, address inet, nothing text)",
        "'\"order\"', topic => 'order.{Kind}.{op}', key => 'address', destination => 'devices/{address}'",
    )
    .await;

    database.execute("insert into \"order\" values (1, 'a', '10.20.3.4/8'), (2, 'b', null)").await;
    database.execute("delete from \"order\" where id = 1").await;

    assert_eq!(
        told_as(&database, "concat_ws(' ', topic, coalesce(key, 'none'), destination)").await,
        [
            "order.a.insert 10.20.3.4 devices/10.20.3.4",
            "order.b.insert none devices/",
            "order.a.delete 10.20.3.4 devices/10.20.3.4"
        ]
    );
}

/// Nobody else gets it: an event without destination goes to all that subscribe.
#[tokio::test]
async fn a_destination_that_is_none_reaches_nobody() {
    let database = attached(
        "create table thing (id int primary key, place text)",
        "'thing', topic => 'x', destination => '{place}'",
    )
    .await;

    database.execute("insert into thing values (1, null), (2, '')").await;

    assert_eq!(told_as(&database, "destination").await, ["/", "/"]);
}
