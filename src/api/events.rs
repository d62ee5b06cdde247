//! `/v1/topics/{topic}/events` and `/v1/events`: publish, follow, cancel.

#![expect(unused_qualifications, reason = "what utoipa's macro writes")]

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Body, Id, JsonResponse, QueryParams};
use super::openapi;
use super::problem::Problem;
use super::wait::{self, Wait};
use super::{Api, time};
use crate::model::event::EventId;
use crate::operations::destination::check_destination;
use crate::operations::event_spec::EventSpec;
use crate::store::{Cancelled, EventRow, Published};
use crate::validation::Problems;

/// An event.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EventBody {
    /// Any JSON; sent and signed byte for byte as it is here.
    #[schema(value_type = Value)]
    payload: Box<RawValue>,
    /// Ordering key.
    #[schema(min_length = 1, max_length = 256)]
    key: Option<String>,
    /// HTTP headers of the requests; values are visible ASCII.
    #[serde(default)]
    #[schema(value_type = HashMap<openapi::HeaderName, openapi::HeaderValue>)]
    headers: Map<String, Value>,
    /// Unique key: a repeat inserts nothing and returns the first event.
    #[schema(min_length = 1, max_length = 256)]
    idempotency_key: Option<String>,
    /// Deliver to this endpoint alone, regardless of its topics: its id, or `TEMPLATE/VALUE`. An endpoint that does not exist is refused
    /// with 422.
    #[schema(pattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}(/.{1,255})?$")]
    destination: Option<String>,
    /// Not before this time.
    #[schema(format = DateTime)]
    deliver_after: Option<String>,
}

/// A published event.
#[derive(Serialize, ToSchema)]
pub(super) struct PublishedEvent {
    /// The event's id.
    id: i64,
    /// The `webhook-id` of its requests.
    webhook_id: String,
    /// Whether an event with this idempotency key existed before.
    is_repeat: bool,
}

/// Inserts one event, in a transaction of its own.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/events", operation_id = "publishEvent", tag = "events", params(TopicPath),
    request_body = EventBody,
    responses(
        (status = 201, description = "Inserted", body = PublishedEvent, headers(("location" = String, description = "Where the event is"))),
        (status = 200, description = "The idempotency key is known: the first event", body = PublishedEvent, headers(("location" = String, description = "Where the event is"))),
    )
)]
pub(super) async fn publish(
    State(api): State<Arc<Api>>,
    Id(topic): Id<String>,
    Body(body): Body<EventBody>,
) -> Result<([(HeaderName, String); 1], JsonResponse<PublishedEvent>), Problem> {
    let mut problems = Problems::default();
    time::check("deliver_after", body.deliver_after.as_deref(), &mut problems);
    let publication = EventSpec {
        topic,
        payload: body.payload.get().to_owned(),
        key: body.key,
        headers: body.headers,
        idempotency_key: body.idempotency_key,
        destination: body.destination,
        delay: None,
        deliver_after: body.deliver_after,
    };
    let event = publication.check(&mut problems);
    let event = problems.unless_any(Some(event))?;
    check_destination(&api.store, &event).await?;
    let Published { event_id, webhook_id, is_repeat } = api.store.publish(&event).await?;
    let status = if is_repeat { StatusCode::OK } else { StatusCode::CREATED };
    let id = event_id.get();
    let location = [(LOCATION, format!("/v1/events/{id}"))];
    Ok((location, JsonResponse(status, PublishedEvent { id, webhook_id, is_repeat })))
}

/// One event with its deliveries.
///
/// With `wait`, the response comes when all deliveries are settled, or after that time.
#[utoipa::path(
    get, path = "/v1/events/{id}", operation_id = "getEvent", tag = "events", params(EventPath, Wait),
    responses((status = 200, description = "The event as it is now", body = EventRow))
)]
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Id(id): Id<i64>,
    QueryParams(params): QueryParams<Wait>,
) -> Result<JsonResponse<EventRow>, Problem> {
    let id = EventId::new(id);
    let wait = params.duration(Duration::ZERO)?;
    if !wait.is_zero() {
        wait::settled(&api, id, wait).await?;
    }
    let event = api.store.read_event(id).await?.ok_or_else(|| Problem::unknown("event", id))?;
    Ok(JsonResponse(StatusCode::OK, event))
}

/// Cancels an event.
///
/// Waiting deliveries are given up. A delivery under way is not retried. A settled one stays as it is.
#[utoipa::path(
    post, path = "/v1/events/{id}/cancel", operation_id = "cancelEvent", tag = "events", params(EventPath),
    responses((status = 200, description = "What was cancelled", body = Cancelled))
)]
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    Id(id): Id<i64>,
) -> Result<JsonResponse<Cancelled>, Problem> {
    Ok(JsonResponse(StatusCode::OK, api.store.cancel(EventId::new(id)).await?))
}

/// A topic.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes a part of the path")]
pub(super) struct TopicPath {
    /// Dotted words of `[A-Za-z0-9_-]`, at most 128 bytes.
    #[param(pattern = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", max_length = 128, example = "order.created")]
    topic: String,
}

/// An event's id.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes a part of the path")]
pub(super) struct EventPath {
    /// `postrider.outbox.id`.
    #[param(minimum = 1, example = 1)]
    id: i64,
}
