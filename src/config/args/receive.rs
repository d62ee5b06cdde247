//! Commands for one machine: a receiver to try with, and a playground.

use clap::Args;

/// `postrider receive`
#[derive(Args, Debug)]
pub struct Receive {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:9000", env = "POSTRIDER_LISTEN", value_name = "ADDRESS")]
    pub listen: String,
    /// Signing secret to verify requests with; a wrong signature is answered with 401
    #[arg(long, env = "POSTRIDER_SECRET", hide_env_values = true, value_name = "whsec_...")]
    pub secret: Option<String>,
    /// Answer with this status
    #[arg(long, default_value = "200", value_name = "CODE")]
    pub status: String,
    /// Share of requests answered with 500, from 0 to 1
    #[arg(long, default_value = "0", value_name = "PART")]
    pub fail_rate: String,
    /// Wait this long before each answer
    #[arg(long, default_value = "0s", value_name = "DURATION")]
    pub delay: String,
    /// Print one JSON object per request
    #[arg(long)]
    pub json: bool,
}

/// `postrider dev`
#[derive(Args, Debug)]
pub struct Dev {
    /// Address of the receiver
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub receive_listen: String,
    /// Insert a sample event this often
    #[arg(long, default_value = "5s", value_name = "DURATION")]
    pub every: String,
    /// Stop after this many sample events were delivered
    #[arg(long, value_name = "N")]
    pub events: Option<u32>,
    /// Do not ask before using a database, named by --database-url, that has endpoints or events
    #[arg(long)]
    pub yes: bool,
}
