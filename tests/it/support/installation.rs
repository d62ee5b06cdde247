//! A cluster of its own, from which a dump is taken, and into which one is restored.

use tokio::process::Command;

use super::{Cluster, Database, Folder, skip};

/// A database `postgres` that is empty at first.
pub(crate) struct Installation {
    pub(crate) cluster: Cluster,
    pub(crate) database: Database,
    folder: Folder,
}

impl Installation {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with these lines in its `postgresql.conf`.
    pub(crate) async fn start_with(settings: &[&str]) -> Self {
        let cluster = Cluster::start(&[&["fsync=off"], settings].concat());
        let database = Database::at(&cluster.url).await;
        Self { cluster, database, folder: Folder::new() }
    }

    /// Makes the three roles, which belong to a cluster.
    pub(crate) async fn create_roles(&self) {
        for role in ["postrider_producer", "postrider_reader", "postrider_dispatcher"] {
            self.database.execute(&format!("create role {role}")).await;
        }
    }

    /// Takes so many transaction ids.
    pub(crate) async fn burn(&self, count: u32) {
        self.database
            .execute(&format!(
                "do $$ begin for n in 1..{count} loop perform pg_current_xact_id(); commit; end loop; end $$"
            ))
            .await;
    }

    /// Dumps all of it, and restores that into another one.
    pub(crate) async fn dump_into(&self, target: &Self) {
        target.create_roles().await;
        self.dump(&[]).await;
        self.restore_into(target, &[]).await;
    }

    /// Dumps the schema; `flags` say how.
    pub(crate) async fn dump(&self, flags: &[&str]) {
        let file = format!("--file={}", self.file());
        let args = [&["--format=custom", "--schema=postrider", &file, &self.cluster.url], flags].concat();
        self.run("pg_dump", &args).await;
    }

    /// Restores the last dump into another one.
    pub(crate) async fn restore_into(&self, target: &Self, flags: &[&str]) {
        let into = format!("--dbname={}", target.cluster.url);
        self.run("pg_restore", &[&["--exit-on-error", &into, &self.file()], flags].concat()).await;
    }

    fn file(&self) -> String {
        self.folder.path().join("dump").to_str().unwrap().to_owned()
    }

    /// Whether this machine has programs that dump and restore a server of this version; if not, a test is skipped.
    pub(crate) async fn can_be_dumped(&self, test: &str) -> bool {
        let version: i32 =
            self.database.value("select current_setting('server_version_num')::int / 10000").await;
        for program in ["pg_dump", "pg_restore"] {
            let told = Command::new(self.find(program)).arg("--version").output().await;
            let told =
                told.map(|told| String::from_utf8_lossy(&told.stdout).into_owned()).unwrap_or_default();
            // As "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)".
            let major = told.split([' ', '.']).find_map(|word| word.parse::<i32>().ok()).unwrap_or_default();
            if major < version {
                skip(test, &format!("no {program} of PostgreSQL {version} here"));
                return false;
            }
        }
        true
    }

    /// Some keep a client's programs apart from the server's.
    fn find(&self, program: &str) -> String {
        let beside = format!("{}/{program}", self.cluster.bin);
        if std::path::Path::new(&beside).exists() { beside } else { program.to_owned() }
    }

    /// Runs a program of PostgreSQL.
    pub(crate) async fn run(&self, program: &str, args: &[&str]) {
        let ran = Command::new(self.find(program)).args(args).output().await.unwrap();
        assert!(ran.status.success(), "{program}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}
