//! A private PostgreSQL server that is stopped, killed and started again.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use crate::support::{Cluster, Database, eventually};

/// A running one; with its data, as long as this lives.
pub(crate) struct Server {
    cluster: Cluster,
    data: PathBuf,
    /// Faults of the server come one after the other.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

impl Server {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        let cluster = Cluster::start(&["fsync=off", "log_min_messages=fatal"]);
        let data: String = Database::at(&cluster.url).await.value("show data_directory").await;
        Self { cluster, data: data.into(), turn: tokio::sync::Mutex::default() }
    }

    /// The URL of its superuser.
    pub(crate) fn url(&self) -> &str {
        &self.cluster.url
    }

    /// Stops it: `fast` or `immediate`.
    pub(crate) async fn stop(&self, mode: &str) {
        self.pg_ctl(&["-m", mode, "-t", "30", "stop"]).await;
    }

    /// SIGKILL to the postmaster.
    pub(crate) async fn kill(&self) {
        let Ok(lines) = std::fs::read_to_string(self.data.join("postmaster.pid")) else { return };
        let pid = lines.lines().next().unwrap_or_default().trim().to_owned();
        Command::new("kill").args(["-KILL", &pid]).status().await.unwrap();
    }

    /// Starts it again.
    pub(crate) async fn start_again(&self) {
        let (_, port) = self.url().rsplit_once(':').unwrap();
        let (port, _) = port.split_once('/').unwrap();
        let port = format!("-p {port}");
        let log = self.data.join("../log");
        let args = ["-o", &port, "-l", log.to_str().unwrap(), "-t", "30", "start"];
        // What is left of a killed server stands in the way for a moment.
        eventually("the server starts again", || self.pg_ctl(&args)).await;
    }

    /// As the user who owns the data.
    async fn pg_ctl(&self, args: &[&str]) -> bool {
        let program = format!("{}/pg_ctl", self.cluster.bin);
        let owner = std::fs::metadata(&self.data).unwrap();
        let mut command = if std::fs::metadata("/proc/self").unwrap().uid() == owner.uid() {
            Command::new(program)
        } else {
            let (user, group) = (owner.uid().to_string(), owner.gid().to_string());
            let mut command = Command::new("setpriv");
            command.args(["--reuid", &user, "--regid", &group, "--clear-groups", "--", &program]);
            command
        };
        command.args(["-s", "-D", self.data.to_str().unwrap()]).args(args);
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().await.unwrap().success()
    }
}
