//! A command that goes on until it is stopped, and says things meanwhile.

use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::DEADLINE;

/// Killed when dropped.
pub(crate) struct Talker {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Talker {
    /// Starts it.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, stdout }
    }

    /// The next line that it prints.
    pub(crate) async fn line(&mut self) -> String {
        let line = timeout(DEADLINE, self.stdout.next_line()).await.expect("it prints a line");
        line.unwrap().expect("it has not ended")
    }

    /// Waits for a line that begins so, and returns the rest of it.
    pub(crate) async fn line_after(&mut self, beginning: &str) -> String {
        loop {
            if let Some(rest) = self.line().await.strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }

    /// Sends a signal, as `TERM`, and waits for its end.
    pub(crate) async fn stop(mut self, signal: &str) -> ExitStatus {
        let pid = self.child.id().expect("still running").to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &pid]).status().await;
        assert!(sent.unwrap().success());
        timeout(DEADLINE, self.child.wait()).await.expect("it ends").unwrap()
    }
}
