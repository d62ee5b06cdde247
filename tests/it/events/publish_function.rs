//! `postrider.publish`: what it returns, that it is a part of its caller's transaction, and what a repeated key means beside
//! transactions that insert, roll back or delete the first event.

use serde_json::json;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use crate::support::{Database, as_role, connect, login_clause, one_endpoint};

const LEVELS: [&str; 3] = ["read committed", "repeatable read", "serializable"];

/// What `publish` returned.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    event_id: i64,
    webhook_id: String,
    is_repeat: bool,
}

impl Said {
    /// The same event, said to be a repeat.
    fn repeated(&self) -> Self {
        Self { event_id: self.event_id, webhook_id: self.webhook_id.clone(), is_repeat: true }
    }
}

#[tokio::test]
async fn it_returns_the_ids_of_the_event_that_is_delivered() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    let producer = producer(&database).await;

    let said = publish(&producer, "'order.created', '{\"a\":  1}'").await.unwrap();

    let request = receiver.next().await;
    assert_eq!((request.text(), request.header("webhook-id")), ("{\"a\":  1}", said.webhook_id.as_str()));
    assert!(!said.is_repeat);
    assert_eq!(database.value::<i64>("select id from postrider.outbox").await, said.event_id);
}

#[tokio::test]
async fn it_stores_all_that_is_said_of_an_event() {
    let database = Database::new().await;

    let arguments =
        "payload => '[1,  2]', topic => 'a.b', deliver_after => '2100-01-01Z', destination => 'one',
         idempotency_key => 'once', headers => '{\"x-a\": \"b\"}', key => 'customer-7'";
    publish(&producer(&database).await, arguments).await.unwrap();

    database
        .assert_row(
            "select topic, payload::text, key, headers, idempotency_key, destination,
                 deliver_after = '2100-01-01Z' as is_later, status from postrider.outbox",
            json!({
                "topic": "a.b", "payload": "[1,  2]", "key": "customer-7", "headers": { "x-a": "b" },
                "idempotency_key": "once", "destination": "one", "is_later": true, "status": "pending",
            }),
        )
        .await;
}

#[tokio::test]
async fn it_is_a_part_of_its_callers_transaction() {
    for level in LEVELS {
        let database = Database::new().await;
        let producer = producer(&database).await;

        begin(&producer, level).await;
        let first = publish(&producer, ONCE).await.unwrap();
        let second = publish(&producer, ONCE).await.unwrap();
        producer.batch_execute("rollback").await.unwrap();
        let third = publish(&producer, ONCE).await.unwrap();

        assert_eq!(second, first.repeated(), "{level}");
        assert!(!third.is_repeat && third.event_id > first.event_id, "{level}: {third:?}");
        database.assert_row("select count(*) from postrider.outbox", json!({"count": 1})).await;
    }
}

#[tokio::test]
async fn a_repeat_returns_the_ids_of_the_first_event_whoever_inserted_it_and_inserts_nothing() {
    for level in LEVELS {
        let database = Database::new().await;
        let (one, other) = (producer(&database).await, database.connect().await);
        let first = publish(&other, ONCE).await.unwrap();

        begin(&one, level).await;
        let second =
            publish(&one, "'another.topic', '\"another\"', idempotency_key => 'once'").await.unwrap();
        one.batch_execute("commit").await.unwrap();

        assert_eq!(second, first.repeated(), "{level}");
        database
            .assert_row(
                "select count(*), min(topic) as topic from postrider.outbox",
                json!({"count": 1, "topic": "a.b"}),
            )
            .await;
    }
}

#[tokio::test]
async fn events_without_a_key_never_repeat_one_another() {
    let database = Database::new().await;

    let many = "select count(distinct p.event_id) from generate_series(1, 5) as n,
                    lateral postrider.publish('a.b', to_json(n), key => 'same') as p where not p.is_repeat";
    let published: i64 = producer(&database).await.query_one(many, &[]).await.unwrap().get(0);

    assert_eq!(published, 5);
}

#[tokio::test]
async fn a_key_that_another_transaction_is_inserting_is_waited_for() {
    for (level, end, is_repeat) in [
        ("read committed", "commit", Some(true)),
        ("read committed", "rollback", Some(false)),
        ("repeatable read", "rollback", Some(false)),
        // Its snapshot is older than the other's row. Done again, it finds a repeat.
        ("repeatable read", "commit", None),
        ("serializable", "commit", None),
    ] {
        let database = Database::new().await;
        let (one, other) = (producer(&database).await, producer(&database).await);
        begin(&other, "read committed").await;
        let first = publish(&other, ONCE).await.unwrap();
        begin(&one, level).await;
        one.batch_execute("select 1").await.unwrap();

        let waiting = publish(&one, ONCE);
        let ending = async {
            until_waiting(&database).await;
            other.batch_execute(end).await.unwrap();
        };
        let (second, ()) = tokio::join!(waiting, ending);

        match (second, is_repeat) {
            (Ok(second), Some(is_repeat)) => {
                assert_eq!(second.is_repeat, is_repeat, "{level}, {end}");
                assert_eq!(second.event_id == first.event_id, is_repeat, "{level}, {end}");
            }
            (Err(fault), None) => {
                assert_eq!(fault.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE), "{fault:?}");
                one.batch_execute("rollback").await.unwrap();
                assert_eq!(publish(&one, ONCE).await.unwrap(), first.repeated(), "{level}, {end}");
            }
            (second, _) => panic!("{level}, {end}: {second:?}"),
        }
    }
}

#[tokio::test]
async fn a_repeat_of_an_event_that_is_being_deleted_is_a_new_event_if_the_deletion_commits() {
    for (end, is_repeat) in [("commit", false), ("rollback", true)] {
        let database = Database::new().await;
        let (one, retention) = (producer(&database).await, database.connect().await);
        let first = publish(&one, ONCE).await.unwrap();
        retention.batch_execute("begin; delete from postrider.outbox").await.unwrap();

        let waiting = publish(&one, ONCE);
        let ending = async {
            until_waiting(&database).await;
            retention.batch_execute(end).await.unwrap();
        };
        let (second, ()) = tokio::join!(waiting, ending);

        let second = second.unwrap();
        assert_eq!((second.is_repeat, second.event_id == first.event_id), (is_repeat, is_repeat), "{end}");
        database.assert_row("select count(*) from postrider.outbox", json!({"count": 1})).await;
    }
}

#[tokio::test]
async fn repeats_beside_deletions_always_return_an_event() {
    let database = Database::new().await;
    let publishers = [producer(&database).await, producer(&database).await];
    let retention = database.connect().await;

    let publishing = async |client: &Client| {
        let mut repeats = 0;
        for _ in 0..400 {
            let said = publish(client, ONCE).await.unwrap();
            assert!(
                said.event_id > 0 && said.webhook_id.ends_with(&format!("_{}", said.event_id)),
                "{said:?}"
            );
            repeats += usize::from(said.is_repeat);
        }
        repeats
    };
    let deleting = async {
        for _ in 0..400 {
            retention
                .batch_execute("delete from postrider.outbox where id % 3 <> 0 or random() < 0.5")
                .await
                .unwrap();
        }
    };
    let (one, other, ()) = tokio::join!(publishing(&publishers[0]), publishing(&publishers[1]), deleting);

    assert!(one + other > 0, "no repeat among them");
}

#[tokio::test]
async fn bad_input_is_one_clear_error_that_names_it_and_what_is_allowed() {
    let database = Database::new().await;
    let producer = producer(&database).await;
    let long = "x".repeat(257);

    for (name, arguments) in [
        ("topic", "null, '{}'"),
        ("topic", "'', '{}'"),
        ("topic", "'a..b', '{}'"),
        ("topic", "'order created', '{}'"),
        ("topic", "repeat('x', 129), '{}'"),
        ("payload", "'a.b', null"),
        ("key", "'a.b', '{}', key => ''"),
        ("key", &format!("'a.b', '{{}}', key => '{long}'")),
        ("headers", "'a.b', '{}', headers => '[]'"),
        ("headers", "'a.b', '{}', headers => '{\"host\": \"x\"}'"),
        ("headers", "'a.b', '{}', headers => '{\"x\": 1}'"),
        ("idempotency_key", "'a.b', '{}', idempotency_key => ''"),
        ("idempotency_key", &format!("'a.b', '{{}}', idempotency_key => '{long}'")),
        ("destination", "'a.b', '{}', destination => ''"),
        ("destination", "'a.b', '{}', destination => 'not an id'"),
        ("deliver_after", "'a.b', '{}', deliver_after => 'infinity'"),
    ] {
        let refused = publish(&producer, arguments).await.unwrap_err();

        let fault = refused.as_db_error().unwrap();
        assert_eq!(fault.code(), &SqlState::INVALID_PARAMETER_VALUE, "{arguments}: {fault:?}");
        assert_eq!(fault.message(), format!("event: invalid {name}"), "{arguments}");
        assert!(fault.detail().unwrap().starts_with(&format!("Allowed is {name}: ")), "{fault:?}");
    }
    let refused = publish(&producer, "'a.b', '{bad'").await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::INVALID_TEXT_REPRESENTATION));
    database.assert_row("select count(*) from postrider.outbox", json!({"count": 0})).await;
}

#[tokio::test]
async fn an_event_that_a_trigger_drops_is_an_error_and_no_repeat() {
    let database = Database::new().await;
    database
        .execute(
            "create function public.drops() returns trigger language plpgsql as $$ begin return null; end $$;
             create trigger drops before insert on postrider.outbox for each row execute function public.drops()",
        )
        .await;

    let refused = publish(&producer(&database).await, "'a.b', '{}'").await.unwrap_err();

    assert_eq!(refused.code(), Some(&SqlState::TRIGGERED_ACTION_EXCEPTION), "{refused:?}");
}

/// Arguments of an event that is to be there once.
const ONCE: &str = "'a.b', '{}', idempotency_key => 'once'";

/// A session with the rights of a producer and no more.
async fn producer(database: &Database) -> Client {
    let name: String =
        database.value("select current_database() || '_' || left(gen_random_uuid()::text, 8)").await;
    let login = login_clause(&database.url);
    database.execute(&format!("create role \"{name}\" {login} in role postrider_producer")).await;
    connect(&as_role(&database.url, &name)).await
}

async fn publish(client: &Client, arguments: &str) -> Result<Said, Error> {
    let call = format!("select event_id, webhook_id, is_repeat from postrider.publish({arguments})");
    let row = client.query_one(&call, &[]).await?;
    Ok(Said { event_id: row.get(0), webhook_id: row.get(1), is_repeat: row.get(2) })
}

async fn begin(client: &Client, level: &str) {
    client.batch_execute(&format!("begin isolation level {level}")).await.unwrap();
}

/// Until a session waits for another's transaction.
async fn until_waiting(database: &Database) {
    database
        .until(
            "select exists (select from pg_stat_activity
                            where datname = current_database() and wait_event_type = 'Lock')",
        )
        .await;
}
