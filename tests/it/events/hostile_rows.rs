//! Every kind of hostile row of a table (H1 to H24), as an application or an attacker would insert it, and what becomes of it.
//! All of them beside each other at one dispatcher, with a good row after each.

mod kinds;

use std::collections::HashMap;

use kinds::kinds;
use tokio_postgres::error::SqlState;

use crate::project::promises_named::{exists, tests_named};
use crate::support::{Database, Received, one_endpoint};

/// A payload of so many bytes is sent.
const PAYLOAD_BYTES_MAX: usize = 65_536;

/// A row of the list that the suite was written from.
struct Kind {
    number: &'static str,
    trials: Vec<(Hostile, Expected)>,
    /// Why ours is another outcome than the list's, or where it is tested; empty: nothing to add.
    note: &'static str,
}

/// What is inserted.
enum Hostile {
    /// The columns that a producer may set.
    Row(Row),
    /// Something more devious.
    Statement(String),
}

/// Texts as they are written.
#[derive(Clone, Debug)]
struct Row {
    topic: String,
    payload: Option<String>,
    headers: Option<String>,
    destination: Option<&'static str>,
    idempotency_key: Option<String>,
    deliver_after: Option<&'static str>,
}

/// What becomes of it.
#[derive(Debug)]
enum Expected {
    /// It is never there.
    Refused(SqlState),
    /// It arrives, byte for byte, with its topic and its headers.
    Arrives,
    /// It is given up without an attempt, for this reason.
    GivenUp(&'static str),
    /// It is failed, because the endpoint that it was for does not exist.
    Nowhere,
    /// It is not due for a long time.
    Waits,
}

#[tokio::test]
async fn every_kind_of_hostile_row_has_its_outcome() {
    let limit = format!("{}KiB", PAYLOAD_BYTES_MAX / 1024);
    let (database, receiver, mut dispatcher) = one_endpoint("", &["--max-payload", &limit]).await;
    let mut accepted = Vec::new();
    let mut wrong = Vec::new();
    let mut good = 0;

    for Kind { number, trials, .. } in kinds() {
        for (hostile, expected) in trials {
            match (insert(&database, &hostile).await, &expected) {
                (Ok(id), Expected::Refused(_)) => {
                    wrong.push(format!("{number}: {expected:?}, and is event {id}"));
                }
                (Ok(id), _) => accepted.push((number, id, hostile, expected)),
                (Err(state), Expected::Refused(refused)) if state == *refused => {}
                (Err(state), _) => wrong.push(format!("{number}: {state:?} instead of {expected:?}")),
            }
            database.insert("order.good", "1").await;
            good += 1;
        }
    }
    // What waits is among what is not settled, always.
    let waiting = accepted.iter().filter(|(.., expected)| matches!(expected, Expected::Waits)).count();
    database
        .until(&format!(
            "select count(*) = {waiting} and bool_and(status = 'in_progress')
             from postrider.outbox where status in ('pending', 'in_progress')"
        ))
        .await;

    let arrivals: HashMap<i64, Received> = receiver.all().into_iter().map(|r| (event_id(&r), r)).collect();
    for (number, id, hostile, expected) in &accepted {
        let told = told(&database, *id).await;
        if !is_so(expected, hostile, &told, arrivals.get(id)) {
            wrong.push(format!("{number}: {told:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let arrived = arrivals.values().filter(|r| r.header("postrider-topic") == "order.good").count();
    assert_eq!((arrived, receiver.count()), (good, arrivals.len()));
    assert_eq!(dispatcher.has_ended(), None);
    assert!(!dispatcher.log().contains("panicked"), "{}", dispatcher.log());
}

#[test]
fn no_kind_is_left_out() {
    let kinds = kinds();
    let numbers: Vec<&str> = kinds.iter().map(|kind| kind.number).collect();
    let all: Vec<String> = (1..=24).map(|number| format!("H{number}")).collect();

    assert_eq!(numbers, all);
    for Kind { number, trials, note } in kinds {
        assert!(!trials.is_empty() || !note.is_empty(), "{number}");
        for name in tests_named(note) {
            assert!(exists(&name), "{number}: {name}");
        }
    }
}

/// The event's id, or why it is refused.
async fn insert(database: &Database, hostile: &Hostile) -> Result<i64, SqlState> {
    let inserted = match hostile {
        Hostile::Statement(sql) => database.client.query(sql, &[]).await,
        Hostile::Row(row) => {
            let sql = "insert into postrider.outbox (topic, payload, headers, destination, idempotency_key, deliver_after)
                       values ($1, $2::text::json, $3::text::jsonb, $4, $5, $6::text::timestamptz) returning id";
            let Row { topic, payload, headers, destination, idempotency_key, deliver_after } = row;
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
                [topic, payload, headers, destination, idempotency_key, deliver_after];
            database.client.query(sql, &params).await
        }
    };
    match inserted {
        Ok(rows) => Ok(rows[0].get(0)),
        Err(fault) => Err(fault.code().unwrap().clone()),
    }
}

/// A `webhook-id` ends with it.
fn event_id(received: &Received) -> i64 {
    received.header("webhook-id").rsplit('_').next().unwrap().parse().unwrap()
}

/// What SQL says of an event: its status and its deliveries, and of its one delivery why it failed, and its attempts.
async fn told(database: &Database, id: i64) -> (String, i32, Option<String>, i64) {
    let sql = "select o.status::text, o.deliveries, d.last_error,
                      (select count(*) from postrider.attempt_log as a where a.event_id = o.id)
               from postrider.outbox as o left join postrider.delivery_status as d on d.event_id = o.id
               where o.id = $1";
    let rows = database.rows(sql, &[&id]).await;
    (rows[0].get(0), rows[0].get(1), rows[0].get(2), rows[0].get(3))
}

fn is_so(
    expected: &Expected,
    hostile: &Hostile,
    told: &(String, i32, Option<String>, i64),
    received: Option<&Received>,
) -> bool {
    let (status, deliveries, error, attempts) = told;
    match expected {
        Expected::Refused(_) => false,
        Expected::Arrives => {
            let Hostile::Row(row) = hostile else { return false };
            let arrives = |r: &Received| {
                Some(r.text()) == row.payload.as_deref()
                    && r.header("postrider-topic") == row.topic
                    && has_headers(r, row)
            };
            status == "complete" && *attempts == 1 && received.is_some_and(arrives)
        }
        Expected::GivenUp(why) => {
            status == "failed" && *attempts == 0 && error.as_deref() == Some(why) && received.is_none()
        }
        Expected::Nowhere => (status.as_str(), *deliveries) == ("failed", 0) && received.is_none(),
        Expected::Waits => status == "in_progress" && *attempts == 0 && received.is_none(),
    }
}

/// Whether the row's headers arrived. Spaces around a value are nobody's (RFC 9110, 5.5).
fn has_headers(received: &Received, row: &Row) -> bool {
    let headers: HashMap<String, String> =
        row.headers.as_deref().map(|text| serde_json::from_str(text).unwrap()).unwrap_or_default();
    headers.iter().all(|(name, value)| received.header(name) == value.trim())
}
