//! One process of `postrider run`: a dispatcher and the API beside it.
//!
//! The API answers probes before there is a database, and is stopped after the dispatcher.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::api::{self, Api, Guard};
use crate::config::{ApiConfig, RunConfig};
use crate::dispatcher::database_health::DatabaseHealth;
use crate::dispatcher::{Dispatcher, DispatcherConfig};
use crate::rules::descriptors::Descriptors;
use crate::store::{SCHEMA_VERSION, Session, Store};
use crate::telemetry::exporter::Exporter;

/// Connections of the API. Its requests wait for each other; claims and settles never wait for them.
const API_CONNECTIONS: usize = 4;
/// How long a stop waits for the API once the dispatcher has stopped.
const API_STOP_MAX: Duration = Duration::from_secs(10);

/// The parts that exist before the database is reached.
pub(super) struct Prepared {
    listener: TcpListener,
    descriptors: Descriptors,
    database_health: Arc<DatabaseHealth>,
}

/// A running process.
pub(super) struct Service {
    dispatcher: Dispatcher,
    api: JoinSet<()>,
    stop_api: CancellationToken,
    api_address: SocketAddr,
}

impl Service {
    /// Takes the address of the API, and brings the schema up to date. Answers probes meanwhile: alive, and not ready.
    ///
    /// # Errors
    /// Errors that waiting cannot mend (see [`Dispatcher::prepare_schema`]), or an address in use.
    pub(super) async fn prepare(config: &RunConfig) -> anyhow::Result<Prepared> {
        let descriptors = Dispatcher::share_descriptors(&config.dispatcher);
        let address = config.api.listen;
        let listener = api::listen(address).with_context(|| {
            format!(
                "cannot listen on {address} (another dispatcher on this machine? give --api-listen 127.0.0.1:0)"
            )
        })?;
        let schema = Box::pin(Dispatcher::prepare_schema(&config.dispatcher));
        let database_health = Arc::default();
        api::serve_while(&listener, &descriptors, &database_health, schema).await?;
        Ok(Prepared { listener, descriptors, database_health })
    }

    /// Starts the dispatcher, then the API.
    ///
    /// # Errors
    /// Errors that waiting cannot mend (see [`Dispatcher::start`]).
    pub(super) async fn start(config: RunConfig, prepared: Prepared) -> anyhow::Result<Self> {
        let Prepared { listener, descriptors, database_health } = prepared;
        let RunConfig { dispatcher: settings, api } = config;
        let health = Arc::clone(&database_health);
        let starting = Box::pin(Dispatcher::start(settings.clone(), descriptors.clone(), health));
        let dispatcher = api::serve_while(&listener, &descriptors, &database_health, starting).await?;
        let mut service = Self {
            dispatcher,
            api: JoinSet::new(),
            stop_api: CancellationToken::new(),
            api_address: listener.local_addr()?,
        };
        service.serve(api, settings, Prepared { listener, descriptors, database_health })?;
        let id = service.dispatcher.shared().lease.id().get();
        info!("dispatcher {id} runs, schema version {SCHEMA_VERSION}, API on http://{}", service.api_address);
        Ok(service)
    }

    fn serve(
        &mut self,
        config: ApiConfig,
        settings: DispatcherConfig,
        prepared: Prepared,
    ) -> anyhow::Result<()> {
        let Prepared { listener, descriptors, database_health } = prepared;
        let shared = self.dispatcher.shared();
        let scrape_store = Store::new(&settings.database, Session::Scrape, 1)?;
        let exporter = Exporter::new(shared, scrape_store);
        let store = Store::new(&settings.database, Session::Api, API_CONNECTIONS)?.with_vault(settings.vault);
        let lease = Arc::clone(&shared.lease);
        let api = Arc::new(Api::new(store, lease, database_health, settings.egress, exporter));
        let guard = Guard::new(config.tokens, config.hosts, descriptors.budget().api);
        self.api.spawn(api::serve(listener, descriptors, api, guard, self.stop_api.clone()));
        Ok(())
    }

    /// The address of the API.
    pub(super) fn api_address(&self) -> SocketAddr {
        self.api_address
    }

    /// Stops claiming. This is the first step of a stop.
    pub(super) fn stop_intake(&self) {
        self.dispatcher.stop_intake();
    }

    /// Stops the dispatcher, then the API. The time is bounded (see [`Dispatcher::stop`]).
    pub(super) async fn stop(mut self) {
        self.dispatcher.stop().await;
        self.stop_api.cancel();
        let ended = async { while self.api.join_next().await.is_some() {} };
        drop(timeout(API_STOP_MAX, ended).await);
    }
}
