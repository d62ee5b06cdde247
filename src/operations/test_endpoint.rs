//! Tests an endpoint: one event for it alone, through everything that real events go through.
//!
//! ```text
//!  enabled? ──> insert ──> the one attempt ── accepted ──> complete
//!                               ├── refused ──> failed, with the error that it met
//!                               └── none in time ──> event cancelled
//! ```
//!
//! An event of topic `postrider.test` has one attempt, whoever inserts it and however the caller of the test ends. So it is
//! never retried for days. The cancelling keeps a test that nobody waits for any more from being sent hours later.

use std::future::Future;
use std::time::Duration;

use serde_json::json;
use thiserror::Error;

use super::lookup::{LookupError, existing_endpoint};
use crate::model::delivery::DeliveryId;
use crate::model::endpoint::EndpointState;
use crate::model::event::{EventId, TEST_TOPIC};
use crate::rules::printable::printable;
use crate::store::{DeliveryDetail, EndpointRow, EventRow, NewEvent, Status, Store, StoreError};

const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// The test event, and what became of it.
#[derive(Debug)]
pub(crate) struct TestedEndpoint {
    /// The event that was inserted.
    pub event_id: EventId,
    /// How the wait for its first attempt ended.
    pub outcome: TestOutcome,
}

/// How the wait for the first attempt ended.
#[derive(Debug)]
pub(crate) enum TestOutcome {
    /// The endpoint accepted the event.
    Accepted(Box<DeliveryDetail>),
    /// The attempt failed, and so did the event.
    Refused(Box<DeliveryDetail>),
    /// No attempt ended in time; the event is cancelled.
    NoAttempt(NoAttempt),
}

/// Why no attempt ended in time.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum NoAttempt {
    /// Nobody delivers.
    #[error("no dispatcher runs: start postrider run")]
    NoDispatcher,
    /// The event was not routed.
    #[error("no dispatcher took the event in time; see postrider doctor")]
    NotRouted,
    /// The request was sent, and has no answer.
    #[error("the attempt is still under way: endpoint \"{0}\" does not answer")]
    UnderWay(String),
    /// Other deliveries have all slots of the endpoint.
    #[error("endpoint \"{id}\" had no room for the attempt: {in_progress} under way, {pending} waiting")]
    NoRoom {
        /// The endpoint.
        id: String,
        /// Its attempts under way when the test began.
        in_progress: i64,
        /// Its deliveries that waited when the test began.
        pending: i64,
    },
    /// The caller stopped waiting.
    #[error("interrupted before there was an answer")]
    Interrupted,
}

/// Why no test event was sent.
#[derive(Debug, Error)]
pub enum TestError {
    /// There is no such endpoint, or the database did not say.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// It is a template, to which nothing is sent.
    #[error("endpoint \"{0}\" is a template: test one of its endpoints, as {0}/VALUE")]
    Template(String),
    /// The endpoint is paused or disabled.
    #[error("endpoint \"{id}\" is {state}{reason}: nothing is sent to it", reason = in_brackets(.reason.as_deref()))]
    NotEnabled {
        /// The endpoint.
        id: String,
        /// Paused or disabled.
        state: EndpointState,
        /// The reason that was given for it.
        reason: Option<String>,
    },
    /// The database did not do what was asked; a test event that was inserted may not be cancelled.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Sends a test event to one endpoint, and waits up to `wait` for its first attempt, or until `stop` ends.
///
/// # Errors
/// [`TestError`].
///
/// # Cancel safety
/// None: dropped before it ends, it leaves a test event that is not cancelled. Give it `stop` instead.
pub(crate) async fn test_endpoint(
    store: &Store,
    id: &str,
    wait: Duration,
    stop: impl Future<Output = ()>,
) -> Result<TestedEndpoint, TestError> {
    let endpoint = existing_endpoint(store, id).await?;
    if endpoint.children.is_some() {
        return Err(TestError::Template(endpoint.id));
    }
    refuse_unless_enabled(&endpoint)?;
    let event_id = insert(store, &endpoint.id).await?;
    let outcome = tokio::select! {
        attempted = first_attempt(store, event_id) => judge(attempted?),
        () = tokio::time::sleep(wait) => TestOutcome::NoAttempt(why_no_attempt(store, &endpoint, event_id).await?),
        () = stop => TestOutcome::NoAttempt(NoAttempt::Interrupted),
    };
    if matches!(outcome, TestOutcome::NoAttempt(_)) {
        store.cancel(event_id).await?;
    }
    Ok(TestedEndpoint { event_id, outcome })
}

fn refuse_unless_enabled(endpoint: &EndpointRow) -> Result<(), TestError> {
    if endpoint.state == EndpointState::Enabled {
        return Ok(());
    }
    Err(TestError::NotEnabled {
        id: endpoint.id.clone(),
        state: endpoint.state,
        reason: endpoint.reason.clone(),
    })
}

async fn insert(store: &Store, endpoint_id: &str) -> Result<EventId, TestError> {
    let event = NewEvent {
        topic: TEST_TOPIC.to_owned(),
        payload: json!({ "test": true, "endpoint_id": endpoint_id }).to_string(),
        destination: Some(endpoint_id.to_owned()),
        ..NewEvent::default()
    };
    store.hasten_probe(endpoint_id).await?;
    Ok(store.publish(&event).await?.event_id)
}

/// Looks until there is an attempt, ever less often.
async fn first_attempt(store: &Store, id: EventId) -> Result<DeliveryDetail, StoreError> {
    let mut pause = PAUSE_FIRST;
    loop {
        // The delivery may be claimed again already, if the endpoint's first delay is short: only the log tells.
        if let Some(row) = store.read_event(id).await?.and_then(only_delivery)
            && row.attempts > 0
            && let Some(detail) = store.read_delivery(DeliveryId::new(row.id)).await?
            && !detail.attempt_log.is_empty()
        {
            return Ok(detail);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(PAUSE_MAX);
    }
}

fn only_delivery(event: EventRow) -> Option<crate::store::DeliveryRow> {
    event.delivery_list.into_iter().next()
}

fn judge(detail: DeliveryDetail) -> TestOutcome {
    let is_accepted = detail.attempt_log.first().is_some_and(|attempt| attempt.error.is_none());
    let detail = Box::new(detail);
    if is_accepted { TestOutcome::Accepted(detail) } else { TestOutcome::Refused(detail) }
}

async fn why_no_attempt(store: &Store, endpoint: &EndpointRow, id: EventId) -> Result<NoAttempt, StoreError> {
    let is_anyone_there = store.read_dispatchers().await?.iter().any(|dispatcher| dispatcher.is_live);
    if !is_anyone_there {
        return Ok(NoAttempt::NoDispatcher);
    }
    Ok(match store.read_event(id).await?.and_then(only_delivery) {
        None => NoAttempt::NotRouted,
        Some(row) if row.status == Status::InProgress => NoAttempt::UnderWay(endpoint.id.clone()),
        Some(_) => NoAttempt::NoRoom {
            id: endpoint.id.clone(),
            in_progress: endpoint.in_progress,
            pending: endpoint.pending,
        },
    })
}

/// A reason in one line; people may have typed anything.
fn in_brackets(reason: Option<&str>) -> String {
    reason.map(|reason| format!(" ({})", printable(reason))).unwrap_or_default()
}
