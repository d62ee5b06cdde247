//! Connections of the API. Their number is bounded, and so is the time that each may take for anything. A client holds what
//! it holds only for a time; no claim or settle waits for it, and it does not keep others out.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::access::REQUEST_DEADLINE;
use super::places::{ConnectionPlace, ConnectionPlaces};
use crate::rules::descriptors::Descriptors;

/// For the head of a request, and how long a connection may be idle before it; for a body it is the same.
pub(super) const READ_DEADLINE: Duration = Duration::from_secs(15);
/// Longest head, in bytes; also what is buffered for a connection.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// What is sent ahead of a client that reads slowly, or never: the system's own measure is 4 MiB for each.
const SEND_BYTES_MAX: u32 = 128 * 1024;
/// Those that wait to be accepted.
const BACKLOG: u32 = 1024;
/// Then a connection ends after the request that is under way. A client that reads no answers is held to this alone.
const LIFETIME_MAX: Duration = Duration::from_mins(5);
/// After a connection that could not be accepted, if none is idle.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a stop waits for answers under way.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// Takes an address. Its connections inherit their buffers.
///
/// # Errors
/// It is in use, or not one of ours.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BYTES_MAX)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Those that are open.
pub(super) struct Connections {
    router: Router,
    descriptors: Descriptors,
    stop: CancellationToken,
    places: ConnectionPlaces,
    open: JoinSet<()>,
}

impl Connections {
    /// None yet; at `stop` each ends with the request under way.
    pub(super) fn new(router: Router, descriptors: Descriptors, stop: CancellationToken) -> Self {
        Self { router, descriptors, stop, places: ConnectionPlaces::default(), open: JoinSet::new() }
    }

    /// Serves until it is told to stop; returns when all connections have ended, at most [`STOP_DEADLINE`] later.
    pub(super) async fn serve(mut self, listener: TcpListener) {
        let stop = self.stop.clone();
        // Dropped, it loses a connection that it has just accepted.
        if let Some(never) = stop.run_until_cancelled(self.accept(&listener)).await {
            match never {}
        }
        drop(listener);
        let ended = async { while self.open.join_next().await.is_some() {} };
        // Who has not read an answer by then is cut off when the set is dropped.
        drop(timeout(STOP_DEADLINE, ended).await);
    }

    /// Serves as long as it is polled.
    pub(super) async fn accept(&mut self, listener: &TcpListener) -> Infallible {
        loop {
            tokio::select! {
                // Both are cancel-safe.
                Some(_) = self.open.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => self.admit(socket).await,
                    Err(fault) if is_of_the_client(&fault) => {}
                    // No file descriptor is left, most likely: one that is idle has one.
                    Err(_) if self.places.clear_one() => drop(self.open.join_next().await),
                    Err(_) => sleep(ACCEPT_PAUSE).await,
                },
            }
        }
    }

    /// Gives a connection a place, if need be that of another.
    async fn admit(&mut self, socket: TcpStream) {
        while self.open.len() >= self.descriptors.budget().api {
            // There are more places than requests that may be at work: one can always be cleared.
            if !self.places.clear_one() {
                return;
            }
            self.open.join_next().await;
        }
        let place = self.places.take(self.descriptors.serving());
        self.open.spawn(converse(socket, place, self.router.clone(), self.stop.clone()));
    }
}

/// Whether it broke off before it was accepted.
fn is_of_the_client(fault: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(fault.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn converse(socket: TcpStream, place: ConnectionPlace, router: Router, stop: CancellationToken) {
    let router = TowerToHyperService::new(router);
    let seated = place.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        seated.note_request();
        // The guard tells it when it has work.
        request.extensions_mut().insert(seated.clone());
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_DEADLINE)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    tokio::select! {
        // A client that breaks off is no fault of ours.
        _ = connection.as_mut() => return,
        () = place.left() => return,
        () = stop.cancelled() => {}
        () = sleep(LIFETIME_MAX) => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = timeout(REQUEST_DEADLINE, connection) => {}
        () = place.left() => {}
    }
}
