//! `/v1/endpoints`: who receives events.

#![expect(unused_qualifications, reason = "what utoipa's macro writes")]

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Answer, Body, Id, OptionalBody, Params, Text};
use super::openapi::{Secret, TopicPattern, Whole};
use super::paging::PageParams;
use super::problem::{Code, Problem};
use super::wait::{self, Wait};
use super::{Api, time};
use crate::operations::endpoint_spec::{EndpointSpec, check_patterns, check_secret};
use crate::operations::event_spec::EventSpec;
use crate::store::{DeletedEndpoint, DeliveryDetail, EndpointRow, PutResult, Replay, RotatedSecret, Span};
use crate::validation::{Problems, parse_duration};

const DAY: Duration = Duration::from_hours(24);
/// Events looked up by one call of replay, unless the caller says less.
const REPLAY_MAX: i32 = 10_000;
/// Longest reason of a pause.
const REASON_CHARS_MAX: usize = 500;

/// What a PUT did.
#[derive(Serialize, ToSchema)]
pub(super) struct PutEndpoint {
    /// The endpoint as it is now.
    #[serde(flatten)]
    endpoint: EndpointRow,
    /// What was done.
    result: PutResult,
    /// The generated secret, shown this once; null: there was one, or one was given.
    secret: Option<String>,
}

/// Creates or replaces an endpoint.
///
/// The same request twice changes nothing: a service may send it at every start.
#[utoipa::path(
    put, path = "/v1/endpoints/{id}", operation_id = "putEndpoint", tag = "endpoints", params(EndpointPath),
    request_body = EndpointSpec,
    responses(
        (status = 200, description = "It was there: changed, or unchanged", body = PutEndpoint),
        (status = 201, description = "Created", body = PutEndpoint),
    )
)]
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    Id(id): Id<String>,
    Body(spec): Body<EndpointSpec>,
) -> Result<Answer<PutEndpoint>, Problem> {
    let mut problems = Problems::default();
    let put = spec.check(id, &api.policy, &mut problems);
    let put = problems.unless_any(put)?;
    let done = api.store.put_endpoint(&put).await?;
    let status = if done.result == PutResult::Created { StatusCode::CREATED } else { StatusCode::OK };
    let endpoint = existing(&api, &put.id).await?;
    Ok(Answer(status, PutEndpoint { endpoint, result: done.result, secret: done.secret }))
}

/// One endpoint and how it is doing; never its secret.
#[utoipa::path(
    get, path = "/v1/endpoints/{id}", operation_id = "getEndpoint", tag = "endpoints", params(EndpointPath),
    responses((status = 200, description = "The endpoint", body = EndpointRow))
)]
pub(super) async fn get(State(api): State<Arc<Api>>, Id(id): Id<String>) -> Result<Text, Problem> {
    api.kept.text(format!("endpoint {id}"), existing(&api, &id)).await
}

/// Deletes an endpoint.
///
/// Nothing more is routed to it, and what waits for it is given up as failed.
#[utoipa::path(
    delete, path = "/v1/endpoints/{id}", operation_id = "deleteEndpoint", tag = "endpoints", params(EndpointPath),
    responses((status = 200, description = "Deleted", body = DeletedEndpoint))
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Id(id): Id<String>,
) -> Result<Answer<DeletedEndpoint>, Problem> {
    Ok(Answer(StatusCode::OK, api.store.delete_endpoint(&id).await?))
}

/// A page of endpoints.
#[derive(Serialize, ToSchema)]
pub(super) struct EndpointPage {
    /// The rows.
    data: Vec<EndpointRow>,
    /// For the next page; null: this is the last.
    next_cursor: Option<String>,
}

/// Endpoints in order of their ids.
#[utoipa::path(
    get, path = "/v1/endpoints", operation_id = "listEndpoints", tag = "endpoints", params(PageParams),
    responses((status = 200, description = "One page", body = EndpointPage))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Params(params): Params<PageParams>,
) -> Result<Text, Problem> {
    let limit = params.limit()?;
    let cursor = params.cursor.as_deref();
    api.kept.text(format!("endpoints {limit} {cursor:?}"), page(&api, cursor, limit)).await
}

async fn page(api: &Api, cursor: Option<&str>, limit: i64) -> Result<EndpointPage, Problem> {
    let mut rows = api.store.list_endpoints(cursor, limit + 1).await?;
    let is_last = i64::try_from(rows.len()).unwrap_or(i64::MAX) <= limit;
    if !is_last {
        rows.pop();
    }
    let next_cursor = rows.last().filter(|_| !is_last).map(|row| row.id.clone());
    Ok(EndpointPage { data: rows, next_cursor })
}

/// Why an endpoint is paused.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PauseBody {
    /// Shown with the endpoint.
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// Stops attempts; deliveries wait, nothing is lost.
#[utoipa::path(
    post, path = "/v1/endpoints/{id}/pause", operation_id = "pauseEndpoint", tag = "endpoints", params(EndpointPath),
    request_body = Option<PauseBody>,
    responses((status = 200, description = "Paused", body = EndpointRow))
)]
pub(super) async fn pause(
    State(api): State<Arc<Api>>,
    Id(id): Id<String>,
    OptionalBody(body): OptionalBody<PauseBody>,
) -> Result<Answer<EndpointRow>, Problem> {
    if body.reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_CHARS_MAX) {
        let expected = format!("reason: needs at most {REASON_CHARS_MAX} characters");
        return Err(Problem::new(Code::InvalidArgument, expected));
    }
    api.store.pause_endpoint(&id, body.reason.as_deref()).await?;
    Ok(Answer(StatusCode::OK, existing(&api, &id).await?))
}

/// Enables a paused or disabled endpoint; what waits is delivered.
#[utoipa::path(
    post, path = "/v1/endpoints/{id}/resume", operation_id = "resumeEndpoint", tag = "endpoints", params(EndpointPath),
    responses((status = 200, description = "Enabled", body = EndpointRow))
)]
pub(super) async fn resume(
    State(api): State<Arc<Api>>,
    Id(id): Id<String>,
) -> Result<Answer<EndpointRow>, Problem> {
    api.store.resume_endpoint(&id).await?;
    Ok(Answer(StatusCode::OK, existing(&api, &id).await?))
}

/// How to rotate a secret.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateBody {
    /// The new secret; generated if left out.
    #[schema(value_type = Option<Secret>, write_only)]
    secret: Option<String>,
    /// How long the old one signs too, 0s to 30days. Default: 24h.
    #[schema(value_type = Option<Span>)]
    overlap: Option<String>,
}

/// Gives an endpoint a new secret.
///
/// Requests are signed with both until the overlap ends.
#[utoipa::path(
    post, path = "/v1/endpoints/{id}/rotate-secret", operation_id = "rotateSecret", tag = "endpoints", params(EndpointPath),
    request_body = Option<RotateBody>,
    responses((status = 200, description = "The new secret, shown this once", body = RotatedSecret))
)]
pub(super) async fn rotate_secret(
    State(api): State<Arc<Api>>,
    Id(id): Id<String>,
    OptionalBody(body): OptionalBody<RotateBody>,
) -> Result<Answer<RotatedSecret>, Problem> {
    let mut problems = Problems::default();
    check_secret(body.secret.as_deref(), &mut problems);
    let overlap = body.overlap.as_deref().unwrap_or("24h");
    let overlap = parse_duration("overlap", overlap, (Duration::ZERO, 30 * DAY), &mut problems);
    let overlap = problems.unless_any(overlap)?;
    Ok(Answer(StatusCode::OK, api.store.rotate_secret(&id, body.secret.as_deref(), overlap).await?))
}

/// Sends a test event to this endpoint alone, and waits for its first attempt.
///
/// Its topic is `postrider.test`. One that fails is cancelled, so that it is not retried for days.
#[utoipa::path(
    post, path = "/v1/endpoints/{id}/test", operation_id = "testEndpoint", tag = "endpoints", params(EndpointPath, Wait),
    responses(
        (status = 200, description = "The delivery and its attempt", body = DeliveryDetail),
        (status = 202, description = "No attempt ended in time: is a dispatcher running, the endpoint enabled?", body = TestEvent),
    )
)]
pub(super) async fn test(
    State(api): State<Arc<Api>>,
    Id(id): Id<String>,
    Params(params): Params<Wait>,
) -> Result<axum::response::Response, Problem> {
    use axum::response::IntoResponse as _;

    let wait = params.duration(Duration::from_secs(20))?;
    existing(&api, &id).await?;
    let publication = EventSpec {
        topic: "postrider.test".to_owned(),
        payload: "{\"test\": true}".to_owned(),
        destination: Some(id.clone()),
        ..EventSpec::default()
    };
    api.store.hasten_probe(&id).await?;
    let event = publication.check(&mut Problems::default());
    let event_id = api.store.insert_event(&event).await?;
    let event_id = event_id.ok_or_else(|| Problem::new(Code::Internal, "the event was not inserted"))?;
    match wait::first_attempt(&api, event_id, wait).await? {
        Some(delivery) => {
            if delivery.delivery.status != crate::store::Status::Complete {
                api.store.cancel(event_id).await?;
            }
            Ok(Answer(StatusCode::OK, delivery).into_response())
        }
        None => Ok(Answer(StatusCode::ACCEPTED, TestEvent { event_id: event_id.get() }).into_response()),
    }
}

/// A test that is not over.
#[derive(Serialize, ToSchema)]
pub(super) struct TestEvent {
    /// The event.
    event_id: i64,
}

/// What to send again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplayBody {
    /// Events created at this time or later.
    #[schema(format = DateTime)]
    since: String,
    /// Events created before this time. Default: now.
    #[schema(format = DateTime)]
    until: Option<String>,
    /// Topic patterns. Default: what the endpoint subscribes to.
    #[schema(value_type = Option<Vec<TopicPattern>>, max_items = 100)]
    topics: Option<Vec<String>>,
    /// Where an earlier answer says to go on.
    #[schema(value_type = Option<i64>, minimum = 0)]
    after: Option<Whole>,
    /// Events looked up by this call. Default: 10000.
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 10000)]
    limit: Option<Whole>,
    /// Whether to count only.
    #[serde(default)]
    dry_run: bool,
}

/// What a replay did.
#[derive(Serialize, ToSchema)]
pub(super) struct ReplayAnswer {
    /// The endpoint.
    id: String,
    /// Events that are sent again (or would be, by a dry run).
    replayed: i64,
    /// Where to go on, as `after`; null: done.
    next_after: Option<i64>,
}

/// Sends events of a time again, also those that this endpoint never got.
#[utoipa::path(
    post, path = "/v1/endpoints/{id}/replay", operation_id = "replayEvents", tag = "endpoints", params(EndpointPath),
    request_body = ReplayBody,
    responses((status = 200, description = "How many", body = ReplayAnswer))
)]
pub(super) async fn replay(
    State(api): State<Arc<Api>>,
    Id(id): Id<String>,
    Body(body): Body<ReplayBody>,
) -> Result<Answer<ReplayAnswer>, Problem> {
    let mut problems = Problems::default();
    time::check("since", Some(&body.since), &mut problems);
    time::check("until", body.until.as_deref(), &mut problems);
    check_patterns("topics", body.topics.as_deref().unwrap_or_default(), &mut problems);
    let after = body.after.map_or(0, |after| after.0);
    if after < 0 {
        problems.add("after", "needs a whole number, 0 or more", None);
    }
    let limit = body.limit.map_or(Ok(REPLAY_MAX), |limit| i32::try_from(limit.0));
    let limit = limit.ok().filter(|limit| (1..=REPLAY_MAX).contains(limit));
    if limit.is_none() {
        problems.add("limit", "needs a whole number, 1 to 10000", None);
    }
    let limit = problems.unless_any(limit)?;
    let replay = Replay {
        endpoint_id: id.clone(),
        since: body.since,
        until: body.until,
        topics: body.topics,
        dry_run: body.dry_run,
    };
    let done = api.store.replay(&replay, after, limit).await?;
    Ok(Answer(StatusCode::OK, ReplayAnswer { id, replayed: done.replayed, next_after: done.next_after }))
}

/// The id that its owner chose.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes a part of the path")]
pub(super) struct EndpointPath {
    /// 1 to 64 of `A-Z a-z 0-9 . _ -`, not starting with a full stop.
    #[param(pattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$", example = "orders")]
    id: String,
}

async fn existing(api: &Api, id: &str) -> Result<EndpointRow, Problem> {
    let row = api.store.read_endpoint(id).await?;
    row.ok_or_else(|| Problem::unknown("endpoint", format_args!("\"{id}\"")))
}
