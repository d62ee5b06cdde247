//! The server that tests run on, and the databases that they make there.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{LazyLock, OnceLock};
use std::{mem, thread};

use tokio::runtime::Builder;

use super::cluster::Cluster;
use super::connection::connect;
use super::{variable, with_password};

/// The cluster that tests run on: given, or a private one that lives as long as this process.
pub(super) fn superuser_url() -> &'static str {
    static CLUSTER: OnceLock<(String, Option<Cluster>)> = OnceLock::new();
    let start = || {
        // Many tests at once, each with connections of its own; as in scripts/test.
        let cluster = Cluster::start(&[
            "fsync=off",
            "max_prepared_transactions=10",
            "max_connections=400",
            "jit=off",
            "full_page_writes=off",
        ]);
        (cluster.url.clone(), Some(cluster))
    };
    let given = || variable("POSTRIDER_TEST_DATABASE_URL").map(|url| (with_password(&url), None));
    &CLUSTER.get_or_init(|| given().unwrap_or_else(start)).0
}

pub(super) fn url_of(database: &str) -> String {
    let (server, _) = superuser_url().rsplit_once('/').expect("a URL with a database");
    format!("{server}/{database}")
}

/// A database that is dropped with this: a run of all tests makes two thousand, of 10 MB each.
pub(super) struct Made(pub(super) String);

pub(super) async fn create(options: &str) -> Made {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("postrider_test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let client = connect(superuser_url()).await;
    client.batch_execute(&format!("create database {name} {options}")).await.unwrap();
    Made(name)
}

impl Drop for Made {
    fn drop(&mut self) {
        static DROPPER: LazyLock<Sender<String>> = LazyLock::new(start_dropper);
        DROPPER.send(mem::take(&mut self.0)).expect("the dropper lives as long as this process");
    }
}

/// Drops databases, several in a row: each waits for a checkpoint, and the first one's writes for all of them.
fn start_dropper() -> Sender<String> {
    const AT_ONCE: usize = 16;
    let (sender, names) = mpsc::channel::<String>();
    let drop_all = async move {
        loop {
            let batch: Vec<String> = names.iter().take(AT_ONCE).collect();
            let server = connect(superuser_url()).await;
            for name in batch {
                // One that a prepared transaction or a slot holds stays.
                server.batch_execute(&format!("drop database if exists {name} with (force)")).await.ok();
            }
        }
    };
    thread::spawn(|| Builder::new_current_thread().enable_all().build().unwrap().block_on(drop_all));
    sender
}
