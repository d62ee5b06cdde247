//! A database whose disk is full: nothing can be written for a while. On a small disk in memory, which only root may make.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::support::{
    Cluster, CommandOutput, Database, Dispatcher, Door, Folder, Server, Toxics, WatchedDispatcher, skip,
};

#[tokio::test]
async fn a_database_whose_disk_is_full_is_waited_for() {
    let Some(disk) = Disk::mount("160m").await else {
        skip("disk_full", "only root may mount a small disk");
        return;
    };
    let settings = ["fsync=off", "log_min_messages=fatal", "min_wal_size=32MB", "max_wal_size=48MB"];
    let server = Server::of(Cluster::start_in(disk.path(), &settings)).await;
    let mut watched = WatchedDispatcher::start(server.url(), &[]).await;
    watched.proxy.set(Toxics { door: Door::Reset, ..Toxics::default() });
    watched.proxy.reset();
    let database = Database::at(server.url()).await;
    for _ in 0..200 {
        watched.insert_by(&database).await;
    }
    let filler = disk.fill();
    let begun = watched.count();

    // No delivery fits any more.
    watched.proxy.heal();
    watched.dispatcher.logged("No space left on device").await;
    watched.assert_calm_trouble(&begun).await;
    std::fs::remove_file(filler).unwrap();
    let is_up = async || tokio_postgres::connect(server.url(), tokio_postgres::NoTls).await.is_ok();
    if !is_up().await {
        server.start_again().await;
    }

    watched.insert().await;
    watched.until_all_arrived().await;
    watched.until_ready().await;
    server.end();
}

#[tokio::test]
async fn a_start_on_a_full_disk_says_so_and_goes_on_when_there_is_room() {
    let Some(disk) = Disk::mount("160m").await else {
        skip("disk_full", "only root may mount a small disk");
        return;
    };
    let settings = ["fsync=off", "log_min_messages=fatal", "min_wal_size=32MB", "max_wal_size=48MB"];
    let server = Server::of(Cluster::start_in(disk.path(), &settings)).await;
    let filler = disk.fill();

    let migrated = CommandOutput::run(server.url(), &["migrate"]).await;
    let dispatcher = Dispatcher::spawn(server.url(), &["--lease", "4s", "--request-timeout", "2s"]);
    dispatcher.logged("waiting for the database, trying again in ").await;

    assert_eq!(migrated.code, Some(1));
    assert!(migrated.complaint().contains("No space left on device"), "{}", migrated.stderr);
    assert!(dispatcher.log().contains("No space left on device"), "{}", dispatcher.log());
    std::fs::remove_file(filler).unwrap();
    dispatcher.logged(" runs, schema version").await;
    server.end();
}

/// A small disk, unmounted when dropped.
struct Disk(Folder);

impl Disk {
    /// Of a size, as `160m`; none: that is not allowed.
    async fn mount(size: &str) -> Option<Self> {
        let folder = Folder::new();
        let options = format!("size={size},mode=755");
        let path = folder.path().to_str().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "postrider-test", path])
            .output()
            .await;
        mounted.is_ok_and(|mounted| mounted.status.success()).then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Until nothing fits any more. Returns the file that takes all the room.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = File::create(&path).unwrap();
        for piece in [&[7; 4096][..], &[7]] {
            while file.write_all(piece).is_ok() {}
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").args(["-l", self.path().to_str().unwrap()]).status());
    }
}
