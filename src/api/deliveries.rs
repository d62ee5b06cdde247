//! `/v1/deliveries`: list, show, retry, skip.

#![expect(unused_qualifications, reason = "what utoipa's macro writes")]

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::extract::{Body, Id, JsonResponse, QueryParams, Text};
use super::paging::check_limit;
use super::problem::{Code, Problem};
use crate::model::delivery::DeliveryId;
use crate::operations::lookup::list_deliveries;
use crate::operations::skip::check_skip_reason;
use crate::store::{DeliveryDetail, DeliveryFilter, DeliveryRow, Status};
use crate::validation::Problems;

/// Selects deliveries.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveryParams {
    /// Only deliveries to this endpoint. One that does not exist is refused with 404.
    endpoint_id: Option<String>,
    /// Only deliveries with this status.
    #[param(inline)]
    status: Option<Status>,
    /// Only deliveries of this event. One that does not exist is refused with 404.
    #[param(minimum = 1)]
    event_id: Option<i64>,
    /// Only deliveries of events with this topic.
    topic: Option<String>,
    /// Rows of a page, at most. Default: 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// The `next_cursor` of the page before.
    #[param(pattern = "^[1-9][0-9]{0,17}$")]
    cursor: Option<String>,
}

/// A page of deliveries.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryPage)]
pub(super) struct DeliveryPageBody {
    /// The rows. More pages may follow even if this is empty.
    data: Vec<DeliveryRow>,
    /// Cursor of the next page. Null on the last page.
    next_cursor: Option<String>,
}

/// Deliveries, the newest first.
///
/// A page may have fewer rows than `limit`, even none; `next_cursor` tells whether more follow.
#[utoipa::path(
    get, path = "/v1/deliveries", operation_id = "listDeliveries", tag = "deliveries", params(DeliveryParams),
    responses((status = 200, description = "One page", body = DeliveryPageBody))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    QueryParams(params): QueryParams<DeliveryParams>,
) -> Result<Text, Problem> {
    let limit = check_limit(params.limit)?;
    if params.event_id.is_some_and(|id| id < 1) {
        return Err(Problem::new(Code::InvalidArgument, "event_id: needs a whole number, 1 or more"));
    }
    let before = params.cursor.as_deref().map(check_cursor).transpose()?;
    let filter = DeliveryFilter {
        endpoint_id: params.endpoint_id,
        status: params.status,
        event_id: params.event_id,
        topic: params.topic,
        before,
    };
    let look = async {
        let page = list_deliveries(&api.store, &filter, limit).await?;
        let next_cursor = page.next_before.map(|id| id.to_string());
        Ok(DeliveryPageBody { data: page.deliveries, next_cursor })
    };
    api.cache.text(format!("deliveries {limit} {filter:?}"), look).await
}

/// Reads the id in a cursor of ours.
fn check_cursor(text: &str) -> Result<i64, Problem> {
    let id = text.parse().ok().filter(|id: &i64| *id > 0 && id.to_string() == text);
    id.ok_or_else(|| {
        Problem::new(Code::InvalidArgument, "cursor: needs the next_cursor of an earlier answer")
    })
}

/// One delivery with its attempts.
#[utoipa::path(
    get, path = "/v1/deliveries/{id}", operation_id = "getDelivery", tag = "deliveries", params(DeliveryPath),
    responses((status = 200, description = "The delivery", body = DeliveryDetail))
)]
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Id(id): Id<i64>,
) -> Result<JsonResponse<DeliveryDetail>, Problem> {
    Ok(JsonResponse(StatusCode::OK, existing(&api, DeliveryId::new(id)).await?))
}

/// A delivery after a retry.
#[derive(Serialize, ToSchema)]
pub(super) struct RetriedDelivery {
    /// The delivery, pending.
    #[serde(flatten)]
    delivery: DeliveryDetail,
    /// Whether others of its key come first, because the key went on without it.
    is_behind: bool,
}

/// Makes a failed or waiting delivery due at once.
///
/// A failed delivery starts its retry schedule anew. Where order is kept per key, one that holds up its key goes first again. If the key
/// went on without it, it goes to the end, and `is_behind` says so. One that waits for another of its key is refused with 409.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/retry", operation_id = "retryDelivery", tag = "deliveries", params(DeliveryPath),
    responses((status = 200, description = "The delivery, pending", body = RetriedDelivery))
)]
pub(super) async fn retry(
    State(api): State<Arc<Api>>,
    Id(id): Id<i64>,
) -> Result<JsonResponse<RetriedDelivery>, Problem> {
    let id = DeliveryId::new(id);
    let retried = api.store.retry(id).await?;
    let delivery = existing(&api, id).await?;
    Ok(JsonResponse(StatusCode::OK, RetriedDelivery { delivery, is_behind: retried.is_behind }))
}

/// Why a delivery is skipped.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SkipBody {
    /// Why; `last_error` keeps it.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Gives up a delivery that waits, or that failed and holds up its key.
///
/// The deliveries of its key that wait behind it go on.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/skip", operation_id = "skipDelivery", tag = "deliveries", params(DeliveryPath),
    request_body = SkipBody,
    responses((status = 200, description = "The delivery, failed", body = DeliveryDetail))
)]
pub(super) async fn skip(
    State(api): State<Arc<Api>>,
    Id(id): Id<i64>,
    Body(body): Body<SkipBody>,
) -> Result<JsonResponse<DeliveryDetail>, Problem> {
    let mut problems = Problems::default();
    check_skip_reason(&body.reason, &mut problems);
    problems.unless_any(Some(()))?;
    let id = DeliveryId::new(id);
    api.store.skip(id, &body.reason).await?;
    Ok(JsonResponse(StatusCode::OK, existing(&api, id).await?))
}

async fn existing(api: &Api, id: DeliveryId) -> Result<DeliveryDetail, Problem> {
    api.store.read_delivery(id).await?.ok_or_else(|| Problem::unknown("delivery", id))
}

/// A delivery's id.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes a part of the path")]
pub(super) struct DeliveryPath {
    /// `delivery_id` of `postrider.delivery_status`.
    #[param(minimum = 1, example = 1)]
    id: i64,
}
