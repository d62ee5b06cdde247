//! A database that cannot be worked with: exit code 1 within seconds, one line that says why, and no password in it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use crate::support::{CommandOutput, Database, eventually};

/// What people try first.
const COMMANDS: [&[&str]; 6] = [
    &["run", "--api-listen", "127.0.0.1:0"],
    &["run", "--no-migrate", "--api-listen", "127.0.0.1:0"],
    &["migrate"],
    &["publish", "order.created", "{}"],
    &["status"],
    &["endpoint", "put", "one", "--url", "https://example.com/"],
];

#[tokio::test]
async fn a_database_that_does_not_exist_is_named() {
    let database = Database::new().await;
    let missing = format!("{}_missing", database.url);

    for args in COMMANDS {
        let output = failed(&missing, args).await;

        let name = missing.rsplit('/').next().unwrap();
        assert_eq!(
            output.complaint(),
            format!("database \"{name}\" does not exist; create it first: createdb"),
            "{args:?}"
        );
    }
}

#[tokio::test]
async fn a_role_that_does_not_exist_is_named() {
    let database = Database::new().await;
    // Who is asked for a password does not hear that there is no such role.
    ask_for_passwords(&database).await;
    let (_, place) = database.url.split_once('@').unwrap();
    let stranger = format!("postgres://stranger:hunter2@{place}");
    eventually("a stranger is not asked", || async {
        let fault = tokio_postgres::connect(&stranger, NoTls).await.err().unwrap();
        fault.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
    })
    .await;

    for args in COMMANDS {
        let output = failed(&stranger, args).await;

        assert!(output.complaint().contains("role \"stranger\" does not exist"), "{}", output.stderr);
        assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_shown() {
    let database = Database::new().await;
    let url = with_password(&database, "correct").await.replacen(":correct@", ":hunter2@", 1);

    for args in COMMANDS {
        let output = failed(&url, args).await;

        assert!(output.complaint().contains("password authentication failed"), "{}", output.stderr);
        assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
    }
}

#[tokio::test]
async fn a_password_that_is_missing_is_said() {
    let database = Database::new().await;
    let url = with_password(&database, "correct").await.replacen(":correct@", "@", 1);

    for args in COMMANDS {
        let output = failed(&url, args).await;

        assert!(output.complaint().contains("password"), "{args:?}: {}", output.stderr);
    }
}

#[tokio::test]
async fn a_password_with_an_at_sign_is_written_as_in_any_url() {
    let database = Database::new().await;
    let url = with_password(&database, "p%40ss").await;

    let output = CommandOutput::run(&url, &["migrate", "--check"]).await;

    assert!(!output.stderr.contains("password"), "{}", output.stderr);
    assert!(output.complaint().contains("permission denied for schema postrider"), "{}", output.stderr);
}

#[tokio::test]
async fn a_migrated_database_that_is_read_only_is_said_to_be() {
    let database = Database::new().await;
    make_read_only(&database).await;

    for args in COMMANDS.iter().filter(|args| !["migrate", "status", "run"].contains(&args[0])) {
        let output = failed(&database.url, args).await;

        assert!(output.complaint().contains("read-only transaction"), "{args:?}: {}", output.stderr);
        assert!(output.complaint().contains("use the primary"), "{args:?}: {}", output.stderr);
    }
}

#[tokio::test]
async fn an_empty_database_that_is_read_only_is_said_to_be() {
    let database = Database::without_schema().await;
    make_read_only(&database).await;

    let output = failed(&database.url, &["migrate"]).await;

    assert!(output.complaint().contains("use the primary"), "{}", output.stderr);
}

#[tokio::test]
async fn a_read_only_database_may_be_looked_at() {
    let database = Database::new().await;
    make_read_only(&database).await;

    for args in [&["status"][..], &["endpoint", "list"], &["migrate", "--check"], &["migrate"]] {
        let output = CommandOutput::run(&database.url, args).await;

        assert_eq!(output.code, Some(0), "{args:?}: {}", output.stderr);
    }
}

#[tokio::test]
async fn an_empty_database_is_told_to_be_migrated_first() {
    let database = Database::without_schema().await;

    for args in [
        &["publish", "order.created", "{}"][..],
        &["status"],
        &["endpoint", "list"],
        &["endpoint", "pause", "one"],
    ] {
        let output = failed(&database.url, args).await;

        assert!(
            output.complaint().contains("run \"postrider migrate\" first"),
            "{args:?}: {}",
            output.stderr
        );
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_failure_of_every_command_but_run() {
    for args in COMMANDS.iter().filter(|args| args[0] != "run") {
        let output = failed("postgres://me:hunter2@127.0.0.1:1/nothing", args).await;

        assert!(output.complaint().contains("Connection refused"), "{args:?}: {}", output.stderr);
        assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
    }
}

#[tokio::test]
async fn a_server_that_is_no_postgresql_is_doubted() {
    let web = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://me@{}/x", web.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (mut socket, _) = web.accept().await.unwrap();
        let mut request = [0; 1024];
        // It asks for TLS, and then for a session.
        drop(socket.read(&mut request).await);
        drop(socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
        drop(socket.read(&mut request).await);
    });

    let output = failed(&url, &["migrate", "--check"]).await;

    assert!(output.complaint().contains("is it PostgreSQL that answers there?"), "{}", output.stderr);
}

#[tokio::test]
async fn an_address_in_use_is_a_failure_of_run_that_names_it() {
    let database = Database::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let output = failed(&database.url, &["run", "--api-listen", &address]).await;

    assert!(output.complaint().contains(&address), "{}", output.stderr);
}

/// Runs a command that fails: soon, and with exit code 1.
async fn failed(url: &str, args: &[&str]) -> CommandOutput {
    let begun = Instant::now();
    let output = CommandOutput::run(url, args).await;
    assert_eq!(output.code, Some(1), "{args:?}: {}", output.stderr);
    assert!(begun.elapsed() < Duration::from_secs(15), "{args:?}: {:?}", begun.elapsed());
    output
}

/// Members are asked for their password, also by a server that trusts everybody else. There is no role `stranger`.
const ASKED: &str = "postrider_test_asked_for_password";

/// The URL of a new role that the server asks for a password.
async fn with_password(database: &Database, password: &str) -> String {
    ask_for_passwords(database).await;
    let login = database.login(Some(ASKED)).await;
    let (login, place) = login.split_once('@').unwrap();
    let role = login.split("://").nth(1).unwrap().split(':').next().unwrap();
    let typed = password.replace("%40", "@");
    database.execute(&format!("alter role {role} password '{typed}'")).await;
    let without = format!("postgres://{role}@{place}");
    eventually("a password is asked for", || async {
        tokio_postgres::connect(&without, NoTls).await.is_err()
    })
    .await;
    format!("postgres://{role}:{password}@{place}")
}

/// Puts two rules in front of the server's `pg_hba.conf`, once in its life.
async fn ask_for_passwords(database: &Database) {
    static RULES: OnceCell<()> = OnceCell::const_new();
    RULES.get_or_init(|| put_rules(database)).await;
}

async fn put_rules(database: &Database) {
    database
        .execute(&format!(
            "do $$
             declare
                 file  text := current_setting('hba_file');
                 large oid;
             begin
                 if not exists (select from pg_roles where rolname = '{ASKED}') then
                     create role {ASKED};
                     large := lo_from_bytea(0, convert_to(
                         'host all +{ASKED} all scram-sha-256' || chr(10) || 'host all stranger all trust' || chr(10)
                         || pg_read_file(file), 'UTF8'));
                     perform lo_export(large, file), lo_unlink(large);
                     perform pg_reload_conf();
                 end if;
             end
             $$"
        ))
        .await;
}

/// Every new session is as on a standby.
async fn make_read_only(database: &Database) {
    database
        .execute(
            "do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$",
        )
        .await;
}
