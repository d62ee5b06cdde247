//! A receiver that speaks HTTP/2 up to the first request, and then whatever a test says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::{Authority, Tls};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const CONTINUATION: u8 = 9;
/// Before the first frame of a client.
const PREFACE_BYTES: usize = 24;

/// A frame without flags.
pub(super) fn frame(kind: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, 0, 0, 0, 0, stream], payload].concat()
}

/// A running one; gone when dropped.
pub(super) struct Http2 {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

impl Http2 {
    /// Starts one that answers each request with these frames, and with the last of them without end if `again`.
    pub(super) async fn start(authority: &Authority, frames: Vec<Vec<u8>>, again: bool) -> Self {
        let acceptor = authority.acceptor(Tls::Fine, &["h2"]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, frames, counted) = (acceptor.clone(), frames.clone(), Arc::clone(&counted));
                connections.spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    if read_headers(&mut stream).await.is_some() {
                        counted.fetch_add(1, Ordering::SeqCst);
                        answer(&mut stream, &frames, again).await;
                    }
                });
            }
        });
        Self { address, requests, _server: server }
    }

    pub(super) fn url(&self) -> String {
        format!("https://localhost:{}/hook", self.address.port())
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Reads up to the end of the first request's head; none: there is none.
async fn read_headers<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Option<()> {
    stream.write_all(&frame(SETTINGS, 0, &[])).await.ok()?;
    stream.read_exact(&mut [0; PREFACE_BYTES]).await.ok()?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; usize::try_from(length).unwrap()]).await.ok()?;
        if head[3] == HEADERS {
            return Some(());
        }
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, frames: &[Vec<u8>], again: bool) {
    for bytes in frames {
        drop(stream.write_all(bytes).await);
    }
    if let Some(last) = frames.last().filter(|_| again) {
        let block = last.repeat(1000);
        while stream.write_all(&block).await.is_ok() {}
    }
    drop(stream.flush().await);
    drop(stream.read_to_end(&mut Vec::new()).await);
}
