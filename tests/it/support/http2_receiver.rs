//! A receiver that speaks HTTP/2 as servers in front of applications do: it ends connections gracefully, refuses streams,
//! allows a few at once. It answers 200, and says which bodies it answered.

use std::collections::HashMap;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::net::TcpListener;
use tokio::select;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Authority, Tls};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200`, by its place in the table of HPACK.
const STATUS_200: u8 = 0x88;
/// `:status`, by its place there; the value follows.
const STATUS: u8 = 0x08;
const REFUSED: u32 = 7;
const FRAME_BYTES_MAX: usize = 16 * 1024;
/// A client that reads has noticed by then.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// How such a receiver treats its clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manners {
    /// After so many requests it goes on with these, and takes no others on this connection.
    pub(crate) requests_each: Option<usize>,
    /// It then says so by GOAWAY; or else it closes the connection when all are answered.
    pub(crate) says_goodbye: bool,
    /// It refuses every so many-th stream of a connection.
    pub(crate) refuses_each: Option<usize>,
    /// Streams at once on a connection.
    pub(crate) streams_max: Option<u32>,
    /// How long an answer takes.
    pub(crate) takes: Duration,
    /// Headers of each answer, beside its status.
    pub(crate) headers: Vec<(String, String)>,
    /// It closes a connection on which nothing was under way for so long, and does not say so.
    pub(crate) idle_max: Option<Duration>,
    /// Who decides about the answers, if they are not all 200.
    pub(crate) desk: Option<Arc<dyn Desk>>,
}

/// Decides how requests are answered, and is told what became of the answers.
pub(crate) trait Desk: Debug + Send + Sync {
    /// Decides about a request with this body.
    fn judge(&self, body: &str) -> Judged;
    /// Its answer was handed to the connection, or (false) the connection had ended before.
    fn answered(&self, judged: &Judged, is_sent: bool);
}

/// How a request is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    /// Which of the desk's requests it is.
    pub(crate) entry: usize,
    /// The status.
    pub(crate) status: u16,
    /// `Retry-After` in seconds, if the answer has one.
    pub(crate) retry_after_s: Option<u64>,
}

/// A running one; gone when dropped.
pub(crate) struct Http2Receiver {
    address: SocketAddr,
    seen: Arc<Seen>,
    _server: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    refused: AtomicUsize,
    goodbyes: AtomicUsize,
    idle: AtomicUsize,
    answered: Mutex<Vec<String>>,
}

impl Http2Receiver {
    pub(crate) async fn start(authority: &Authority, manners: Manners) -> Self {
        Self::start_at("127.0.0.1:0", authority, manners).await
    }

    /// Starts one at an address, as `127.0.0.2:4711`.
    pub(crate) async fn start_at(address: &str, authority: &Authority, manners: Manners) -> Self {
        let acceptor = authority.acceptor(Tls::Fine, &["h2"]);
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, manners) = (Arc::new(Seen::default()), Arc::new(manners));
        let counted = Arc::clone(&seen);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                while connections.try_join_next().is_some() {}
                let (acceptor, seen, manners) =
                    (acceptor.clone(), Arc::clone(&counted), Arc::clone(&manners));
                connections.spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        seen.connections.fetch_add(1, Ordering::SeqCst);
                        Connection::serve(stream, &manners, &seen).await;
                    }
                });
            }
        });
        Self { address, seen, _server: server }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/hook", self.address.port())
    }

    /// The bodies that were answered, in order.
    pub(crate) fn answered(&self) -> Vec<String> {
        self.seen.answered.lock().unwrap().clone()
    }

    /// How many requests it left alone: refused, or above the last stream of a GOAWAY.
    pub(crate) fn refused(&self) -> usize {
        self.seen.refused.load(Ordering::SeqCst)
    }

    /// How many connections it left by GOAWAY.
    pub(crate) fn goodbyes(&self) -> usize {
        self.seen.goodbyes.load(Ordering::SeqCst)
    }

    /// How many connections it closed because nothing was under way on them.
    pub(crate) fn idle(&self) -> usize {
        self.seen.idle.load(Ordering::SeqCst)
    }

    /// How many connections were opened.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }
}

/// One connection, and what is under way on it.
struct Connection<'a, W> {
    writer: W,
    manners: &'a Manners,
    seen: &'a Seen,
    requests: usize,
    bodies: HashMap<u32, String>,
    due: Vec<(Instant, u32)>,
    used: Instant,
}

impl<'a, S: AsyncRead + AsyncWrite + Send + 'static> Connection<'a, WriteHalf<S>> {
    async fn serve(stream: S, manners: &'a Manners, seen: &'a Seen) {
        let (mut reader, writer) = tokio::io::split(stream);
        let (read, mut frames) = mpsc::channel(1);
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            let mut preface = [0; 24];
            if reader.read_exact(&mut preface).await.is_err() {
                return;
            }
            while let Some(frame) = read_frame(&mut reader).await {
                if read.send(frame).await.is_err() {
                    return;
                }
            }
        });
        let (bodies, due, used) = (HashMap::new(), Vec::new(), Instant::now());
        let mut connection = Connection { writer, manners, seen, requests: 0, bodies, due, used };
        connection.greet().await;
        loop {
            let next = connection.due.iter().map(|(at, _)| *at).min();
            let is_over = next.is_none() && connection.bodies.is_empty() && connection.is_leaving();
            if is_over {
                return connection.linger(&mut frames).await;
            }
            let is_idle = connection.bodies.is_empty() && manners.idle_max.is_some();
            let idle_until = connection.used + manners.idle_max.unwrap_or_default();
            select! {
                frame = frames.recv() => match frame {
                    Some(frame) => connection.take(frame).await,
                    None => return,
                },
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => connection.answer().await,
                () = sleep_until(idle_until), if is_idle => {
                    seen.idle.fetch_add(1, Ordering::SeqCst);
                    return;
                }
            }
        }
    }
}

impl<W: AsyncWrite + Unpin> Connection<'_, W> {
    async fn greet(&mut self) {
        let mut settings = Vec::new();
        if let Some(streams) = self.manners.streams_max {
            settings = [&3_u16.to_be_bytes()[..], &streams.to_be_bytes()[..]].concat();
        }
        self.write(SETTINGS, 0, 0, &settings).await;
    }

    /// Ends its side, and reads until the client has ended the other one. Whoever closes with something unread resets the
    /// connection, and takes answers with it that the client has not read.
    async fn linger(&mut self, frames: &mut mpsc::Receiver<Frame>) {
        drop(self.writer.shutdown().await);
        let until = Instant::now() + LINGER_MAX;
        while let Ok(Some(frame)) = timeout_at(until, frames.recv()).await {
            self.take(frame).await;
        }
    }

    fn is_leaving(&self) -> bool {
        self.manners.requests_each.is_some_and(|each| self.requests >= each)
    }

    async fn take(&mut self, Frame { kind, flags, stream, payload }: Frame) {
        match kind {
            SETTINGS if flags & ACK == 0 => drop(self.write(SETTINGS, ACK, 0, &[]).await),
            PING if flags & ACK == 0 => drop(self.write(PING, ACK, 0, &payload).await),
            HEADERS => self.begin(stream).await,
            RST_STREAM => {
                self.bodies.remove(&stream);
                self.due.retain(|(_, due)| *due != stream);
            }
            DATA => {
                if !payload.is_empty() {
                    let taken = u32::try_from(payload.len()).unwrap().to_be_bytes();
                    self.write(WINDOW_UPDATE, 0, 0, &taken).await;
                }
                if let Some(body) = self.bodies.get_mut(&stream) {
                    body.push_str(std::str::from_utf8(&payload).unwrap());
                    if flags & END_STREAM != 0 {
                        self.due.push((Instant::now() + self.manners.takes, stream));
                    }
                }
            }
            _ => {}
        }
    }

    async fn begin(&mut self, stream: u32) {
        if self.is_leaving() {
            self.seen.refused.fetch_add(1, Ordering::SeqCst);
            return;
        }
        (self.requests, self.used) = (self.requests + 1, Instant::now());
        if self.manners.refuses_each.is_some_and(|each| self.requests.is_multiple_of(each)) {
            self.seen.refused.fetch_add(1, Ordering::SeqCst);
            self.write(RST_STREAM, 0, stream, &REFUSED.to_be_bytes()).await;
            return;
        }
        self.bodies.insert(stream, String::new());
        if self.is_leaving() && self.manners.says_goodbye {
            self.seen.goodbyes.fetch_add(1, Ordering::SeqCst);
            let last_and_no_error = [stream.to_be_bytes(), [0; 4]].concat();
            self.write(GOAWAY, 0, 0, &last_and_no_error).await;
        }
    }

    /// Answers what is due.
    async fn answer(&mut self) {
        let now = Instant::now();
        let (due, later) = self.due.drain(..).partition::<Vec<_>, _>(|(at, _)| *at <= now);
        self.due = later;
        self.used = now;
        for (_, stream) in due {
            let Some(body) = self.bodies.remove(&stream) else { continue };
            let desk = self.manners.desk.as_ref();
            let judged = desk.map(|desk| desk.judge(&body));
            self.seen.answered.lock().unwrap().push(body);
            let is_sent = self.write_head(stream, &self.head(judged.as_ref())).await;
            if let (Some(desk), Some(judged)) = (desk, &judged) {
                desk.answered(judged, is_sent);
            }
        }
    }

    /// The head of an answer as a block of HPACK.
    fn head(&self, judged: Option<&Judged>) -> Vec<u8> {
        let mut block = vec![STATUS_200];
        let mut headers = self.manners.headers.clone();
        if let Some(Judged { status, retry_after_s, .. }) = judged {
            block = [&[STATUS, 3], status.to_string().as_bytes()].concat();
            headers.extend(retry_after_s.map(|seconds| ("retry-after".to_owned(), seconds.to_string())));
        }
        for (name, value) in &headers {
            block.push(0);
            for text in [name, value] {
                push_length(&mut block, text.len());
                block.extend_from_slice(text.as_bytes());
            }
        }
        block
    }

    async fn write_head(&mut self, stream: u32, block: &[u8]) -> bool {
        let frames: Vec<&[u8]> = block.chunks(FRAME_BYTES_MAX).collect();
        let mut is_sent = true;
        for (place, chunk) in frames.iter().enumerate() {
            let kind = if place == 0 { HEADERS } else { CONTINUATION };
            let first = if place == 0 { END_STREAM } else { 0 };
            let last = if place + 1 == frames.len() { END_HEADERS } else { 0 };
            is_sent &= self.write(kind, first | last, stream, chunk).await;
        }
        is_sent
    }

    /// Whether somebody took it: whoever went away asks no more.
    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.writer.write_all(&[&head[..], payload].concat()).await.is_ok()
            && self.writer.flush().await.is_ok()
    }
}

/// A length of HPACK, without compression (RFC 7541, section 5.1).
fn push_length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else { return block.push(u8::try_from(length).unwrap()) };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128 + 128).unwrap());
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

async fn read_frame<R: AsyncRead + Unpin>(reader: &mut R) -> Option<Frame> {
    let mut head = [0; 9];
    reader.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    reader.read_exact(&mut payload).await.ok()?;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some(Frame { kind: head[3], flags: head[4], stream, payload })
}
