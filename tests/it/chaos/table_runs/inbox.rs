//! The receiver of all events: it remembers each, refuses some for a moment, and some for good.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use fastrand::Rng;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// In the content of a row whose event is refused, as often as it is sent.
pub(crate) const REFUSED: &str = "\"fails\": true";
/// Of a thousand requests so many are answered 503, by chance.
const UNAVAILABLE: u16 = 20;

/// A running one, gone when dropped.
pub(crate) struct Inbox {
    pub(crate) url: String,
    book: Arc<Book>,
    _server: JoinSet<()>,
}

struct Book {
    taken: Mutex<HashMap<String, u64>>,
    changed: Mutex<Vec<String>>,
    rng: Mutex<Rng>,
}

/// What stands for a body.
pub(crate) fn digest(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl Inbox {
    /// Starts on a free port of 127.0.0.1.
    pub(crate) async fn start(rng: Rng) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let book =
            Arc::new(Book { taken: Mutex::default(), changed: Mutex::default(), rng: Mutex::new(rng) });
        let router = Router::new().fallback(take).with_state(Arc::clone(&book));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, book, _server: server }
    }

    /// What was taken: the digest of its body, by `webhook-id`.
    pub(crate) fn taken(&self) -> HashMap<String, u64> {
        self.book.taken.lock().unwrap().clone()
    }

    /// Those that came with two bodies.
    pub(crate) fn changed(&self) -> Vec<String> {
        self.book.changed.lock().unwrap().clone()
    }
}

async fn take(State(book): State<Arc<Book>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if book.rng.lock().unwrap().u16(..1_000) < UNAVAILABLE {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    if body.windows(REFUSED.len()).any(|text| text == REFUSED.as_bytes()) {
        return StatusCode::BAD_REQUEST;
    }
    let id = headers.get("webhook-id").map_or("", |id| id.to_str().unwrap()).to_owned();
    let digest = digest(&body);
    if book.taken.lock().unwrap().insert(id.clone(), digest).is_some_and(|before| before != digest) {
        book.changed.lock().unwrap().push(id);
    }
    StatusCode::OK
}
