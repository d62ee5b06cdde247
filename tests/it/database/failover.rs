//! A primary that becomes a standby, or is lost: the dispatcher goes on at whatever is the primary, without a restart.

use tokio_postgres::NoTls;

use crate::support::{Database, Dispatcher, Proxy, Server, WatchedDispatcher, eventually, password};

#[tokio::test]
async fn a_server_that_is_a_standby_for_a_while_is_waited_for() {
    let server = Server::start().await;
    let mut watched = WatchedDispatcher::start(server.url(), &[]).await;
    watched.insert().await;
    watched.until_all_arrived().await;
    let begun = watched.count();

    server.stop("fast").await;
    server.become_standby().await;
    server.start_again().await;
    watched.dispatcher.logged("read-only").await;
    watched.assert_calm_trouble(&begun).await;
    server.promote().await;
    watched.insert().await;

    watched.until_all_arrived().await;
    watched.until_ready().await;
}

#[tokio::test]
async fn a_dispatcher_goes_on_at_the_new_primary_after_a_failover() {
    let (primary, standby, mut watched, to_standby) = with_standby().await;
    watched.insert().await;
    watched.until_all_arrived().await;
    until_replayed(&primary, &standby).await;
    let (begun, tried) = (watched.count(), to_standby.connections());

    primary.kill().await;
    watched.assert_calm_trouble(&begun).await;
    // Both hosts in all.
    let tried = to_standby.connections() - tried + watched.count().connections_since(&begun);
    assert!(
        f64::from(u32::try_from(tried).unwrap()) <= 2.0 * watched.count().seconds_since(&begun),
        "{tried}"
    );
    standby.promote().await;
    watched.url = standby.url().to_owned();
    for _ in 0..10 {
        watched.insert().await;
    }

    watched.until_all_arrived().await;
    watched.until_ready().await;
    let database = Database::at(standby.url()).await;
    database.until_settled().await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_failover_that_loses_commits_confuses_nobody() {
    let (primary, standby, mut watched, _to_standby) = with_standby().await;
    watched.insert().await;
    watched.until_all_arrived().await;
    until_replayed(&primary, &standby).await;
    // What is committed from now on is lost: delivered, under way, and waiting.
    standby.stop("fast").await;
    for _ in 0..10 {
        watched.insert().await;
    }
    watched.until_all_arrived().await;
    watched.receiver.hold();
    watched.insert().await;
    eventually("one is under way", || async { watched.receiver.under_way() == 1 }).await;

    primary.kill().await;
    standby.start_again().await;
    standby.promote().await;
    watched.receiver.release();
    watched.url = standby.url().to_owned();
    let before = watched.receiver.webhook_ids().len();
    for _ in 0..10 {
        watched.insert().await;
    }

    // Each is a new one to receivers, even if an id comes a second time.
    eventually("they arrive", || async { watched.receiver.webhook_ids().len() == before + 10 }).await;
    watched.until_ready().await;
    let database = Database::at(standby.url()).await;
    database.until_settled().await;
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_primary_that_becomes_read_only_is_left_for_the_new_one() {
    let (primary, standby, mut watched, _to_standby) = with_standby().await;
    watched.insert().await;
    watched.until_all_arrived().await;
    until_replayed(&primary, &standby).await;

    // No connection breaks.
    let old = Database::at(primary.url()).await;
    old.execute("alter system set default_transaction_read_only = on").await;
    old.execute("select pg_reload_conf()").await;
    standby.promote().await;
    watched.url = standby.url().to_owned();
    watched.insert().await;

    watched.until_all_arrived().await;
}

/// A primary, its standby, and a dispatcher that knows both; the proxy of the watched one is in front of the primary.
async fn with_standby() -> (Server, Server, WatchedDispatcher, Proxy) {
    let primary = Server::start().await;
    let (receiver, proxy) = WatchedDispatcher::prepare(primary.url()).await;
    let standby = primary.standby().await;
    let to_standby = Proxy::to_postgres(standby.url()).await;
    let hosts = format!("{},{}", proxy.address(), to_standby.address());
    let url = format!("postgres://postgres@{hosts}/postgres?target_session_attrs=read-write");
    let url = url.replacen('@', &format!(":{}@", password(primary.url()).unwrap()), 1);
    let dispatcher = Dispatcher::spawn(&url, &["--lease", "4s", "--request-timeout", "1s"]);
    let watched = WatchedDispatcher::of(primary.url(), receiver, proxy, dispatcher);
    watched.until_ready().await;
    (primary, standby, watched, to_standby)
}

/// Waits until a standby has all that is committed.
async fn until_replayed(primary: &Server, standby: &Server) {
    let written: String = Database::at(primary.url()).await.value("select pg_current_wal_lsn()::text").await;
    let (client, connection) = tokio_postgres::connect(standby.url(), NoTls).await.unwrap();
    let replayed = format!("select pg_last_wal_replay_lsn() >= '{written}'");
    let wait = eventually("all is replayed", || async {
        client.query_one(&replayed, &[]).await.unwrap().get::<_, bool>(0)
    });
    tokio::select! {
        () = wait => {}
        ended = connection => ended.unwrap(),
    }
}
