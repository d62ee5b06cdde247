//! Logs, to stderr: one line per lifecycle event, none per delivery at `info`.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;

use crate::rules::printable::{printable_json, printable_log};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Stderr, with foreign texts in a line escaped.
struct Log(LogFormat);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = match self.0 {
            LogFormat::Text => printable_log(&text),
            LogFormat::Json => printable_json(&text),
        };
        io::stderr().write_all(text.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Starts logging; a second call changes nothing.
pub(crate) fn start(filter: EnvFilter, format: LogFormat) {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || Log(format))
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
