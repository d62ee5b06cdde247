//! Signals. The first SIGTERM or SIGINT asks to stop, the second means it.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT as they come.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over from the default, which would end the process.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn install() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one and names it.
    ///
    /// # Cancel safety
    /// A signal is kept for the next call.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
