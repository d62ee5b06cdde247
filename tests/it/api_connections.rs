//! Connections of the API: none lasts for ever, and there are only so many.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::support::{Api, DEADLINE, Database, Dispatcher, one_endpoint};

const ALIVE: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test]
async fn the_513th_connection_waits_for_one_to_end() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let address = dispatcher.api().await;
    let mut open = Vec::new();
    for _ in 0..512 {
        let mut socket = send(&address, ALIVE).await;
        assert!(answer(&mut socket).await.starts_with("HTTP/1.1 200"));
        open.push(socket);
    }

    let mut next = send(&address, ALIVE).await;
    let early = timeout(Duration::from_millis(300), answer(&mut next)).await;
    open.pop();
    let late = answer(&mut next).await;

    assert!(early.is_err(), "{early:?}");
    assert!(late.starts_with("HTTP/1.1 200"), "{late}");
}

#[tokio::test]
async fn a_client_that_takes_its_time_is_cut_off() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let address = dispatcher.api().await;
    let body = "POST /v1/topics/a/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n{\"payload\":";

    let mut silent = send(&address, "").await;
    let mut slow_head = send(&address, "GET /healthz HTTP/1.1\r\nhost: ").await;
    let mut slow_body = send(&address, body).await;
    let mut idle = send(&address, ALIVE).await;
    let (silent, slow_head, slow_body, idle) =
        tokio::join!(rest(&mut silent), rest(&mut slow_head), rest(&mut slow_body), rest(&mut idle));

    assert_eq!((silent.as_str(), idle.matches("HTTP/1.1").count()), ("", 1));
    assert!(!slow_head.contains("200 OK"), "{slow_head}");
    assert!(
        slow_body.starts_with("HTTP/1.1 408") && slow_body.contains("\"code\": \"timeout\""),
        "{slow_body}"
    );
}

#[tokio::test]
async fn a_head_of_more_than_64_kib_is_refused() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let head = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(128 * 1024));

    let refused = Api::of(&dispatcher).await.request("GET", "/healthz").header("x", "x".repeat(1024)).send();
    let accepted = refused.await.unwrap().status();
    let mut socket = TcpStream::connect(dispatcher.api().await).await.unwrap();
    // It may be cut off before it has sent all.
    drop(socket.write_all(head.as_bytes()).await);
    let answered = answer(&mut socket).await;

    assert_eq!(accepted, 200);
    assert!(answered.is_empty() || answered.starts_with("HTTP/1.1 431"), "{answered}");
}

#[tokio::test]
async fn a_request_that_waits_is_answered_when_the_dispatcher_stops() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    database.execute("select postrider.pause_endpoint('one')").await;
    let api = Api::of(&dispatcher).await;
    let event = api.send("POST", "/v1/topics/a/events", &json!({ "payload": 1 })).await.json()["id"].clone();
    database.until("select pending = 1 from postrider.backlog").await;
    let _idle = send(&dispatcher.api().await, ALIVE).await;
    let path = format!("/v1/events/{event}?wait=60s");
    let before = Instant::now();

    let (waited, ended) = tokio::join!(api.get(&path), async {
        database
            .until(
                "select exists (select from pg_stat_activity where datname = current_database()
                    and application_name = 'postrider api' and query like '%reads how far an event is%')",
            )
            .await;
        dispatcher.terminate().await
    });

    assert_eq!((waited.json()["status"].as_str(), ended.code()), (Some("in_progress"), Some(0)));
    assert!(before.elapsed() < Duration::from_secs(30), "{:?}", before.elapsed());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_who_does_not_send() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let address = dispatcher.api().await;
    let mut idle = send(&address, ALIVE).await;
    answer(&mut idle).await;
    let _slow = send(&address, "GET /healthz HTTP/1.1\r\nhost: ").await;
    let before = Instant::now();

    let ended = dispatcher.terminate().await;

    assert_eq!((ended.code(), rest(&mut idle).await.as_str()), (Some(0), ""));
    assert!(before.elapsed() < Duration::from_secs(14), "{:?}", before.elapsed());
}

/// A connection that has sent so much.
async fn send(address: &str, text: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    socket
}

/// What is answered first.
async fn answer(socket: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let length = timeout(DEADLINE, socket.read(&mut bytes)).await.expect("an answer").unwrap_or_default();
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

/// All that is answered until the connection ends.
async fn rest(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end, too.
    drop(timeout(DEADLINE, socket.read_to_end(&mut bytes)).await.expect("an end"));
    String::from_utf8_lossy(&bytes).into_owned()
}
