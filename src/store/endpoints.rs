//! Statements about endpoints.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::rows::{DeletedEndpoint, RotatedSecret};
use super::secrets::Stored;
use super::statements::{
    DELETE_ENDPOINT, DISABLE_ENDPOINT, FORGET_ENDPOINTS, LOAD_ENDPOINTS, PAUSE_ENDPOINT, PUT_ENDPOINT,
    RESUME_ENDPOINT, ROTATE_SECRET,
};
use super::{Store, StoreError, column, from_millis, headers, json_row, millis, missing};
use crate::endpoint::{
    Credentials, Endpoint, EndpointNo, EndpointState, Format, OldSecret, SigningKey, SigningSecret, Tls,
    prepare_headers,
};
use crate::vault::{OpenError, Vault};

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
    pub format: Format,
    /// `whsk_…`; or `none`, to have none any more. Not given: as it was.
    pub signing_key: Option<String>,
    /// JSON; or `none`.
    pub auth: Option<String>,
    pub ca_certificates: Option<String>,
    /// PEM; or `none`.
    pub client_certificate: Option<String>,
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
    /// What verifies the signatures of the key that was given or generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

impl Store {
    /// `sql/load_endpoints.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load_endpoints(&self) -> Result<EndpointSet, StoreError> {
        endpoint_set(&self.rows(&LOAD_ENDPOINTS, &[]).await?, &self.vault)
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

    /// `sql/put_endpoint.sql`. Where there is a key, nothing secret reaches the database in the clear.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE 22023 when an argument is invalid, 54000 when there are too many.
    pub async fn put_endpoint(&self, put: &EndpointPut) -> Result<PutResult, StoreError> {
        let has_key = self.vault.key_id().is_some();
        let stored = if has_key { self.read_secrets(&put.id).await? } else { Stored::default() };
        let generated = (has_key && put.secret.is_none() && !stored.exists).then(SigningSecret::generate);
        let generated = generated.transpose().map_err(checked)?;
        let secret =
            self.to_store(&put.id, put.secret.as_deref().or(generated.as_deref()), &stored.secret)?;
        let signing_key = self.to_store(&put.id, put.signing_key.as_deref(), &stored.signing_key)?;
        let auth = self.to_store(&put.id, put.auth.as_deref(), &stored.auth)?;
        let client_certificate =
            self.to_store(&put.id, put.client_certificate.as_deref(), &stored.client_certificate)?;
        let key: Option<SigningKey> = put.signing_key.as_deref().and_then(|text| text.parse().ok());
        let public_key = key.map(|key| key.public_key());
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
                    &secret,
                    &put.max_in_flight,
                    &put.rate_limit,
                    &timeout_ms,
                    &schedule_ms,
                    &put.ordered,
                    &put.format.as_str(),
                    &signing_key,
                    &public_key,
                    &auth,
                    &put.ca_certificates,
                    &client_certificate,
                ],
            )
            .await?
            .ok_or_else(|| missing(&PUT_ENDPOINT))?;
        let new_secret: Option<String> = column(&PUT_ENDPOINT, &row, "new_secret")?;
        Ok(PutResult {
            endpoint_id: column(&PUT_ENDPOINT, &row, "endpoint_id")?,
            result: column(&PUT_ENDPOINT, &row, "result")?,
            secret: new_secret.or(generated),
            public_key,
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
        let has_key = self.vault.key_id().is_some();
        let generated = (has_key && secret.is_none()).then(SigningSecret::generate);
        let generated = generated.transpose().map_err(checked)?;
        let given = secret.or(generated.as_deref());
        let stored = if has_key { self.read_secrets(id).await? } else { Stored::default() };
        let to_store = self.to_store(id, given, &stored.secret)?;
        let row = self.row(&ROTATE_SECRET, &[&id, &to_store, &millis(overlap)]).await?;
        let mut rotated: RotatedSecret =
            json_row(&ROTATE_SECRET, &row.ok_or_else(|| missing(&ROTATE_SECRET))?)?;
        if let Some(given) = given {
            given.clone_into(&mut rotated.secret);
        }
        Ok(rotated)
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
pub(super) fn endpoint_set(rows: &[tokio_postgres::Row], vault: &Vault) -> Result<EndpointSet, StoreError> {
    let first = rows.first().ok_or_else(|| missing(&LOAD_ENDPOINTS))?;
    let version = column(&LOAD_ENDPOINTS, first, "endpoint_version")?;
    let mut endpoints = Vec::with_capacity(rows.len());
    for row in rows {
        let no: Option<i32> = column(&LOAD_ENDPOINTS, row, "no")?;
        if let Some(no) = no {
            endpoints.push(endpoint(EndpointNo::new(no), row, vault)?);
        }
    }
    Ok(EndpointSet { version, endpoints })
}

fn endpoint(no: EndpointNo, row: &tokio_postgres::Row, vault: &Vault) -> Result<Endpoint, StoreError> {
    let url: &str = column(&LOAD_ENDPOINTS, row, "url")?;
    let topics: Vec<&str> = column(&LOAD_ENDPOINTS, row, "topics")?;
    let id: String = column(&LOAD_ENDPOINTS, row, "id")?;
    let format: &str = column(&LOAD_ENDPOINTS, row, "format")?;
    let credentials = match credentials(&id, row, vault) {
        Ok(credentials) => Ok(credentials),
        Err(Unreadable::Sealed(fault)) => Err(fault),
        Err(Unreadable::Row(fault)) => return Err(fault),
    };
    let max_in_flight: i32 = column(&LOAD_ENDPOINTS, row, "max_in_flight")?;
    let rate_limit: Option<&str> = column(&LOAD_ENDPOINTS, row, "rate_limit")?;
    let timeout_ms: Option<i64> = column(&LOAD_ENDPOINTS, row, "timeout_ms")?;
    let schedule_ms: Option<Vec<i64>> = column(&LOAD_ENDPOINTS, row, "retry_schedule_ms")?;
    let state: &str = column(&LOAD_ENDPOINTS, row, "state")?;
    Ok(Endpoint {
        no,
        id,
        url: url.parse().map_err(|fault| format!("url is invalid: {fault}")),
        topics: topics.iter().map(|topic| topic.parse().map_err(checked)).collect::<Result<_, _>>()?,
        headers: headers(column(&LOAD_ENDPOINTS, row, "headers")?)
            .and_then(|headers| prepare_headers(&headers)),
        format: format.parse().map_err(checked)?,
        credentials,
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

/// Why credentials cannot be read.
enum Unreadable {
    /// By this dispatcher.
    Sealed(OpenError),
    /// By anybody.
    Row(StoreError),
}

impl From<StoreError> for Unreadable {
    fn from(fault: StoreError) -> Self {
        Self::Row(fault)
    }
}

impl From<OpenError> for Unreadable {
    fn from(fault: OpenError) -> Self {
        Self::Sealed(fault)
    }
}

fn credentials(id: &str, row: &tokio_postgres::Row, vault: &Vault) -> Result<Credentials, Unreadable> {
    let text = |name| column::<Option<&str>>(&LOAD_ENDPOINTS, row, name);
    let open = |name| Ok::<_, Unreadable>(text(name)?.map(|stored| vault.open(id, stored)).transpose()?);
    let secret = open("secret")?.unwrap_or_default();
    let client_certificate = open("client_certificate")?;
    Ok(Credentials {
        secret: secret.parse().map_err(checked)?,
        old_secrets: old_secrets(id, row, vault)?,
        signing_key: open("signing_key")?.map(|key| key.parse()).transpose(),
        auth: open("auth")?.map(|auth| auth.parse()).transpose(),
        tls: Tls::parse(text("ca_certificates")?, client_certificate.as_deref()).map(|tls| tls.map(Arc::new)),
    })
}

fn old_secrets(id: &str, row: &tokio_postgres::Row, vault: &Vault) -> Result<Vec<OldSecret>, Unreadable> {
    let secrets: Option<Vec<&str>> = column(&LOAD_ENDPOINTS, row, "old_secrets")?;
    let valid_ms: Option<Vec<i64>> = column(&LOAD_ENDPOINTS, row, "old_valid_ms")?;
    let now = Instant::now();
    let old = |(secret, ms): (&str, i64)| {
        let secret = vault.open(id, secret)?.parse().map_err(checked)?;
        Ok(OldSecret { secret, valid_until: now + from_millis(ms) })
    };
    secrets.unwrap_or_default().into_iter().zip(valid_ms.unwrap_or_default()).map(old).collect()
}

/// The CHECKs of the table let nothing through that does not parse, the URL apart.
fn checked(fault: impl std::fmt::Display) -> StoreError {
    StoreError::Row { statement: LOAD_ENDPOINTS.name, fault: fault.to_string() }
}
