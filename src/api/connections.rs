//! Connections of the API. Their number is bounded, and so is the time of each step. A client holds a connection only for a time.
//! No claim or settle waits for it, and it does not keep others out.

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

/// Longest time for the head of a request, idle time before it included. A body has the same.
pub(super) const READ_DEADLINE: Duration = Duration::from_secs(15);
/// Longest head, in bytes. A connection has a buffer of this size.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Bytes that are sent ahead of a client that reads slowly, or never. The default of the system is 4 MiB for each client.
const SEND_BYTES_MAX: u32 = 128 * 1024;
/// Most connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// After this time a connection ends with the request under way. It is the only limit for a client that reads no answers.
const LIFETIME_MAX: Duration = Duration::from_mins(5);
/// Pause after a connection that could not be accepted, if none is idle.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Longest time that a stop waits for answers under way.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// Listens on an address. Its connections inherit the size of the buffers.
///
/// # Errors
/// The address is in use, or does not belong to this machine.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BYTES_MAX)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The open connections.
pub(super) struct Connections {
    router: Router,
    descriptors: Descriptors,
    stop: CancellationToken,
    places: ConnectionPlaces,
    open: JoinSet<()>,
}

impl Connections {
    /// Starts without connections. At `stop` each connection ends with the request under way.
    pub(super) fn new(router: Router, descriptors: Descriptors, stop: CancellationToken) -> Self {
        Self { router, descriptors, stop, places: ConnectionPlaces::default(), open: JoinSet::new() }
    }

    /// Serves until it is told to stop; returns when all connections have ended, at most [`STOP_DEADLINE`] later.
    pub(super) async fn serve(mut self, listener: TcpListener) {
        let stop = self.stop.clone();
        // If it were dropped, it would lose a connection that it has just accepted.
        if let Some(never) = stop.run_until_cancelled(self.accept(&listener)).await {
            match never {}
        }
        drop(listener);
        let ended = async { while self.open.join_next().await.is_some() {} };
        // A client that has not read its answer by then is cut off when the set is dropped.
        drop(timeout(STOP_DEADLINE, ended).await);
    }

    /// Serves as long as it is polled.
    pub(super) async fn accept(&mut self, listener: &TcpListener) -> Infallible {
        loop {
            tokio::select! {
                // Both branches are cancel-safe.
                Some(_) = self.open.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => self.admit(socket).await,
                    Err(fault) if is_of_the_client(&fault) => {}
                    // Most likely no file descriptor is left. An idle connection holds one.
                    Err(_) if self.places.clear_one() => drop(self.open.join_next().await),
                    Err(_) => sleep(ACCEPT_PAUSE).await,
                },
            }
        }
    }

    /// Gives a connection a place. If all are taken, it gets the place of another.
    async fn admit(&mut self, socket: TcpStream) {
        while self.open.len() >= self.descriptors.budget().api {
            // There are more places than requests that may be at work, so one can always be cleared.
            if !self.places.clear_one() {
                return;
            }
            self.open.join_next().await;
        }
        let place = self.places.take(self.descriptors.serving());
        self.open.spawn(converse(socket, place, self.router.clone(), self.stop.clone()));
    }
}

/// Whether the client broke the connection off before it was accepted.
fn is_of_the_client(fault: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(fault.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn converse(socket: TcpStream, place: ConnectionPlace, router: Router, stop: CancellationToken) {
    let router = TowerToHyperService::new(router);
    let seated = place.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        seated.note_request();
        // The guard notes here when the connection has work.
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
        // If the client breaks off, nothing went wrong here.
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
