//! What happened: written down while it happens, judged afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::kind::Kind;
use super::plan::{ENDPOINTS, Planned};

/// The record of a run.
pub(crate) struct History {
    began: Instant,
    book: Mutex<Book>,
}

/// Everything in it, with times since the beginning.
#[derive(Clone, Default)]
pub(crate) struct Book {
    /// What became of each event that a producer tried to insert.
    pub(crate) fates: BTreeMap<u64, Fate>,
    /// When a producer was told that its event is committed.
    pub(crate) commits: BTreeMap<u64, Duration>,
    /// What receivers got, in order of arrival.
    pub(crate) requests: Vec<Request>,
    /// What went wrong.
    pub(crate) faults: Vec<Injected>,
    /// What strangers touched.
    pub(crate) touches: Vec<Touch>,
    /// Connections and log lines of dispatchers that had no database.
    pub(crate) outages: Vec<Outage>,
    /// Invariants seen broken on the way.
    pub(crate) breaches: Vec<String>,
    /// How large dispatchers became.
    pub(crate) peaks: Peaks,
}

/// What a producer knows of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Committed,
    RolledBack,
    /// The answer to the commit was lost.
    Indeterminate,
}

/// One request, as a receiver saw it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) endpoint: usize,
    pub(crate) number: u64,
    pub(crate) webhook_id: String,
    pub(crate) attempt: u32,
    pub(crate) at: Duration,
    pub(crate) answered: Answer,
}

/// What a receiver said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing, or nothing whole.
    None,
    /// A head that everybody understands.
    Clear(u16),
    /// A head, but late, broken off, or not understood by everybody.
    Doubtful(u16),
}

impl Answer {
    /// Whether it was sent as a success.
    pub(crate) fn is_success(self) -> bool {
        matches!(self, Self::Clear(code) | Self::Doubtful(code) if (200..300).contains(&code))
    }
}

/// A fault that was injected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Injected {
    pub(crate) kind: Kind,
    pub(crate) target: usize,
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

/// What a stranger touched, and when.
#[derive(Clone, Debug)]
pub(crate) struct Touch {
    pub(crate) touched: Touched,
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

/// Which deliveries are held up by a stranger.
#[derive(Clone, Debug)]
pub(crate) enum Touched {
    /// All of these events.
    Events(BTreeSet<u64>),
    /// All of this topic.
    Topic(&'static str),
    /// All for this endpoint.
    Endpoint(usize),
}

/// What one dispatcher did while it had no database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    pub(crate) lasted: Duration,
    pub(crate) connections: usize,
    pub(crate) log_lines: usize,
}

/// How large dispatchers became.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peaks {
    pub(crate) memory_kib: u64,
    pub(crate) descriptors: usize,
    pub(crate) connections: usize,
}

impl History {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), book: Mutex::default() }
    }

    /// Since the beginning.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Writes into it.
    pub(crate) fn write<T>(&self, write: impl FnOnce(&mut Book) -> T) -> T {
        write(&mut self.book.lock().unwrap())
    }

    /// An invariant is broken.
    pub(crate) fn breach(&self, what: String) {
        self.write(|book| book.breaches.push(what));
    }

    /// Writes down a fault that began at `from` and ended now.
    pub(crate) fn injected(&self, planned: Planned, target: usize, from: Duration) {
        let fault = Injected { kind: planned.kind, target, from, to: self.now() };
        self.write(|book| book.faults.push(fault));
    }

    /// Writes down what a stranger touched from `from` until now.
    pub(crate) fn touched(&self, touched: Touched, from: Duration) {
        let touch = Touch { touched, from, to: self.now() };
        self.write(|book| book.touches.push(touch));
    }

    /// All of it.
    pub(crate) fn book(&self) -> Book {
        self.write(|book| book.clone())
    }
}

impl Book {
    /// One JSON object a line.
    pub(crate) fn lines(&self) -> String {
        let faults = self.faults.iter().map(|f| {
            let (from, to) = (f.from.as_millis(), f.to.as_millis());
            json!({"fault": format!("{:?}", f.kind), "target": f.target, "from_ms": from, "to_ms": to})
        });
        let requests = self.requests.iter().map(|r| {
            json!({"request": r.number, "endpoint": ENDPOINTS[r.endpoint].0, "attempt": r.attempt,
                "at_ms": r.at.as_millis(), "answered": format!("{:?}", r.answered)})
        });
        let fates =
            self.fates.iter().map(|(number, fate)| json!({"event": number, "fate": format!("{fate:?}")}));
        let touches = self.touches.iter().map(|t| {
            let (from, to) = (t.from.as_millis(), t.to.as_millis());
            json!({"touched": format!("{:?}", t.touched), "from_ms": from, "to_ms": to})
        });
        let breaches = self.breaches.iter().map(|what| json!({"breach": what}));
        let lines =
            breaches.chain(faults).chain(touches).chain(fates).chain(requests).map(|line| line.to_string());
        lines.collect::<Vec<_>>().join("\n")
    }
}
