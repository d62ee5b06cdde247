//! Connections of the API: none lasts for ever, there are only so many, and they keep nobody out. Hundreds are opened within the
//! seconds that a dispatcher gives each of them.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use crate::support::{Api, DEADLINE, Database, Dispatcher, Folder, TOKEN, command, one_endpoint};

const ALIVE: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test]
async fn of_512_connections_the_one_that_was_idle_longest_gives_way_to_the_next() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let address = dispatcher.api().await;
    let mut open = Vec::new();
    for _ in 0..512 {
        let mut socket = send(&address, ALIVE).await;
        assert!(answer(&mut socket).await.starts_with("HTTP/1.1 200"));
        open.push(socket);
    }
    // The first is not the one that was idle longest any more.
    open[0].write_all(ALIVE.as_bytes()).await.unwrap();
    assert!(answer(&mut open[0]).await.starts_with("HTTP/1.1 200"));

    let mut next = send(&address, ALIVE).await;
    let answered = answer(&mut next).await;
    let ended = rest(&mut open[1]).await;
    open[0].write_all(ALIVE.as_bytes()).await.unwrap();
    let kept = answer(&mut open[0]).await;

    assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
    assert_eq!(ended, "");
    assert!(kept.starts_with("HTTP/1.1 200"), "{kept}");
}

#[tokio::test]
async fn probes_are_answered_whatever_hangs_on_the_api() {
    let database = Database::new().await;
    let (folder, event) = (Folder::new(), database.insert("a", "1").await);
    let file = folder.write("tokens", TOKEN);
    let dispatcher = Dispatcher::start(&database, &["--api-token-file", &file]).await;
    let address = dispatcher.api().await;
    let with_token = |line: &str, more: &str| {
        format!("{line} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\n{more}\r\n")
    };
    let body = "content-type: application/json\r\ncontent-length: 100\r\n";
    let floods = [
        ("nothing", String::new()),
        ("half a head", "GET /healthz HTTP/1.1\r\nhost: ".to_owned()),
        ("a body that never comes", with_token("POST /v1/topics/a/events", body)),
        ("a body without a token", format!("POST /v1/topics/a/events HTTP/1.1\r\nhost: a\r\n{body}\r\n")),
        ("a wait", with_token(&format!("GET /v1/events/{event}?wait=60s"), "")),
        ("answers that are not read", with_token("GET /openapi.json", "").repeat(100)),
    ];

    for (what, text) in floods {
        let mut hanging = Vec::new();
        for number in 0..600 {
            let from = format!("127.0.1.{}", number % 250 + 1);
            hanging.push(send_from(&from, &address, &text).await);
            if number % 200 == 199 {
                assert_probes(&address, what, (200, 200)).await;
            }
        }
        let drips = async {
            for socket in hanging.iter_mut().rev() {
                // One that gave way is closed.
                drop(socket.write_all(b"x").await);
            }
        };
        tokio::join!(drips, assert_probes(&address, what, (200, 200)));
    }
}

#[tokio::test]
async fn a_start_is_probed_whatever_hangs_on_the_api() {
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let address = format!("127.0.0.1:{port}");
    let mut run = command(&["run", "--api-listen", &address]);
    run.env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");
    let dispatcher = Dispatcher::of(run);
    dispatcher.logged("waiting for the database").await;

    let mut hanging = Vec::new();
    for text in
        ["", "GET /healthz HTTP/1.1\r\nhost: ", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n"]
    {
        for _ in 0..600 {
            hanging.push(send(&address, text).await);
        }
        assert_probes(&address, text, (200, 503)).await;
    }
}

#[tokio::test]
async fn a_request_that_was_let_in_keeps_its_place() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    database.execute("select postrider.pause_endpoint('one')").await;
    let event = database.insert("a", "1").await;
    database.until("select pending = 1 from postrider.backlog").await;
    let address = dispatcher.api().await;
    let wait = format!("GET /v1/events/{event}?wait=60s HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut waits = send(&address, &wait).await;
    database
        .until(
            "select exists (select from pg_stat_activity where datname = current_database()
                and application_name = 'postrider api' and query like '%select o.status::text as status from postrider.outbox%')",
        )
        .await;

    let mut hanging = Vec::new();
    for _ in 0..1200 {
        hanging.push(send(&address, "").await);
    }
    assert_probes(&address, "nothing", (200, 200)).await;
    database.execute("select postrider.resume_endpoint('one')").await;
    let answered = answer(&mut waits).await;

    assert!(answered.starts_with("HTTP/1.1 200") && answered.contains("complete"), "{answered}");
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
                    and application_name = 'postrider api' and query like '%select o.status::text as status from postrider.outbox%')",
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

/// `/healthz` and `/readyz` are answered, with these statuses. They promise a second; this machine may be busy.
async fn assert_probes(address: &str, what: &str, expected: (u16, u16)) {
    for (path, status) in [("/healthz", expected.0), ("/readyz", expected.1)] {
        let url = format!("http://{address}{path}");
        let answered = timeout(Duration::from_secs(5), crate::support::get(&url)).await;
        let answered = answered.unwrap_or_else(|_| panic!("no answer of {path}: {what}"));
        assert_eq!(answered.status(), status, "{path}: {what}");
    }
}

/// A connection from an address of this machine that has sent so much, or as much as fits.
async fn send_from(from: &str, to: &str, text: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    let mut socket = socket.connect(to.parse().unwrap()).await.unwrap();
    drop(timeout(Duration::from_secs(1), socket.write_all(text.as_bytes())).await);
    socket
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
