//! Private PostgreSQL clusters, each as long as this process lives.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{variable, with_password};

/// A running one.
pub(crate) struct Cluster {
    /// Its URL, as superuser; the password is in it.
    pub(crate) url: String,
    /// The same as `scripts/cluster` prints it: it names the file of the password.
    pub(crate) named: String,
    /// The folder of its programs.
    pub(crate) bin: String,
    /// Holds its stdin open: that closes when this process ends, and the cluster with it.
    guard: Child,
}

impl Cluster {
    /// Starts one with these lines in its `postgresql.conf`.
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::start_in(&std::env::temp_dir(), settings)
    }

    /// The same, in a folder that the user who runs PostgreSQL may enter.
    pub(crate) fn start_in(folder: &Path, settings: &[&str]) -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let mut find = Command::new(format!("{root}/scripts/postgres"));
        if let Some(major) = variable("POSTRIDER_TEST_PG") {
            find.args(["--major", &major]);
        }
        let found = find.output().expect("scripts/postgres runs");
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        let bin = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        let mut guard = Command::new("sh")
            .arg(format!("{root}/scripts/cluster"))
            .arg(&bin)
            .args(settings)
            .env("TMPDIR", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh runs");
        let mut url = String::new();
        let mut lines = BufReader::new(guard.stdout.take().unwrap());
        lines.read_line(&mut url).expect("scripts/cluster prints a URL");
        assert!(!url.is_empty(), "no cluster, see above");
        Self { url: with_password(url.trim()), named: url.trim().to_owned(), bin, guard }
    }
}

impl Cluster {
    /// Ends it and waits until nothing is left.
    pub(crate) fn end(mut self) {
        drop(self.guard.stdin.take());
        self.guard.wait().unwrap();
    }
}
