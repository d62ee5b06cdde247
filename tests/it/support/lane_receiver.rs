//! The receiver of an ordered endpoint: it judges the order of what it is sent, and answers each key as it is told.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt::{self, Debug, Formatter};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::lanes::{Lanes, Rules};
use super::{DEADLINE, eventually};

/// One request, whose body is `{"key": …, "number": …}`.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) key: String,
    pub(crate) number: u64,
    /// As the header says.
    pub(crate) attempt: u64,
    /// When it had arrived.
    pub(crate) at: Instant,
}

/// How a request is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// So late.
    pub(crate) after: Duration,
    /// It is done at once, and the answer comes too late for anybody to hear.
    pub(crate) is_unheard: bool,
}

impl Reply {
    pub(crate) const fn status(status: u16) -> Self {
        Self { status, after: Duration::ZERO, is_unheard: false }
    }
}

type Script = dyn Fn(&Asked) -> Reply + Send + Sync;

/// A running one; gone when dropped.
pub(crate) struct LaneReceiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    arrivals: tokio::sync::Mutex<mpsc::UnboundedReceiver<Asked>>,
    _server: JoinSet<()>,
}

struct Shared {
    lanes: Mutex<Lanes>,
    /// How all keys are answered that are not among `statuses`.
    script: Box<Script>,
    statuses: Mutex<HashMap<String, u16>>,
    /// How single requests are answered, by key and number, before `statuses` say so.
    once: Mutex<HashMap<(String, u64), VecDeque<u16>>>,
    held: watch::Sender<Held>,
    /// None: the requests are too many to be remembered.
    all: Option<Mutex<Vec<Asked>>>,
    arrived: mpsc::UnboundedSender<Asked>,
}

#[derive(Clone, Debug, Default)]
struct Held {
    all: bool,
    keys: BTreeSet<String>,
}

impl Held {
    fn holds(&self, key: &str) -> bool {
        self.all || self.keys.contains(key)
    }
}

impl Shared {
    fn told(&self, asked: &Asked) -> Option<u16> {
        let at = (asked.key.clone(), asked.number);
        let once = self.once.lock().unwrap().get_mut(&at).and_then(VecDeque::pop_front);
        once.or_else(|| self.statuses.lock().unwrap().get(&asked.key).copied())
    }
}

/// A request between its arrival and its answer, or the end of its connection.
struct UnderWay<'a> {
    shared: &'a Shared,
    asked: &'a Asked,
    is_accepted: bool,
}

impl<'a> UnderWay<'a> {
    fn begin(shared: &'a Shared, asked: &'a Asked) -> Self {
        shared.lanes.lock().unwrap().begin(&asked.key, asked.number);
        Self { shared, asked, is_accepted: false }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.shared.lanes.lock().unwrap().end(&self.asked.key, self.asked.number, self.is_accepted);
    }
}

impl LaneReceiver {
    /// One that accepts everything until it is told otherwise, and expects no faults.
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0", Rules::STRICT).await
    }

    /// The same, which judges by these rules.
    pub(crate) async fn start_with(rules: Rules) -> Self {
        Self::start_at("127.0.0.1:0", rules).await
    }

    async fn start_at(address: &str, rules: Rules) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        Self::serve(listener, rules, Box::new(|_| Reply::status(200)), Some(Mutex::default()))
    }

    /// One that answers as a script says, and remembers no request.
    pub(crate) async fn forgetful(
        rules: Rules,
        script: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, rules, Box::new(script), None)
    }

    fn serve(
        listener: TcpListener,
        rules: Rules,
        script: Box<Script>,
        all: Option<Mutex<Vec<Asked>>>,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            lanes: Mutex::new(Lanes::new(rules)),
            script,
            statuses: Mutex::default(),
            once: Mutex::default(),
            held: watch::Sender::new(Held::default()),
            all,
            arrived,
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

    /// From now on it answers requests of a key with this status.
    pub(crate) fn answer(&self, key: &str, status: u16) {
        self.shared.statuses.lock().unwrap().insert(key.to_owned(), status);
    }

    /// The next request for a number of a key that is not told otherwise yet is answered with this status.
    pub(crate) fn answer_once(&self, key: &str, number: u64, status: u16) {
        let mut once = self.shared.once.lock().unwrap();
        once.entry((key.to_owned(), number)).or_default().push_back(status);
    }

    /// From now on requests of a key arrive but are not answered until `release`.
    pub(crate) fn hold(&self, key: &str) {
        self.shared.held.send_if_modified(|held| held.keys.insert(key.to_owned()));
    }

    /// Answers what is held of a key, and what comes.
    pub(crate) fn release(&self, key: &str) {
        self.shared.held.send_if_modified(|held| held.keys.remove(key));
    }

    /// From now on no request is answered until `release_all`.
    pub(crate) fn hold_all(&self) {
        self.shared.held.send_modify(|held| held.all = true);
    }

    /// Answers what is held, and what comes.
    pub(crate) fn release_all(&self) {
        self.shared.held.send_replace(Held::default());
    }

    /// The next request, in order of arrival.
    pub(crate) async fn next(&self) -> Asked {
        let mut arrivals = self.arrivals.lock().await;
        timeout(DEADLINE, arrivals.recv()).await.expect("a request arrives").unwrap()
    }

    /// All requests so far.
    pub(crate) fn all(&self) -> Vec<Asked> {
        self.shared.all.as_ref().expect("one that remembers").lock().unwrap().clone()
    }

    /// The numbers of all requests of a key so far.
    pub(crate) fn numbers(&self, key: &str) -> Vec<u64> {
        self.all().iter().filter(|asked| asked.key == key).map(|asked| asked.number).collect()
    }

    /// Waits until a key has had this many requests, and returns their numbers.
    pub(crate) async fn until_numbers(&self, key: &str, count: usize) -> Vec<u64> {
        eventually(&format!("{count} requests of {key}"), || async { self.numbers(key).len() >= count })
            .await;
        self.numbers(key)
    }

    /// Waits until a key has had a request for a number.
    pub(crate) async fn until_number(&self, key: &str, number: u64) {
        eventually(&format!("a request for {number} of {key}"), || async {
            self.numbers(key).contains(&number)
        })
        .await;
    }

    /// Looks at the judge, or tells it something.
    pub(crate) fn judge<T>(&self, look: impl FnOnce(&mut Lanes) -> T) -> T {
        look(&mut self.shared.lanes.lock().unwrap())
    }

    /// Order was kept, and every key has had all its events.
    #[track_caller]
    pub(crate) fn assert_in_order(&self, counts: &[(&str, u64)]) {
        let breaches = self.judge(|lanes| {
            for (key, count) in counts {
                lanes.expect(key, *count);
            }
            lanes.breaches()
        });
        assert!(breaches.is_empty(), "{breaches:#?}\n{self:?}");
    }
}

impl Debug for LaneReceiver {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut requests: HashMap<String, Vec<u64>> = HashMap::new();
        for asked in self.shared.all.iter().flat_map(|all| all.lock().unwrap().clone()) {
            requests.entry(asked.key).or_default().push(asked.number);
        }
        f.debug_struct("LaneReceiver").field("requests", &requests).finish_non_exhaustive()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let Some(asked) = read(&headers, &body) else { return StatusCode::BAD_REQUEST };
    if let Some(all) = &shared.all {
        all.lock().unwrap().push(asked.clone());
        // Nobody listens any more: the test is over.
        drop(shared.arrived.send(asked.clone()));
    }
    let mut under_way = UnderWay::begin(&shared, &asked);
    let mut held = shared.held.subscribe();
    if held.borrow_and_update().holds(&asked.key) {
        drop(held.wait_for(|held| !held.holds(&asked.key)).await);
    }
    // After that: it may have been told something else meanwhile.
    let reply = shared.told(&asked).map_or_else(|| (shared.script)(&asked), Reply::status);
    let status = StatusCode::from_u16(reply.status).unwrap();
    if reply.is_unheard {
        under_way.is_accepted = status.is_success();
        tokio::time::sleep(reply.after).await;
        return status;
    }
    if !reply.after.is_zero() {
        tokio::time::sleep(reply.after).await;
    }
    under_way.is_accepted = status.is_success();
    status
}

fn read(headers: &HeaderMap, body: &[u8]) -> Option<Asked> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(Asked {
        key: body.get("key")?.as_str()?.to_owned(),
        number: body.get("number")?.as_u64()?,
        attempt: headers.get("postrider-attempt")?.to_str().ok()?.parse().ok()?,
        at: Instant::now(),
    })
}
