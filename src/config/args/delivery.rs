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
        after_help = "A failed delivery starts its retry schedule anew. At an ordered endpoint, one that holds up its key goes first again, and one \
        whose key went on without it goes to the end of the key. A delivery that cannot be retried does not stop the others; \
        the exit code is then 1.\n\n\
        Example: postrider delivery retry 42 43\n\
        Example: postrider delivery retry --endpoint orders --since 2h"
    )]
    Retry(DeliveryRetry),
    /// Give up deliveries that wait, or that failed and hold up their key
    #[command(
        after_help = "The deliveries of the same key that wait behind go on. A delivery that cannot be skipped does not stop the others; \
        the exit code is then 1.\n\n\
        Example: postrider delivery skip 42 --reason 'the order was deleted'"
    )]
    Skip(DeliverySkip),
}

/// `postrider delivery list`
#[derive(Args, Debug)]
pub struct DeliveryList {
    /// Only deliveries to this endpoint
    #[arg(long, value_name = "ID")]
    pub endpoint: Option<String>,
    /// Only deliveries with this status: pending, `in_progress`, complete or failed
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// Only deliveries of events with this topic
    #[arg(long)]
    pub topic: Option<String>,
    /// Only deliveries of this event
    #[arg(long, value_name = "ID")]
    pub event: Option<String>,
    /// Rows at most, 1 to 10000
    #[arg(long, default_value = "50", value_name = "N")]
    pub limit: String,
    /// Only deliveries older than this one: the `next_before` of the page before
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
    /// All failed deliveries of this endpoint, except cancelled ones
    #[arg(long, value_name = "ID")]
    pub endpoint: Option<String>,
    /// Only those that failed since this time: an age (1h = one hour ago) or an RFC 3339 time
    #[arg(long, requires = "endpoint", conflicts_with = "ids", value_name = "TIME")]
    pub since: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `postrider delivery skip`
#[derive(Args, Debug)]
pub struct DeliverySkip {
    /// The deliveries
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
    /// Why; kept as the error of the delivery
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
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
    /// Give up the deliveries that wait; a delivery under way is not retried, a settled one stays
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
    /// Events inserted at this time or later: an age (1h = one hour ago) or an RFC 3339 time (2026-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME")]
    pub since: String,
    /// Events inserted before this time, in the same form [default: now]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Patterns, comma separated [default: those of the endpoint]
    #[arg(long, value_delimiter = ',', value_name = "PATTERNS")]
    pub topics: Option<Vec<String>>,
    /// Only events with a higher id: continues after an interruption
    #[arg(long, value_name = "EVENT")]
    pub after: Option<String>,
    /// Count only
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
