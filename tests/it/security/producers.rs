//! What libraries of producers write, with the role of a producer alone: `returning`, `on conflict`, COPY. And that none of it shows
//! a payload, a header, or a row of anybody else.

use futures_util::SinkExt;
use serde_json::json;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::support::{Database, as_role, connect, login_clause};

#[tokio::test]
async fn an_insert_returns_id_time_and_status_of_its_rows() {
    let (database, producer) = database_and_producer().await;

    for values in ["('a', '1')", "('a', '1'), ('b', '2'), ('c', '3')"] {
        let rows = producer
            .query(
                &format!(
                    "insert into postrider.outbox (topic, payload) values {values}
                     returning id, created_at = now() as is_now, status::text"
                ),
                &[],
            )
            .await
            .unwrap();

        let ids: Vec<i64> = rows.iter().map(|row| row.get("id")).collect();
        assert!(rows.iter().all(|row| row.get("is_now") && row.get::<_, &str>("status") == "pending"));
        let stored = format!(
            "select array_agg(id order by id desc)::text from postrider.outbox where id >= {}",
            ids[0]
        );
        let mut expected = ids.clone();
        expected.sort_unstable_by_key(|id| -id);
        let expected: Vec<String> = expected.iter().map(i64::to_string).collect();
        assert_eq!(database.value::<String>(&stored).await, format!("{{{}}}", expected.join(",")));
    }
}

#[tokio::test]
async fn an_insert_returns_nothing_of_what_it_carries() {
    let (_database, producer) = database_and_producer().await;

    for column in ["payload", "headers", "topic", "key", "destination", "created_xid", "deliveries", "*", "o"]
    {
        let insert = format!(
            "insert into postrider.outbox as o (topic, payload) values ('a', '1') returning {column}"
        );

        assert_eq!(code(&producer, &insert).await, Some(SqlState::INSUFFICIENT_PRIVILEGE), "{column}");
    }
}

#[tokio::test]
async fn a_producer_sees_no_row_but_those_of_its_own_transaction() {
    let (database, producer) = database_and_producer().await;
    let insert = "insert into postrider.outbox (topic, payload, idempotency_key) values ('a', '1', $1)";
    database.client.execute(insert, &[&"of the owner"]).await.unwrap();
    // Of the same role, but of an earlier transaction.
    producer.execute(insert, &[&"earlier"]).await.unwrap();
    let other = connect(&database.login(Some("postrider_dispatcher")).await).await;
    other.batch_execute("begin").await.unwrap();
    other.execute(insert, &[&"uncommitted"]).await.unwrap();

    for (transaction, own) in [("", 0), ("begin", 0), ("savepoint one", 1), ("release one", 2), ("commit", 0)]
    {
        producer.batch_execute(transaction).await.unwrap();
        if own > 0 {
            producer.execute(insert, &[&format!("own {own}")]).await.unwrap();
        }

        let seen = producer
            .query("select id, status, created_at, idempotency_key from postrider.outbox order by id", &[])
            .await
            .unwrap();

        let keys: Vec<&str> = seen.iter().map(|row| row.get("idempotency_key")).collect();
        assert_eq!(keys, ["own 1", "own 2"][..own], "{transaction}");
    }
}

#[tokio::test]
async fn a_condition_of_a_producer_is_not_told_of_the_rows_of_others() {
    let (database, producer) = database_and_producer().await;
    database.execute("insert into postrider.outbox (topic, payload) values ('a', '1')").await;
    producer
        .batch_execute(
            "create function pg_temp.tells(bigint) returns boolean cost 0.0001 language plpgsql as $$
                 begin raise exception 'told of %', $1 using errcode = 'ZZ001'; end $$",
        )
        .await
        .unwrap();

    for statement in [
        "select from postrider.outbox where pg_temp.tells(id)",
        "select count(*) from postrider.outbox as o where 1 / (o.id - o.id) > 0",
        "select max(id) from postrider.outbox where status::text::int > 0",
        "insert into postrider.outbox (topic, payload) select 'a', '1' from postrider.outbox where pg_temp.tells(id)",
        "select from postrider.new_event where pg_temp.tells(id)",
    ] {
        assert_eq!(code(&producer, statement).await, None, "{statement}");
    }
    database.assert_row("select count(*) from postrider.outbox", json!({"count": 1})).await;
}

#[tokio::test]
async fn whoever_may_read_the_outbox_still_reads_all_of_it() {
    let (database, _) = database_and_producer().await;
    database.insert("a", "1").await;

    for (role, grants) in [
        ("reader", "grant postrider_reader to NAME"),
        ("dispatcher", "grant postrider_dispatcher to NAME"),
        ("both", "grant postrider_producer, postrider_reader to NAME"),
        ("all_in_one", "grant postrider_producer, postrider_dispatcher to NAME"),
        ("own_grant", "grant usage on schema postrider to NAME; grant select on postrider.outbox to NAME"),
        ("backup", "grant pg_read_all_data to NAME"),
    ] {
        let name: String = database.value(&format!("select current_database() || '_{role}'")).await;
        let grants = grants.replace("NAME", &name);
        let login = login_clause(&database.url);
        database.execute(&format!("create role {name} {login}; {grants}")).await;
        let client = connect(&as_role(&database.url, &name)).await;

        let seen = client.query("select id, status from postrider.outbox", &[]).await.unwrap();

        assert_eq!(seen.len(), 1, "{role}");
    }
}

#[tokio::test]
async fn on_conflict_names_the_key_for_owner_producer_and_dispatcher_and_hides_repeats_alone() {
    let (database, producer) = database_and_producer().await;
    let dispatcher = connect(&database.login(Some("postrider_dispatcher")).await).await;

    for (who, client) in [("owner", &database.client), ("producer", &producer), ("dispatcher", &dispatcher)] {
        for target in [
            "(idempotency_key)",
            "(idempotency_key) where idempotency_key is not null",
            "on constraint outbox_idempotency_key",
        ] {
            let insert = |key: &str| {
                format!(
                    "insert into postrider.outbox (topic, payload, idempotency_key) values ('a', '1', {key})
                     on conflict {target} do nothing returning id"
                )
            };
            let key = format!("'{who} {target}'");

            let first = client.query(&insert(&key), &[]).await.unwrap().len();
            let second = client.query(&insert(&key), &[]).await.unwrap().len();
            let without = client.query(&insert("null"), &[]).await.unwrap().len()
                + client.query(&insert("null"), &[]).await.unwrap().len();
            database.execute("select setval('postrider.outbox_id_seq', 1, false)").await;
            let taken = code(client, &insert("'new'")).await;
            database.execute("select postrider.mend_sequences()").await;

            assert_eq!((first, second, without), (1, 0, 2), "{who}, {target}");
            assert_eq!(taken, Some(SqlState::UNIQUE_VIOLATION), "{who}, {target}");
        }
    }
}

#[tokio::test]
async fn an_insert_that_updates_a_repeat_returns_the_first_id_to_the_owner_and_is_forbidden_to_a_producer() {
    let (database, producer) = database_and_producer().await;
    let upsert = "insert into postrider.outbox (topic, payload, idempotency_key) values ('a', '1', 'once')
                  on conflict (idempotency_key) do update set idempotency_key = excluded.idempotency_key returning id";

    let first: i64 = database.client.query_one(upsert, &[]).await.unwrap().get(0);
    let second: i64 = database.client.query_one(upsert, &[]).await.unwrap().get(0);

    assert_eq!(first, second);
    assert_eq!(code(&producer, upsert).await, Some(SqlState::INSUFFICIENT_PRIVILEGE));
}

#[tokio::test]
async fn a_client_that_returns_every_column_inserts_into_new_event() {
    let (database, producer) = database_and_producer().await;

    let row = producer
        .query_one(
            "insert into postrider.new_event (topic, payload, key, headers, idempotency_key, destination)
             values ('a.b', '[1,  2]', 'k', '{\"x-a\": \"b\"}', 'once', 'one')
             returning *, payload::text as body, status::text as state, created_at = now() as is_now",
            &[],
        )
        .await
        .unwrap();

    let id: i64 = row.get("id");
    assert_eq!((row.get("body"), row.get("state"), row.get("is_now")), ("[1,  2]", "pending", true));
    database
        .assert_row(
            "select id, topic, payload::text, key, headers, idempotency_key, destination from postrider.outbox",
            json!({
                "id": id, "topic": "a.b", "payload": "[1,  2]", "key": "k", "headers": { "x-a": "b" },
                "idempotency_key": "once", "destination": "one",
            }),
        )
        .await;
    let defaults = "insert into postrider.new_event (id, topic, payload, status, created_at)
                    values (default, 'a', '1', default, default) returning *";
    assert_eq!(code(&producer, defaults).await, None);
    let repeat =
        "insert into postrider.new_event (topic, payload, idempotency_key) values ('a', '1', 'once')";
    assert_eq!(code(&producer, repeat).await, Some(SqlState::UNIQUE_VIOLATION));
}

#[tokio::test]
async fn new_event_shows_nothing_and_takes_nothing_but_what_a_producer_may_say() {
    let (database, producer) = database_and_producer().await;
    database.insert("a", "1").await;

    producer
        .batch_execute("begin; insert into postrider.new_event (topic, payload) values ('a', '1')")
        .await
        .unwrap();
    let seen = producer.query("select * from postrider.new_event", &[]).await.unwrap().len();
    producer.batch_execute("rollback").await.unwrap();

    assert_eq!(seen, 0);
    for statement in [
        "insert into postrider.new_event (id, topic, payload) values (7, 'a', '1')",
        "insert into postrider.new_event (topic, payload, status) values ('a', '1', 'complete')",
        "insert into postrider.new_event (topic, payload, created_at) values ('a', '1', now())",
    ] {
        assert_eq!(code(&producer, statement).await.unwrap().code(), "428C9", "{statement}");
    }
    for statement in ["update postrider.new_event set topic = 'b'", "delete from postrider.new_event"] {
        assert!(code(&producer, statement).await.is_some(), "{statement}");
        assert!(code(&database.client, statement).await.is_some(), "{statement}");
    }
    let reader = connect(&database.login(Some("postrider_reader")).await).await;
    let insert = "insert into postrider.new_event (topic, payload) values ('a', '1')";
    assert_eq!(code(&reader, insert).await, Some(SqlState::INSUFFICIENT_PRIVILEGE));
}

#[tokio::test]
async fn a_producer_copies_many_events_into_new_event() {
    let (database, producer) = database_and_producer().await;

    let sink = producer
        .copy_in::<_, bytes::Bytes>("copy postrider.new_event (topic, payload) from stdin (format csv)")
        .await
        .unwrap();
    let mut sink = std::pin::pin!(sink);
    sink.send(bytes::Bytes::from_static(b"a.b,1\na.b,2\na.b,3\n")).await.unwrap();
    let copied = sink.finish().await.unwrap();

    assert_eq!(copied, 3);
    database
        .assert_row(
            "select count(*), sum(payload::text::int) from postrider.outbox",
            json!({"count": 3, "sum": 6}),
        )
        .await;
}

async fn database_and_producer() -> (Database, Client) {
    let database = Database::new().await;
    let producer = connect(&database.login(Some("postrider_producer")).await).await;
    (database, producer)
}

/// The SQLSTATE of a refusal.
async fn code(client: &Client, statement: &str) -> Option<SqlState> {
    client.query(statement, &[]).await.err().map(|fault| fault.code().unwrap().clone())
}
