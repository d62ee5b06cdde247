//! `postrider delivery …`, `postrider event …` and `postrider replay` as typed.

use clap::{Args, Subcommand};

/// `postrider delivery …`
#[derive(Debug, Subcommand)]
pub enum Delivery {
    /// List deliveries, the newest first
    #[command(after_help = "Example: postrider delivery list --endpoint orders --status failed --limit 20")]
    List(DeliveryList),
    /// Show one delivery and its attempts
    #[command(after_help = "Example: postrider delivery show 42")]
    Show(DeliveryShow),
    /// Make failed or waiting deliveries due at once
    #[command(
        after_help = "A failed delivery has its whole retry schedule before it again. Goes on after one that cannot be retried, \
        and exits 1 in the end.\n\n\
        Example: postrider delivery retry 42 43\n\
        Example: postrider delivery retry --endpoint orders --since 2h"
    )]
    Retry(DeliveryRetry),
}

/// `postrider delivery list`
#[derive(Args, Debug)]
pub struct DeliveryList {
    /// Of this endpoint
    #[arg(long, value_name = "ID")]
    pub endpoint: Option<String>,
    /// With this status: pending, `in_progress`, complete or failed
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// Of events with this topic
    #[arg(long)]
    pub topic: Option<String>,
    /// Of this event
    #[arg(long, value_name = "ID")]
    pub event: Option<String>,
    /// At most so many, 1 to 10000
    #[arg(long, default_value = "50", value_name = "N")]
    pub limit: String,
    /// Older than this delivery: the `next_before` of the page before
    #[arg(long, value_name = "ID")]
    pub before: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `postrider delivery show`
#[derive(Args, Debug)]
pub struct DeliveryShow {
    /// The delivery
    pub id: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `postrider delivery retry`
#[derive(Args, Debug)]
pub struct DeliveryRetry {
    /// The deliveries
    #[arg(value_name = "ID", required_unless_present = "endpoint", conflicts_with = "endpoint")]
    pub ids: Vec<String>,
    /// All that were given up for this endpoint, except cancelled ones
    #[arg(long, value_name = "ID")]
    pub endpoint: Option<String>,
    /// Only those given up since then: so long ago, as 1h, or an RFC 3339 time
    #[arg(long, requires = "endpoint", conflicts_with = "ids", value_name = "TIME")]
    pub since: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `postrider event …`
#[derive(Debug, Subcommand)]
pub enum EventArgs {
    /// Show one event and its deliveries
    #[command(after_help = "Example: postrider event show 42 --json")]
    Show(EventIdArgs),
    /// Give up what waits; what is under way is not retried, what was delivered stays
    #[command(after_help = "Example: postrider event cancel 42")]
    Cancel(EventIdArgs),
}

/// An event.
#[derive(Args, Debug)]
pub struct EventIdArgs {
    /// The event
    pub id: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `postrider replay`
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// The endpoint
    pub endpoint: String,
    /// Events inserted then or later: so long ago, as 1h, or an RFC 3339 time, as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since: String,
    /// Events inserted before then, in the same form [default: now]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Patterns, comma separated [default: those of the endpoint]
    #[arg(long, value_delimiter = ',', value_name = "PATTERNS")]
    pub topics: Option<Vec<String>>,
    /// Events with a higher id than this: goes on after an interruption
    #[arg(long, value_name = "EVENT")]
    pub after: Option<String>,
    /// Count only
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
