//! `postrider dev`: everything on this machine. It prints a line for each thing that a newcomer should look at.

mod cluster;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::task::JoinSet;

use self::cluster::Cluster;
use super::receive::{self, Behaviour};
use super::service::Service;
use super::signals::Signals;
use super::{Failure, output};
use crate::config::args;
use crate::config::{RunConfig, Settings};
use crate::model::endpoint::SigningSecret;
use crate::store::{CheckedEndpoint, DatabaseUrl, NewEvent, Session, Store};
use crate::validation::{parse_address, parse_duration};

const ENDPOINT: &str = "dev";

/// Runs until a signal comes, or until the given number of events was delivered.
pub(super) async fn run(
    mut settings: Settings,
    url: Option<String>,
    typed: args::Dev,
) -> Result<(), Failure> {
    let mut signals = Signals::install()?;
    let address = parse_address("receive_listen", &typed.receive_listen, &mut settings.problems);
    let every = parse_duration(
        "every",
        &typed.every,
        (Duration::from_millis(10), Duration::from_hours(1)),
        &mut settings.problems,
    );
    let (address, every) = std::mem::take(&mut settings.problems).unless_any(address.zip(every))?;
    let given = DevOptions { address, every, events: typed.events };
    let cluster = if settings.names_database(url.as_ref()) { None } else { Some(Cluster::start().await?) };
    let url = cluster.as_ref().map(|cluster| cluster.url().to_owned()).or(url);
    // Without a token everybody on this machine could register an endpoint and read the events.
    let token_file = cluster.as_ref().map(Cluster::write_token).transpose()?;
    let run = args::Run {
        api_listen: Some("127.0.0.1:0".to_owned()),
        api_token_file: token_file.clone(),
        egress: args::Egress {
            allow_http: Some("true".to_owned()),
            allow_cidr: vec!["127.0.0.0/8".to_owned()],
            ..args::Egress::default()
        },
        ..args::Run::default()
    };
    let config = RunConfig::check(settings, url.clone(), run)?;
    let done = Box::pin(work(config, given, token_file, &mut signals)).await;
    if let Some(cluster) = cluster {
        cluster.stop().await;
    }
    done
}

/// Arguments of `dev`, checked.
struct DevOptions {
    address: SocketAddr,
    every: Duration,
    events: Option<u32>,
}

async fn work(
    config: RunConfig,
    given: DevOptions,
    token_file: Option<String>,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let DevOptions { address, every, events } = given;
    let database = config.dispatcher.database.clone();
    let health = tokio::select! {
        health = Service::prepare(&config) => health?,
        _ = signals.next() => return Ok(()),
    };
    let store = Store::new(&database, Session::Command, 2).map_err(anyhow::Error::from)?;
    let store = store.with_vault(config.dispatcher.vault.clone());
    let listener = receive::bind(address).await?;
    let address = listener.local_addr()?;
    // The secret is new each time, because a given database may know this endpoint from an earlier run.
    let secret = SigningSecret::generate().map_err(anyhow::Error::from)?;
    store.put_endpoint(&endpoint(address, &secret)).await?;
    let secret = secret.parse().ok();
    let mut receiver = JoinSet::new();
    receiver.spawn(receive::serve(
        listener,
        Behaviour { secret, status: StatusCode::OK, fail_rate: 0.0, delay: Duration::ZERO, json: false },
    ));
    let dispatcher = tokio::select! {
        dispatcher = Box::pin(Service::start(config, health)) => dispatcher?,
        _ = signals.next() => return Ok(()),
    };
    introduce(&database, address, &dispatcher, token_file.as_deref())?;
    let done = tokio::select! {
        done = publish(&store, every, events) => done,
        _ = signals.next() => Ok(()),
    };
    dispatcher.stop().await;
    done
}

fn endpoint(address: SocketAddr, secret: &str) -> CheckedEndpoint {
    let url = format!("http://{}:{}/hook", Ipv4Addr::LOCALHOST, address.port());
    CheckedEndpoint::new(ENDPOINT, &url, secret)
}

fn introduce(
    database: &DatabaseUrl,
    receiver: SocketAddr,
    dispatcher: &Service,
    token_file: Option<&str>,
) -> std::io::Result<()> {
    // The URL is in quotes, because a shell may read a question mark as a pattern of file names.
    let shown = format!("'{}'", database.without_password());
    let api = dispatcher.api_address();
    let token = token_file.map(|path| format!(", its token is in {path}")).unwrap_or_default();
    for line in [
        format!("database    psql {shown}"),
        format!("receiver    http://{receiver}/hook, endpoint \"{ENDPOINT}\", prints every webhook here"),
        format!("health      curl http://{api}/readyz"),
        format!("dashboard   http://{api}/{token}"),
        "try         insert into postrider.outbox (topic, payload) values ('order.created', '{\"order_id\": 42}');".to_owned(),
        "watch       select * from postrider.delivery_status order by delivery_id desc limit 5;".to_owned(),
        format!("status      postrider status --database-url {shown}"),
        "stop        Ctrl-C".to_owned(),
        String::new(),
    ] {
        output::line(&line)?;
    }
    Ok(())
}

async fn publish(store: &Store, every: Duration, events: Option<u32>) -> Result<(), Failure> {
    for number in 1..=events.unwrap_or(u32::MAX) {
        let event = NewEvent {
            topic: "dev.sample".to_owned(),
            payload: format!("{{\"sample\": {number}}}"),
            ..NewEvent::default()
        };
        store.publish(&event).await?;
        tokio::time::sleep(every).await;
    }
    // A stop finishes only the requests under way. The other deliveries would wait for the next start.
    while is_under_way(store).await? {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Whether events for the receiver are left. Other endpoints of the database do not matter.
async fn is_under_way(store: &Store) -> Result<bool, Failure> {
    if store.read_backlog().await?.unrouted > 0 {
        return Ok(true);
    }
    let endpoint = store.read_endpoint(ENDPOINT).await?;
    Ok(endpoint.is_some_and(|endpoint| endpoint.pending + endpoint.in_progress > 0))
}
