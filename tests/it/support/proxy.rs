//! A network that misbehaves on demand: a TCP proxy with switchable toxics per direction. In front of PostgreSQL it reads
//! along, so that it can lose the answer to one statement or eat notifications.

mod pump;
mod reader;

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::pump::{Pump, Reset};
use self::reader::Reader;

/// A running one, gone when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

/// What is wrong with the network. By default nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Toxics {
    /// From the client to the server.
    pub(crate) up: Toxic,
    /// From the server to the client.
    pub(crate) down: Toxic,
    /// What becomes of new connections.
    pub(crate) door: Door,
    /// Notifications of PostgreSQL do not arrive; all else does.
    pub(crate) is_deaf: bool,
}

/// What is wrong with one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Toxic {
    /// Each piece arrives so much later.
    pub(crate) latency: Duration,
    /// And by up to so much more, by chance.
    pub(crate) jitter: Duration,
    /// Pieces have so many bytes.
    pub(crate) slice: Option<NonZeroUsize>,
    /// So many bytes a second pass.
    pub(crate) bytes_per_s: Option<NonZeroU32>,
    /// Nothing passes, not even the end: half open. What waits passes when that ends.
    pub(crate) is_hole: bool,
    /// The connection is reset when so many bytes have passed.
    pub(crate) cut_after: Option<u64>,
}

/// What becomes of new connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Door {
    /// They are connected to the server.
    #[default]
    Open,
    /// They are reset at once, and counted.
    Reset,
    /// They are refused: nobody listens. Not counted.
    Shut,
}

/// The two directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Up,
    Down,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    toxics: Toxics,
    /// Grows when all connections are to be reset.
    resets: u64,
}

struct Shared {
    target: Mutex<String>,
    is_postgres: bool,
    state: watch::Sender<State>,
    /// The answer to the next statement that contains this is lost.
    swallow: Mutex<Option<String>>,
    swallowed: AtomicUsize,
    connections: AtomicUsize,
    open: AtomicUsize,
}

impl Proxy {
    /// In front of any server, given as `host:port`.
    pub(crate) async fn to(target: &str) -> Self {
        Self::start(target, false).await
    }

    /// In front of the server of a database URL.
    pub(crate) async fn to_postgres(url: &str) -> Self {
        Self::start(host_and_port(url), true).await
    }

    async fn start(target: &str, is_postgres: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target: Mutex::new(target.to_owned()),
            is_postgres,
            state: watch::Sender::new(State::default()),
            swallow: Mutex::default(),
            swallowed: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
        });
        let mut server = JoinSet::new();
        server.spawn(serve(Arc::clone(&shared), listener));
        Self { address, shared, _server: server }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A database URL with this proxy in the place of the server.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replacen(host_and_port(url), &self.address.to_string(), 1)
    }

    /// From now on this is wrong with the network, and nothing else.
    pub(crate) fn set(&self, toxics: Toxics) {
        self.shared.state.send_modify(|state| state.toxics = toxics);
    }

    /// From now on nothing is wrong.
    pub(crate) fn heal(&self) {
        self.set(Toxics::default());
        *self.shared.swallow.lock().unwrap() = None;
    }

    /// Resets all connections that stand.
    pub(crate) fn reset(&self) {
        self.shared.state.send_modify(|state| state.resets += 1);
    }

    /// From now on it is in front of another server of PostgreSQL, as a name that moves. All connections are reset.
    pub(crate) fn lead_to(&self, url: &str) {
        host_and_port(url).clone_into(&mut self.shared.target.lock().unwrap());
        self.reset();
    }

    /// Loses the answer to the next statement that contains `text`: the server has done it, and its client is told
    /// nothing but that the connection is reset.
    pub(crate) fn swallow_answer_to(&self, text: &str) {
        *self.shared.swallow.lock().unwrap() = Some(text.to_owned());
    }

    /// How many answers were lost so.
    pub(crate) fn swallowed(&self) -> usize {
        self.shared.swallowed.load(Ordering::SeqCst)
    }

    /// How many connections were ever tried (those that were refused are not seen).
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many stand.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }
}

impl Toxics {
    fn of(&self, side: Side) -> Toxic {
        match side {
            Side::Up => self.up,
            Side::Down => self.down,
        }
    }
}

/// `host:port` in a database URL.
fn host_and_port(url: &str) -> &str {
    let (_, rest) = url.split_once("://").unwrap();
    let rest = rest.split_once('@').map_or(rest, |(_, rest)| rest);
    rest.split_once('/').map_or(rest, |(place, _)| place)
}

async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    let address = listener.local_addr().unwrap();
    let mut listener = Some(listener);
    let mut state = shared.state.subscribe();
    let mut connections = JoinSet::new();
    loop {
        let door = state.borrow_and_update().toxics.door;
        match (door, &listener) {
            (Door::Shut, Some(_)) => listener = None,
            (Door::Open | Door::Reset, None) => listener = Some(listen_again(address).await),
            (Door::Shut, None) | (Door::Open | Door::Reset, Some(_)) => {}
        }
        tokio::select! {
            // Both only wait; a change and a connection are kept when dropped.
            changed = state.changed() => if changed.is_err() { return },
            client = accept(listener.as_ref()) => {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                while connections.try_join_next().is_some() {}
                connections.spawn(connect(Arc::clone(&shared), client, door));
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    match listener {
        Some(listener) => listener.accept().await.unwrap().0,
        None => std::future::pending().await,
    }
}

/// The port was ours; while it was shut, somebody else may have it for a moment.
async fn listen_again(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_in_use) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// One connection's life.
async fn connect(shared: Arc<Shared>, mut client: TcpStream, door: Door) {
    let mut state = shared.state.subscribe();
    let resets = state.borrow_and_update().resets;
    let target = shared.target.lock().unwrap().clone();
    let server = if door == Door::Reset { None } else { TcpStream::connect(target).await.ok() };
    let Some(mut server) = server else {
        return client.set_zero_linger().unwrap();
    };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let _open = Open::count(&shared);
    let reader = Mutex::new(shared.is_postgres.then(Reader::default));
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let pump = |side| Pump::new(&shared, side, &reader);
        let both = async {
            tokio::try_join!(
                pump(Side::Up).run(from_client, to_server),
                pump(Side::Down).run(from_server, to_client)
            )
        };
        tokio::select! {
            ended = both => ended.map(drop),
            // Dropped, the pumps forget what they hold: it is lost with the connection.
            _ = state.wait_for(|state| state.resets > resets) => Err(Reset),
        }
    };
    if ended.is_err() {
        // An end that comes as RST, not as FIN. Of a socket that is reset already nothing is expected.
        drop(client.set_zero_linger());
        drop(server.set_zero_linger());
    }
}

struct Open<'a>(&'a Shared);

impl<'a> Open<'a> {
    fn count(shared: &'a Shared) -> Self {
        shared.open.fetch_add(1, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}
