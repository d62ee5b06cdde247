//! Heads of answers: what is accepted over HTTP/1 is accepted over HTTP/2, and an error says what was too large.

use serde_json::{Value, json};

use crate::support::{Act, Authority, Database, Dispatcher, Http2Receiver, Manners, MisbehavingServer};

#[tokio::test]
async fn heads_of_the_same_size_are_taken_or_refused_by_either_version() {
    for (count, bytes, refused) in [
        (70, 10, None),
        (20, 1_000, None),
        (250, 1_000, None),
        (1, 100_000, None),
        (300, 10, Some("256 headers")),
        (1, 450_000, Some("400 KiB")),
        (1, 1_500_000, Some("400 KiB")),
    ] {
        let headers: Vec<_> = (0..count).map(|n| (format!("x-header-{n}"), "a".repeat(bytes))).collect();
        let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{}\r\n", lines.concat());
        let authority = Authority::new();
        let first = MisbehavingServer::start(vec![Act::Send(head.into_bytes())]).await;
        let second = Http2Receiver::start(&authority, Manners { headers, ..Manners::default() }).await;

        let trusted = format!("ca_certificates => '{}'", authority.pem());
        for (version, url, more) in [("1", first.url(), String::new()), ("2", second.url(), trusted)] {
            let recorded = attempt(&url, &more).await;

            let error = recorded["error"].as_str();
            assert_eq!(error.is_some(), refused.is_some(), "HTTP/{version}, {count} x {bytes}: {recorded}");
            assert!(
                error.unwrap_or_default().contains(refused.unwrap_or_default()),
                "HTTP/{version}, {count} x {bytes}: {recorded}"
            );
        }
    }
}

#[tokio::test]
async fn old_ways_to_write_a_header_change_nothing() {
    for (name, lines) in [
        ("folded by spaces", "x-note: a\r\n b\r\n"),
        ("folded by a tab, twice", "x-note: a\r\n\tb\r\n\tc\r\n"),
        ("folded and empty", "x-note: a\r\n \r\n"),
        ("nothing but a fold", "x-note:\r\n a\r\n"),
        ("a space before the colon", "x-note : a\r\n"),
        ("no space after it", "x-note:a\r\n"),
        ("line feeds alone", "x-note: a\n"),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{lines}content-length: 2\r\n\r\nok");
        let server = MisbehavingServer::start(vec![Act::Send(answer.into_bytes())]).await;

        let recorded = attempt(&server.url(), "").await;

        assert_eq!(recorded, json!({"status_code": 200, "error": null, "response_excerpt": "ok"}), "{name}");
    }
}

/// What is recorded of one attempt.
async fn attempt(url: &str, more: &str) -> Value {
    let database = Database::new().await;
    let separator = if more.is_empty() { "" } else { ", " };
    database.put_endpoint("one", url, "**", &format!("retry_schedule => '{{7d}}'{separator}{more}")).await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    database.insert("order.created", "{}").await;
    database.until("select exists (select from postrider.attempt_log)").await;

    let rows =
        database.json_rows("select status_code, error, response_excerpt from postrider.attempt_log").await;
    rows[0].clone()
}
