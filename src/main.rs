//! The binary: parses the arguments, runs a command, and turns its result into an exit code (0, 1 or 64).

use std::borrow::Cow;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use postrider::cli::{self, Failure};
use postrider::config::args::Cli;
use postrider::rules::printable::printable_lines;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(fault) => {
            let is_help = !fault.use_stderr();
            let text = fault.render().to_string();
            // A closed pipe is no reason to fail.
            drop(match printable_lines(&text) {
                Cow::Borrowed(_) => fault.print(),
                // It quotes what was typed, and perhaps pasted.
                Cow::Owned(text) => write!(std::io::stderr(), "{text}"),
            });
            return if is_help { ExitCode::SUCCESS } else { ExitCode::from(EXIT_USAGE) };
        }
    };
    match cli::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => report(&text, EXIT_USAGE),
        Err(Failure::Failed(text)) => report(&text, EXIT_FAILED),
    }
}

/// The one place where a command's failure is reported.
fn report(text: &str, code: u8) -> ExitCode {
    for line in printable_lines(text).lines() {
        // The exit code says it too, where nobody reads this.
        drop(writeln!(std::io::stderr(), "postrider: {line}"));
    }
    ExitCode::from(code)
}
