//! `postrider dev`: all of it on this machine, and nothing left behind.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use serde_json::json;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use crate::support::{
    Answered, Api, Cluster, CommandOutput, Database, Folder, RunningCommand, as_role, command, eventually,
    passfile, with_password,
};

#[tokio::test]
async fn dev_delivers_its_sample_events_and_ends() {
    let database = Database::new().await;

    let args = ["dev", "--database-url", &database.url, "--events", "2", "--every", "100ms"];
    let output = CommandOutput::of(command(&args)).await;

    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(output.stdout.matches("200 verified evt_").count(), 2, "{}", output.stdout);
}

#[tokio::test]
async fn dev_migrates_a_database_that_is_empty() {
    let database = Database::without_schema().await;

    let args = ["dev", "--database-url", &database.url, "--events", "1", "--every", "10ms"];
    let output = CommandOutput::of(command(&args)).await;

    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(output.stdout.matches("200 verified evt_").count(), 1, "{}", output.stdout);
    database.assert_row("select count(*) from postrider.outbox", json!({"count": 0})).await;
}

#[tokio::test]
async fn dev_verifies_signatures_the_second_time_too() {
    let database = Database::new().await;
    let args = ["dev", "--database-url", &database.url, "--events", "1", "--every", "10ms"];
    CommandOutput::of(command(&args)).await;

    let output = CommandOutput::of(command(&args)).await;

    assert_eq!(output.stdout.matches("200 verified evt_").count(), 1, "{}", output.stdout);
}

#[tokio::test]
async fn dev_without_a_database_runs_one_of_its_own_and_leaves_nothing_behind() {
    let folder = Folder::new();

    let output = CommandOutput::of(dev(&folder, &["--events", "2", "--every", "100ms"])).await;

    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(output.stdout.matches("200 verified evt_").count(), 2, "{}", output.stdout);
    assert_eq!(entries(&folder), 0);
}

#[tokio::test]
async fn the_database_and_the_api_of_dev_are_closed_to_other_users_of_the_machine() {
    let folder = Folder::new();
    let mut command = RunningCommand::start(dev(&folder, &[]));
    let psql = command.line_after("database    psql ").await;
    let dashboard = command.line_after("dashboard   http://").await;
    command.line_after("stop ").await;
    let url = psql.trim_matches('\'');

    assert_closed(url).await;
    let (address, token_file) = dashboard.split_once("/, its token is in ").unwrap();
    let (api, token) = (Api::at(address), std::fs::read_to_string(token_file).unwrap());
    let events = "/v1/topics/a/events";
    assert_eq!(api.send("POST", events, &serde_json::json!({ "payload": 1 })).await.status, 401);
    let request = api.request("GET", "/v1/endpoints").bearer_auth(token.trim());
    assert_eq!(Answered::to(request).await.status, 200);
    assert_eq!(api.get("/readyz").await.status, 200);
    for secret in [passfile(url).unwrap().as_str(), token_file] {
        assert_eq!(std::fs::metadata(secret).unwrap().permissions().mode() & 0o777, 0o600, "{secret}");
    }
    // Its user runs what was printed, and status beside it.
    let output = CommandOutput::run(url, &["status", "--json"]).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);

    assert!(command.stop("INT").await.success());
}

#[tokio::test]
async fn the_clusters_of_tests_and_scripts_are_closed_to_other_users_of_the_machine() {
    let cluster = Cluster::start(&["fsync=off"]);

    assert_closed(&cluster.named).await;

    cluster.end();
}

/// Nobody is let in by the port or the socket without the password, and other users cannot come by it.
async fn assert_closed(url: &str) {
    let (plain, _) = url.split_once('?').unwrap();
    let passfile = &passfile(url).unwrap();
    let database = Database::at(&with_password(url)).await;
    database.execute("create role stranger login superuser").await;
    let (host, port) = plain.split_once('@').unwrap().1.split_once('/').unwrap().0.split_once(':').unwrap();
    let sockets: String = database.value("show unix_socket_directories").await;
    for host in [host, &sockets] {
        for user in ["postgres", "stranger"] {
            for password in ["", "postgres", "stranger"] {
                let login =
                    format!("host={host} port={port} dbname=postgres user={user} password='{password}'");
                let fault = tokio_postgres::connect(&login, NoTls).await.err();
                let fault = fault.unwrap_or_else(|| panic!("{user} was let in by {host}"));
                assert_eq!(fault.code(), Some(&SqlState::INVALID_PASSWORD), "{user} by {host}: {fault}");
            }
        }
    }
    let open: i64 = database
        .value("select count(*) from pg_hba_file_rules where auth_method is distinct from 'scram-sha-256'")
        .await;
    assert_eq!(open, 0);
    let listens: String = database.value("show listen_addresses").await;
    assert_eq!(listens, "127.0.0.1");
    let folder = std::path::Path::new(passfile).parent().unwrap();
    assert_eq!(std::fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_nobody_cannot(url, passfile, &as_role(plain, "stranger"));
}

/// The same as another user of the machine: that takes root.
fn assert_nobody_cannot(url: &str, passfile: &str, as_stranger: &str) {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let nobody = |program: &str, args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--", program]);
        command.args(args).env_remove("PGPASSFILE").env_remove("PGPASSWORD").current_dir("/");
        command.output().unwrap().status.success()
    };
    assert!(nobody("true", &[]));
    assert!(!nobody("cat", &[passfile]));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/postgres");
    let psql = Command::new(script).arg("--psql").output().unwrap();
    let psql = String::from_utf8(psql.stdout).unwrap();
    assert!(nobody(psql.trim(), &["--version"]), "psql runs as nobody");
    for url in [url, as_stranger] {
        assert!(!nobody(psql.trim(), &["-X", "-w", url, "-c", "select 1"]), "{url}");
    }
}

#[tokio::test]
async fn dev_that_is_interrupted_leaves_nothing_behind() {
    let folder = Folder::new();
    let mut command = RunningCommand::start(dev(&folder, &[]));
    command.line_after("stop ").await;
    let during = entries(&folder);

    let status = command.stop("INT").await;

    assert!(status.success(), "{status}");
    assert_eq!((during, entries(&folder)), (1, 0));
}

#[tokio::test]
async fn dev_that_is_killed_leaves_nothing_behind() {
    let folder = Folder::new();
    let mut command = RunningCommand::start(dev(&folder, &[]));
    command.line_after("stop ").await;

    let status = command.stop("KILL").await;

    assert!(!status.success());
    eventually("the cluster is gone", || async { entries(&folder) == 0 }).await;
}

#[tokio::test]
async fn dev_refuses_wrong_arguments_all_at_once() {
    let output = CommandOutput::of(command(&["dev", "--every", "5", "--receive-listen", "here"])).await;

    assert_eq!(output.code, Some(64), "{}", output.stderr);
    let named: Vec<&str> =
        output.complaints().iter().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    assert_eq!(named, ["receive_listen", "every"]);
}

#[tokio::test]
async fn dev_refuses_a_wrong_database_instead_of_running_its_own() {
    let folder = Folder::new();
    let mut dev = dev(&folder, &["--events", "1"]);
    dev.args(["--database-url", "mysql://here/x"]);

    let output = CommandOutput::of(dev).await;

    assert_eq!(output.code, Some(64), "{}", output.stdout);
    assert!(output.complaint().starts_with("database_url: "), "{}", output.stderr);
}

/// `postrider dev` without a database, that finds a server's binaries and keeps its files in this folder.
pub(super) fn dev(folder: &Folder, flags: &[&str]) -> tokio::process::Command {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/postgres");
    let found = Command::new(script).output().unwrap();
    let path = std::env::var_os("PATH").unwrap().into_string().unwrap();
    let mut dev = command(&["dev"]);
    dev.args(flags)
        .env("TMPDIR", folder.path())
        .env("PATH", format!("{}:{path}", String::from_utf8(found.stdout).unwrap().trim()));
    dev
}

/// How many files and folders are in it.
pub(super) fn entries(folder: &Folder) -> usize {
    std::fs::read_dir(folder.path()).unwrap().count()
}
