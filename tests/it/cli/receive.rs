//! `postrider receive`: verifies signatures as a customer's library does, says what it got, and misbehaves if asked.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use standardwebhooks::Webhook;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::{CommandOutput, RunningCommand, SECRET, command};

const BODY: &str = r#"{"order_id": 42}"#;

#[tokio::test]
async fn a_valid_signature_is_verified() {
    let (mut receive, address) = start(&["--secret", SECRET]).await;

    let status = post(&address, &signed(SECRET, now(), BODY)).await;

    assert_eq!(status, 200);
    assert_eq!(receive.line().await, "200 verified evt_1 order.created attempt 3  {\"order_id\": 42}");
}

#[tokio::test]
async fn a_signature_of_another_secret_is_answered_with_401() {
    let (mut receive, address) = start(&["--secret", SECRET]).await;
    let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    let status = post(&address, &signed(other, now(), BODY)).await;

    assert_eq!(status, 401);
    assert_eq!(receive.line().await, "401 invalid evt_1 order.created attempt 3  {\"order_id\": 42}");
}

#[tokio::test]
async fn a_signature_of_another_body_is_answered_with_401() {
    let (_receive, address) = start(&["--secret", SECRET]).await;

    let status = post(&address, &signed(SECRET, now(), r#"{"order_id":42}"#)).await;

    assert_eq!(status, 401);
}

#[tokio::test]
async fn a_signature_of_long_ago_is_answered_with_401() {
    let (_receive, address) = start(&["--secret", SECRET]).await;

    let status = post(&address, &signed(SECRET, now() - 3600, BODY)).await;

    assert_eq!(status, 401);
}

#[tokio::test]
async fn a_request_without_a_signature_is_answered_with_401() {
    let (mut receive, address) = start(&["--secret", SECRET]).await;

    let status = post(&address, "").await;

    assert_eq!(status, 401);
    assert_eq!(receive.line().await, "401 invalid - - attempt -  {\"order_id\": 42}");
}

/// What the official libraries' tests accept and refuse (standard-webhooks at b2fa7b8), with a timestamp of now.
#[tokio::test]
async fn the_official_cases_are_judged_as_the_official_libraries_do() {
    let (_receive, address) = start(&["--secret", SECRET]).await;
    let now = now();
    let right = Webhook::new(SECRET).unwrap().sign("evt_1", now, BODY.as_bytes()).unwrap();
    let right = right.trim_start_matches("v1,");
    let wrong = "Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=";
    let last_changed = format!("v1,{}B=", &right[..right.len() - 2]);
    let headers = |id: &str, timestamp: &str, signature: &str| {
        [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)]
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .fold(String::new(), |head, (name, value)| head + name + ": " + value + "\r\n")
    };
    let at = now.to_string();
    let (old, new) = ((now - 301).to_string(), (now + 360).to_string());

    for (status, id, timestamp, signature) in [
        (200, "evt_1", at.as_str(), format!("v1,{right}")),
        (200, "evt_1", &at, format!("v1,{wrong} v2,{wrong} v1,{right} v1,{wrong}")),
        (401, "evt_1", &at, format!("v1,{wrong}")),
        (401, "evt_1", &at, last_changed),
        (401, "evt_1", &at, "v1,".to_owned()),
        (401, "evt_1", &at, format!("v1,{}", &right[..8])),
        (401, "evt_1", &at, format!("v2,{right}")),
        (401, "evt_1", &at, format!("v1a,{right}")),
        (401, "evt_1", &at, "invalid_signature".to_owned()),
        (401, "evt_2", &at, format!("v1,{right}")),
        (401, "", &at, format!("v1,{right}")),
        (401, "evt_1", "", format!("v1,{right}")),
        (401, "evt_1", &at, String::new()),
        (401, "evt_1", "hello", format!("v1,{right}")),
        (401, "evt_1", &format!("{at}.0"), format!("v1,{right}")),
        (401, "evt_1", &format!("-{at}"), format!("v1,{right}")),
        (401, "evt_1", &old, resigned(now - 301)),
        (401, "evt_1", &new, resigned(now + 360)),
    ] {
        assert_eq!(
            post(&address, &headers(id, timestamp, &signature)).await,
            status,
            "{id} {timestamp} {signature}"
        );
    }
}

fn resigned(timestamp: i64) -> String {
    Webhook::new(SECRET).unwrap().sign("evt_1", timestamp, BODY.as_bytes()).unwrap()
}

#[tokio::test]
async fn without_a_secret_nothing_is_checked() {
    let (mut receive, address) = start(&[]).await;

    let status = post(&address, &signed(SECRET, 0, "")).await;

    assert_eq!(status, 200);
    assert!(receive.line().await.starts_with("200 unchecked evt_1 "));
}

#[tokio::test]
async fn the_status_is_the_one_that_was_asked_for() {
    let (mut receive, address) = start(&["--status", "418"]).await;

    let status = post(&address, "").await;

    assert_eq!(status, 418);
    assert!(receive.line().await.starts_with("418 unchecked "));
}

#[tokio::test]
async fn at_a_fail_rate_of_1_every_request_fails() {
    let (_receive, address) = start(&["--fail-rate", "1"]).await;

    for _ in 0..20 {
        assert_eq!(post(&address, "").await, 500);
    }
}

#[tokio::test]
async fn a_wrong_signature_is_refused_even_at_a_fail_rate_of_1() {
    let (_receive, address) = start(&["--fail-rate", "1", "--secret", SECRET]).await;

    let status = post(&address, "").await;

    assert_eq!(status, 401);
}

#[tokio::test]
async fn the_answer_is_as_late_as_was_asked_for() {
    let (_receive, address) = start(&["--delay", "300ms"]).await;
    let begun = Instant::now();

    let status = post(&address, "").await;

    assert_eq!(status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn json_is_one_object_per_request() {
    let (mut receive, address) = start(&["--secret", SECRET, "--json"]).await;
    let before = now() * 1_000_000;

    post(&address, &signed(SECRET, now(), BODY)).await;

    let mut received: serde_json::Value = serde_json::from_str(&receive.line().await).unwrap();
    let received_at = received["received_at"].take().as_i64().unwrap();
    assert!((before..=(now() + 1) * 1_000_000).contains(&received_at), "{received_at}");
    assert_eq!(
        received,
        json!({
            "status": 200, "signature": "verified", "webhook_id": "evt_1", "topic": "order.created", "attempt": "3",
            "received_at": null, "body": BODY,
        })
    );
}

#[tokio::test]
async fn a_signal_stops_it_although_a_connection_is_open() {
    for signal in ["TERM", "INT"] {
        let (receive, address) = start(&[]).await;
        let _open = TcpStream::connect(&address).await.unwrap();

        let status = receive.stop(signal).await;

        assert!(status.success(), "{signal}: {status}");
    }
}

#[tokio::test]
async fn wrong_arguments_are_refused_all_at_once_without_showing_the_secret() {
    let args = [
        "receive",
        "--listen",
        "here",
        "--secret",
        "hunter2",
        "--status",
        "199",
        "--fail-rate",
        "1.1",
        "--delay",
        "2",
    ];

    let output = CommandOutput::of(command(&args)).await;

    assert_eq!(output.code, Some(64), "{}", output.stderr);
    let named: Vec<&str> =
        output.complaints().iter().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    assert_eq!(named, ["listen", "secret", "status", "fail_rate", "delay"]);
    assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
}

#[tokio::test]
async fn an_address_in_use_is_a_failure_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let output = CommandOutput::of(command(&["receive", "--listen", &address])).await;

    assert_eq!(output.code, Some(1));
    assert!(output.complaint().starts_with(&format!("cannot listen on {address}")), "{}", output.stderr);
}

/// A receiver on a free port, and its address.
async fn start(flags: &[&str]) -> (RunningCommand, String) {
    let mut receive = command(&["receive", "--listen", "127.0.0.1:0"]);
    receive.args(flags);
    let mut receive = RunningCommand::start(receive);
    let line = receive.line().await;
    let address = line.strip_prefix("listening on http://").unwrap();
    (receive, address.to_owned())
}

/// The headers of a delivery whose signature was made so.
fn signed(secret: &str, timestamp: i64, body: &str) -> String {
    let signature = Webhook::new(secret).unwrap().sign("evt_1", timestamp, body.as_bytes()).unwrap();
    format!(
        "webhook-id: evt_1\r\nwebhook-timestamp: {timestamp}\r\nwebhook-signature: {signature}\r\n\
         postrider-topic: order.created\r\npostrider-attempt: 3\r\n"
    )
}

/// Posts the body with these headers and returns the answer's status.
async fn post(address: &str, headers: &str) -> u16 {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let length = BODY.len();
    let request = format!(
        "POST /hook HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{BODY}"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the sender has a clock of its own")]
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}
