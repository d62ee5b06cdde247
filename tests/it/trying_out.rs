//! `postrider dev`: all of it on this machine, and nothing left behind.

use std::process::Command;

use crate::support::{Database, Ended, Folder, Talker, command, eventually};

#[tokio::test]
async fn dev_delivers_its_sample_events_and_ends() {
    let database = Database::new().await;

    let ended = Ended::run(&database.url, &["dev", "--events", "2", "--every", "100ms"]).await;

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout.matches("200 verified evt_").count(), 2, "{}", ended.stdout);
    assert!(
        database
            .is("select count(*) = 2 and bool_and(status = 'complete') from postrider.delivery_status")
            .await
    );
}

#[tokio::test]
async fn dev_migrates_a_database_that_is_empty() {
    let database = Database::without_schema().await;

    let ended = Ended::run(&database.url, &["dev", "--events", "1", "--every", "10ms"]).await;

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(database.is("select status = 'complete' from postrider.outbox").await);
}

#[tokio::test]
async fn dev_verifies_signatures_the_second_time_too() {
    let database = Database::new().await;
    let args = ["dev", "--events", "1", "--every", "10ms"];
    Ended::run(&database.url, &args).await;

    let ended = Ended::run(&database.url, &args).await;

    assert_eq!(ended.stdout.matches("200 verified evt_").count(), 1, "{}", ended.stdout);
}

#[tokio::test]
async fn dev_without_a_database_runs_one_of_its_own_and_leaves_nothing_behind() {
    let folder = Folder::new();

    let ended = Ended::of(dev(&folder, &["--events", "2", "--every", "100ms"])).await;

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout.matches("200 verified evt_").count(), 2, "{}", ended.stdout);
    assert_eq!(entries(&folder), 0);
}

#[tokio::test]
async fn dev_that_is_interrupted_leaves_nothing_behind() {
    let folder = Folder::new();
    let mut talker = Talker::start(dev(&folder, &[]));
    talker.line_after("stop ").await;
    let during = entries(&folder);

    let ended = talker.stop("INT").await;

    assert!(ended.success(), "{ended}");
    assert_eq!((during, entries(&folder)), (1, 0));
}

#[tokio::test]
async fn dev_that_is_killed_leaves_nothing_behind() {
    let folder = Folder::new();
    let mut talker = Talker::start(dev(&folder, &[]));
    talker.line_after("stop ").await;

    let ended = talker.stop("KILL").await;

    assert!(!ended.success());
    eventually("the cluster is gone", || async { entries(&folder) == 0 }).await;
}

#[tokio::test]
async fn dev_refuses_wrong_arguments_all_at_once() {
    let ended = Ended::of(command(&["dev", "--every", "5", "--receive-listen", "here"])).await;

    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    let named: Vec<&str> =
        ended.complaints().iter().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    assert_eq!(named, ["receive_listen", "every"]);
}

#[tokio::test]
async fn dev_refuses_a_wrong_database_instead_of_running_its_own() {
    let folder = Folder::new();
    let mut dev = dev(&folder, &["--events", "1"]);
    dev.env("DATABASE_URL", "mysql://here/x");

    let ended = Ended::of(dev).await;

    assert_eq!(ended.code, Some(64), "{}", ended.stdout);
    assert!(ended.complaint().starts_with("database_url: "), "{}", ended.stderr);
}

/// `postrider dev` without a database, that finds a server's binaries and keeps its files in this folder.
fn dev(folder: &Folder, flags: &[&str]) -> tokio::process::Command {
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
fn entries(folder: &Folder) -> usize {
    std::fs::read_dir(folder.path()).unwrap().count()
}
