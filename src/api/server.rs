//! The admin API for services and operators, over HTTP. It reads the views and calls the functions that SQL users have, on
//! connections of its own: it takes none from claims and settles.

use std::borrow::Cow;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;
use utoipa::{OpenApi as _, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{self, Guard};
use super::cache::{self, ResponseCache};
use super::connections::{self, Connections};
use super::extract::{BODY_BYTES_MAX, Text, legible};
use super::openapi::{self, Description};
use super::problem::{Code, Problem};
use super::{dashboard, deliveries, endpoints, events, keys, tables, wait};
use crate::dispatcher::database_health::DatabaseHealth;
use crate::dispatcher::lease::Lease;
use crate::rules::descriptors::Descriptors;
use crate::sinks::egress::EgressPolicy;
use crate::store::{
    BLOCKED_ENDPOINTS_MAX, BacklogRow, BlockedEndpointRow, DispatcherRow, EndpointCounts, InstallationRow,
    Store,
};
use crate::telemetry::exporter::{self, Exporter};

/// The state of the routes.
pub struct Api {
    pub(super) store: Store,
    pub(super) lease: Arc<Lease>,
    pub(super) database_health: Arc<DatabaseHealth>,
    /// Addresses that `run` may call; an endpoint outside of them is refused.
    pub(super) policy: EgressPolicy,
    pub(super) exporter: Exporter,
    /// Requests that may still begin to wait.
    pub(super) waiting: Semaphore,
    pub(super) cache: ResponseCache,
    /// Cancelled when requests that wait must answer now.
    pub(super) stop: CancellationToken,
}

impl Api {
    /// Makes an API; `store` should be its own.
    pub fn new(
        store: Store,
        lease: Arc<Lease>,
        database_health: Arc<DatabaseHealth>,
        policy: EgressPolicy,
        exporter: Exporter,
    ) -> Self {
        Self {
            store,
            lease,
            database_health,
            policy,
            exporter,
            waiting: Semaphore::new(wait::WAITING_MAX),
            cache: ResponseCache::default(),
            stop: CancellationToken::new(),
        }
    }
}

/// Takes the address of the API.
///
/// # Errors
/// The address is in use, or does not belong to this machine.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    connections::listen(address)
}

/// Does the work of a start, and answers health probes meanwhile: alive, and not ready. `health` says why not.
pub async fn serve_while<T>(
    listener: &TcpListener,
    descriptors: &Descriptors,
    health: &Arc<DatabaseHealth>,
    work: impl Future<Output = T>,
) -> T {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(metrics_before_start))
        .fallback(starting)
        .with_state(Arc::clone(health));
    let router = router.layer(map_response(not_sniffed));
    let mut connections = Connections::new(router, descriptors.clone(), CancellationToken::new());
    tokio::select! {
        // A client without a response when the work is done has to ask again.
        done = work => done,
        never = connections.accept(listener) => match never {},
    }
}

/// Serves until `stop`; requests that wait for something are answered then.
pub async fn serve(
    listener: TcpListener,
    descriptors: Descriptors,
    api: Arc<Api>,
    guard: Guard,
    stop: CancellationToken,
) {
    let stopping = api.stop.clone();
    let connections = Connections::new(router(api, guard), descriptors, stopping.clone());
    tokio::join!(connections.serve(listener), async {
        stop.cancelled().await;
        stopping.cancel();
    });
}

/// Keeps browsers from guessing another content type.
async fn not_sniffed(mut response: Response) -> Response {
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn router(api: Arc<Api>, guard: Guard) -> Router {
    let (routes, openapi) = described().split_for_parts();
    // Written once: that takes longer than to send it.
    let openapi = legible(&openapi).map(Bytes::from).map_err(|fault| fault.to_string());
    let guarded = routes
        .route(
            "/openapi.json",
            get(async move || openapi.clone().map(Text).map_err(|fault| Problem::new(Code::Internal, fault))),
        )
        .route("/metrics", get(metrics))
        .layer(from_fn_with_state(Arc::clone(&api), cache::forget_after_change))
        .layer(from_fn_with_state(Arc::new(guard), access::admit));
    // Whoever watches a process need not know a token.
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .merge(dashboard::routes())
        .merge(guarded)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(access::explain))
        .layer(map_response(not_sniffed))
        .with_state(api)
}

fn described() -> OpenApiRouter<Arc<Api>> {
    let mut routes = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(endpoints::list))
        .routes(routes!(endpoints::put, endpoints::patch, endpoints::get, endpoints::delete))
        .routes(routes!(endpoints::pause))
        .routes(routes!(endpoints::resume))
        .routes(routes!(endpoints::rotate_secret))
        .routes(routes!(endpoints::test))
        .routes(routes!(endpoints::replay))
        .routes(routes!(keys::skip_key))
        .routes(routes!(events::publish))
        .routes(routes!(events::get))
        .routes(routes!(events::cancel))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::get))
        .routes(routes!(deliveries::retry))
        .routes(routes!(deliveries::skip))
        .routes(routes!(tables::list))
        .routes(routes!(tables::attach, tables::get, tables::detach))
        .routes(routes!(tables::pause))
        .routes(routes!(tables::resume))
        .routes(routes!(status));
    openapi::complete(routes.get_openapi_mut());
    routes
}

/// Backlog, endpoints by their health, blocked keys, dispatchers, and the installation.
#[derive(Serialize, ToSchema)]
struct StatusAnswer {
    backlog: BacklogRow,
    endpoint_counts: EndpointCounts,
    /// Endpoints with blocked keys, those with the most first; at most 100.
    blocked_keys: Vec<BlockedEndpointRow>,
    dispatchers: Vec<DispatcherRow>,
    /// Which installation this is, and why nothing is sent, if so. Null if its row is gone.
    installation: Option<InstallationRow>,
}

/// The backlog, how many endpoints are well, the keys that are blocked, the dispatchers, and the installation.
#[utoipa::path(
    get, path = "/v1/status", operation_id = "getStatus", tag = "status",
    responses((status = 200, description = "As it is now", body = StatusAnswer))
)]
async fn status(State(api): State<Arc<Api>>) -> Result<Text, Problem> {
    let look = async {
        let (backlog, dispatchers) = (api.store.read_backlog().await?, api.store.read_dispatchers().await?);
        let endpoint_counts = api.store.count_endpoints().await?;
        let blocked_keys = api.store.list_blocked_endpoints(BLOCKED_ENDPOINTS_MAX).await?;
        let installation = api.store.read_installation().await?;
        Ok(StatusAnswer { backlog, endpoint_counts, blocked_keys, dispatchers, installation })
    };
    api.cache.text("status".to_owned(), look).await
}

async fn starting(State(health): State<Arc<DatabaseHealth>>) -> (StatusCode, Cow<'static, str>) {
    let says = health.waits_because().map_or(Cow::from("starting\n"), |why| Cow::from(why + "\n"));
    (StatusCode::SERVICE_UNAVAILABLE, says)
}

async fn metrics_before_start(State(health): State<Arc<DatabaseHealth>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, exporter::CONTENT_TYPE)], exporter::render_before_start(&health))
}

async fn ready(State(api): State<Arc<Api>>) -> (StatusCode, Cow<'static, str>) {
    if let Some(why) = api.database_health.waits_because() {
        (StatusCode::SERVICE_UNAVAILABLE, (why + "\n").into())
    } else if !api.lease.is_renewed() {
        (StatusCode::SERVICE_UNAVAILABLE, "database out of reach\n".into())
    } else if !api.database_health.is_healthy() {
        (StatusCode::SERVICE_UNAVAILABLE, "trouble with the database: the log says more\n".into())
    } else {
        (StatusCode::OK, "ready\n".into())
    }
}

async fn metrics(State(api): State<Arc<Api>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, exporter::CONTENT_TYPE)], api.exporter.render().await)
}

/// The description that this version serves as `/openapi.json`.
pub fn openapi() -> OpenApi {
    described().split_for_parts().1
}
