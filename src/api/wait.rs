//! Requests that wait for something: they look again and again, ever less often, until a deadline.

use std::future::Future;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, sleep};
use utoipa::IntoParams;

use super::Api;
use super::problem::{Code, Problem};
use crate::model::event::EventId;
use crate::store::Status;
use crate::validation::{Problems, parse_duration};

/// Longest wait of a request.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// Requests that wait at once.
pub(super) const WAITING_MAX: usize = 64;
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// How long to wait.
#[derive(Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wait {
    /// Answer when the wait is over, or after this time: 0s to 1m.
    #[param(pattern = "^([0-9]+ ?(ms|s|m) ?)+$", example = "1s")]
    wait: Option<String>,
}

impl Wait {
    pub(super) fn duration(&self, default: Duration) -> Result<Duration, Problem> {
        let Some(text) = &self.wait else { return Ok(default) };
        let mut problems = Problems::default();
        let wait = parse_duration("wait", text, (Duration::ZERO, WAIT_MAX), &mut problems);
        Ok(problems.unless_any(wait)?)
    }
}

/// Waits until an event is complete or failed, at most `wait`.
pub(super) async fn settled(api: &Api, id: EventId, wait: Duration) -> Result<(), Problem> {
    let is_settled = async || match api.store.read_event_status(id).await? {
        Some(Status::Pending | Status::InProgress) => Ok(None),
        Some(Status::Complete | Status::Failed) | None => Ok(Some(())),
    };
    poll(api, wait, is_settled).await.map(|_| ())
}

/// Reserves a place among the requests that wait, until the permit is dropped.
pub(super) fn begin(api: &Api) -> Result<SemaphorePermit<'_>, Problem> {
    let permit = api.waiting.try_acquire();
    permit.or(Err(Problem::new(Code::Busy, "too many requests wait; ask without waiting")))
}

async fn poll<T, F: Future<Output = Result<Option<T>, Problem>>>(
    api: &Api,
    wait: Duration,
    mut look: impl FnMut() -> F,
) -> Result<Option<T>, Problem> {
    if wait.is_zero() {
        return look().await;
    }
    let _permit = begin(api)?;
    let deadline = Instant::now() + wait;
    let mut pause = PAUSE_FIRST;
    loop {
        if let Some(found) = look().await? {
            return Ok(Some(found));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        tokio::select! {
            () = sleep(pause.min(left)) => {}
            () = api.stop.cancelled() => return Ok(None),
        }
        pause = (pause * 3 / 2).min(PAUSE_MAX);
    }
}
