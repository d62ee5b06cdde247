//! The fault proxy of these tests does what it says, and Postrider survives it.

use std::io::ErrorKind;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls};

use crate::support::{
    Database, Dispatcher, Door, Listener, Proxy, Receiver, Toxic, Toxics, WatchedDispatcher, eventually,
};

#[tokio::test]
async fn bytes_pass_unchanged_in_slices() {
    let (proxy, _echo) = before_echo().await;
    let slice = Toxic { slice: NonZeroUsize::new(3), ..Toxic::default() };
    proxy.set(Toxics { up: slice, down: slice, ..Toxics::default() });
    let sent: Vec<u8> = (0..10_000_u32).flat_map(u32::to_be_bytes).collect();

    let echoed = echo(&proxy, &sent).await;

    assert_eq!(echoed, sent);
}

#[tokio::test]
async fn latency_and_bandwidth_take_their_time() {
    let (proxy, _echo) = before_echo().await;
    let slow = Toxic { latency: Duration::from_millis(50), ..Toxic::default() };
    let narrow = Toxic { bytes_per_s: NonZeroU32::new(10_000), ..Toxic::default() };
    proxy.set(Toxics { up: slow, down: narrow, ..Toxics::default() });
    let begun = Instant::now();

    echo(&proxy, &[7; 1000]).await;

    assert!(begun.elapsed() >= Duration::from_millis(150), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn nothing_passes_a_hole_and_nothing_is_lost_in_it() {
    let (proxy, _echo) = before_echo().await;
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let hole = Toxic { is_hole: true, ..Toxic::default() };
    proxy.set(Toxics { down: hole, ..Toxics::default() });
    client.write_all(b"hello").await.unwrap();
    client.shutdown().await.unwrap();

    let mut answer = Vec::new();
    let silence = tokio::time::timeout(Duration::from_millis(100), client.read_to_end(&mut answer)).await;
    proxy.heal();
    client.read_to_end(&mut answer).await.unwrap();

    assert!(silence.is_err(), "{silence:?}");
    assert_eq!(answer, b"hello");
}

#[tokio::test]
async fn a_reset_is_one() {
    let (proxy, _echo) = before_echo().await;
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    eventually("it stands", || async { proxy.open() == 1 }).await;

    proxy.reset();

    let fault = client.read_u8().await.unwrap_err();
    assert_eq!(fault.kind(), ErrorKind::ConnectionReset);
    eventually("it is gone", || async { proxy.open() == 0 }).await;
}

#[tokio::test]
async fn a_connection_is_cut_after_so_many_bytes() {
    let (proxy, _echo) = before_echo().await;
    let cut = Toxic { cut_after: Some(4), ..Toxic::default() };
    proxy.set(Toxics { up: cut, ..Toxics::default() });
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();

    client.write_all(b"hello").await.unwrap();

    let mut answer = Vec::new();
    let fault = client.read_to_end(&mut answer).await.unwrap_err();
    assert_eq!(fault.kind(), ErrorKind::ConnectionReset);
    assert!(b"hell".starts_with(&answer), "{answer:?}");
}

#[tokio::test]
async fn a_door_refuses_resets_and_opens_again() {
    let (proxy, _echo) = before_echo().await;
    let door = |door| proxy.set(Toxics { door, ..Toxics::default() });

    door(Door::Shut);
    eventually("refused", || async { knock(&proxy).await == Some(ErrorKind::ConnectionRefused) }).await;
    let seen = proxy.connections();
    door(Door::Reset);
    eventually("reset", || async { knock(&proxy).await == Some(ErrorKind::ConnectionReset) }).await;
    door(Door::Open);

    assert_eq!(echo(&proxy, b"hello").await, b"hello");
    assert!(proxy.connections() >= seen + 2);
}

#[tokio::test]
async fn the_answer_to_a_commit_is_lost_after_the_commit() {
    let (database, proxy, mut client) = before_postgres().await;
    let tx = client.transaction().await.unwrap();
    tx.batch_execute("create table public.done ()").await.unwrap();
    proxy.swallow_answer_to("COMMIT");

    let answer = tx.commit().await;

    assert!(answer.is_err_and(|fault| fault.as_db_error().is_none()));
    assert_eq!(proxy.swallowed(), 1);
    database.assert_row("select to_regclass('public.done') as table", json!({"table": "done"})).await;
}

#[tokio::test]
async fn the_answer_to_a_prepared_statement_is_lost_after_its_commit() {
    let (database, proxy, client) = before_postgres().await;
    client.batch_execute("create table public.done (n int)").await.unwrap();
    let insert = client.prepare("insert into public.done values ($1)").await.unwrap();
    client.execute(&insert, &[&1]).await.unwrap();
    proxy.swallow_answer_to("into public.done");

    let answer = client.execute(&insert, &[&2]).await;

    assert!(answer.is_err());
    assert_eq!(database.value::<i64>("select count(*) from public.done").await, 2);
}

#[tokio::test]
async fn only_notifications_are_eaten() {
    let database = Database::new().await;
    let proxy = Proxy::to_postgres(&database.url).await;
    let listener = Listener::listen_at(&proxy.url(&database.url)).await;
    database.execute("select pg_notify('postrider', '')").await;
    eventually("the first is heard", || async { listener.rings_so_far() == 1 }).await;
    proxy.set(Toxics { is_deaf: true, ..Toxics::default() });

    database.execute("select pg_notify('postrider', '')").await;
    listener.check().await;

    assert_eq!(listener.rings_so_far(), 1);
}

#[tokio::test]
async fn an_outcome_whose_answer_is_lost_is_written_once() {
    let (database, receiver, proxy, dispatcher) = behind_proxy().await;
    proxy.swallow_answer_to("insert into postrider.attempt");

    database.insert("order.created", "1").await;
    dispatcher.logged("outcomes not written").await;
    database.until_settled().await;

    database.assert_counts_agree().await;
    assert_eq!(proxy.swallowed(), 1);
    assert_eq!(receiver.count(), 1);
    assert_eq!(database.value::<i64>("select count(*) from postrider.attempt_log").await, 1);
}

#[tokio::test]
async fn what_was_routed_by_a_commit_whose_answer_is_lost_is_sent() {
    let (database, receiver, proxy, _dispatcher) = behind_proxy().await;
    proxy.swallow_answer_to("COMMIT");

    database.insert("order.created", "1").await;
    database.until_settled().await;

    database.assert_counts_agree().await;
    assert_eq!(proxy.swallowed(), 1);
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_dispatcher_whose_network_is_a_hole_for_a_while_goes_on_without_a_restart() {
    let database = Database::new().await;
    let mut watched =
        WatchedDispatcher::start(&database.url, &["--lease", "4s", "--request-timeout", "1s"]).await;
    let hole = Toxic { is_hole: true, ..Toxic::default() };
    let begun = watched.count();
    watched.proxy.set(Toxics { up: hole, down: hole, ..Toxics::default() });
    watched.insert_by(&database).await;
    database.until("select lease_until < clock_timestamp() from postrider.dispatcher_status").await;

    watched.assert_calm_trouble(&begun).await;
    watched.proxy.heal();

    watched.until_all_arrived().await;
    watched.until_ready().await;
    database.until_settled().await;
}

#[tokio::test]
async fn a_dispatcher_whose_database_goes_away_while_it_starts_tries_again() {
    let (database, receiver, proxy) = before_start().await;
    proxy.swallow_answer_to("insert into postrider.dispatcher");
    let dispatcher = Dispatcher::spawn(&proxy.url(&database.url), &[]);

    database.insert("order.created", "1").await;

    assert_eq!(receiver.next().await.text(), "1");
    assert!(dispatcher.log().contains("waiting for the database"), "{}", dispatcher.log());
}

#[tokio::test]
async fn a_signal_ends_a_dispatcher_that_waits_for_the_database_while_it_starts() {
    let (database, _receiver, proxy) = before_start().await;
    let lock = database.connect().await;
    lock.batch_execute("begin; lock postrider.dispatcher in exclusive mode").await.unwrap();
    let dispatcher = Dispatcher::spawn(&proxy.url(&database.url), &[]);
    database.until_somebody_waits_for_a_lock().await;

    let status = dispatcher.terminate().await;

    assert!(status.success());
}

#[tokio::test]
async fn a_dispatcher_without_a_database_is_no_hot_loop() {
    let database = Database::new().await;
    let watched = WatchedDispatcher::start(&database.url, &[]).await;
    let begun = watched.count();

    watched.proxy.set(Toxics { door: Door::Reset, ..Toxics::default() });
    watched.proxy.reset();

    watched.assert_calm_trouble(&begun).await;
}

/// A database with an endpoint that receives everything, and the proxy to it.
async fn before_start() -> (Database, Receiver, Proxy) {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    let proxy = Proxy::to_postgres(&database.url).await;
    (database, receiver, proxy)
}

/// A dispatcher with a short lease behind a proxy, and an endpoint that receives everything.
async fn behind_proxy() -> (Database, Receiver, Proxy, Dispatcher) {
    let (database, receiver, proxy) = before_start().await;
    let flags = ["--lease", "4s", "--request-timeout", "1s"];
    let dispatcher = Dispatcher::spawn(&proxy.url(&database.url), &flags);
    dispatcher.logged("dispatcher 1 runs").await;
    (database, receiver, proxy, dispatcher)
}

/// A client whose connection goes through a proxy.
async fn before_postgres() -> (Database, Proxy, Client) {
    let database = Database::new().await;
    let proxy = Proxy::to_postgres(&database.url).await;
    let (client, connection) = tokio_postgres::connect(&proxy.url(&database.url), NoTls).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "ends with its client")]
    drop(tokio::spawn(connection));
    (database, proxy, client)
}

/// A server that sends back what it is sent, and the proxy in front of it.
async fn before_echo() -> (Proxy, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                let (mut from, mut to) = stream.split();
                // A connection that is reset is the test's business.
                drop(tokio::io::copy(&mut from, &mut to).await);
            });
        }
    });
    (Proxy::to(&address).await, server)
}

async fn echo(proxy: &Proxy, bytes: &[u8]) -> Vec<u8> {
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let (mut from, mut to) = client.split();
    let mut echoed = vec![0; bytes.len()];
    let (sent, received) = tokio::join!(to.write_all(bytes), from.read_exact(&mut echoed));
    sent.unwrap();
    received.unwrap();
    echoed
}

/// How a new connection fails.
async fn knock(proxy: &Proxy) -> Option<ErrorKind> {
    let mut client = match TcpStream::connect(proxy.address()).await {
        Ok(client) => client,
        Err(fault) => return Some(fault.kind()),
    };
    client.read_u8().await.err().map(|fault| fault.kind())
}
