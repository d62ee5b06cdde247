//! Logs, to stderr: one line per lifecycle event, none per delivery at `info`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging; a second call changes nothing.
pub fn start(filter: EnvFilter, format: LogFormat) {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .with_target(false)
        // It would say that nobody reads stderr to stderr, and panic because nobody does.
        .log_internal_errors(false);
    drop(match format {
        LogFormat::Text => subscriber.with_ansi(colour).try_init(),
        // The fields stand beside the message, not below it.
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    });
}
