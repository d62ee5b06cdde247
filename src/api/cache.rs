//! Caches responses that are costly to look up (counts of the backlog, pages of deliveries). One lookup serves every request
//! that asks the same while it runs, and for a while afterwards. So any number of clients leaves the database to deliveries.

use std::collections::HashMap;
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Api;
use super::extract::{Text, legible};
use super::problem::{Code, Problem};

/// A response is kept 50 times as long as its lookup took: lookups of one thing then use a fiftieth of a connection.
const KEPT_PER_LOOKUP: u32 = 50;
/// Bounds of that time.
const KEPT: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(5);

/// Most responses that are kept; real clients repeat fewer questions.
const QUESTIONS_MAX: usize = 100;

/// The last responses, each by its question.
#[derive(Default)]
pub(super) struct ResponseCache(std::sync::Mutex<HashMap<String, Arc<Mutex<Option<CachedResponse>>>>>);

struct CachedResponse {
    text: Bytes,
    until: Instant,
}

impl ResponseCache {
    /// Returns the cached response to a question, or runs `look`.
    pub(super) async fn text<T: Serialize>(
        &self,
        question: String,
        look: impl Future<Output = Result<T, Problem>>,
    ) -> Result<Text, Problem> {
        let kept = self.slot(question);
        // Held during the lookup: requests with the same question wait for it, and share its response.
        let mut kept = kept.lock().await;
        let began = Instant::now();
        if let Some(answer) = kept.as_ref().filter(|answer| began < answer.until) {
            return Ok(Text(answer.text.clone()));
        }
        let found = look.await?;
        let text = legible(&found).map_err(|fault| Problem::new(Code::Internal, fault.to_string()))?;
        let text = Bytes::from(text);
        let until = Instant::now() + (began.elapsed() * KEPT_PER_LOOKUP).clamp(*KEPT.start(), *KEPT.end());
        *kept = Some(CachedResponse { text: text.clone(), until });
        Ok(Text(text))
    }

    fn slot(&self, question: String) -> Arc<Mutex<Option<CachedResponse>>> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= QUESTIONS_MAX && !slots.contains_key(&question) {
            slots.clear();
        }
        Arc::clone(slots.entry(question).or_default())
    }

    /// Forgets all responses. A lookup that still runs ends in a slot that nobody finds any more.
    fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Empties the cache after each change, so that a client that changed something reads the change.
pub(super) async fn forget_after_change(
    State(api): State<Arc<Api>>,
    request: Request,
    next: Next,
) -> Response {
    let is_change = request.method() != Method::GET;
    let response = next.run(request).await;
    if is_change {
        api.cache.forget();
    }
    response
}
