//! Connections that end by themselves: closed as they are used again, left by GOAWAY, full of streams. That is no failure of
//! the receiver: the event is sent again at once over another connection, once, and no attempt is counted.

use std::time::Duration;

use serde_json::json;

use crate::support::{Act, Authority, Database, Dispatcher, Http2Receiver, Manners, MisbehavingServer};

/// An answer that keeps the connection.
const KEPT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn a_receiver_that_closes_after_each_answer_fails_no_attempt() {
    let server = MisbehavingServer::start(vec![send(KEPT), Act::Close]).await;
    let (database, dispatcher) = started(&server.url(), "", &[]).await;

    for _ in 0..10 {
        database.insert_many("order.created", 30).await;
        database.until_settled().await;
    }

    assert_all_at_the_first_attempt(&database, 300).await;
    assert_eq!(server.requests(), 300);
    assert!(!dispatcher.log().contains("in a row"), "{}", dispatcher.log());
}

#[tokio::test]
async fn an_event_whose_connection_ends_as_it_is_used_again_is_sent_over_another_one() {
    let idle = "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    for (name, goodbye) in [
        ("closed", vec![Act::Close]),
        ("reset", vec![Act::Reset]),
        ("taken for idle", vec![send(idle), Act::Close]),
    ] {
        // Every second request on a connection meets its end.
        let acts = move |_, here| if here == 1 { vec![send(KEPT)] } else { goodbye.clone() };
        let server = MisbehavingServer::start_by(acts).await;
        let (database, _dispatcher) = started(&server.url(), "max_in_flight => 1", &[]).await;

        for _ in 0..6 {
            database.insert("order.created", "{}").await;
            database.until_settled().await;
        }

        assert_all_at_the_first_attempt(&database, 6).await;
        // A connection of its own is not kept, so each second event meets a connection that was used once.
        assert!((9..=11).contains(&server.requests()), "{name}: {}", server.requests());
    }
}

#[tokio::test]
async fn an_event_is_sent_again_once_and_then_its_attempt_has_failed() {
    for goodbye in [Act::Close, Act::Reset] {
        let acts = move |all, _| if all == 1 { vec![send(KEPT)] } else { vec![goodbye.clone()] };
        let server = MisbehavingServer::start_by(acts).await;
        let (database, _dispatcher) = started(&server.url(), "retry_schedule => '{7d}'", &[]).await;

        database.insert("order.created", "{}").await;
        database.until_settled().await;
        database.insert("order.created", "{}").await;
        database.until("select count(*) = 2 from postrider.attempt_log").await;

        // The first event; the second one over the old connection, and over a new one.
        assert_eq!(server.requests(), 3);
        let failed =
            "select count(*) as failed from postrider.attempt_log where error like 'request: connection%'
                          or error like 'request: Connection%'";
        database.assert_row(failed, json!({"failed": 1})).await;
    }
}

#[tokio::test]
async fn a_new_connection_that_ends_without_an_answer_is_a_failed_attempt_at_once() {
    let server = MisbehavingServer::start(vec![Act::Close]).await;
    let (database, _dispatcher) = started(&server.url(), "retry_schedule => '{7d}'", &[]).await;

    database.insert("order.created", "{}").await;
    database.until("select count(*) = 1 from postrider.attempt_log").await;

    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_408_that_keeps_its_connection_or_is_the_first_on_it_is_an_answer() {
    for (name, acts) in [
        ("kept", vec![send("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")]),
        ("first", vec![send("HTTP/1.1 408 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"), Act::Close]),
    ] {
        let is_kept = name == "kept";
        let server = MisbehavingServer::start_by(move |all, _| match all {
            1 if is_kept => vec![send(KEPT)],
            _ => acts.clone(),
        })
        .await;
        let (database, _dispatcher) = started(&server.url(), "retry_schedule => '{7d}'", &[]).await;

        let events = if is_kept { 2 } else { 1 };
        for count in 1..=events {
            database.insert("order.created", "{}").await;
            database.until(&format!("select count(*) = {count} from postrider.attempt_log")).await;
        }

        let last = "select status_code from postrider.attempt_log order by started_at desc limit 1";
        database.assert_row(last, json!({"status_code": 408})).await;
        assert_eq!(server.requests(), events, "{name}");
    }
}

#[tokio::test]
async fn a_server_that_leaves_a_connection_gracefully_fails_no_attempt_and_opens_no_circuit() {
    let takes = Duration::from_millis(30);
    for says_goodbye in [true, false] {
        let manners = Manners { requests_each: Some(25), says_goodbye, takes, ..Manners::default() };
        assert_served(manners, 300, |receiver| {
            assert!(receiver.refused() > 0, "no request met the end of its connection");
            assert!(receiver.connections() > 300 / 25, "{}", receiver.connections());
        })
        .await;
    }
}

#[tokio::test]
async fn a_stream_that_is_refused_fails_no_attempt() {
    assert_served(Manners { refuses_each: Some(10), ..Manners::default() }, 300, |receiver| {
        assert!(receiver.refused() > 10, "{}", receiver.refused());
    })
    .await;
}

#[tokio::test]
async fn the_wait_for_a_stream_is_no_part_of_the_receivers_time() {
    let manners = Manners { streams_max: Some(1), takes: Duration::from_secs(1), ..Manners::default() };
    assert_served_by(manners, 12, &["--request-timeout", "8s"], |receiver| {
        assert!(receiver.connections() > 1, "all waited on one connection");
    })
    .await;
}

/// All of so many events arrive, each once and at the first attempt, at a receiver with these manners.
async fn assert_served(manners: Manners, events: usize, check: impl Fn(&Http2Receiver)) {
    assert_served_by(manners, events, &[], check).await;
}

async fn assert_served_by(manners: Manners, events: usize, flags: &[&str], check: impl Fn(&Http2Receiver)) {
    let authority = Authority::new();
    let receiver = Http2Receiver::start(&authority, manners).await;
    let more = format!("ca_certificates => '{}'", authority.pem());
    let (database, dispatcher) = started(&receiver.url(), &more, flags).await;

    let insert = "insert into postrider.outbox (topic, payload)
                      select 'order.created', to_json(n) from generate_series(1, $1::int) n";
    database.client.execute(insert, &[&i32::try_from(events).unwrap()]).await.unwrap();
    database.until_settled().await;

    assert_all_at_the_first_attempt(&database, events).await;
    let mut answered = receiver.answered();
    answered.sort();
    answered.dedup();
    assert_eq!(answered.len(), events);
    assert!(!dispatcher.log().contains("in a row"), "{}", dispatcher.log());
    check(&receiver);
}

async fn started(url: &str, more: &str, flags: &[&str]) -> (Database, Dispatcher) {
    let database = Database::new().await;
    database.put_endpoint("one", url, "**", more).await;
    let dispatcher = Dispatcher::start(&database, flags).await;
    (database, dispatcher)
}

async fn assert_all_at_the_first_attempt(database: &Database, count: usize) {
    database
        .assert_rows("select distinct error from postrider.attempt_log where error is not null", Vec::new())
        .await;
    database
        .assert_rows(
            "select status, attempts, count(*)::int as count from postrider.delivery_status group by 1, 2",
            vec![json!({"status": "complete", "attempts": 1, "count": count})],
        )
        .await;
}

fn send(text: &str) -> Act {
    Act::Send(text.as_bytes().to_vec())
}

#[tokio::test]
async fn a_busy_connection_is_left_when_it_is_as_old_as_it_may_be() {
    let kept = MisbehavingServer::start_by(|_, _| vec![send(KEPT)]).await;
    let flags = ["--connection-max-age", "1s"];
    let (database, _dispatcher) = started(&kept.url(), "max_in_flight => 1", &flags).await;

    // One connection serves an event after the other, and is never idle for long.
    let begun = tokio::time::Instant::now();
    let mut events = 0;
    while begun.elapsed() < Duration::from_secs(5) {
        database.insert("order.created", "{}").await;
        database.until_settled().await;
        events += 1;
    }

    assert_all_at_the_first_attempt(&database, events).await;
    assert!((4..=8).contains(&kept.connections()), "{} of {events}", kept.connections());
}
