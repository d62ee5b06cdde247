//! Logs, to stderr: one line per lifecycle event, none per delivery at `info`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging; a second call changes nothing.
pub fn start(filter: EnvFilter) {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber =
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).with_ansi(colour);
    drop(subscriber.with_target(false).try_init());
}
