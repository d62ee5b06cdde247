//! Reaching the database: by what names it, on which of its hosts, and with how much patience.

use std::time::Duration;

use postrider::store::{DatabaseUrl, Environment};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::support::{
    ASKED, CommandOutput, Database, Dispatcher, Encrypted, Folder, PASSWORD, Receiver, command, open,
    password, skip,
};

/// Nobody listens here.
const DEAD: &str = "127.0.0.1:1";

#[tokio::test]
async fn variables_of_the_environment_alone_name_a_database() {
    let database = Database::new().await;
    let (host, port, name) = parts(&database.url);
    let mut check = command(&["migrate", "--check"]);
    check.envs([("PGHOST", host), ("PGPORT", port), ("PGUSER", "postgres"), ("PGDATABASE", name)]);
    check.env("PGPASSWORD", password(&database.url).unwrap_or_default());

    let output = CommandOutput::of(check).await;

    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

#[tokio::test]
async fn a_service_alone_names_a_database() {
    let database = Database::new().await;
    let (host, port, name) = parts(&database.url);
    let folder = Folder::new();
    let password = password(&database.url).unwrap_or_default();
    let lines =
        format!("[shop]\nhost={host}\nport={port}\nuser=postgres\ndbname={name}\npassword={password}\n");
    let file = folder.write("services", &lines);
    let mut check = command(&["migrate", "--check"]);
    check.envs([("PGSERVICE", "shop"), ("PGSERVICEFILE", &file)]);

    let output = CommandOutput::of(check).await;

    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

#[tokio::test]
async fn a_password_is_taken_from_wherever_it_is_and_never_shown() {
    let server = Encrypted::server().await;
    let (host, port) = server.address().split_once(':').unwrap();
    for password in [PASSWORD, "wrong-hunter2"] {
        let folder = Folder::new();
        let services = folder.write("services", &format!("[shop]\npassword={password}\n"));
        let passwords = folder.write("passwords", &format!("{host}:{port}:postgres:{ASKED}:{password}\n"));
        set_mode(&passwords);
        let pairs = format!("host={host} port={port} dbname=postgres user={ASKED}");
        for (url, variable) in [
            (server.url(&format!("{ASKED}:{password}"), host, ""), None),
            (format!("{pairs} password='{password}'"), None),
            (pairs.clone(), Some(("PGPASSWORD", password))),
            (pairs.clone(), Some(("PGPASSFILE", passwords.as_str()))),
            (format!("{pairs} passfile='{passwords}'"), None),
            (format!("{pairs} service=shop"), Some(("PGSERVICEFILE", services.as_str()))),
        ] {
            let mut check = command(&["migrate", "--check", "--log", "debug"]);
            check.env("DATABASE_URL", &url).envs(variable);

            let output = CommandOutput::of(check).await;

            let said =
                if password == PASSWORD { "schema version 0" } else { "password authentication failed" };
            assert!(output.complaint().contains(said), "{url}: {}", output.stderr);
            assert!(!output.stderr.contains("hunter2"), "{url}: {}", output.stderr);
        }
    }
}

#[tokio::test]
async fn a_missing_password_is_a_failure_of_run_that_says_where_to_put_it() {
    let server = Encrypted::server().await;

    let output =
        CommandOutput::run(&server.url(ASKED, "127.0.0.1", ""), &["run", "--api-listen", "127.0.0.1:0"])
            .await;

    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(output.complaint().contains("password missing; give it as PGPASSWORD"), "{}", output.stderr);
}

#[tokio::test]
async fn a_host_that_is_down_is_passed_over() {
    let database = Database::new().await;
    let url = database.url.replacen('@', &format!("@{DEAD},"), 1);

    let output = CommandOutput::run(&url, &["migrate", "--check"]).await;

    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

#[tokio::test]
async fn a_host_that_hangs_is_passed_over_after_its_time() {
    let database = Database::new().await;
    // The system takes connections for it; nobody reads them.
    let hung = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = database.url.replacen('@', &format!("@{},", hung.local_addr().unwrap()), 1);

    let client = connect(&format!("{url}?connect_timeout=1")).await;

    assert_eq!(port_of(&client).await, parts(&database.url).1);
}

#[tokio::test]
async fn a_host_that_hangs_alone_is_given_up_after_its_time() {
    let hung = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://me@{}/x?connect_timeout=1", hung.local_addr().unwrap());

    for args in [&["migrate"][..], &["status"]] {
        let output =
            tokio::time::timeout(Duration::from_secs(20), CommandOutput::run(&url, args)).await.unwrap();

        assert_eq!(output.code, Some(1), "{}", output.stderr);
    }
}

#[tokio::test]
async fn a_wrong_password_is_not_tried_on_the_next_host() {
    let server = Encrypted::server().await;
    let database = Database::new().await;
    let (host, port, name) = parts(&database.url);
    let url = format!("postgres://{ASKED}:wrong@{},{host}:{port}/{name}", server.address());

    let output = CommandOutput::run(&url, &["migrate"]).await;

    assert!(output.complaint().contains("password authentication failed"), "{}", output.stderr);
}

#[tokio::test]
async fn a_session_begins_with_our_settings_and_then_the_callers_own() {
    let database = Database::new().await;

    let client = connect(&format!("{}?options=-c%20lock_timeout%3D7s", database.url)).await;

    let row = client
        .query_one("select current_setting('statement_timeout'), current_setting('lock_timeout')", &[])
        .await
        .unwrap();
    assert_eq!((row.get(0), row.get(1)), ("5min", "7s"));
}

#[tokio::test]
async fn a_password_that_is_changed_while_a_dispatcher_runs_is_read_anew_from_the_password_file() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    let url = database.login(Some("postrider_dispatcher")).await;
    let Some(old) = password(&url) else {
        skip("database::connections", "this server asks for no password");
        return;
    };
    let folder = Folder::new();
    let file = folder.write("passwords", &format!("*:*:*:*:{old}\n"));
    set_mode(&file);
    let (role, place) = url.split_once(&format!(":{old}@")).unwrap();
    let dispatcher = Dispatcher::spawn(&format!("{role}@{place}?passfile={file}"), &["--no-migrate"]);
    dispatcher.logged(" runs, schema version").await;
    let role = role.rsplit('/').next().unwrap();

    database
        .execute(&format!(
            "alter role {role} password 'changed-hunter2';
             select pg_terminate_backend(pid) from pg_stat_activity where usename = '{role}'"
        ))
        .await;
    dispatcher.logged("password authentication failed").await;
    folder.write("passwords", "*:*:*:*:changed-hunter2\n");
    database.insert("order.created", "1").await;

    assert_eq!(receiver.next().await.text(), "1");
    assert!(!dispatcher.log().contains("hunter2"), "{}", dispatcher.log());
}

#[tokio::test]
async fn the_primary_is_found_among_the_hosts() {
    let server = Encrypted::server().await;
    let primary = Database::without_schema().await;
    let (host, port, name) = parts(&primary.url);
    let standby = server.database_named(name).await;
    standby.execute(&format!("alter database {name} set default_transaction_read_only = on")).await;
    let hosts = format!("{DEAD},{},{host}:{port}", server.address());
    let folder = Folder::new();
    // Each has a password of its own.
    let passwords = [(server.port(), server.password()), (port, password(&primary.url).unwrap_or_default())];
    let lines = passwords.map(|(port, password)| format!("*:{port}:*:*:{password}\n")).concat();
    let passwords = folder.write("passwords", &lines);
    set_mode(&passwords);
    let receiver = Receiver::start().await;

    let dispatcher = Dispatcher::spawn(
        &format!("postgres://postgres@{hosts}/{name}?target_session_attrs=read-write&passfile={passwords}"),
        &["--wake", "notify", "--poll-interval", "1h"],
    );

    // Migrations, pool and listener: all of them went past the standby.
    dispatcher.logged("listening for notifications").await;
    primary.put_endpoint("one", &receiver.url(), "**", "").await;
    primary.until_bell_is_armed().await;
    primary.insert("order.created", "{}").await;
    receiver.next().await.verify();
    standby.assert_row("select to_regnamespace('postrider')::text as schema", json!({"schema": null})).await;
}

#[tokio::test]
async fn a_database_that_is_not_there_yet_is_waited_for() {
    let starting = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = starting.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(start_up_for_ever(starting));
    for (url, said) in [
        (format!("postgres://me@{DEAD}/x"), "Connection refused"),
        ("postgres://me@no-such-host.invalid/x".to_owned(), "failed to lookup address"),
        (format!("postgres://me@{address}/x"), "the database system is starting up"),
    ] {
        let mut dispatcher = Dispatcher::spawn(&url, &[]);

        dispatcher.logged("waiting for the database, trying again in").await;
        dispatcher.logged(said).await;
        dispatcher.signal("TERM").await;
        assert!(dispatcher.ended().await.success(), "{}", dispatcher.log());
    }
}

#[tokio::test]
async fn a_listening_connection_that_is_taken_and_never_answered_is_given_up() {
    let database = Database::new().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://me@{}/x", silent.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(welcome_and_be_silent(silent));

    let dispatcher = Dispatcher::spawn(&database.url, &["--wake", "notify", "--listen-database-url", &url]);

    dispatcher.logged("no answer on the listening connection within 10s").await;
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_not_waited_for() {
    let server = Encrypted::server().await;
    let mut run = Dispatcher::spawn(
        &server.url("postgres", "localhost", "sslmode=verify-full&sslrootcert=other.crt"),
        &[],
    );

    let output = run.ended().await;

    assert_eq!(output.code(), Some(1), "{}", run.log());
    assert!(!run.log().contains("waiting for the database"), "{}", run.log());
}

/// A server without TLS that tells everybody to come back later.
async fn start_up_for_ever(listener: TcpListener) {
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        // Eight bytes ask for TLS.
        if socket.read(&mut request).await.unwrap_or_default() == 8 {
            drop(socket.write_all(b"N").await);
            drop(socket.read(&mut request).await);
        }
        let fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
        let length = u32::try_from(fields.len() + 4).unwrap();
        let answer = [&b"E"[..], &length.to_be_bytes(), fields].concat();
        drop(socket.write_all(&answer).await);
    }
}

/// A server without TLS and passwords that is frozen as soon as a session has begun.
async fn welcome_and_be_silent(listener: TcpListener) {
    let mut sessions = Vec::new();
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        // Eight bytes ask for TLS.
        if socket.read(&mut request).await.unwrap_or_default() == 8 {
            drop(socket.write_all(b"N").await);
            drop(socket.read(&mut request).await);
        }
        // Authentication is complete, and the session is idle.
        drop(socket.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await);
        sessions.push(socket);
    }
}

async fn connect(url: &str) -> Client {
    open(&DatabaseUrl::parse(url, &Environment::default()).unwrap()).await
}

async fn port_of(client: &Client) -> String {
    client.query_one("select inet_server_port()::text", &[]).await.unwrap().get(0)
}

/// Host, port and database of a URL of the tests.
fn parts(url: &str) -> (&str, &str, &str) {
    let (_, place) = url.split_once('@').unwrap();
    let (address, name) = place.split_once('/').unwrap();
    let (host, port) = address.split_once(':').unwrap_or((address, "5432"));
    (host, port, name)
}

fn set_mode(path: &str) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}
