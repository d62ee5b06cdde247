//! A scripted HTTP peer that records what it was sent.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri};
use standardwebhooks::Webhook;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{Canaries, DEADLINE, SECRET};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// `POST`.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) uri: Uri,
    /// All headers.
    pub(crate) headers: HeaderMap,
    /// The body, byte for byte.
    pub(crate) body: Bytes,
    /// When it had arrived.
    pub(crate) at: Instant,
}

impl Received {
    /// A header as text; empty if it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Verifies the signature with the secret of the tests, as a customer's official library does.
    pub(crate) fn verify(&self) {
        Webhook::new(SECRET).unwrap().verify(&self.body, &self.headers).expect("a valid signature");
    }
}

/// The peer. Answers 200 unless told otherwise; gone when dropped.
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    arrivals: tokio::sync::Mutex<mpsc::UnboundedReceiver<Received>>,
    _server: JoinSet<()>,
}

struct Shared {
    script: Mutex<Script>,
    limit: Mutex<Option<Limit>>,
    arrived: mpsc::UnboundedSender<Received>,
    all: Mutex<Vec<Received>>,
    gate: watch::Sender<bool>,
    /// Requests that may pass the closed gate.
    passes: Semaphore,
    ended: AtomicUsize,
    under_way: AtomicUsize,
    under_way_max: AtomicUsize,
}

/// A limit by windows: so many requests are taken in each, and others are answered 429.
struct Limit {
    count: usize,
    window: Duration,
    began: Instant,
    taken: usize,
}

/// One request between its arrival and its answer, or the end of its connection.
struct UnderWay<'a>(&'a Shared);

struct Script {
    once: VecDeque<Answer>,
    /// By host; `None`: no answer.
    hosts: HashMap<String, Option<u16>>,
    always: Answer,
    delay: Duration,
}

#[derive(Clone)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Answer {
    fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }
}

impl Receiver {
    /// Starts listening on a free port of 127.0.0.1.
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    /// Starts listening on a free port of every address of this machine: all of 127.0.0.0/8 are hosts of their own.
    pub(crate) async fn start_everywhere() -> Self {
        Self::start_at("0.0.0.0:0").await
    }

    /// Starts listening at an address and port of this machine.
    pub(crate) async fn start_at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            script: Mutex::new(Script {
                once: VecDeque::new(),
                hosts: HashMap::new(),
                always: Answer::status(200),
                delay: Duration::ZERO,
            }),
            limit: Mutex::default(),
            arrived,
            all: Mutex::default(),
            gate: watch::Sender::new(true),
            passes: Semaphore::new(0),
            ended: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            under_way_max: AtomicUsize::new(0),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, arrivals: tokio::sync::Mutex::new(arrivals), _server: server }
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Its URL at another address of this machine.
    pub(crate) fn url_at(&self, host: &str) -> String {
        format!("http://{host}:{}/hook", self.address.port())
    }

    /// From now on it answers with this status.
    pub(crate) fn answer(&self, status: u16) {
        self.script().always = Answer::status(status);
    }

    /// From now on it answers requests for this host with this status; none: it lets them wait without an end.
    pub(crate) fn answer_for(&self, host: &str, status: Option<u16>) {
        self.script().hosts.insert(format!("{host}:{}", self.address.port()), status);
    }

    /// The next request that is not scripted yet is answered so.
    pub(crate) fn answer_once(&self, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.script().once.push_back(Answer { status, headers, body: Bytes::copy_from_slice(body) });
    }

    /// From now on it takes so many requests in each window. It answers all others 429, with the rest of the window as `Retry-After`.
    pub(crate) fn limit(&self, count: usize, window: Duration) {
        *self.shared.limit.lock().unwrap() = Some(Limit { count, window, began: Instant::now(), taken: 0 });
    }

    /// From now on it answers this late.
    pub(crate) fn answer_after(&self, delay: Duration) {
        self.script().delay = delay;
    }

    /// From now on requests arrive but are not answered until `release`.
    pub(crate) fn hold(&self) {
        self.shared.gate.send_replace(false);
    }

    /// Answers what is held, and what comes.
    pub(crate) fn release(&self) {
        self.shared.gate.send_replace(true);
    }

    /// Answers so many of what is held, in order of arrival, and waits until that is done.
    pub(crate) async fn let_pass(&self, count: usize) {
        let before = self.shared.ended.load(Ordering::SeqCst);
        self.shared.passes.add_permits(count);
        let is_done = || async { self.shared.ended.load(Ordering::SeqCst) >= before + count };
        super::eventually("what was held is answered", is_done).await;
    }

    /// The next request, in order of arrival.
    pub(crate) async fn next(&self) -> Received {
        let mut arrivals = self.arrivals.lock().await;
        timeout(DEADLINE, arrivals.recv()).await.expect("a request arrives").unwrap()
    }

    /// A request that has arrived and was not asked for yet.
    pub(crate) fn arrived(&self) -> Option<Received> {
        self.arrivals.try_lock().ok()?.try_recv().ok()
    }

    /// All requests so far.
    pub(crate) fn all(&self) -> Vec<Received> {
        self.shared.all.lock().unwrap().clone()
    }

    /// How many requests so far.
    pub(crate) fn count(&self) -> usize {
        self.shared.all.lock().unwrap().len()
    }

    /// The events that arrived, each once, by their `webhook-id`.
    pub(crate) fn webhook_ids(&self) -> BTreeSet<String> {
        let all = self.all();
        all.iter().map(|r| r.header("webhook-id").to_owned()).collect()
    }

    /// How many requests wait for their answer.
    pub(crate) fn under_way(&self) -> usize {
        self.shared.under_way.load(Ordering::SeqCst)
    }

    /// How many requests waited for their answer at once, at most.
    pub(crate) fn under_way_max(&self) -> usize {
        self.shared.under_way_max.load(Ordering::SeqCst)
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.shared.script.lock().unwrap()
    }
}

impl Limit {
    /// Takes a request, or refuses it.
    fn judge(&mut self) -> Option<Answer> {
        let windows = self.began.elapsed().as_nanos() / self.window.as_nanos();
        if windows > 0 {
            self.began += self.window * u32::try_from(windows).unwrap();
            self.taken = 0;
        }
        self.taken += 1;
        let rest = self.window.saturating_sub(self.began.elapsed()).as_secs_f64();
        let headers = vec![("retry-after".to_owned(), format!("{rest:.4}"))];
        (self.taken > self.count).then(|| Answer { status: 429, headers, body: Bytes::new() })
    }
}

impl<'a> UnderWay<'a> {
    fn begin(shared: &'a Shared) -> Self {
        let count = shared.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        shared.under_way_max.fetch_max(count, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let _under_way = UnderWay::begin(&shared);
    let received = Received { method, uri, headers, body, at: Instant::now() };
    let host = shared.script.lock().unwrap().hosts.get(received.header("host")).copied();
    shared.all.lock().unwrap().push(received.clone());
    // Nobody listens any more: the test is over.
    drop(shared.arrived.send(received));
    let limited = shared.limit.lock().unwrap().as_mut().and_then(Limit::judge);
    let (answer, delay) = {
        let mut script = shared.script.lock().unwrap();
        let always = host.flatten().map_or_else(|| script.always.clone(), Answer::status);
        (limited.or_else(|| script.once.pop_front()).unwrap_or(always), script.delay)
    };
    tokio::time::sleep(delay).await;
    if host == Some(None) {
        std::future::pending::<()>().await;
    }
    let mut gate = shared.gate.subscribe();
    tokio::select! {
        _ = gate.wait_for(|is_open| *is_open) => {}
        pass = shared.passes.acquire() => pass.unwrap().forget(),
    }
    let mut response = Response::builder().status(answer.status);
    if !answer.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("location")) {
        response = response.header("location", format!("http://{}/", Canaries::get().address()));
    }
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.body)).unwrap()
}
