//! Answers that are costly to look up (counts of the backlog, pages of deliveries) and asked for again and again: one
//! lookup serves all who ask the same meanwhile, and for a while after it. However many ask, deliveries keep the database.

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

/// An answer is kept so many times as long as it took to look up: then lookups of one thing take a fiftieth of a connection.
const KEPT_PER_LOOKUP: u32 = 50;
/// However long it took.
const KEPT: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(5);

/// More questions than that are not asked again and again.
const QUESTIONS_MAX: usize = 100;

/// The last answers, each by its question.
#[derive(Default)]
pub(super) struct ResponseCache(std::sync::Mutex<HashMap<String, Arc<Mutex<Option<CachedResponse>>>>>);

struct CachedResponse {
    text: Bytes,
    until: Instant,
}

impl ResponseCache {
    /// The answer to a question: the kept one, or that of `look`.
    pub(super) async fn text<T: Serialize>(
        &self,
        question: String,
        look: impl Future<Output = Result<T, Problem>>,
    ) -> Result<Text, Problem> {
        let kept = self.slot(question);
        // Held during the lookup: whoever asks the same meanwhile waits for it, and takes its answer.
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

    /// A lookup that is under way ends in a slot that nobody finds any more.
    fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Whoever has changed something here finds it changed.
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
