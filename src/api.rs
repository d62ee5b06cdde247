//! The health routes: whether this process lives, and whether it does its work; and its metrics.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::lease::Lease;
use crate::scrape::{self, Scrape};

/// Serves `GET /healthz` (the process lives), `GET /readyz` (the lease is renewed) and `GET /metrics` until `stop`.
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    listener: TcpListener,
    lease: Arc<Lease>,
    scrape: Arc<Scrape>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let ready = move || {
        let is_ready = lease.is_renewed();
        async move {
            if is_ready {
                (StatusCode::OK, "ready\n")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "database out of reach\n")
            }
        }
    };
    let metrics = async move || ([(CONTENT_TYPE, scrape::CONTENT_TYPE)], scrape.render().await);
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics));
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}
