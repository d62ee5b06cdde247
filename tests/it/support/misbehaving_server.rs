//! A receiver that answers whatever a test says, HTTP or not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What it does once it has read a request.
#[derive(Clone)]
pub(crate) enum Act {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes again and again, until nobody takes them any more.
    Repeat(Vec<u8>, Duration),
    /// Waits for so long.
    Pause(Duration),
    /// Waits for as long as the other side does.
    Hang,
    /// Ends the connection by RST.
    Reset,
    /// Ends the connection by FIN.
    Close,
}

/// What it does with a request, by two numbers of it.
type Acts = dyn Fn(usize, usize) -> Vec<Act> + Send + Sync;

/// A running one; gone when dropped.
pub(crate) struct MisbehavingServer {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

impl MisbehavingServer {
    /// Starts one that does this with every request.
    pub(crate) async fn start(acts: Vec<Act>) -> Self {
        Self::start_by(move |_, _| acts.clone()).await
    }

    /// Starts one that does what this says with each request, by the number of requests so far and of those on its
    /// connection, the request itself among both.
    pub(crate) async fn start_by(acts: impl Fn(usize, usize) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let acts: Arc<Acts> = Arc::new(acts);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let connections = Arc::new(AtomicUsize::new(0));
        let (counted, opened) = (Arc::clone(&requests), Arc::clone(&connections));
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                opened.fetch_add(1, Ordering::SeqCst);
                while connections.try_join_next().is_some() {}
                connections.spawn(serve(stream, Arc::clone(&acts), Arc::clone(&counted)));
            }
        });
        Self { address, requests, connections, _server: server }
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// How many connections were opened.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many whole requests it was sent.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, acts: Arc<Acts>, requests: Arc<AtomicUsize>) {
    let mut buffer = Vec::new();
    for here in 1.. {
        if read_request(&mut stream, &mut buffer).await.is_none() {
            return;
        }
        let all = requests.fetch_add(1, Ordering::SeqCst) + 1;
        for act in &acts(all, here) {
            match act {
                Act::Send(bytes) => drop(stream.write_all(bytes).await),
                Act::Repeat(bytes, pause) => {
                    while stream.write_all(bytes).await.is_ok() {
                        tokio::time::sleep(*pause).await;
                    }
                }
                Act::Pause(pause) => tokio::time::sleep(*pause).await,
                Act::Hang => drop(stream.read_to_end(&mut Vec::new()).await),
                Act::Reset => return drop(stream.set_zero_linger()),
                Act::Close => return,
            }
        }
    }
}

/// Reads a request to its end; none: there is no more.
pub(crate) async fn read_request<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> Option<()> {
    loop {
        if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"))?;
            let whole = end + 4 + length.trim().parse::<usize>().ok()?;
            if buffer.len() >= whole {
                buffer.drain(..whole);
                return Some(());
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}
