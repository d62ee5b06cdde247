//! Statements about endpoints.

use std::time::Duration;

use serde::Serialize;

use super::statements::{
    DISABLE_ENDPOINT, LIST_ENDPOINTS, LOAD_ENDPOINTS, PAUSE_ENDPOINT, PUT_ENDPOINT, RESUME_ENDPOINT,
};
use super::{Store, StoreError, column, from_millis, headers, millis, missing};
use crate::endpoint::{Endpoint, EndpointNo, EndpointState};

/// All endpoints as of one version.
#[derive(Debug, Default)]
pub struct EndpointSet {
    /// Grows with every change.
    pub version: i64,
    /// In no order.
    pub endpoints: Vec<Endpoint>,
}

/// What `postrider.put_endpoint` is given.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the arguments of postrider.put_endpoint")]
pub struct EndpointPut {
    pub id: String,
    pub url: String,
    pub topics: Vec<String>,
    pub headers: String,
    pub secret: Option<String>,
    pub max_in_flight: i32,
    pub rate_limit: Option<String>,
    pub timeout: Option<Duration>,
    pub retry_schedule: Option<Vec<Duration>>,
    pub ordered: bool,
}

/// What `postrider.put_endpoint` did.
#[derive(Clone, Debug, Serialize)]
pub struct PutResult {
    /// The endpoint.
    pub endpoint_id: String,
    /// `created`, `changed` or `unchanged`.
    pub result: String,
    /// The secret, when one was generated: shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// An endpoint and its health, without its secret.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the columns of postrider.endpoint and postrider.endpoint_health")]
pub struct EndpointRow {
    pub endpoint_id: String,
    pub url: String,
    pub topics: Vec<String>,
    pub headers: serde_json::Value,
    pub max_in_flight: i32,
    pub rate_limit: Option<String>,
    pub timeout_ms: Option<i64>,
    pub retry_schedule_ms: Option<Vec<i64>>,
    pub state: String,
    pub reason: Option<String>,
    pub pending: i64,
    pub in_progress: i64,
    pub failed_24h: i64,
    pub complete_24h: i64,
    pub oldest_pending_at: Option<String>,
    pub last_success_at: Option<String>,
    pub last_failure_at: Option<String>,
    pub consecutive_failures: i64,
}

impl Store {
    /// `sql/load_endpoints.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load_endpoints(&self) -> Result<EndpointSet, StoreError> {
        let rows = self.rows(&LOAD_ENDPOINTS, &[]).await?;
        let first = rows.first().ok_or_else(|| missing(&LOAD_ENDPOINTS))?;
        let version = column(&LOAD_ENDPOINTS, first, "endpoint_version")?;
        let mut endpoints = Vec::with_capacity(rows.len());
        for row in &rows {
            let no: Option<i32> = column(&LOAD_ENDPOINTS, row, "no")?;
            if let Some(no) = no {
                endpoints.push(endpoint(EndpointNo::new(no), row)?);
            }
        }
        Ok(EndpointSet { version, endpoints })
    }

    /// `sql/disable_endpoint.sql`: its id, if it was enabled.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn disable_endpoint(&self, no: EndpointNo, reason: &str) -> Result<Option<String>, StoreError> {
        let row = self.row(&DISABLE_ENDPOINT, &[&no.get(), &reason]).await?;
        row.map(|row| column(&DISABLE_ENDPOINT, &row, "endpoint_id")).transpose()
    }

    /// `sql/put_endpoint.sql`.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE 22023 when an argument is invalid.
    pub async fn put_endpoint(&self, put: &EndpointPut) -> Result<PutResult, StoreError> {
        let timeout_ms = put.timeout.map(millis);
        let schedule_ms: Option<Vec<i64>> =
            put.retry_schedule.as_ref().map(|delays| delays.iter().copied().map(millis).collect());
        let row = self
            .row(
                &PUT_ENDPOINT,
                &[
                    &put.id,
                    &put.url,
                    &put.topics,
                    &put.headers,
                    &put.secret,
                    &put.max_in_flight,
                    &put.rate_limit,
                    &timeout_ms,
                    &schedule_ms,
                    &put.ordered,
                ],
            )
            .await?
            .ok_or_else(|| missing(&PUT_ENDPOINT))?;
        Ok(PutResult {
            endpoint_id: column(&PUT_ENDPOINT, &row, "endpoint_id")?,
            result: column(&PUT_ENDPOINT, &row, "result")?,
            secret: column(&PUT_ENDPOINT, &row, "new_secret")?,
        })
    }

    /// `sql/pause_endpoint.sql`.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE P0002 for an unknown id.
    pub async fn pause_endpoint(&self, id: &str, reason: Option<&str>) -> Result<(), StoreError> {
        self.rows(&PAUSE_ENDPOINT, &[&id, &reason]).await.map(drop)
    }

    /// `sql/resume_endpoint.sql`.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE P0002 for an unknown id.
    pub async fn resume_endpoint(&self, id: &str) -> Result<(), StoreError> {
        self.rows(&RESUME_ENDPOINT, &[&id]).await.map(drop)
    }

    /// `sql/list_endpoints.sql`: one endpoint, or (none) all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_endpoints(&self, id: Option<&str>) -> Result<Vec<EndpointRow>, StoreError> {
        self.rows(&LIST_ENDPOINTS, &[&id]).await?.iter().map(endpoint_row).collect()
    }
}

fn endpoint(no: EndpointNo, row: &tokio_postgres::Row) -> Result<Endpoint, StoreError> {
    let url: &str = column(&LOAD_ENDPOINTS, row, "url")?;
    let topics: Vec<&str> = column(&LOAD_ENDPOINTS, row, "topics")?;
    let secret: &str = column(&LOAD_ENDPOINTS, row, "secret")?;
    let max_in_flight: i32 = column(&LOAD_ENDPOINTS, row, "max_in_flight")?;
    let rate_limit: Option<&str> = column(&LOAD_ENDPOINTS, row, "rate_limit")?;
    let timeout_ms: Option<i64> = column(&LOAD_ENDPOINTS, row, "timeout_ms")?;
    let schedule_ms: Option<Vec<i64>> = column(&LOAD_ENDPOINTS, row, "retry_schedule_ms")?;
    let state: &str = column(&LOAD_ENDPOINTS, row, "state")?;
    Ok(Endpoint {
        no,
        id: column(&LOAD_ENDPOINTS, row, "id")?,
        url: url.parse().map_err(|fault| format!("url is invalid: {fault}")),
        topics: topics.iter().map(|topic| topic.parse().map_err(checked)).collect::<Result<_, _>>()?,
        headers: headers(&LOAD_ENDPOINTS, column(&LOAD_ENDPOINTS, row, "headers")?)?,
        secret: secret.parse().map_err(checked)?,
        max_in_flight: u32::try_from(max_in_flight).unwrap_or(1).max(1),
        rate_limit: rate_limit.map(str::parse).transpose().map_err(checked)?,
        timeout: timeout_ms.map(from_millis),
        retry_schedule: schedule_ms.map(|delays| delays.into_iter().map(from_millis).collect()),
        state: match state {
            "enabled" => EndpointState::Enabled,
            "paused" => EndpointState::Paused,
            _ => EndpointState::Disabled,
        },
    })
}

/// The CHECKs of the table let nothing through that does not parse, the URL apart.
fn checked(fault: impl std::fmt::Display) -> StoreError {
    StoreError::Row { statement: LOAD_ENDPOINTS.name, fault: fault.to_string() }
}

fn endpoint_row(row: &tokio_postgres::Row) -> Result<EndpointRow, StoreError> {
    let headers: &str = column(&LIST_ENDPOINTS, row, "headers")?;
    Ok(EndpointRow {
        endpoint_id: column(&LIST_ENDPOINTS, row, "endpoint_id")?,
        url: column(&LIST_ENDPOINTS, row, "url")?,
        topics: column(&LIST_ENDPOINTS, row, "topics")?,
        headers: serde_json::from_str(headers).unwrap_or_default(),
        max_in_flight: column(&LIST_ENDPOINTS, row, "max_in_flight")?,
        rate_limit: column(&LIST_ENDPOINTS, row, "rate_limit")?,
        timeout_ms: column(&LIST_ENDPOINTS, row, "timeout_ms")?,
        retry_schedule_ms: column(&LIST_ENDPOINTS, row, "retry_schedule_ms")?,
        state: column(&LIST_ENDPOINTS, row, "state")?,
        reason: column(&LIST_ENDPOINTS, row, "reason")?,
        pending: column(&LIST_ENDPOINTS, row, "pending")?,
        in_progress: column(&LIST_ENDPOINTS, row, "in_progress")?,
        failed_24h: column(&LIST_ENDPOINTS, row, "failed_24h")?,
        complete_24h: column(&LIST_ENDPOINTS, row, "complete_24h")?,
        oldest_pending_at: column(&LIST_ENDPOINTS, row, "oldest_pending_at")?,
        last_success_at: column(&LIST_ENDPOINTS, row, "last_success_at")?,
        last_failure_at: column(&LIST_ENDPOINTS, row, "last_failure_at")?,
        consecutive_failures: column(&LIST_ENDPOINTS, row, "consecutive_failures")?,
    })
}
