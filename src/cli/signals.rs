//! Signals. The first SIGTERM or SIGINT asks to stop, the second means it.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT as they come, and SIGHUP if it was asked for.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// Takes the signals over from the default, which would end the process.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: None,
        })
    }

    /// The same, and SIGHUP too: the command has something to take away when its terminal is closed. Others leave SIGHUP alone,
    /// because `nohup` has it ignored.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn install_with_hangup() -> std::io::Result<Self> {
        Ok(Self { hangup: Some(signal(SignalKind::hangup())?), ..Self::install()? })
    }

    /// Waits for the next one and names it.
    ///
    /// # Cancel safety
    /// A signal is kept for the next call.
    pub(super) async fn next(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = hangup => "SIGHUP",
        }
    }
}
