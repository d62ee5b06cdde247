//! `/v1/endpoints`: the receivers of events.

#![expect(unused_qualifications, reason = "what utoipa's macro writes")]

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Body, Id, JsonResponse, MergePatch, OptionalBody, QueryParams, Text};
use super::openapi::{EndpointPatch, Secret, TopicPatternText, Whole};
use super::paging::{EndpointSort, check_limit};
use super::problem::{Code, Problem};
use super::wait::{self, Wait};
use super::{Api, time};
use crate::operations::endpoint_spec::{EndpointSpec, check_reason};
use crate::operations::lookup::{existing_endpoint, known};
use crate::operations::replay::{ReplaySpec, check_times, check_topics, replay_step};
use crate::operations::rotate_secret::{OVERLAP_DEFAULT, SecretRotation};
use crate::operations::test_endpoint::{TestOutcome, test_endpoint};
use crate::store::{DeletedEndpoint, DeliveryDetail, EndpointRow, Listed, PutResult, RotatedSecret};
use crate::store::{Span, Writing};
use crate::validation::Problems;

/// How long a test waits for its first attempt, if nothing is said.
const TEST_WAIT: Duration = Duration::from_secs(20);
/// Events looked up by one call of replay, unless the caller says less.
const REPLAY_MAX: i32 = 10_000;

/// An endpoint after a PUT or a PATCH.
#[derive(Serialize, ToSchema)]
pub(super) struct PutEndpoint {
    /// The endpoint as it is now.
    #[serde(flatten)]
    endpoint: EndpointRow,
    /// The result of the request.
    result: PutResult,
    /// A line for each setting that was changed. Secrets and values of headers are not shown.
    #[schema(example = json!(["topics: order.* -> **"]))]
    changes: Vec<String>,
    /// The generated secret, shown this once. Null if the endpoint had one, or the request gave one.
    secret: Option<String>,
}

/// Creates an endpoint, or changes what is named.
///
/// A field that is left out is kept; null gives the default. The same request twice changes nothing: a service may send it at
/// every start.
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
) -> Result<JsonResponse<PutEndpoint>, Problem> {
    if spec.url.is_none() {
        return Err(Problem::new(Code::InvalidRequest, "missing field `url`"));
    }
    write(&api, id, spec, Writing::Put).await
}

/// Changes an endpoint.
///
/// A field that is left out is kept; null gives the default. Headers are changed one by one; null removes one.
#[utoipa::path(
    patch, path = "/v1/endpoints/{id}", operation_id = "patchEndpoint", tag = "endpoints", params(EndpointPath),
    request_body(content((EndpointPatch = "application/merge-patch+json"), (EndpointPatch = "application/json"))),
    responses((status = 200, description = "Changed, or unchanged", body = PutEndpoint))
)]
pub(super) async fn patch(
    State(api): State<Arc<Api>>,
    Id(id): Id<String>,
    MergePatch(spec): MergePatch<EndpointSpec>,
) -> Result<JsonResponse<PutEndpoint>, Problem> {
    write(&api, id, spec, Writing::Set).await
}

async fn write(
    api: &Api,
    id: String,
    spec: EndpointSpec,
    writing: Writing,
) -> Result<JsonResponse<PutEndpoint>, Problem> {
    let mut problems = Problems::default();
    let put = spec.check(id, writing, &api.policy, &mut problems);
    let put = problems.unless_any(put)?;
    let done = known(&api.store, &put.id, api.store.put_endpoint(&put).await).await?;
    let status = if done.result == PutResult::Created { StatusCode::CREATED } else { StatusCode::OK };
    let endpoint = existing_endpoint(&api.store, &put.id).await?;
    let (result, changes, secret) = (done.result, done.changes, done.secret);
    Ok(JsonResponse(status, PutEndpoint { endpoint, result, changes, secret }))
}

/// One endpoint and its health; never its secret.
#[utoipa::path(
    get, path = "/v1/endpoints/{id}", operation_id = "getEndpoint", tag = "endpoints", params(EndpointPath),
    responses((status = 200, description = "The endpoint", body = EndpointRow))
)]
pub(super) async fn get(State(api): State<Arc<Api>>, Id(id): Id<String>) -> Result<Text, Problem> {
    let look = async { Ok(existing_endpoint(&api.store, &id).await?) };
    api.cache.text(format!("endpoint {id}"), look).await
}

/// Deletes an endpoint.
///
/// No more events are routed to it, and its waiting deliveries become failed.
#[utoipa::path(
    delete, path = "/v1/endpoints/{id}", operation_id = "deleteEndpoint", tag = "endpoints", params(EndpointPath),
    responses((status = 200, description = "Deleted", body = DeletedEndpoint))
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Id(id): Id<String>,
) -> Result<JsonResponse<DeletedEndpoint>, Problem> {
    let deleted = known(&api.store, &id, api.store.delete_endpoint(&id).await).await?;
    Ok(JsonResponse(StatusCode::OK, deleted))
}

/// A page of endpoints.
#[derive(Serialize, ToSchema)]
pub(super) struct EndpointPage {
    /// The rows.
    data: Vec<EndpointRow>,
    /// Cursor of the next page. Null on the last page.
    next_cursor: Option<String>,
}

/// Selects a page of endpoints.
#[derive(Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EndpointParams {
    /// Rows of a page, at most. Default: 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// The `next_cursor` of the page before; only with the sort `id`.
    cursor: Option<String>,
    /// List the endpoints of templates, too, as `sort=trouble` does. Default: they are counted in `children` of their template.
    all: Option<bool>,
    /// Only the endpoints of this template.
    template: Option<String>,
    /// The order. Default: `id`.
    #[param(inline)]
    sort: Option<EndpointSort>,
}

/// Endpoints in order of their ids, or those in trouble first.
#[utoipa::path(
    get, path = "/v1/endpoints", operation_id = "listEndpoints", tag = "endpoints", params(EndpointParams),
    responses((status = 200, description = "One page", body = EndpointPage))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    QueryParams(params): QueryParams<EndpointParams>,
) -> Result<Text, Problem> {
    let limit = check_limit(params.limit)?;
    let (cursor, sort) = (params.cursor.as_deref(), params.sort.unwrap_or_default());
    if cursor.is_some() && sort == EndpointSort::Trouble {
        let expected = "cursor: needs sort=id; sort=trouble has one page";
        return Err(Problem::new(Code::InvalidArgument, expected));
    }
    let listed = Listed::new(params.template.as_deref(), params.all == Some(true));
    let look = async {
        match sort {
            EndpointSort::Id => page(&api, listed, cursor, limit).await,
            EndpointSort::Trouble => {
                let data = api.store.list_endpoints_by_trouble(limit).await?;
                Ok(EndpointPage { data, next_cursor: None })
            }
        }
    };
    api.cache.text(format!("endpoints {limit} {sort:?} {cursor:?} {listed:?}"), look).await
}

async fn page(
    api: &Api,
    listed: Listed<'_>,
    after: Option<&str>,
    limit: i64,
) -> Result<EndpointPage, Problem> {
    let mut rows = api.store.list_endpoints(listed, after, limit + 1).await?;
    let is_last = i64::try_from(rows.len()).unwrap_or(i64::MAX) <= limit;
    if !is_last {
        rows.pop();
    }
    let next_cursor = rows.last().filter(|_| !is_last).map(|row| row.id.clone());
    Ok(EndpointPage { data: rows, next_cursor })
}

/// A pause.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PauseBody {
    /// Why; shown with what is paused.
    #[schema(max_length = 500)]
    pub(super) reason: Option<String>,
}

/// Pauses an endpoint: no more attempts; deliveries wait, none is lost.
#[utoipa::path(
    post, path = "/v1/endpoints/{id}/pause", operation_id = "pauseEndpoint", tag = "endpoints", params(EndpointPath),
    request_body = Option<PauseBody>,
    responses((status = 200, description = "Paused", body = EndpointRow))
)]
pub(super) async fn pause(
    State(api): State<Arc<Api>>,
    Id(id): Id<String>,
    OptionalBody(body): OptionalBody<PauseBody>,
) -> Result<JsonResponse<EndpointRow>, Problem> {
    let mut problems = Problems::default();
    check_reason(body.reason.as_deref(), &mut problems);
    problems.unless_any(Some(()))?;
    known(&api.store, &id, api.store.pause_endpoint(&id, body.reason.as_deref()).await).await?;
    Ok(JsonResponse(StatusCode::OK, existing_endpoint(&api.store, &id).await?))
}

/// Enables a paused or disabled endpoint; its waiting deliveries are attempted.
#[utoipa::path(
    post, path = "/v1/endpoints/{id}/resume", operation_id = "resumeEndpoint", tag = "endpoints", params(EndpointPath),
    responses((status = 200, description = "Enabled", body = EndpointRow))
)]
pub(super) async fn resume(
    State(api): State<Arc<Api>>,
    Id(id): Id<String>,
) -> Result<JsonResponse<EndpointRow>, Problem> {
    known(&api.store, &id, api.store.resume_endpoint(&id).await).await?;
    Ok(JsonResponse(StatusCode::OK, existing_endpoint(&api.store, &id).await?))
}

/// How to rotate a secret.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateBody {
    /// The new secret; generated if left out.
    #[schema(value_type = Option<Secret>, write_only)]
    secret: Option<String>,
    /// How long the old secret signs too, 0s to 30days. Default: 24h.
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
) -> Result<JsonResponse<RotatedSecret>, Problem> {
    let mut problems = Problems::default();
    let overlap = body.overlap.as_deref().unwrap_or(OVERLAP_DEFAULT);
    let rotation = SecretRotation::check(id, body.secret, overlap, &mut problems);
    let rotation = problems.unless_any(rotation)?;
    Ok(JsonResponse(StatusCode::OK, rotation.run(&api.store).await?))
}

/// Sends a test event to this endpoint alone, and waits for its first attempt.
///
/// The event has the topic `postrider.test` and one attempt. If the attempt fails, the delivery is failed, and its `last_error`
/// says why. If no attempt ends in time, Postrider cancels the event. A paused or disabled endpoint is refused with 409.
#[utoipa::path(
    post, path = "/v1/endpoints/{id}/test", operation_id = "testEndpoint", tag = "endpoints", params(EndpointPath, Wait),
    responses(
        (status = 200, description = "The delivery and its attempt", body = DeliveryDetail),
        (status = 202, description = "No attempt ended in time: the event is cancelled", body = TestEvent),
    )
)]
pub(super) async fn test(
    State(api): State<Arc<Api>>,
    Id(id): Id<String>,
    QueryParams(params): QueryParams<Wait>,
) -> Result<Response, Problem> {
    let wait = params.duration(TEST_WAIT)?;
    let _waiting = wait::begin(&api)?;
    let tested = test_endpoint(&api.store, &id, wait, api.stop.cancelled()).await?;
    Ok(match tested.outcome {
        TestOutcome::Accepted(delivery) | TestOutcome::Refused(delivery) => {
            JsonResponse(StatusCode::OK, *delivery).into_response()
        }
        TestOutcome::NoAttempt(why) => {
            let body = TestEvent { event_id: tested.event_id.get(), reason: why.to_string() };
            JsonResponse(StatusCode::ACCEPTED, body).into_response()
        }
    })
}

/// A test without an attempt that ended.
#[derive(Serialize, ToSchema)]
pub(super) struct TestEvent {
    /// The event; it is cancelled.
    event_id: i64,
    /// Why no attempt ended in time.
    reason: String,
}

/// The events to send again.
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
    #[schema(value_type = Option<Vec<TopicPatternText>>, max_items = 100)]
    topics: Option<Vec<String>>,
    /// `next_after` of an earlier response: continue there.
    #[schema(value_type = Option<i64>, minimum = 0)]
    after: Option<Whole>,
    /// Events looked up by this call. Default: 10000.
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 10000)]
    limit: Option<Whole>,
    /// Count only.
    #[serde(default)]
    dry_run: bool,
}

/// Result of a replay.
#[derive(Serialize, ToSchema)]
pub(super) struct ReplayAnswer {
    /// The endpoint.
    id: String,
    /// Events that are sent again, or would be in a dry run.
    replayed: i64,
    /// Send it as `after` to continue. Null when done.
    next_after: Option<i64>,
}

/// Sends the events of a period again, also those that this endpoint never got.
#[utoipa::path(
    post, path = "/v1/endpoints/{id}/replay", operation_id = "replayEvents", tag = "endpoints", params(EndpointPath),
    request_body = ReplayBody,
    responses((status = 200, description = "How many", body = ReplayAnswer))
)]
pub(super) async fn replay(
    State(api): State<Arc<Api>>,
    Id(id): Id<String>,
    Body(body): Body<ReplayBody>,
) -> Result<JsonResponse<ReplayAnswer>, Problem> {
    let mut problems = Problems::default();
    let since = time::parse("since", &body.since, &mut problems);
    let until = body.until.as_deref().map(|text| time::parse("until", text, &mut problems));
    check_times(
        since.as_ref(),
        until.as_ref().and_then(Option::as_ref),
        body.until.as_deref(),
        &mut problems,
    );
    check_topics(body.topics.as_deref(), &mut problems);
    let after = body.after.map_or(0, |after| after.0);
    if after < 0 {
        problems.add("after", "needs a whole number, 0 or more", None);
    }
    let limit = body.limit.map_or(Ok(REPLAY_MAX), |limit| i32::try_from(limit.0));
    let limit = limit.ok().filter(|limit| (1..=REPLAY_MAX).contains(limit));
    if limit.is_none() {
        problems.add("limit", "needs a whole number, 1 to 10000", None);
    }
    let (since, limit) = problems.unless_any(since.zip(limit))?;
    let spec = ReplaySpec {
        endpoint_id: id.clone(),
        since,
        until: until.flatten(),
        topics: body.topics,
        dry_run: body.dry_run,
    };
    let replay = spec.fix(&api.store).await?;
    let done = replay_step(&api.store, &replay, after, limit).await?;
    Ok(JsonResponse(
        StatusCode::OK,
        ReplayAnswer { id, replayed: done.replayed, next_after: done.next_after },
    ))
}

/// An endpoint's id.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes a part of the path")]
pub(super) struct EndpointPath {
    /// 1 to 64 of `A-Z a-z 0-9 . _ -`, not starting with a full stop; or `TEMPLATE%2FVALUE`.
    #[param(pattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}(/.{1,255})?$", example = "orders")]
    id: String,
}
