//! A server that goes away and comes back: the dispatcher goes on without a restart, is not ready meanwhile, and is no
//! burden to a server that starts. Each test has a server of its own.

use std::time::Duration;

use crate::support::{
    Database, Dispatcher, Server, WatchedDispatcher, command, eventually, get, send_signal,
};

#[tokio::test]
async fn a_server_that_is_stopped_fast_is_waited_for() {
    survive(async |server| server.stop("fast").await).await;
}

#[tokio::test]
async fn a_server_that_is_stopped_immediately_is_waited_for() {
    survive(async |server| server.stop("immediate").await).await;
}

#[tokio::test]
async fn a_server_that_is_killed_is_waited_for() {
    survive(async |server| server.kill().await).await;
}

#[tokio::test]
async fn a_server_that_restarts_because_a_backend_was_killed_loses_nothing() {
    let server = Server::start().await;
    let mut watched = WatchedDispatcher::start(server.url(), &[]).await;
    watched.receiver.hold();
    watched.insert().await;
    watched.receiver.next().await;
    let stranger = Database::at(server.url()).await;
    let pid: i32 = stranger.value("select pg_backend_pid()").await;
    let other = Database::at(server.url()).await;

    assert!(send_signal(pid, "KILL").await);
    // Everybody's connection ends, and the server recovers.
    eventually("it is down", || async { other.client.is_closed() }).await;
    watched.receiver.release();
    eventually("it is up", || async {
        tokio_postgres::connect(server.url(), tokio_postgres::NoTls).await.is_ok()
    })
    .await;
    watched.insert().await;

    watched.until_all_arrived().await;
    watched.until_ready().await;
}

#[tokio::test]
async fn a_server_that_is_down_when_the_dispatcher_starts_is_waited_for() {
    let server = Server::start().await;
    let (receiver, proxy) = WatchedDispatcher::prepare(server.url()).await;
    server.stop("fast").await;
    let api = free_address();
    let dispatcher = start_at(&api, &proxy.url(server.url()));
    let mut watched = WatchedDispatcher::of(server.url(), receiver, proxy, dispatcher);
    watched.dispatcher.logged("waiting for the database").await;
    let begun = watched.count();

    for _ in 0..50 {
        assert_eq!(probe(&api, "readyz").await, 503);
        assert_eq!(probe(&api, "healthz").await, 200);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    watched.assert_calm(&begun);
    server.start_again().await;
    watched.insert().await;

    watched.until_all_arrived().await;
    watched.until_ready().await;
}

#[tokio::test]
async fn a_postmaster_that_is_frozen_is_given_up_at_the_deadline_and_tried_again() {
    let server = Server::start().await;
    let (receiver, proxy) = WatchedDispatcher::prepare(server.url()).await;
    let url = format!("{}?connect_timeout=1", proxy.url(server.url()));
    let mut watched = WatchedDispatcher::of(server.url(), receiver, proxy, Dispatcher::spawn(&url, &[]));
    watched.until_ready().await;
    let database = Database::at(server.url()).await;

    server.signal("STOP").await;
    let begun = watched.count();
    watched.proxy.reset();
    watched.insert_by(&database).await;
    // It takes the connection, and nobody answers on it.
    watched.assert_calm_trouble(&begun).await;
    eventually("more than one attempt is given up", || async {
        watched.count().connections_since(&begun) >= 2
    })
    .await;
    server.signal("CONT").await;

    watched.until_all_arrived().await;
    watched.until_ready().await;
}

#[tokio::test]
async fn backends_that_are_frozen_are_given_up_at_the_deadline_of_a_statement() {
    let server = Server::start().await;
    let mut watched = WatchedDispatcher::start(server.url(), &[]).await;
    let database = Database::at(server.url()).await;
    let frozen: Vec<i32> = database
        .rows(
            "select pid from pg_stat_activity where application_name in ('postrider', 'postrider listener')",
            &[],
        )
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();

    for pid in &frozen {
        assert!(send_signal(pid, "STOP").await);
    }
    watched.insert_by(&database).await;

    watched.until_all_arrived().await;
    watched.until_ready().await;
    for pid in frozen {
        assert!(send_signal(pid, "KILL").await);
    }
}

/// Events before, right after and long after an outage arrive, and the dispatcher is calm meanwhile.
async fn survive(fault: impl AsyncFn(&Server)) {
    let server = Server::start().await;
    let mut watched = WatchedDispatcher::start(server.url(), &[]).await;
    watched.insert().await;
    watched.until_all_arrived().await;
    // Under way, when the server goes: its outcome cannot be written.
    watched.receiver.hold();
    watched.insert().await;
    watched.receiver.next().await;
    watched.receiver.next().await;

    let begun = watched.count();
    fault(&server).await;
    watched.receiver.release();
    watched.assert_calm_trouble(&begun).await;
    server.start_again().await;
    watched.insert().await;
    watched.until_ready().await;
    watched.insert().await;

    watched.until_all_arrived().await;
    let database = Database::at(server.url()).await;
    database.until_settled().await;
    database.assert_counts_agree().await;
    assert_eq!(watched.probe("healthz").await, 200);
    watched.dispatcher.logged("database recovered").await;
}

/// Starts a dispatcher whose API is at a known address: before it has a database, its log does not tell.
fn start_at(api: &str, url: &str) -> Dispatcher {
    let mut command = command(&["run", "--allow-http", "--allow-cidr", "127.0.0.0/8", "--api-listen", api]);
    command.env("DATABASE_URL", url);
    Dispatcher::of(command)
}

fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

async fn probe(address: &str, name: &str) -> u16 {
    get(&format!("http://{address}/{name}")).await.status().as_u16()
}
