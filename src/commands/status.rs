//! `postrider status`: the same rows that SQL users see.

use std::time::Duration;

use super::{Failure, endpoint, open, output};
use crate::cli;
use crate::config::Settings;
use crate::store::{BacklogRow, DispatcherRow, EndpointRow, Store};

const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// Prints backlog, endpoints and dispatchers, once or again and again.
pub(super) async fn run(settings: Settings, url: Option<String>, typed: &cli::Status) -> Result<(), Failure> {
    let (store, _) = open(settings, url)?;
    loop {
        let (backlog, endpoints, dispatchers) = read(&store).await?;
        if typed.json {
            let all =
                serde_json::json!({ "backlog": backlog, "endpoints": endpoints, "dispatchers": dispatchers });
            return Ok(output::json(&all)?);
        }
        if typed.watch {
            output::line("\x1b[H\x1b[2J")?;
        }
        print(&backlog, &endpoints, &dispatchers)?;
        if !typed.watch {
            return Ok(());
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

async fn read(store: &Store) -> Result<(BacklogRow, Vec<EndpointRow>, Vec<DispatcherRow>), Failure> {
    Ok((
        store.read_backlog().await?,
        store.list_endpoints(None, endpoint::ENDPOINTS_MAX).await?,
        store.read_dispatchers().await?,
    ))
}

fn print(
    backlog: &BacklogRow,
    endpoints: &[EndpointRow],
    dispatchers: &[DispatcherRow],
) -> std::io::Result<()> {
    let since = |at: &Option<String>| at.clone().unwrap_or_else(|| "-".to_owned());
    output::table(
        ["UNROUTED", "PENDING", "IN PROGRESS", "FAILED", "OLDEST UNROUTED", "OLDEST DUE"],
        [[
            backlog.unrouted.to_string(),
            backlog.pending.to_string(),
            backlog.in_progress.to_string(),
            backlog.failed.to_string(),
            since(&backlog.oldest_unrouted_at),
            since(&backlog.oldest_due_at),
        ]],
    )?;
    output::line("")?;
    output::table(endpoint::HEADINGS, endpoints.iter().map(endpoint::summary))?;
    output::line("")?;
    output::table(
        ["DISPATCHER", "HOST", "VERSION", "STATE", "WAKE", "STARTED"],
        dispatchers.iter().map(|d| {
            let state = match (d.is_live, d.is_leader) {
                (false, _) => "dead",
                (true, true) => "leads",
                (true, false) => "runs",
            };
            let wake =
                d.wake_reason.as_ref().map_or(d.wake_mode.clone(), |why| format!("{}: {why}", d.wake_mode));
            [
                d.id.to_string(),
                d.host.clone(),
                d.version.clone(),
                state.to_owned(),
                wake,
                d.started_at.clone(),
            ]
        }),
    )
}
