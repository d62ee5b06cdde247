//! `postrider doctor`, `postrider config …` and `postrider completions` as typed.

use clap::{Args, Subcommand};
use clap_complete::Shell;

use super::{Run, Sourced};

/// `postrider doctor`
#[derive(Args, Debug)]
pub struct Doctor {
    /// Settings of run.
    #[command(flatten)]
    pub run: Run,
    /// Set sequences that lag behind their tables forward, never back; nothing else is changed
    #[arg(long)]
    pub mend: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `postrider config …`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show every setting that run would use, and its source; passwords are hidden
    #[command(after_help = "Example: postrider config show --config /etc/postrider.toml")]
    Show(Box<Sourced<ConfigShow>>),
}

/// `postrider config show`
#[derive(Args, Debug)]
pub struct ConfigShow {
    /// Settings of run.
    #[command(flatten)]
    pub run: Run,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `postrider completions`
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}
