//! Commands as people run them: to their end, with an exit code and texts.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::secrets::assert_no_secret;
use super::{Canaries, DEADLINE, command};

/// What a command came to.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    /// Exit code; none: killed by a signal.
    pub(crate) code: Option<i32>,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it complained of and logged.
    pub(crate) stderr: String,
}

impl CommandOutput {
    /// Runs a command to its end.
    pub(crate) async fn of(command: Command) -> Self {
        Self::with_input(command, b"").await
    }

    /// Runs a command to its end; it finds `input` on its stdin. It must show no secret.
    pub(crate) async fn with_input(mut command: Command, input: &[u8]) -> Self {
        // It is what these are for: the secret of a new endpoint, and the one that it has from now on.
        let shows_a_secret_once =
            command.as_std().get_args().any(|arg| arg == "put" || arg == "rotate-secret");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let output = async {
            // It need not read to the end.
            drop(stdin.write_all(input).await);
            drop(stdin);
            child.wait_with_output().await.unwrap()
        };
        let output = timeout(DEADLINE, output).await.expect("the command ends");
        let output = Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert_no_secret("stderr", &output.stderr);
        if !shows_a_secret_once {
            assert_no_secret("stdout", &output.stdout);
        }
        Canaries::get().assert_untouched();
        output
    }

    /// Runs `postrider` with these arguments against a database.
    pub(crate) async fn run(database_url: &str, args: &[&str]) -> Self {
        let mut command = command(args);
        command.env("DATABASE_URL", database_url);
        Self::of(command).await
    }

    /// The lines that say why it failed, without what it logged before.
    pub(crate) fn complaints(&self) -> Vec<&str> {
        self.stderr.lines().filter_map(|line| line.strip_prefix("postrider: ")).collect()
    }

    /// The one line that says why it failed.
    pub(crate) fn complaint(&self) -> &str {
        match self.complaints().as_slice() {
            [line] => line,
            lines => panic!("{} lines: {self:#?}", lines.len()),
        }
    }

    /// What it printed, as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|fault| panic!("{fault}: {self:#?}"))
    }
}
