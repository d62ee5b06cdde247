//! `postrider endpoint test`: sends one event to one endpoint, by the same way as real events.

use std::time::Duration;

use serde::Serialize;

use super::super::{Failure, open, output};
use crate::cli::signals::Signals;
use crate::config::Settings;
use crate::config::args;
use crate::model::endpoint::template_of;
use crate::model::event::EventId;
use crate::operations::test_endpoint::{TestError, TestOutcome, test_endpoint};
use crate::store::{AttemptRow, DeliveryDetail};
use crate::validation::parse_duration;

/// Result of a test, as it is printed.
#[derive(Serialize)]
struct Tested<'a> {
    endpoint_id: &'a str,
    event_id: i64,
    delivery_id: Option<i64>,
    is_delivered: bool,
    status_code: Option<i16>,
    duration_ms: Option<i32>,
    error: Option<String>,
    response_excerpt: Option<String>,
}

/// Sends a test event, waits for its first attempt, and shows the response.
pub(super) async fn run(
    mut settings: Settings,
    url: Option<String>,
    typed: &args::EndpointTest,
) -> Result<(), Failure> {
    let range = (Duration::from_millis(100), Duration::from_hours(1));
    let wait = parse_duration("wait", &typed.wait, range, &mut settings.problems);
    let (store, _) = open(settings, url)?;
    let Some(wait) = wait else { return Ok(()) };
    let mut signals = Signals::install()?;
    let stop = async {
        signals.next().await;
    };
    let done = test_endpoint(&store, &typed.id, wait, stop).await?;
    let (detail, why_failed) = match done.outcome {
        TestOutcome::Accepted(detail) => (Some(detail), None),
        TestOutcome::Refused(detail) => {
            (Some(detail), Some(format!("endpoint \"{}\" did not accept the test", typed.id)))
        }
        TestOutcome::NoAttempt(why) => (None, Some(why.to_string())),
    };
    report(typed.json, &tested(&typed.id, done.event_id, detail.as_deref()), why_failed)
}

impl From<TestError> for Failure {
    fn from(fault: TestError) -> Self {
        let text = fault.to_string();
        match fault {
            TestError::NotEnabled { id, .. } => {
                let template = template_of(&id).map(|template| format!(", or {template}, its template"));
                let id = [id.as_str(), &template.unwrap_or_default()].concat();
                Self::Failed(format!("{text}; to enable it: postrider endpoint resume {id}"))
            }
            TestError::Lookup(fault) => fault.into(),
            TestError::Store(fault) => fault.into(),
            TestError::Template(_) => Self::Failed(text),
        }
    }
}

fn tested<'a>(endpoint_id: &'a str, id: EventId, detail: Option<&DeliveryDetail>) -> Tested<'a> {
    let attempt: Option<&AttemptRow> = detail.and_then(|detail| detail.attempt_log.first());
    Tested {
        endpoint_id,
        event_id: id.get(),
        delivery_id: detail.map(|detail| detail.delivery.id),
        is_delivered: attempt.is_some_and(|attempt| attempt.error.is_none()),
        status_code: attempt.and_then(|attempt| attempt.status_code),
        duration_ms: attempt.map(|attempt| attempt.duration_ms),
        error: attempt.and_then(|attempt| attempt.error.clone()),
        response_excerpt: attempt.and_then(|attempt| attempt.response_excerpt.clone()),
    }
}

fn report(json: bool, tested: &Tested<'_>, why_failed: Option<String>) -> Result<(), Failure> {
    if json {
        output::json(tested)?;
    } else if tested.delivery_id.is_some() {
        output::details(&[
            ("status", if tested.is_delivered { "complete" } else { "failed" }.to_owned()),
            ("event", tested.event_id.to_string()),
            ("status code", output::or_dash(tested.status_code.as_ref())),
            ("duration", tested.duration_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms}ms"))),
            ("error", output::or_dash(tested.error.as_ref())),
            ("response", output::or_dash(tested.response_excerpt.as_ref())),
        ])?;
    }
    why_failed.map_or(Ok(()), |why| Err(Failure::Failed(why)))
}
