//! Statements about endpoints.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::rows::{DeletedEndpoint, RotatedSecret};
use super::statements::{
    DELETE_ENDPOINT, DISABLE_ENDPOINT, FORGET_ENDPOINTS, LOAD_ENDPOINTS, PAUSE_ENDPOINT, PUT_ENDPOINT,
    RESUME_ENDPOINT, ROTATE_SECRET,
};
use super::{Store, StoreError, column, from_millis, headers, json_row, millis, missing};
use crate::endpoint::{Endpoint, EndpointNo, EndpointState, OldSecret, prepare_headers};

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

impl Store {
    /// `sql/load_endpoints.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load_endpoints(&self) -> Result<EndpointSet, StoreError> {
        endpoint_set(&self.rows(&LOAD_ENDPOINTS, &[]).await?)
    }

    /// `sql/disable_endpoint.sql`: its id, if it was enabled, and has done nothing but fail for `failing_for` (none: in any
    /// case).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn disable_endpoint(
        &self,
        no: EndpointNo,
        reason: &str,
        failing_for: Option<Duration>,
    ) -> Result<Option<String>, StoreError> {
        let row = self.row(&DISABLE_ENDPOINT, &[&no.get(), &reason, &failing_for.map(millis)]).await?;
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

    /// `sql/delete_endpoint.sql`.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE P0002 for an unknown id.
    pub async fn delete_endpoint(&self, id: &str) -> Result<DeletedEndpoint, StoreError> {
        let row = self.row(&DELETE_ENDPOINT, &[&id]).await?.ok_or_else(|| missing(&DELETE_ENDPOINT))?;
        json_row(&DELETE_ENDPOINT, &row)
    }

    /// `sql/rotate_secret.sql`: generates a secret unless one is given.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE P0002 for an unknown id, 22023 when an argument is invalid.
    pub async fn rotate_secret(
        &self,
        id: &str,
        secret: Option<&str>,
        overlap: Duration,
    ) -> Result<RotatedSecret, StoreError> {
        let row = self.row(&ROTATE_SECRET, &[&id, &secret, &millis(overlap)]).await?;
        json_row(&ROTATE_SECRET, &row.ok_or_else(|| missing(&ROTATE_SECRET))?)
    }

    /// `sql/forget_endpoints.sql`: how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_endpoints(&self, deleted: Duration) -> Result<i64, StoreError> {
        let row = self.row(&FORGET_ENDPOINTS, &[&millis(deleted)]).await?;
        column(&FORGET_ENDPOINTS, &row.ok_or_else(|| missing(&FORGET_ENDPOINTS))?, "forgotten")
    }
}

/// The answer of `sql/load_endpoints.sql`.
pub(super) fn endpoint_set(rows: &[tokio_postgres::Row]) -> Result<EndpointSet, StoreError> {
    let first = rows.first().ok_or_else(|| missing(&LOAD_ENDPOINTS))?;
    let version = column(&LOAD_ENDPOINTS, first, "endpoint_version")?;
    let mut endpoints = Vec::with_capacity(rows.len());
    for row in rows {
        let no: Option<i32> = column(&LOAD_ENDPOINTS, row, "no")?;
        if let Some(no) = no {
            endpoints.push(endpoint(EndpointNo::new(no), row)?);
        }
    }
    Ok(EndpointSet { version, endpoints })
}

fn endpoint(no: EndpointNo, row: &tokio_postgres::Row) -> Result<Endpoint, StoreError> {
    let url: &str = column(&LOAD_ENDPOINTS, row, "url")?;
    let topics: Vec<&str> = column(&LOAD_ENDPOINTS, row, "topics")?;
    let secret: &str = column(&LOAD_ENDPOINTS, row, "secret")?;
    let old_secrets = old_secrets(row)?;
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
        headers: prepare_headers(&headers(&LOAD_ENDPOINTS, column(&LOAD_ENDPOINTS, row, "headers")?)?),
        secret: secret.parse().map_err(checked)?,
        old_secrets,
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

fn old_secrets(row: &tokio_postgres::Row) -> Result<Vec<OldSecret>, StoreError> {
    let secrets: Option<Vec<&str>> = column(&LOAD_ENDPOINTS, row, "old_secrets")?;
    let valid_ms: Option<Vec<i64>> = column(&LOAD_ENDPOINTS, row, "old_valid_ms")?;
    let now = Instant::now();
    let old = |(secret, ms): (&str, i64)| {
        Ok(OldSecret { secret: secret.parse().map_err(checked)?, valid_until: now + from_millis(ms) })
    };
    secrets.unwrap_or_default().into_iter().zip(valid_ms.unwrap_or_default()).map(old).collect()
}

/// The CHECKs of the table let nothing through that does not parse, the URL apart.
fn checked(fault: impl std::fmt::Display) -> StoreError {
    StoreError::Row { statement: LOAD_ENDPOINTS.name, fault: fault.to_string() }
}
