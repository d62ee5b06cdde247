//! Questions to a person at the terminal.

use std::io::{BufRead, IsTerminal};

use super::output;

/// Whether somebody is there to be asked: stdin is a terminal.
pub(super) fn can_be_asked() -> bool {
    std::io::stdin().is_terminal()
}

/// Asks a question, and waits for the answer. Everything but yes is no.
///
/// # Errors
/// When the terminal cannot be read or written.
pub(super) fn is_confirmed(question: &str) -> std::io::Result<bool> {
    output::aside(&format!("{question} [y/N] "))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
