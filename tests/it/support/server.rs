//! A private PostgreSQL server that is stopped, killed, frozen and started again.

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Stdio;

use postrider::store::{DatabaseUrl, Environment, migrate};
use tokio::process::Command;

use super::{Cluster, Database, eventually, password, send_signal};

/// A running one; with its data, as long as this lives.
pub(crate) struct Server {
    url: String,
    bin: String,
    data: PathBuf,
    /// None: a standby, in the folder of its primary.
    cluster: Option<Cluster>,
    /// Faults of the server come one after the other.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

impl Server {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with these lines in its `postgresql.conf`.
    pub(crate) async fn start_with(settings: &[&str]) -> Self {
        let usual = ["fsync=off", "log_min_messages=fatal"];
        Self::of(Cluster::start(&[&usual, settings].concat())).await
    }

    /// A cluster that runs.
    pub(crate) async fn of(cluster: Cluster) -> Self {
        let data: String = Database::at(&cluster.url).await.value("show data_directory").await;
        let (url, bin) = (cluster.url.clone(), cluster.bin.clone());
        Self { url, bin, data: data.into(), cluster: Some(cluster), turn: tokio::sync::Mutex::default() }
    }

    /// A running standby of this one, which may not live longer. This one is stopped for the copy.
    pub(crate) async fn standby(&self) -> Self {
        let (_, port) = self.url.rsplit_once(':').unwrap();
        let primary = format!(
            "primary_conninfo = 'host=127.0.0.1 port={} user=postgres password={}'",
            port.split_once('/').unwrap().0,
            password(&self.url).unwrap()
        );
        let standby = self.beside("standby");
        self.stop("fast").await;
        let (from, to) = (self.data.to_str().unwrap(), standby.data.to_str().unwrap());
        // A primary that crashes keeps what the standby has not got yet.
        let append = format!("echo \"wal_keep_size = '512MB'\" >> {from}/postgresql.auto.conf");
        assert!(self.as_owner("sh", &["-c", &append]).await);
        assert!(self.as_owner("cp", &["-a", from, to]).await);
        let append = format!("echo \"{primary}\" >> {to}/postgresql.auto.conf");
        assert!(self.as_owner("sh", &["-c", &append]).await);
        standby.become_standby().await;
        self.start_again().await;
        standby.start_again().await;
        standby
    }

    /// A copy of its files, which runs beside it, as a snapshot or a branch of it does. This one is stopped for the copy.
    pub(crate) async fn physical_copy(&self) -> Self {
        let copy = self.beside("copy");
        self.stop("fast").await;
        let (from, to) = (self.data.to_str().unwrap(), copy.data.to_str().unwrap());
        assert!(self.as_owner("cp", &["-a", from, to]).await);
        self.start_again().await;
        copy.start_again().await;
        copy
    }

    /// Another server in the folder of this one, which may not live longer.
    fn beside(&self, folder: &str) -> Self {
        let (place, _) = self.url.rsplit_once(':').unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self {
            url: format!("{place}:{port}/postgres"),
            bin: self.bin.clone(),
            data: self.data.with_file_name(folder),
            cluster: None,
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Its database, migrated.
    pub(crate) async fn database(&self) -> Database {
        migrate(&DatabaseUrl::parse(&self.url, &Environment::default()).unwrap()).await.unwrap();
        Database::at(&self.url).await
    }

    /// The URL of its superuser.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Ends it for good, with its data.
    pub(crate) fn end(mut self) {
        if let Some(cluster) = self.cluster.take() {
            cluster.end();
        }
    }

    /// Stops it: `fast` or `immediate`.
    pub(crate) async fn stop(&self, mode: &str) {
        self.pg_ctl(&["-m", mode, "-t", "30", "stop"]).await;
    }

    /// SIGKILL to the postmaster.
    pub(crate) async fn kill(&self) {
        self.signal("KILL").await;
    }

    /// A signal to the postmaster, as `STOP`.
    pub(crate) async fn signal(&self, name: &str) {
        let Some(pid) = self.pid() else { return };
        send_signal(pid, name).await;
    }

    /// The postmaster's; none: it is stopped.
    fn pid(&self) -> Option<String> {
        let lines = std::fs::read_to_string(self.data.join("postmaster.pid")).ok()?;
        Some(lines.lines().next()?.trim().to_owned())
    }

    /// Starts it again.
    pub(crate) async fn start_again(&self) {
        let (_, port) = self.url().rsplit_once(':').unwrap();
        let (port, _) = port.split_once('/').unwrap();
        let port = format!("-p {port}");
        let log = self.data.with_extension("log");
        let args = ["-o", &port, "-l", log.to_str().unwrap(), "-t", "30", "start"];
        // What is left of a killed server stands in the way for a moment.
        eventually("the server starts again", || self.pg_ctl(&args)).await;
    }

    /// The next start is as a hot standby.
    pub(crate) async fn become_standby(&self) {
        assert!(self.as_owner("touch", &[self.data.join("standby.signal").to_str().unwrap()]).await);
    }

    /// Ends the time as a standby.
    pub(crate) async fn promote(&self) {
        assert!(self.pg_ctl(&["-t", "30", "promote"]).await);
    }

    async fn pg_ctl(&self, args: &[&str]) -> bool {
        let args = [&["-s", "-D", self.data.to_str().unwrap()], args].concat();
        self.as_owner(&format!("{}/pg_ctl", self.bin), &args).await
    }

    async fn as_owner(&self, program: &str, args: &[&str]) -> bool {
        let owner = std::fs::metadata(self.data.parent().unwrap()).unwrap();
        let mut command = if std::fs::metadata("/proc/self").unwrap().uid() == owner.uid() {
            Command::new(program)
        } else {
            let (user, group) = (owner.uid().to_string(), owner.gid().to_string());
            let mut command = Command::new("setpriv");
            command.args(["--reuid", &user, "--regid", &group, "--clear-groups", "--", program]);
            command
        };
        command.args(args).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().await.unwrap().success()
    }
}

impl Drop for Server {
    /// A cluster ends by itself.
    fn drop(&mut self) {
        if self.cluster.is_none()
            && let Some(pid) = self.pid()
        {
            // It may have ended before.
            drop(std::process::Command::new("kill").args(["-QUIT", &pid]).status());
        }
    }
}
