//! Connections of the API. Each is bounded in how long it may take over anything, and so is how many there are: what a
//! client holds, it holds for a time, and without a claim or a settle waiting for it.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::guard::REQUEST_DEADLINE;

/// More of them wait in the kernel until one ends.
const CONNECTIONS_MAX: usize = 512;
/// For the head of a request, and how long a connection may be idle before it; for a body it is the same.
pub(super) const READ_DEADLINE: Duration = Duration::from_secs(15);
/// Longest head, in bytes; also what is buffered for a connection.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Then a connection ends after the request that is under way. A client that reads no answers is held to this alone.
const LIFETIME_MAX: Duration = Duration::from_mins(5);
/// After a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// How long a stop waits for answers under way.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// Serves until `stop`; returns when all connections have ended, at most [`STOP_DEADLINE`] later.
pub(super) async fn serve(mut listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        // Each of these is cancel-safe.
        let (socket, _) = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            // The one of axum: waits a second when the process has no file descriptor left.
            accepted = axum::serve::Listener::accept(&mut listener), if connections.len() < CONNECTIONS_MAX => accepted,
        };
        connections.spawn(converse(socket, router.clone(), stop.clone()));
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    // Who has not read an answer by then is cut off when the set is dropped.
    drop(timeout(STOP_DEADLINE, ended).await);
}

/// Serves as long as it is polled.
pub(super) async fn serve_for_ever(listener: &TcpListener, router: Router) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // Both are cancel-safe.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((socket, _)) => drop(connections.spawn(converse(socket, router.clone(), CancellationToken::new()))),
                // No file descriptor is left, most likely.
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}

async fn converse(socket: TcpStream, router: Router, stop: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_DEADLINE)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        // A client that breaks off is no fault of ours.
        _ = connection.as_mut() => return,
        () = stop.cancelled() => {}
        () = sleep(LIFETIME_MAX) => {}
    }
    connection.as_mut().graceful_shutdown();
    drop(timeout(REQUEST_DEADLINE, connection).await);
}
