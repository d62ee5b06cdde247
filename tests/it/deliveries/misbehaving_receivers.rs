//! Receivers that misbehave in every way that a TCP server can: whatever they do, the attempt ends in time and is recorded.

use std::time::Duration;

use crate::support::{Act, Database, Dispatcher, MisbehavingServer, eventually, one_endpoint};

/// What was recorded of one attempt.
#[derive(Debug)]
struct Recorded {
    status_code: Option<i16>,
    error: Option<String>,
    excerpt: Option<String>,
    duration_ms: i32,
}

/// The deadline of attempts in these tests.
const FLAGS: [&str; 4] = ["--request-timeout", "1s", "--lease", "10s"];

#[tokio::test]
async fn a_connection_that_ends_before_the_head_is_whole_is_a_failed_attempt() {
    for (name, acts) in [
        ("reset at once", vec![Act::Reset]),
        ("closed at once", vec![Act::Close]),
        ("reset within the head", vec![send("HTTP/1.1 200 OK\r\ncontent-le"), Act::Reset]),
        ("closed within the head", vec![send("HTTP/1.1 200 OK\r\ncontent-le"), Act::Close]),
    ] {
        let recorded = attempt(acts).await;

        assert_eq!(recorded.status_code, None, "{name}: {recorded:?}");
        assert!(
            recorded.error.as_deref().unwrap_or_default().starts_with("request: "),
            "{name}: {recorded:?}"
        );
    }
}

#[tokio::test]
async fn a_whole_head_of_2xx_counts_although_the_connection_is_reset_after_it() {
    let recorded =
        attempt(vec![send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegun"), Act::Reset]).await;

    assert_eq!((recorded.status_code, recorded.error), (Some(200), None));
}

#[tokio::test]
async fn a_head_that_does_not_end_fails_at_the_deadline() {
    for (name, acts) in [
        ("never begun", vec![Act::Hang]),
        ("dripped", vec![send("HTTP/1.1 200 OK\r\nx-drip: "), repeat("a", 50)]),
        ("100 Continue without end", vec![repeat("HTTP/1.1 100 Continue\r\n\r\n", 5)]),
    ] {
        let recorded = attempt(acts).await;

        assert_eq!(recorded.status_code, None, "{name}: {recorded:?}");
        assert_eq!(recorded.error.as_deref(), Some("timeout: no answer within 1s"), "{name}");
        assert!((1000..5000).contains(&recorded.duration_ms), "{name}: {recorded:?}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_end_is_left_at_the_deadline_and_its_head_counts() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";

    let recorded = attempt(vec![send(head), repeat("a", 50)]).await;

    assert_eq!((recorded.status_code, recorded.error), (Some(200), None));
    assert!((1000..5000).contains(&recorded.duration_ms), "{}", recorded.duration_ms);
}

#[tokio::test]
async fn of_a_body_of_any_size_two_kib_are_kept_and_little_is_in_memory() {
    let block = "a".repeat(64 * 1024);
    let chunk = format!("10000\r\n{block}\r\n");
    for (name, acts) in [
        ("10 GiB", vec![send("HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n"), repeat(&block, 0)]),
        ("endless", vec![send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"), repeat(&chunk, 0)]),
        ("until the end of the connection", vec![send("HTTP/1.1 200 OK\r\n\r\n"), repeat(&block, 0)]),
    ] {
        let (recorded, memory_mib) = attempts(acts, 20).await;

        assert_eq!((recorded.status_code, recorded.error), (Some(200), None), "{name}");
        assert_eq!(recorded.excerpt.map(|text| text.len()), Some(2048), "{name}");
        assert!(memory_mib < 100, "{name}: {memory_mib} MiB");
    }
}

#[tokio::test]
async fn nothing_is_decompressed() {
    // A member of gzip's header, and what would be a megabyte of zeros.
    let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 10\r\n\r\n";
    let bomb = [head.as_bytes(), b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"].concat();

    let recorded = attempt(vec![Act::Send(bomb)]).await;

    assert_eq!((recorded.status_code, recorded.error), (Some(200), None));
    assert_eq!(recorded.excerpt.map(|text| text.chars().count()), Some(10));
}

#[tokio::test]
async fn a_head_that_is_no_head_or_too_much_of_one_is_a_failed_attempt() {
    let ok = "HTTP/1.1 200 OK\r\n";
    for (name, head) in [
        ("100,000 headers", format!("{ok}{}\r\n", "x-many: a\r\n".repeat(100_000))),
        ("a header of 1 MiB", format!("{ok}x-huge: {}\r\n\r\n", "a".repeat(1024 * 1024))),
        ("HTTP/0.9", "hello\n".to_owned()),
        ("another protocol", "220 smtp.example.com ready\r\n\r\n".to_owned()),
        ("no status", "HTTP/1.1 OK\r\n\r\n".to_owned()),
        ("two lengths", format!("{ok}content-length: 1\r\ncontent-length: 2\r\n\r\nab")),
        ("a header without a name", format!("{ok}: a\r\n\r\n")),
    ] {
        let recorded = attempt(vec![send(&head), Act::Close]).await;

        assert_eq!(recorded.status_code, None, "{name}: {recorded:?}");
        assert!(
            recorded.error.as_deref().unwrap_or_default().starts_with("request: "),
            "{name}: {recorded:?}"
        );
    }
}

#[tokio::test]
async fn bytes_in_a_head_that_are_no_text_change_nothing() {
    let head = b"HTTP/1.1 200 \xff\xfe\r\nx-bytes: \x80\xff\r\ncontent-length: 2\r\n\r\nok".to_vec();

    let recorded = attempt(vec![Act::Send(head)]).await;

    assert_eq!((recorded.status_code, recorded.excerpt.as_deref()), (Some(200), Some("ok")));
}

#[tokio::test]
async fn chunks_of_a_wrong_size_end_the_body_and_the_head_counts() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

    let recorded = attempt(vec![send(&format!("{head}2\r\nok\r\nzz\r\n")), Act::Hang]).await;

    assert_eq!((recorded.status_code, recorded.error), (Some(200), None));
    assert_eq!(recorded.excerpt.as_deref(), Some("ok"));
}

#[tokio::test]
async fn switching_protocols_is_no_success() {
    let head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: tea\r\nconnection: upgrade\r\n\r\n";

    let recorded = attempt(vec![send(head), Act::Hang]).await;

    assert!(recorded.error.is_some(), "{recorded:?}");
}

#[tokio::test]
async fn a_retry_after_that_is_none_or_lies_in_the_past_leaves_the_schedule_alone() {
    for value in ["soon", "-5", "1e400", "Fri, 31 Dec 1999 23:59:59 GMT", "0", "7s", "\u{a0}soon"] {
        let seconds = wait_after(value).await;

        assert!((450..=1300).contains(&seconds), "{value}: {seconds} s");
    }
}

#[tokio::test]
async fn a_retry_after_in_the_far_future_is_a_day() {
    for value in ["Fri, 31 Dec 9999 23:59:59 GMT", "99999999999999999999999999"] {
        let seconds = wait_after(value).await;

        assert!((86_000..=86_400).contains(&seconds), "{value}: {seconds} s");
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_failed_attempt_that_says_so() {
    let database = Database::new().await;
    // Reserved: RFC 6761.
    database.put_endpoint("one", "http://nobody.invalid/hook", "**", "").await;
    let _dispatcher = Dispatcher::start(&database, &FLAGS).await;

    database.insert("order.created", "{}").await;

    let recorded = recorded(&database).await;
    let error = recorded.error.unwrap();
    // Or the resolver of this machine does not answer in time.
    assert!(error.starts_with("dns: ") || error.starts_with("timeout"), "{error}");
}

/// In how many seconds the next attempt is due after a 503 with this header, by a schedule that says 1000.
async fn wait_after(retry_after: &str) -> i64 {
    let (database, receiver, _dispatcher) = one_endpoint("retry_schedule => '{1000s}'", &[]).await;
    receiver.answer_once(
        503,
        &[("retry-after", retry_after), ("date", "Tue, 24 Nov 2026 12:00:00 GMT")],
        b"",
    );

    database.insert("order.created", "{}").await;
    database.until("select exists (select from postrider.attempt_log)").await;

    database
        .value("select extract(epoch from next_attempt_at - clock_timestamp())::bigint from postrider.delivery_status")
        .await
}

/// What is recorded of one attempt on a receiver that does this.
async fn attempt(acts: Vec<Act>) -> Recorded {
    attempts(acts, 1).await.0
}

/// What is recorded of one of so many, and the most memory that they took in MiB.
async fn attempts(acts: Vec<Act>, count: usize) -> (Recorded, u64) {
    let database = Database::new().await;
    let server = MisbehavingServer::start(acts).await;
    database.put_endpoint("one", &server.url(), "**", "retry_schedule => '{7d}'").await;
    let dispatcher = Dispatcher::start(&database, &FLAGS).await;

    database.insert_many("order.created", count).await;
    eventually("all are recorded", || async {
        let all: i64 = database.value("select count(*) from postrider.attempt_log").await;
        usize::try_from(all).unwrap() >= count
    })
    .await;

    (recorded(&database).await, dispatcher.memory_max_mib())
}

async fn recorded(database: &Database) -> Recorded {
    database.until("select exists (select from postrider.attempt_log)").await;
    let rows = database
        .rows(
            "select status_code, error, response_excerpt, duration_ms from postrider.attempt_log limit 1",
            &[],
        )
        .await;
    Recorded {
        status_code: rows[0].get(0),
        error: rows[0].get(1),
        excerpt: rows[0].get(2),
        duration_ms: rows[0].get(3),
    }
}

fn send(text: &str) -> Act {
    Act::Send(text.as_bytes().to_vec())
}

fn repeat(text: &str, pause_ms: u64) -> Act {
    Act::Repeat(text.as_bytes().to_vec(), Duration::from_millis(pause_ms))
}
