//! A receiver that speaks HTTP/1.1 and is careless with connections: it closes them when idle, or just used, and never says so.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::desk::Counter;
use super::plan::Habits;
use crate::chaos::seeded_runs::peer::read_request;
use crate::support::Desk;

/// How often it did what.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) idle: AtomicUsize,
    pub(crate) just_used: AtomicUsize,
    pub(crate) lost: AtomicUsize,
}

/// A running one; gone when dropped, with its connections.
pub(crate) struct Http1Receiver {
    pub(crate) seen: Arc<Seen>,
    _server: JoinSet<()>,
}

struct Shared {
    counter: Counter,
    habits: Habits,
    seen: Arc<Seen>,
    rng: Mutex<Rng>,
}

impl Http1Receiver {
    pub(crate) async fn start(address: &str, counter: Counter, habits: &Habits, number: u64) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let seen = Arc::new(Seen::default());
        let rng = Mutex::new(Rng::with_seed(number));
        let shared = Arc::new(Shared { counter, habits: habits.clone(), seen: Arc::clone(&seen), rng });
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                while connections.try_join_next().is_some() {}
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { seen, _server: server }
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    drop(stream.set_nodelay(true));
    let Shared { counter, habits, seen, rng } = &*shared;
    let is_one_of = |count| rng.lock().unwrap().usize(..count) == 0;
    let mut buffer = Vec::new();
    loop {
        let Ok(read) = timeout(habits.idle_max, read_request(&mut stream, &mut buffer)).await else {
            seen.idle.fetch_add(1, Ordering::SeqCst);
            return;
        };
        let Some((headers, body)) = read else { return };
        sleep(habits.takes).await;
        let webhook_id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        let judged = counter.judge_named(std::str::from_utf8(&body).unwrap(), webhook_id);
        if judged.status == 200 && is_one_of(habits.loses_each) {
            seen.lost.fetch_add(1, Ordering::SeqCst);
            return;
        }
        let retry_after = judged.retry_after_s.map(|seconds| format!("retry-after: {seconds}\r\n"));
        let head = format!(
            "HTTP/1.1 {} So\r\ncontent-length: 0\r\n{}\r\n",
            judged.status,
            retry_after.unwrap_or_default()
        );
        let is_sent = stream.write_all(head.as_bytes()).await.is_ok();
        counter.answered(&judged, is_sent);
        if !is_sent {
            return;
        }
        if is_one_of(habits.closes_each) {
            seen.just_used.fetch_add(1, Ordering::SeqCst);
            return;
        }
    }
}
