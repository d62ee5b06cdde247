//! `postrider dev`: everything on this machine. It prints a line for each thing that a newcomer should look at.
//!
//! ```text
//!  --database-url on the command line?
//!    no  ──> private cluster, and a dispatcher for all of it ─────────────────────┐
//!    yes ──> what an earlier run left is taken away; asks; a dispatcher for `dev`  ├──> endpoint `dev`, samples, until a signal
//!            alone, which maintains nothing ──────────────────────────────────────┘         │
//!                                                    samples, endpoint, cluster go <────────┘
//! ```
//!
//! `dev` leaves a database alone that the environment or a file names: it may be the database of an application.

mod cluster;
mod named;
mod samples;
mod token;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;
use tokio::task::JoinSet;

use self::cluster::Cluster;
use super::receive::{self, Behaviour};
use super::service::Service;
use super::signals::Signals;
use super::{Failure, output};
use crate::config::args::{self, Sourced};
use crate::config::{RunConfig, Settings};
use crate::model::endpoint::SigningSecret;
use crate::store::{CheckedEndpoint, DatabaseUrl, Session, Store};
use crate::validation::{Problems, parse_address, parse_duration};

/// The endpoint that it makes.
const ENDPOINT: &str = "dev";

/// Runs until a signal comes, or until the given number of events was delivered.
pub(super) async fn run(
    settings: Settings,
    url: Option<String>,
    typed: Sourced<args::Dev>,
) -> Result<(), Failure> {
    let is_named = typed.flags.contains("database_url");
    let mut signals = Signals::install_with_hangup()?;
    let (mut settings, ignored) = settings.for_dev(url.is_some(), is_named);
    let options = DevOptions::check(&typed.typed, &mut settings.problems);
    if let Some(url) = url.filter(|_| is_named) {
        return named::run(settings, url, options, &mut signals).await;
    }
    let options = std::mem::take(&mut settings.problems).unless_any(options)?;
    run_privately(settings, &ignored, &options, &mut signals).await
}

/// On a cluster of its own, which goes with everything that is in it.
async fn run_privately(
    settings: Settings,
    ignored: &[String],
    options: &DevOptions,
    signals: &mut Signals,
) -> Result<(), Failure> {
    if !ignored.is_empty() {
        let names = ignored.join(", ");
        output::line(&format!(
            "ignored     {names}: dev uses a private database; --database-url names another"
        ))?;
    }
    let cluster = Cluster::start().await?;
    let done = async {
        let token_file = cluster.write_token()?;
        let config = RunConfig::check(settings, Some(cluster.url().to_owned()), run_args(&token_file))?;
        let session = DevSession { config, token_file, is_named: false, maker: None };
        Box::pin(session.run(options, signals)).await
    };
    let done = done.await;
    cluster.stop().await;
    done
}

/// Settings of its dispatcher and API.
fn run_args(token_file: &str) -> args::Run {
    args::Run {
        api_listen: Some("127.0.0.1:0".to_owned()),
        api_token_file: Some(token_file.to_owned()),
        egress: args::Egress {
            allow_http: Some("true".to_owned()),
            allow_cidr: vec!["127.0.0.0/8".to_owned()],
            ..args::Egress::default()
        },
        ..args::Run::default()
    }
}

/// Arguments of `dev`, checked.
struct DevOptions {
    address: SocketAddr,
    every: Duration,
    events: Option<u32>,
    yes: bool,
}

impl DevOptions {
    fn check(typed: &args::Dev, problems: &mut Problems) -> Option<Self> {
        let address = parse_address("receive_listen", &typed.receive_listen, problems);
        let range = (Duration::from_millis(10), Duration::from_hours(1));
        let every = parse_duration("every", &typed.every, range, problems);
        Some(Self { address: address?, every: every?, events: typed.events, yes: typed.yes })
    }
}

/// One run: dispatcher, receiver and samples.
struct DevSession {
    config: RunConfig,
    token_file: String,
    /// Whether the database is somebody's, and not one of its own.
    is_named: bool,
    /// A note in the endpoint that says who made it.
    maker: Option<String>,
}

impl DevSession {
    /// Until a signal comes, or until the samples were delivered.
    async fn run(self, options: &DevOptions, signals: &mut Signals) -> Result<(), Failure> {
        let database = self.config.dispatcher.database.clone();
        let prepared = tokio::select! {
            prepared = Service::prepare(&self.config) => prepared?,
            _ = signals.next() => return Ok(()),
        };
        let store = Store::new(&database, Session::Command, 2).map_err(anyhow::Error::from)?;
        let listener = receive::bind(options.address).await?;
        let address = listener.local_addr()?;
        // The secret is new each time.
        let secret = SigningSecret::generate().map_err(anyhow::Error::from)?;
        store.put_endpoint(&self.endpoint(address, &secret)).await?;
        let mut receiver = JoinSet::new();
        receiver.spawn(receive::serve(
            listener,
            Behaviour {
                secret: secret.parse().ok(),
                status: StatusCode::OK,
                fail_rate: 0.0,
                delay: Duration::ZERO,
                json: false,
                // In somebody's database an event for this endpoint may be somebody's, too.
                shows: if self.is_named { samples::is_sample } else { |_| true },
            },
        ));
        let dispatcher = tokio::select! {
            dispatcher = Box::pin(Service::start(self.config.clone(), prepared)) => dispatcher?,
            _ = signals.next() => return Ok(()),
        };
        let done = match self.introduce(&database, address, dispatcher.api_address()) {
            Ok(()) => tokio::select! {
                done = samples::publish(&store, options.every, options.events) => done,
                _ = signals.next() => Ok(()),
            },
            Err(fault) => Err(fault.into()),
        };
        dispatcher.stop().await;
        done
    }

    fn endpoint(&self, address: SocketAddr, secret: &str) -> CheckedEndpoint {
        let url = format!("http://{}:{}/hook", Ipv4Addr::LOCALHOST, address.port());
        // Of somebody's events none comes here that does not name this endpoint.
        let topics = if self.is_named { json!([]) } else { json!(["**"]) };
        CheckedEndpoint::new(ENDPOINT, &url, secret)
            .with("topics", topics)
            .with("description", json!(self.maker))
    }

    fn introduce(
        &self,
        database: &DatabaseUrl,
        receiver: SocketAddr,
        api: SocketAddr,
    ) -> std::io::Result<()> {
        // The URL is in quotes, because a shell may read a question mark as a pattern of file names.
        let shown = format!("'{}'", database.without_password());
        let token_file = &self.token_file;
        let (columns, values, prints) = if self.is_named {
            ("topic, payload, destination", "'order.created', '{\"order_id\": 42}', 'dev'", "what is for it")
        } else {
            ("topic, payload", "'order.created', '{\"order_id\": 42}'", "every webhook")
        };
        for line in [
            format!("database    psql {shown}"),
            format!("receiver    http://{receiver}/hook, endpoint \"{ENDPOINT}\", prints {prints} here"),
            format!("health      curl http://{api}/readyz"),
            format!("dashboard   http://{api}/, its token is in {token_file}"),
            format!("try         insert into postrider.outbox ({columns}) values ({values});"),
            "watch       select * from postrider.delivery_status order by delivery_id desc limit 5;"
                .to_owned(),
            format!("status      postrider status --database-url {shown}"),
            "stop        Ctrl-C".to_owned(),
            String::new(),
        ] {
            output::line(&line)?;
        }
        Ok(())
    }
}
