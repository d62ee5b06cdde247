//! A database that nobody may write to for a while, before, at and after the start of a dispatcher: it is waited for, and the log
//! says why. A session is read-only for as long as it lives, so each is given up.

use crate::support::{Api, Database, Dispatcher, Receiver, WatchedDispatcher};

/// How the log names it.
const NAMED: &str = "default_transaction_read_only";

#[tokio::test]
async fn a_database_that_was_read_only_for_a_while_is_served_again_without_a_restart() {
    let database = Database::new().await;
    let mut watched = WatchedDispatcher::start(&database.url, &[]).await;
    watched.insert_by(&database).await;
    watched.until_all_arrived().await;
    let begun = watched.count();

    make_read_only(&database, true).await;
    database.cut_dispatchers().await;
    watched.dispatcher.logged(NAMED).await;
    watched.assert_calm_trouble(&begun).await;
    make_read_only(&database, false).await;
    // The test's own session is not read-only.
    watched.insert_by(&database).await;

    watched.until_all_arrived().await;
    watched.until_ready().await;
}

#[tokio::test]
async fn a_dispatcher_that_starts_while_the_database_is_read_only_waits_with_and_without_a_schema() {
    for database in [Database::new().await, Database::without_schema().await] {
        make_read_only(&database, true).await;
        let mut dispatcher = Dispatcher::spawn(&database.url, &[]);
        dispatcher.logged("waiting for the database, trying again in").await;
        dispatcher.logged(NAMED).await;
        assert!(dispatcher.has_ended().is_none(), "{}", dispatcher.log());

        make_read_only(&database, false).await;
        dispatcher.api().await;
        dispatcher.logged("dispatcher 1 runs").await;
        let receiver = Receiver::start().await;
        database.put_endpoint("one", &receiver.url(), "**", "").await;
        database.insert("order.created", "1").await;

        assert_eq!(receiver.next().await.text(), "1");
    }
}

#[tokio::test]
async fn a_session_of_the_api_that_began_while_the_database_was_read_only_writes_when_it_is_not_any_more() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;
    let publish = || async {
        api.send_text("POST", "/v1/topics/order.created/events", "{\"payload\": 1}").await.status
    };
    make_read_only(&database, true).await;
    database.cut_dispatchers().await;
    api.get("/v1/endpoints").await;
    assert_eq!(publish().await, 503);

    make_read_only(&database, false).await;
    api.get("/v1/endpoints").await;

    assert_eq!(publish().await, 201);
}

#[tokio::test]
async fn a_database_that_lets_nobody_in_for_a_while_is_waited_for() {
    let database = Database::new().await;
    let name: String = database.value("select current_database()::text").await;
    let (superuser, _) = database.url.rsplit_once('/').unwrap();
    let admin = Database::at(&format!("{superuser}/postgres")).await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    let login = database.login(Some("postrider_dispatcher")).await;
    let dispatcher = Dispatcher::spawn(&login, &["--no-migrate"]);
    dispatcher.api().await;

    for (close, open, said) in [
        ("allow_connections false", "allow_connections true", "not currently accepting connections"),
        ("connection limit 0", "connection limit -1", "too many connections"),
    ] {
        admin.execute(&format!("alter database {name} {close}")).await;
        database.cut_dispatchers().await;
        dispatcher.logged(said).await;
        let late = Dispatcher::spawn(&login, &["--no-migrate"]);
        late.logged(said).await;
        admin.execute(&format!("alter database {name} {open}")).await;
        late.api().await;
        assert!(late.terminate().await.success());
        database.insert("order.created", "1").await;

        assert_eq!(receiver.next().await.text(), "1");
    }
}

/// For sessions that begin from now on.
async fn make_read_only(database: &Database, is_read_only: bool) {
    let set = if is_read_only {
        "set default_transaction_read_only = on"
    } else {
        "reset default_transaction_read_only"
    };
    database
        .execute(&format!(
            "do $$ begin execute format('alter database %I {set}', current_database()); end $$"
        ))
        .await;
}
