//! What is kept of every attempt: `attempt_log`, and the last one in `delivery_status`.

use std::time::Duration;

use tokio::net::TcpListener;

use crate::support::{Database, Dispatcher, Receiver, one_endpoint};

#[tokio::test]
async fn a_payload_that_is_too_large_fails_at_once_and_holds_up_no_other() {
    let (database, receiver, _dispatcher) = one_endpoint("", &["--max-payload", "2KiB"]).await;

    let large = database.insert("order.created", &format!("\"{}\"", "x".repeat(2047))).await;
    database.insert("order.created", &format!("\"{}\"", "x".repeat(2046))).await;

    database.until_settled().await;
    let told: String = database
        .value(&format!(
            "select status || ': ' || last_error from postrider.delivery_status where event_id = {large}"
        ))
        .await;
    assert_eq!(told, "failed: the payload is too large: 2049 bytes, --max-payload allows 2048");
    let attempts: i64 = database.value("select count(*) from postrider.attempt_log").await;
    assert_eq!((receiver.count(), database.count("complete").await, attempts), (1, 1, 1));
}

#[tokio::test]
async fn every_attempt_is_recorded_with_its_status_code_and_error() {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1ms,1ms}'", &[]).await;
    receiver.answer_once(500, &[], b"");
    receiver.answer_once(429, &[], b"");
    receiver.answer_once(204, &[], b"");

    database.insert("order.created", "{}").await;
    database.until_settled().await;

    let rows = database
        .rows("select attempt, status_code, error from postrider.attempt_log order by attempt", &[])
        .await;
    let log: Vec<(i32, i16, Option<&str>)> = rows.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect();
    assert_eq!(log, [(1, 500, Some("status 500")), (2, 429, Some("status 429")), (3, 204, None)]);
}

#[tokio::test]
async fn a_first_success_is_recorded_with_and_without_an_answer_to_keep() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    receiver.answer_once(204, &[], b"");
    database.insert("order.created", "1").await;
    database.until_settled().await;
    receiver.answer_once(200, &[], b"thanks");
    database.insert("order.created", "2").await;
    database.until_settled().await;

    let rows = database
        .rows(
            "select event_id, endpoint_id, attempt, status_code, response_excerpt from postrider.attempt_log order by event_id",
            &[],
        )
        .await;

    let log: Vec<(i64, &str, i32, i16, Option<&str>)> =
        rows.iter().map(|r| (r.get(0), r.get(1), r.get(2), r.get(3), r.get(4))).collect();
    assert_eq!(log, [(1, "one", 1, 204, None), (2, "one", 1, 200, Some("thanks"))]);
    // The delivery says it all: what a row more would cost is spared.
    let rows: i64 = database.value("select count(*) from postrider.attempt").await;
    assert_eq!(rows, 1);
}

#[tokio::test]
async fn a_first_success_that_is_replayed_is_still_recorded_beside_the_second() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    receiver.answer_once(204, &[], b"");
    database.insert("order.created", "1").await;
    database.until_settled().await;
    let first: String = database.value("select to_json(l)::text from postrider.attempt_log as l").await;
    receiver.answer_once(202, &[], b"");

    database.execute("select postrider.replay('one', '-infinity')").await;
    database.until_settled().await;

    let log: Vec<String> = database
        .rows("select to_json(l)::text from postrider.attempt_log as l order by attempt", &[])
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!((log.len(), &log[0]), (2, &first));
    assert!(log[1].contains("\"attempt\":2") && log[1].contains("\"status_code\":202"), "{}", log[1]);
}

#[tokio::test]
async fn the_last_attempt_shows_in_delivery_status() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    receiver.answer_once(503, &[], b"");

    database.insert("order.created", "{}").await;
    until_attempted(&database).await;

    let rows = database
        .rows("select attempts, last_status_code, last_error from postrider.delivery_status", &[])
        .await;
    let shown: (i32, i16, &str) = (rows[0].get(0), rows[0].get(1), rows[0].get(2));
    assert_eq!(shown, (1, 503, "status 503"));
}

#[tokio::test]
async fn the_duration_of_an_attempt_is_that_of_the_answer() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    receiver.answer_after(Duration::from_millis(400));

    database.insert("order.created", "{}").await;
    database.until_settled().await;

    let duration_ms: i32 = database.value("select duration_ms from postrider.attempt_log").await;
    assert!((400..15_000).contains(&duration_ms), "{duration_ms} ms");
}

#[tokio::test]
async fn an_attempt_started_between_the_insert_and_its_end() {
    let (database, _receiver, _dispatcher) = one_endpoint("", &[]).await;

    database.insert("order.created", "{}").await;
    database.until_settled().await;

    assert!(
        database
            .is(
                "select a.started_at >= o.created_at \
                    and a.started_at + a.duration_ms * interval '1 millisecond' <= o.completed_at + interval '2 milliseconds' \
                 from postrider.attempt_log as a join postrider.outbox as o on o.id = a.event_id"
            )
            .await
    );
}

#[tokio::test]
async fn two_kib_of_a_response_are_kept_as_text() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    let body = [b"a\0b\xff".as_slice(), &[b'x'; 10_000]].concat();
    receiver.answer_once(200, &[], &body);

    database.insert("order.created", "{}").await;
    database.until_settled().await;

    // What is not text is replaced: the NUL and the lone byte by three bytes each.
    let text = format!("a\u{fffd}b\u{fffd}{}", "x".repeat(2048 - 8));
    let kept: String = database.value("select response_excerpt from postrider.attempt_log").await;
    assert_eq!(kept, text);
}

#[tokio::test]
async fn the_response_of_a_failed_attempt_is_kept() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    receiver.answer_once(422, &[], "unbekanntes Feld „ä“".as_bytes());

    database.insert("order.created", "{}").await;
    until_attempted(&database).await;

    let kept: String = database.value("select response_excerpt from postrider.attempt_log").await;
    assert_eq!(kept, "unbekanntes Feld „ä“");
}

#[tokio::test]
async fn a_redirect_is_a_failure() {
    for status in [301, 302, 303, 307, 308] {
        let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
        receiver.answer_once(status, &[("location", "/elsewhere")], b"");

        database.insert("order.created", "{}").await;
        until_attempted(&database).await;

        let (code, error) = last_failure(&database).await;
        assert_eq!(code, i16::try_from(status).ok());
        assert!(error.contains("redirect"), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::start().await;
    let (database, receiver, _dispatcher) =
        one_endpoint("retry_schedule => '{1ms,1ms,1ms,1ms,1ms}'", &[]).await;
    for status in [301, 302, 303, 307, 308] {
        receiver.answer_once(status, &[("location", &elsewhere.url())], b"");
    }

    database.insert("order.created", "{}").await;
    database.until_settled().await;

    assert_eq!((receiver.count(), elsewhere.count()), (6, 0));
}

#[tokio::test]
async fn a_refused_connection_is_a_failed_attempt_that_says_so() {
    let database = Database::new().await;
    // Nobody listens on a port that was free a moment ago.
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    database.put_endpoint("one", &format!("http://127.0.0.1:{port}/hook?token=abc"), "**", "").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    database.insert("order.created", "{}").await;
    until_attempted(&database).await;

    let (code, error) = last_failure(&database).await;
    assert_eq!(code, None);
    assert!(error.starts_with("connect") && error.contains("refused"), "{error}");
    assert!(!error.contains("abc"), "a token in the URL shows: {error}");
}

#[tokio::test]
async fn no_answer_within_the_request_timeout_is_a_failed_attempt_that_says_so() {
    let (database, receiver, _dispatcher) =
        one_endpoint("", &["--request-timeout", "1s", "--lease", "5s"]).await;
    receiver.hold();

    database.insert("order.created", "{}").await;
    until_attempted(&database).await;

    let (code, error) = last_failure(&database).await;
    assert_eq!(code, None);
    assert!(error.starts_with("timeout") && error.contains("1s"), "{error}");
}

#[tokio::test]
async fn the_timeout_of_an_endpoint_overrides_that_of_the_dispatcher() {
    let (database, receiver, _dispatcher) = one_endpoint("timeout => '300 milliseconds'", &[]).await;
    receiver.hold();

    database.insert("order.created", "{}").await;
    until_attempted(&database).await;

    let (_, error) = last_failure(&database).await;
    assert!(error.starts_with("timeout") && error.contains("300ms"), "{error}");
}

/// Waits until the first attempt is recorded.
async fn until_attempted(database: &Database) {
    database.until("select exists (select from postrider.attempt_log)").await;
}

/// Status code and error of the one attempt there was.
async fn last_failure(database: &Database) -> (Option<i16>, String) {
    let rows = database.rows("select status_code, error from postrider.attempt_log", &[]).await;
    assert_eq!(rows.len(), 1);
    (rows[0].get(0), rows[0].get(1))
}
