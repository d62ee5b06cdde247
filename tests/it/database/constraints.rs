//! What the tables refuse: an illegal state cannot be written, whoever writes it.

use serde_json::json;
use tokio_postgres::error::SqlState;

use crate::support::{Database, Dispatcher, Receiver};

#[tokio::test]
async fn a_topic_that_is_not_dotted_words_is_refused() {
    let database = Database::new().await;

    for topic in ["", " ", ".", "a.", ".a", "a..b", "a b", "a.*", "**", "a/b", "ä", "a\n", "a.b\n"] {
        let refused =
            refusal(&database, "insert into postrider.outbox (topic, payload) values ($1, '{}')", topic)
                .await;

        assert_eq!(refused, Some(SqlState::CHECK_VIOLATION), "{topic:?}");
    }
}

#[tokio::test]
async fn a_topic_of_128_bytes_is_the_longest() {
    let database = Database::new().await;
    let insert = "insert into postrider.outbox (topic, payload) values ($1, '{}')";

    let longest = refusal(&database, insert, &"x".repeat(128)).await;
    let longer = refusal(&database, insert, &"x".repeat(129)).await;

    assert_eq!((longest, longer), (None, Some(SqlState::CHECK_VIOLATION)));
}

#[tokio::test]
async fn headers_that_are_reserved_or_not_http_are_refused() {
    let database = Database::new().await;
    let insert = "insert into postrider.outbox (topic, payload, headers) values ('a', '{}', $1::text::jsonb)";

    for headers in [
        r#"{"Host": "x"}"#,
        r#"{"content-type": "x"}"#,
        r#"{"Content-Length": "1"}"#,
        r#"{"content-encoding": "gzip"}"#,
        r#"{"Transfer-Encoding": "chunked"}"#,
        r#"{"connection": "close"}"#,
        r#"{"user-agent": "x"}"#,
        r#"{"Webhook-Id": "x"}"#,
        r#"{"webhook-signature": "x"}"#,
        r#"{"postrider-topic": "x"}"#,
        r#"{"proxy-authorization": "x"}"#,
        r#"{"": "x"}"#,
        r#"{"a b": "x"}"#,
        r#"{"a:": "x"}"#,
        r#"{"a\r\n": "x"}"#,
        r#"{"a": "x\r\ny: z"}"#,
        r#"{"a": "ä"}"#,
    ] {
        let refused = refusal(&database, insert, headers).await;

        assert_eq!(refused, Some(SqlState::CHECK_VIOLATION), "{headers}");
    }
}

#[tokio::test]
async fn headers_that_are_no_object_of_strings_are_refused() {
    let database = Database::new().await;
    let insert = "insert into postrider.outbox (topic, payload, headers) values ('a', '{}', $1::text::jsonb)";

    for headers in
        ["null", "1", "\"a\"", "[]", r#"{"a": 1}"#, r#"{"a": null}"#, r#"{"a": ["x"]}"#, r#"{"a": {}}"#]
    {
        let refused = refusal(&database, insert, headers).await;

        assert_eq!(refused, Some(SqlState::CHECK_VIOLATION), "{headers}");
    }
}

#[tokio::test]
async fn a_delivery_time_that_never_comes_is_refused() {
    let database = Database::new().await;
    let insert = "insert into postrider.outbox (topic, payload, deliver_after) values ('a', '{}', $1::text::timestamptz)";

    for time in ["infinity", "-infinity"] {
        let refused = refusal(&database, insert, time).await;

        assert_eq!(refused, Some(SqlState::CHECK_VIOLATION), "{time}");
    }
}

#[tokio::test]
async fn a_key_is_1_to_256_bytes() {
    let database = Database::new().await;

    for column in ["key", "idempotency_key"] {
        let insert =
            format!("insert into postrider.outbox (topic, payload, {column}) values ('a', '{{}}', $1)");
        let refused = [
            refusal(&database, &insert, "").await,
            refusal(&database, &insert, &"x".repeat(256)).await,
            refusal(&database, &insert, &"x".repeat(257)).await,
        ];

        let check = || Some(SqlState::CHECK_VIOLATION);
        assert_eq!(refused, [check(), None, check()], "{column}");
    }
}

/// Its parameter: an object with the columns that the dispatcher writes.
const INSERT_EVENT: &str = "insert into postrider.outbox (topic, payload, status, deliveries, open_deliveries, failed, completed_at)
                  select 'a', '{}', s.status::text::postrider.status, s.deliveries, s.open_deliveries, s.failed, s.completed_at
                  from json_to_record($1::text::json) as s
                      (status text, deliveries int, open_deliveries int, failed int, completed_at timestamptz)";

#[tokio::test]
async fn an_event_is_in_no_state_that_its_columns_do_not_show() {
    let database = Database::new().await;

    for state in [
        r#"{"status": "pending", "deliveries": 1, "open_deliveries": 1, "failed": 0}"#,
        r#"{"status": "pending", "completed_at": "2026-01-01"}"#,
        r#"{"status": "in_progress"}"#,
        r#"{"status": "in_progress", "deliveries": 1, "open_deliveries": 1, "failed": 0, "completed_at": "2026-01-01"}"#,
        r#"{"status": "in_progress", "deliveries": 1}"#,
        r#"{"status": "in_progress", "deliveries": 1, "open_deliveries": -1, "failed": 0}"#,
        r#"{"status": "in_progress", "deliveries": 1, "open_deliveries": 1, "failed": 1}"#,
        r#"{"status": "complete", "deliveries": 1, "open_deliveries": 0, "failed": 0}"#,
        r#"{"status": "complete", "completed_at": "2026-01-01"}"#,
        r#"{"status": "failed", "deliveries": 1, "open_deliveries": 0, "failed": 1}"#,
    ] {
        let refused = refusal(&database, INSERT_EVENT, state).await;

        assert_eq!(refused, Some(SqlState::CHECK_VIOLATION), "{state}");
    }
}

#[tokio::test]
async fn an_event_is_in_no_state_that_its_counts_contradict() {
    let database = Database::new().await;

    for state in [
        r#"{"status": "in_progress", "deliveries": 0, "open_deliveries": 0, "failed": 0}"#,
        r#"{"status": "in_progress", "deliveries": 1, "open_deliveries": 0, "failed": 0}"#,
        r#"{"status": "complete", "deliveries": 1, "open_deliveries": 1, "failed": 0, "completed_at": "2026-01-01"}"#,
        r#"{"status": "complete", "deliveries": 1, "open_deliveries": 0, "failed": 1, "completed_at": "2026-01-01"}"#,
        r#"{"status": "failed", "deliveries": 2, "open_deliveries": 1, "failed": 1, "completed_at": "2026-01-01"}"#,
        r#"{"status": "failed", "deliveries": 1, "open_deliveries": 0, "failed": 0, "completed_at": "2026-01-01"}"#,
    ] {
        let refused = refusal(&database, INSERT_EVENT, state).await;

        assert_eq!(refused, Some(SqlState::CHECK_VIOLATION), "{state}");
    }
}

#[tokio::test]
async fn a_delivery_is_in_no_state_that_its_columns_do_not_show() {
    let database = Database::new().await;
    let insert = "insert into postrider.delivery
                      (event_id, endpoint_no, status, claim_id, attempts, due_at, completed_at, failed_at)
                  select 1, 1, s.status::text::postrider.status, s.claim_id, coalesce(s.attempts, 0), s.due_at,
                         s.completed_at, s.failed_at
                  from json_to_record($1::text::json) as s
                      (status text, claim_id bigint, attempts int, due_at timestamptz, completed_at timestamptz,
                       failed_at timestamptz)";

    for state in [
        r#"{"status": "pending"}"#,
        r#"{"status": "pending", "due_at": "2026-01-01", "claim_id": 1}"#,
        r#"{"status": "pending", "due_at": "2026-01-01", "completed_at": "2026-01-01"}"#,
        r#"{"status": "pending", "due_at": "2026-01-01", "failed_at": "2026-01-01"}"#,
        r#"{"status": "pending", "due_at": "2026-01-01", "attempts": -1}"#,
        r#"{"status": "in_progress"}"#,
        r#"{"status": "in_progress", "claim_id": 1, "due_at": "2026-01-01"}"#,
        r#"{"status": "in_progress", "claim_id": 1, "completed_at": "2026-01-01"}"#,
        r#"{"status": "complete"}"#,
        r#"{"status": "complete", "completed_at": "2026-01-01", "claim_id": 1}"#,
        r#"{"status": "complete", "completed_at": "2026-01-01", "due_at": "2026-01-01"}"#,
        r#"{"status": "complete", "completed_at": "2026-01-01", "failed_at": "2026-01-01"}"#,
        r#"{"status": "failed", "completed_at": "2026-01-01"}"#,
        r#"{"status": "failed", "failed_at": "2026-01-01"}"#,
    ] {
        let refused = refusal(&database, insert, state).await;

        assert_eq!(refused, Some(SqlState::CHECK_VIOLATION), "{state}");
    }
}

#[tokio::test]
async fn a_claim_is_held_by_a_dispatcher() {
    let database = Database::new().await;

    let refused = refusal(
        &database,
        "insert into postrider.claim (dispatcher_id, delivery_ids) values ($1::text::bigint, '{1}')",
        "1",
    )
    .await;

    assert_eq!(refused, Some(SqlState::FOREIGN_KEY_VIOLATION));
}

#[tokio::test]
async fn the_payload_is_json() {
    let database = Database::new().await;

    let refused = refusal(
        &database,
        "insert into postrider.outbox (topic, payload) values ('a', $1::text::json)",
        "{\"a\": }",
    )
    .await;

    assert_eq!(refused, Some(SqlState::INVALID_TEXT_REPRESENTATION));
}

#[tokio::test]
async fn an_event_is_delivered_when_every_number_has_outgrown_32_bits() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database
        .execute(
            "alter table postrider.outbox alter column id restart with 3000000000;
             alter table postrider.delivery alter column id restart with 4000000000;
             alter table postrider.claim alter column id restart with 5000000000;
             alter table postrider.dispatcher alter column id restart with 6000000000;
             alter table postrider.endpoint alter column endpoint_no restart with 2147483647", // An integer: the last one.
        )
        .await;
    database.put_endpoint("last", &receiver.url(), "**", "").await;
    let dispatcher = Dispatcher::start(&database, &[]).await;

    let id = database.insert("order.created", "{}").await;
    database.until_settled().await;

    assert_eq!(id, 3_000_000_000);
    assert_eq!(receiver.count(), 1);
    database
        .assert_row(
            "select status, delivery_id from postrider.delivery_status",
            json!({"status": "complete", "delivery_id": 4_000_000_000_i64}),
        )
        .await;
    assert!(dispatcher.terminate().await.success());
}

/// Why a statement with one text parameter was refused; none: it was accepted.
async fn refusal(database: &Database, sql: &str, param: &str) -> Option<SqlState> {
    let done = database.client.execute(sql, &[&param]).await;
    done.err().map(|fault| fault.code().unwrap().clone())
}
