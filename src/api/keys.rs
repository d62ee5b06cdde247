//! `/v1/endpoints/{id}/skip-key`: keys of ordered endpoints.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::endpoints::EndpointPath;
use super::extract::{Body, Id, JsonResponse};
use super::openapi::Whole;
use super::problem::Problem;
use super::{Api, time};
use crate::operations::endpoint_spec::check_reason;
use crate::operations::skip::{KeySkipSpec, skip_key_step};
use crate::validation::Problems;

/// Deliveries skipped by one call, unless the caller says less.
const SKIP_MAX: i32 = 10_000;

/// The deliveries to skip.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SkipKeyBody {
    /// The key.
    key: String,
    /// Events created up to this time. Default: now.
    #[schema(format = DateTime)]
    until: Option<String>,
    /// Why; `last_error` keeps it.
    #[schema(max_length = 500)]
    reason: Option<String>,
    /// Deliveries skipped by this call, at most. Default: 10000.
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 10000)]
    limit: Option<Whole>,
}

/// Result of a skip.
#[derive(Serialize, ToSchema)]
pub(super) struct SkippedKey {
    /// The endpoint.
    id: String,
    /// The key.
    key: String,
    /// Deliveries that are skipped. If they are as many as the limit, there may be more: send the request again.
    skipped: i64,
}

/// Skips the deliveries of one key: the one that holds it up, and those that wait behind it.
///
/// They are given up. A delivery under way stays. Events that come later are sent.
#[utoipa::path(
    post, path = "/v1/endpoints/{id}/skip-key", operation_id = "skipKey", tag = "endpoints", params(EndpointPath),
    request_body = SkipKeyBody,
    responses((status = 200, description = "How many", body = SkippedKey))
)]
pub(super) async fn skip_key(
    State(api): State<Arc<Api>>,
    Id(id): Id<String>,
    Body(body): Body<SkipKeyBody>,
) -> Result<JsonResponse<SkippedKey>, Problem> {
    let mut problems = Problems::default();
    let until = body.until.as_deref().map(|text| time::parse("until", text, &mut problems));
    check_reason(body.reason.as_deref(), &mut problems);
    let limit = body.limit.map_or(Ok(SKIP_MAX), |limit| i32::try_from(limit.0));
    let limit = limit.ok().filter(|limit| (1..=SKIP_MAX).contains(limit));
    if limit.is_none() {
        problems.add("limit", "needs a whole number, 1 to 10000", None);
    }
    if body.key.contains('\0') {
        problems.add("key", "needs to have no NUL", None);
    }
    let limit = problems.unless_any(limit)?;
    let spec = KeySkipSpec { endpoint_id: id, key: body.key, until: until.flatten(), reason: body.reason };
    let skip = spec.fix(&api.store).await?;
    let skipped = skip_key_step(&api.store, &skip, limit).await?;
    Ok(JsonResponse(StatusCode::OK, SkippedKey { id: skip.endpoint_id, key: skip.key, skipped }))
}
