//! The health routes: whether this process lives, and whether it does its work.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::lease::Lease;

/// Serves `GET /healthz` (the process lives) and `GET /readyz` (the lease is renewed) until `stop`.
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    listener: TcpListener,
    lease: Arc<Lease>,
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
    let router = Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(ready));
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}
