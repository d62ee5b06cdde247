//! A command that goes on until it is stopped, and says things meanwhile.

use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{CommandOutput, DEADLINE, send_signal};

/// Killed when dropped.
pub(crate) struct RunningCommand {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: JoinHandle<String>,
}

impl RunningCommand {
    /// Starts it.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        // Read all the while: it must not wait for us to hear its log.
        #[expect(clippy::disallowed_methods, reason = "ends with the process it reads from")]
        let stderr = tokio::spawn(read_all(child.stderr.take().unwrap()));
        Self { child, stdout, stderr }
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

    /// Sends a signal, as `TERM`.
    pub(crate) async fn signal(&self, signal: &str) {
        assert!(send_signal(self.child.id().expect("still running"), signal).await);
    }

    /// Sends a signal, as `TERM`, and waits for its end.
    pub(crate) async fn stop(mut self, signal: &str) -> ExitStatus {
        self.signal(signal).await;
        timeout(DEADLINE, self.child.wait()).await.expect("it ends").unwrap()
    }

    /// Waits for its end, and returns what it printed since the last line that was asked for.
    pub(crate) async fn ended(mut self) -> CommandOutput {
        let output = async {
            let stdout = read_all(self.stdout.into_inner()).await;
            let stderr = self.stderr.await.unwrap();
            CommandOutput { code: self.child.wait().await.unwrap().code(), stdout, stderr }
        };
        timeout(DEADLINE, output).await.expect("it ends")
    }
}

async fn read_all(mut pipe: impl AsyncRead + Unpin) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).await.unwrap();
    text
}
