//! A private PostgreSQL cluster for as long as this process lives. `scripts/cluster` guards it. It takes the cluster down when its
//! stdin closes, however this process ends.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use url::Url;

use super::token;
use crate::cli::Failure;

const GUARD: &str = include_str!("../../../scripts/cluster");
const START_DEADLINE: Duration = Duration::from_secs(90);

/// A running cluster.
pub(super) struct Cluster {
    guard: Child,
    url: String,
}

impl Cluster {
    /// Finds a PostgreSQL server's binaries and starts a cluster with them.
    pub(super) async fn start() -> Result<Self, Failure> {
        let Some(binaries) = find_binaries() else {
            return Err(Failure::Failed(
                "no database given and no PostgreSQL server found (PATH, pg_config, the usual folders): \
                 install PostgreSQL 14 or newer, or give --database-url"
                    .to_owned(),
            ));
        };
        let mut command = Command::new("sh");
        // Variables of libpq would lead its programs elsewhere, or set them up otherwise.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        let mut guard = command
            .args(["-c", GUARD, "cluster"])
            .arg(&binaries)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0) // A Ctrl-C is for us; the guard ends after us.
            .spawn()?;
        let stdout =
            guard.stdout.take().ok_or_else(|| std::io::Error::other("no pipe to the cluster's guard"))?;
        let mut lines = BufReader::new(stdout).lines();
        let first = tokio::time::timeout(START_DEADLINE, lines.next_line()).await;
        match first {
            Ok(Ok(Some(url))) => Ok(Self { guard, url }),
            _ => {
                Err(Failure::Failed(format!("PostgreSQL in {} did not start, see above", binaries.display())))
            }
        }
    }

    /// The superuser's URL. It names the file of the password, so it may be shown.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// A file with a new token for the API. No other user of this machine may read it. It goes with the cluster.
    pub(super) fn write_token(&self) -> Result<String, Failure> {
        let url = Url::parse(&self.url).map_err(anyhow::Error::from)?;
        let passfile = url.query_pairs().find(|(name, _)| name == "passfile").map(|(_, path)| path);
        let path = Path::new(passfile.as_deref().unwrap_or_default()).with_file_name("api-token");
        token::write_token(&path)?;
        Ok(path.display().to_string())
    }

    /// Takes the cluster down and waits for that.
    pub(super) async fn stop(mut self) {
        drop(self.guard.stdin.take());
        drop(self.guard.wait().await); // The guard has said what went wrong.
    }
}

/// The folder of initdb and postgres: on PATH, by `pg_config`, or in the usual places, the newest first.
fn find_binaries() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let config = std::process::Command::new("pg_config").arg("--bindir").stderr(Stdio::null()).output().ok();
    let by_config = config.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let usual = (14..=18).rev().flat_map(|major| {
        [
            format!("/usr/lib/postgresql/{major}/bin"),
            format!("/usr/libexec/postgresql{major}"),
            format!("/usr/pgsql-{major}/bin"),
            format!("/opt/homebrew/opt/postgresql@{major}/bin"),
            format!("/usr/local/opt/postgresql@{major}/bin"),
            format!("/Applications/Postgres.app/Contents/Versions/{major}/bin"),
        ]
    });
    let candidates = on_path.into_iter().chain(by_config).chain(usual.map(PathBuf::from));
    candidates.chain([PathBuf::from("/usr/local/pgsql/bin")]).find(|folder| holds_server(folder))
}

fn holds_server(folder: &Path) -> bool {
    ["initdb", "postgres", "pg_ctl"].iter().all(|program| folder.join(program).is_file())
}
