//! Where the receiver decides about requests, and the book of what it decided: one for each endpoint, at whichever address.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::plan::Plan;
use crate::support::{Desk, Judged};

/// One request that was judged.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The number of its event.
    pub(crate) number: usize,
    /// `webhook-id`, where it was looked at.
    pub(crate) webhook_id: String,
    pub(crate) at: Duration,
    /// Which of the two addresses it came to.
    pub(crate) address: usize,
    pub(crate) status: u16,
    /// Whether its answer was handed to the connection.
    pub(crate) is_sent: bool,
}

/// What one endpoint was sent.
#[derive(Debug)]
pub(crate) struct Book {
    began: Instant,
    limit: usize,
    window: Duration,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    entries: Vec<Entry>,
    window: u128,
    taken: usize,
}

/// The desk at one of the addresses.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    pub(crate) book: Arc<Book>,
    pub(crate) address: usize,
}

impl Book {
    /// An empty one; its first window begins at the beginning of the run.
    pub(crate) fn new(plan: &Plan, began: Instant) -> Arc<Self> {
        Arc::new(Self { began, limit: plan.limit, window: plan.window, pages: Mutex::default() })
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.pages.lock().unwrap().entries.clone()
    }
}

impl Counter {
    /// Decides about a request: 200 as long as the window has room, and else 429 with the rest of the window in whole seconds.
    pub(crate) fn judge_named(&self, body: &str, webhook_id: &str) -> Judged {
        let json: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let number = json.get("number").and_then(serde_json::Value::as_u64).expect("the body of an event");
        let Book { began, limit, window, pages } = &*self.book;
        let at = began.elapsed();
        let mut pages = pages.lock().unwrap();
        let current = at.as_nanos() / window.as_nanos();
        if pages.window != current {
            (pages.window, pages.taken) = (current, 0);
        }
        let is_taken = pages.taken < *limit;
        pages.taken += usize::from(is_taken);
        let (status, retry_after_s) = if is_taken {
            (200, None)
        } else {
            let rest = (*window * u32::try_from(current + 1).unwrap()).saturating_sub(at);
            (429, Some(rest.as_secs() + u64::from(rest.subsec_nanos() > 0)))
        };
        pages.entries.push(Entry {
            number: usize::try_from(number).unwrap(),
            webhook_id: webhook_id.to_owned(),
            at,
            address: self.address,
            status,
            is_sent: false,
        });
        Judged { entry: pages.entries.len() - 1, status, retry_after_s }
    }
}

impl Desk for Counter {
    fn judge(&self, body: &str) -> Judged {
        self.judge_named(body, "")
    }

    fn answered(&self, judged: &Judged, is_sent: bool) {
        self.book.pages.lock().unwrap().entries[judged.entry].is_sent = is_sent;
    }
}
