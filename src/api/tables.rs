//! `/v1/tables`: tables of the user's own that are attached.

#![expect(unused_qualifications, reason = "what utoipa's macro writes")]

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::endpoints::PauseBody;
use super::extract::{Body, Id, JsonResponse, OptionalBody, Text};
use super::problem::{Code, Problem};
use crate::operations::endpoint_spec::check_reason;
use crate::operations::find_table::{TableError, find_attached_table, find_table};
use crate::operations::put_table::{PutTable, put_table};
use crate::operations::table_spec::TableSpec;
use crate::store::{AttachedTableRow, PutResult, is_lock_timeout, one_line};
use crate::validation::Problems;

/// Attaches a table, or changes its settings.
///
/// All settings are replaced: a field that is left out gets its default, even if it had another value before.
/// The role of the dispatcher must be a member of the table's owner. A statement of the API takes 10 seconds at most: a table
/// that others hold for longer is refused with 503, and nothing is changed.
#[utoipa::path(
    put, path = "/v1/tables/{name}", operation_id = "attachTable", tag = "tables", params(TablePath),
    request_body = TableSpec,
    responses(
        (status = 200, description = "It was attached: changed, or unchanged", body = PutTable),
        (status = 201, description = "Attached", body = PutTable),
    )
)]
pub(super) async fn attach(
    State(api): State<Arc<Api>>,
    Id(name): Id<String>,
    Body(spec): Body<TableSpec>,
) -> Result<JsonResponse<PutTable>, Problem> {
    let mut problems = Problems::default();
    let table = spec.check(&mut problems);
    let table = problems.unless_any(table)?;
    let relation = find_table(&api.store, &name).await?;
    let put = put_table(&api.store, &relation, &table).await.map_err(held)?;
    let status = if put.result == PutResult::Created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(JsonResponse(status, put))
}

/// One attached table with its settings.
#[utoipa::path(
    get, path = "/v1/tables/{name}", operation_id = "getTable", tag = "tables", params(TablePath),
    responses((status = 200, description = "The table", body = AttachedTableRow))
)]
pub(super) async fn get(State(api): State<Arc<Api>>, Id(name): Id<String>) -> Result<Text, Problem> {
    let look = async { Ok(find_attached_table(&api.store, &name).await?) };
    api.cache.text(format!("table {name}"), look).await
}

/// Detaches a table. Its rows stay, and its events are delivered.
#[utoipa::path(
    delete, path = "/v1/tables/{name}", operation_id = "detachTable", tag = "tables", params(TablePath),
    responses((status = 200, description = "Detached: the table as it was", body = AttachedTableRow))
)]
pub(super) async fn detach(
    State(api): State<Arc<Api>>,
    Id(name): Id<String>,
) -> Result<JsonResponse<AttachedTableRow>, Problem> {
    let row = find_attached_table(&api.store, &name).await?;
    api.store.detach_table(&row.relation).await.map_err(|fault| held(fault.into()))?;
    Ok(JsonResponse(StatusCode::OK, row))
}

/// All attached tables.
#[derive(Serialize, ToSchema)]
pub(super) struct TableList {
    /// The rows, by name.
    data: Vec<AttachedTableRow>,
}

/// All attached tables, by name.
#[utoipa::path(
    get, path = "/v1/tables", operation_id = "listTables", tag = "tables",
    responses((status = 200, description = "All of them", body = TableList))
)]
pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Text, Problem> {
    let look = async { Ok(TableList { data: api.store.list_attached_tables().await? }) };
    api.cache.text("tables".to_owned(), look).await
}

/// Pauses a table: changes are not heard until it is resumed. Events that exist are delivered.
#[utoipa::path(
    post, path = "/v1/tables/{name}/pause", operation_id = "pauseTable", tag = "tables", params(TablePath),
    request_body = Option<PauseBody>,
    responses((status = 200, description = "Paused", body = AttachedTableRow))
)]
pub(super) async fn pause(
    State(api): State<Arc<Api>>,
    Id(name): Id<String>,
    OptionalBody(body): OptionalBody<PauseBody>,
) -> Result<JsonResponse<AttachedTableRow>, Problem> {
    let mut problems = Problems::default();
    check_reason(body.reason.as_deref(), &mut problems);
    problems.unless_any(Some(()))?;
    let row = find_attached_table(&api.store, &name).await?;
    api.store.pause_table(&row.relation, body.reason.as_deref()).await?;
    Ok(JsonResponse(StatusCode::OK, find_attached_table(&api.store, &row.relation).await?))
}

/// How to resume a table.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResumeBody {
    /// Send the rows that are there, too.
    #[serde(default)]
    backfill: bool,
}

/// Resumes a table. Changes that were made while it was paused are not sent, unless a backfill is asked for.
#[utoipa::path(
    post, path = "/v1/tables/{name}/resume", operation_id = "resumeTable", tag = "tables", params(TablePath),
    request_body = Option<ResumeBody>,
    responses((status = 200, description = "Active", body = AttachedTableRow))
)]
pub(super) async fn resume(
    State(api): State<Arc<Api>>,
    Id(name): Id<String>,
    OptionalBody(body): OptionalBody<ResumeBody>,
) -> Result<JsonResponse<AttachedTableRow>, Problem> {
    let row = find_attached_table(&api.store, &name).await?;
    let resumed = api.store.resume_table(&row.relation, body.backfill).await;
    resumed.map_err(|fault| held(fault.into()))?;
    Ok(JsonResponse(StatusCode::OK, find_attached_table(&api.store, &row.relation).await?))
}

/// A table that others hold is free again soon; the refusal names them.
fn held(fault: TableError) -> Problem {
    if let TableError::Store(held) = &fault
        && is_lock_timeout(held)
    {
        return Problem::new(Code::Unavailable, one_line(held));
    }
    fault.into()
}

/// A table's name.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes a part of the path")]
pub(super) struct TablePath {
    /// Schema and name. The schema may be left out if one table alone has that name.
    #[param(example = "public.configuration_update")]
    name: String,
}
