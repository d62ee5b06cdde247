//! `dev` on a database that was named on the command line. It may be an application's, so `dev` touches nothing there but its
//! own endpoint and the events for it, and takes both away at the end. What a killed run left, the next one takes away.

use std::io::{BufRead, IsTerminal};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::samples::SAMPLES;
use super::token::TokenFile;
use super::{DevOptions, DevSession, ENDPOINT, run_args};
use crate::cli::signals::Signals;
use crate::cli::{Failure, count, output};
use crate::config::{RunConfig, Settings, args};
use crate::dispatcher;
use crate::store::{Contents, DatabaseUrl, EndpointRow, Session, Store, check_schema};

/// The description of its endpoint begins so; host and process follow.
const MADE_BY: &str = "made by postrider dev on ";
/// Rows that one statement deletes.
const ROWS_MAX: i64 = 1_000;
/// How long the end waits for rows that others have locked.
const CLEAR_MAX: Duration = Duration::from_secs(5);
const CLEAR_PAUSE: Duration = Duration::from_millis(100);
/// How long a receiver on this machine may take to be connected to.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// Runs there, and leaves nothing, however it ends.
pub(super) async fn run(
    settings: Settings,
    url: String,
    options: Option<DevOptions>,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let token = TokenFile::create()?;
    let typed = args::Run {
        // It never leads: producers go on waking the dispatchers of the application.
        wake: Some("poll".to_owned()),
        poll_interval: Some("100ms".to_owned()),
        // Other dispatchers soon know that one is gone that was killed.
        request_timeout: Some("2s".to_owned()),
        lease: Some("5s".to_owned()),
        grace_period: Some("3s".to_owned()),
        ..run_args(&token.path())
    };
    let mut config = RunConfig::check(settings, Some(url), typed)?;
    let Some(options) = options else { return Ok(()) }; // What is wrong with them is told by now.
    config.dispatcher.only_endpoint = Some(ENDPOINT.to_owned());
    let database = config.dispatcher.database.clone();
    let store = Store::new(&database, Session::Command, 2).map_err(anyhow::Error::from)?;
    if store.read_server().await?.has_schema {
        // The schema is the application's, too.
        config.dispatcher.no_migrate = true;
        check_schema(&database).await.map_err(anyhow::Error::from)?;
        take_away_leftovers(&store).await?;
        let contents = store.count_contents(ENDPOINT).await?;
        if !contents.is_empty() && !options.yes && !is_meant(&database, contents, signals).await? {
            return Err(Failure::Failed("nothing was done".to_owned()));
        }
    }
    let maker = format!("{MADE_BY}{}", dispatcher::host());
    let session = DevSession { config, token_file: token.path(), is_named: true, maker: Some(maker.clone()) };
    let done = Box::pin(session.run(&options, signals)).await;
    done.and(clear_own(&store, &maker).await)
}

/// Takes away what this run made, if it came so far.
async fn clear_own(store: &Store, maker: &str) -> Result<(), Failure> {
    if !store.read_server().await?.has_schema {
        return Ok(());
    }
    let row = store.read_endpoint(ENDPOINT).await?;
    let is_ours = row.is_some_and(|row| row.description.as_deref() == Some(maker));
    if is_ours { clear(store).await } else { Ok(()) }
}

impl Contents {
    fn is_empty(self) -> bool {
        self.endpoints == 0 && !self.has_events
    }
}

/// Asks on the terminal. A signal is a no.
async fn is_meant(
    database: &DatabaseUrl,
    contents: Contents,
    signals: &mut Signals,
) -> Result<bool, Failure> {
    let endpoints = count(contents.endpoints, "endpoint", "endpoints");
    let events = if contents.has_events { "events" } else { "no events" };
    let found = format!("{} has {endpoints} and {events}", database.without_password());
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(format!(
            "yes: is missing: {found}, and stdin is no terminal, so nobody can be asked"
        )));
    }
    output::aside(&format!(
        "{found}.\nIn it, dev routes and delivers only events for its own endpoint \"{ENDPOINT}\". It sends nothing to other endpoints, \
         deletes no events\nbut its samples, and takes its endpoint away at the end. Go on? [y/N] "
    ))?;
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).map(|_| answer)
    });
    let answer = tokio::select! {
        answer = answer => answer.map_err(anyhow::Error::from)??,
        _ = signals.next() => return Ok(false),
    };
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// Takes away what a run left that was killed.
///
/// # Errors
/// [`Failure`] if the endpoint is somebody else's, or of a run that may still go on.
async fn take_away_leftovers(store: &Store) -> Result<(), Failure> {
    let Some(row) = store.read_endpoint(ENDPOINT).await? else { return Ok(()) };
    let Some(maker) = row.description.as_deref().and_then(|text| text.strip_prefix(MADE_BY)) else {
        return Err(Failure::Failed(format!(
            "endpoint \"{ENDPOINT}\" exists in this database, and postrider dev did not make it: it would be replaced"
        )));
    };
    if machine(maker) != machine(&dispatcher::host()) {
        return Err(Failure::Failed(format!(
            "postrider dev uses this database on another machine ({maker}); if it has ended: postrider endpoint delete {ENDPOINT}"
        )));
    }
    if is_received(&row).await {
        return Err(Failure::Failed(format!("postrider dev uses this database already ({maker})")));
    }
    clear(store).await
}

/// The name of the machine, of host and process.
fn machine(host: &str) -> &str {
    host.rsplit_once(':').map_or(host, |(machine, _)| machine)
}

/// Whether somebody listens where the endpoint leads: the receiver of a run lives as long as the run.
async fn is_received(row: &EndpointRow) -> bool {
    let address = Url::parse(&row.url).ok().and_then(|url| url.socket_addrs(|| None).ok());
    let Some(address) = address.and_then(|addresses| addresses.first().copied()) else { return false };
    matches!(timeout(CONNECT_MAX, TcpStream::connect(address)).await, Ok(Ok(_)))
}

/// Deletes the samples, then the endpoint, then the dispatcher of a run that was killed.
async fn clear(store: &Store) -> Result<(), Failure> {
    let until = Instant::now() + CLEAR_MAX;
    loop {
        let left = store.delete_samples(SAMPLES, ROWS_MAX).await?;
        if left == 0 {
            break;
        }
        if Instant::now() >= until {
            return Err(Failure::Failed(format!(
                "{left} samples are left, because somebody has locked them; the next postrider dev deletes them"
            )));
        }
        sleep(CLEAR_PAUSE).await;
    }
    store.delete_endpoint(ENDPOINT).await?;
    Ok(store.remove_dead_dispatchers(ENDPOINT).await?)
}
