//! `postrider adopt` as typed.

use clap::Args;

/// `postrider adopt`
#[derive(Args, Debug)]
pub struct Adopt {
    /// copy: cancel what waits, pause every endpoint, give new webhook-ids; original: go on as before the move
    #[arg(long = "as", value_name = "copy|original", required_unless_present = "expect_move")]
    pub kind: Option<String>,
    /// Name of the installation from now on; its dispatchers need the same [default: none for a copy, unchanged for the original]
    #[arg(long, env = "POSTRIDER_INSTALLATION", value_name = "NAME")]
    pub installation: Option<String>,
    /// Say beforehand that the database will move within this time, 0s to 7days; 0s takes it back
    #[arg(long, value_name = "DURATION", conflicts_with = "kind")]
    pub expect_move: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
