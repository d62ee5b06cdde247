//! `postrider status`: the same rows that SQL users see.

use std::time::Duration;

use serde_json::{Value, json};

use super::ago::Now;
use super::output::Painted;
use super::{Failure, endpoint, open, output};
use crate::cli::signals::Signals;
use crate::config::Settings;
use crate::config::args;
use crate::model::endpoint::EndpointHealth;
use crate::store::{
    BLOCKED_ENDPOINTS_MAX, BacklogRow, BlockedEndpointRow, DispatcherRow, DispatcherState, EndpointCounts,
    EndpointRow, InstallationRow, Store,
};

const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// Prints backlog, endpoints and dispatchers, once or again and again.
pub(super) async fn run(
    settings: Settings,
    url: Option<String>,
    typed: &args::StatusArgs,
) -> Result<(), Failure> {
    let (store, _) = open(settings, url)?;
    if typed.watch {
        return watch(&store, typed.json).await;
    }
    let now = read(&store).await?;
    if typed.json { Ok(output::json(&as_json(&now))?) } else { Ok(output::paint(&tables(&now)).map(drop)?) }
}

/// Until a signal comes, or nobody reads any more.
async fn watch(store: &Store, json: bool) -> Result<(), Failure> {
    let mut signals = Signals::install()?;
    let screen = Screen::take(!json)?;
    loop {
        let now = tokio::select! {
            now = read(store) => now?,
            _ = signals.next() => return Ok(()),
        };
        let is_read = if json { output::json_line(&as_json(&now))? } else { screen.show(&tables(&now))? };
        if !is_read {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
            _ = signals.next() => return Ok(()),
        }
    }
}

/// The terminal's second screen, if there is a terminal: the first is as it was when this is dropped.
struct Screen {
    is_taken: bool,
}

impl Screen {
    fn take(is_for_people: bool) -> std::io::Result<Self> {
        let is_taken = is_for_people && output::is_watched();
        if is_taken {
            output::escape("\x1b[?1049h\x1b[?25l")?;
        }
        Ok(Self { is_taken })
    }

    fn show(&self, tables: &[Painted]) -> std::io::Result<bool> {
        if self.is_taken {
            output::escape("\x1b[H\x1b[2J")?;
        }
        let is_read = output::paint(tables)?;
        output::line("")?;
        Ok(is_read)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.is_taken {
            // Nowhere to report that the terminal is gone.
            drop(output::escape("\x1b[?25h\x1b[?1049l"));
        }
    }
}

/// Everything that is shown.
struct Picture {
    backlog: BacklogRow,
    counts: EndpointCounts,
    /// Endpoints in trouble come first.
    endpoints: Vec<EndpointRow>,
    blocked: Vec<BlockedEndpointRow>,
    dispatchers: Vec<DispatcherRow>,
    installation: Option<InstallationRow>,
    now: Now,
}

async fn read(store: &Store) -> Result<Picture, Failure> {
    Ok(Picture {
        backlog: store.read_backlog().await?,
        counts: store.count_endpoints().await?,
        endpoints: store.list_endpoints_by_trouble(endpoint::ENDPOINTS_MAX).await?,
        blocked: store.list_blocked_endpoints(BLOCKED_ENDPOINTS_MAX).await?,
        dispatchers: store.read_dispatchers().await?,
        installation: store.read_installation().await?,
        now: Now::read(store).await?,
    })
}

fn as_json(picture: &Picture) -> Value {
    let Picture { backlog, counts, endpoints, blocked, dispatchers, installation, now: _ } = picture;
    json!({
        "backlog": backlog,
        "endpoint_counts": counts,
        "endpoints": endpoints,
        "blocked_keys": blocked,
        "dispatchers": dispatchers,
        "installation": installation,
    })
}

fn tables(picture: &Picture) -> Vec<Painted> {
    let Picture { backlog, counts, endpoints, blocked, dispatchers, installation, now } = picture;
    let backlog = output::rows(
        [
            "UNROUTED",
            "PENDING",
            "IN PROGRESS",
            "FAILED",
            "OLDEST UNROUTED",
            "OLDEST DUE",
            "REACHED NOBODY 24H",
        ],
        [[
            backlog.unrouted.to_string(),
            backlog.pending.to_string(),
            backlog.in_progress.to_string(),
            backlog.failed.to_string(),
            now.relative(backlog.oldest_unrouted_at.as_ref()),
            now.relative(backlog.oldest_due_at.as_ref()),
            reached_nobody(backlog),
        ]],
    );
    let counts = output::rows(
        ["HEALTHY", "FAILING", "DOWN", "PAUSED", "DISABLED"],
        [EndpointHealth::ALL.map(|health| counts.of(health).to_string())],
    );
    let endpoints = output::rows(endpoint::HEADINGS, endpoints.iter().map(|row| endpoint::summary(row, now)));
    let dispatchers = output::rows(
        ["DISPATCHER", "HOST", "VERSION", "STATE", "LAST SEEN", "WAKE", "STARTED"],
        dispatchers.iter().map(|row| dispatcher(row, now)),
    );
    let blocked = (!blocked.is_empty()).then(|| blocked_keys(blocked, now));
    // Only while nothing is sent: then it explains all the rest.
    let waits = installation.as_ref().and_then(|installation| installation.waits_because.clone());
    let waits = waits.map(|why| output::rows(["NOTHING IS SENT"], [[format!("{why} (postrider adopt)")]]));
    waits.into_iter().chain([backlog, counts, endpoints]).chain(blocked).chain([dispatchers]).collect()
}

fn blocked_keys(rows: &[BlockedEndpointRow], now: &Now) -> Painted {
    let headings = ["BLOCKED KEYS", "GIVEN UP", "ENDPOINT", "LONGEST BLOCKED", "SINCE", "DELIVERY", "ERROR"];
    let row = |row: &BlockedEndpointRow| {
        [
            row.keys.to_string(),
            row.failed.to_string(),
            row.endpoint_id.clone(),
            row.key.clone(),
            now.relative(Some(&row.since)),
            row.delivery_id.to_string(),
            output::or_dash(row.last_error.as_ref()),
        ]
    };
    output::rows(headings, rows.iter().map(row))
}

/// The number of events that no endpoint got, and how many of them named an endpoint that does not exist.
fn reached_nobody(backlog: &BacklogRow) -> String {
    let BacklogRow { unmatched_24h, unknown_destination_24h, .. } = backlog;
    let all = (unmatched_24h + unknown_destination_24h).to_string();
    match unknown_destination_24h {
        0 => all,
        some => format!("{all} ({some} unknown destination)"),
    }
}

fn dispatcher(row: &DispatcherRow, now: &Now) -> [String; 7] {
    let state = match row.state {
        DispatcherState::Live if row.is_leader => "leads".to_owned(),
        DispatcherState::Live => "runs".to_owned(),
        state @ (DispatcherState::Silent | DispatcherState::Gone) => state.to_string(),
    };
    let wake = match &row.wake_reason {
        Some(why) => format!("{}: {why}", row.wake_mode),
        None => row.wake_mode.to_string(),
    };
    [
        row.id.to_string(),
        row.host.clone(),
        row.version.clone(),
        state,
        now.relative(Some(&row.last_seen_at)),
        wake,
        now.relative(Some(&row.started_at)),
    ]
}
