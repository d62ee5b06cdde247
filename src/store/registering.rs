//! Registration of endpoints: one call puts an endpoint or rotates its secret, whoever else does the same at the same time. What is secret in
//! it is sealed before it is stored, and the same secret is the same although it would be sealed differently.

use std::time::Duration;

use serde::Serialize;
use tokio_postgres::types::ToSql;

use super::errors::is_stale_plan;
use super::row::Row;
use super::secrets::Stored;
use super::statements::{PUT_ENDPOINT, ROTATE_SECRET};
use super::views::RotatedSecret;
use super::{PREPARE_AGAIN_MAX, Store, StoreError, column, json_row, millis, missing};
use crate::model::endpoint::{Format, SigningKey, SigningSecret};
use crate::model::random::NoRandomness;
use crate::rules::encryption::{Field, Place};

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
    /// Whether that key was made for this call: another one that came in while it waited serves as well.
    pub is_new_key: bool,
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
    /// The secret, when this call has created the endpoint with a generated one: shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// What verifies the signatures of the key that was given or generated, or came in at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

impl Store {
    /// `sql/statements/endpoints/put_endpoint.sql`. Where there is a key, nothing secret reaches the database in the clear.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE 22023 when an argument is invalid, 54000 when there are too many.
    pub async fn put_endpoint(&self, put: &EndpointPut) -> Result<PutResult, StoreError> {
        if self.vault.key_id().is_none() && !put.is_new_key {
            let args = Args::in_the_clear(put);
            let row = self.row(&PUT_ENDPOINT, &args.params()).await?;
            return args.result(row, None);
        }
        let known_key = if put.is_new_key { self.public_key(&put.id).await? } else { None };
        for _ in 0..PREPARE_AGAIN_MAX {
            match self.put_while_held(put, known_key.as_deref()).await {
                Err(fault) if is_stale_plan(&fault) => {}
                done => return done,
            }
        }
        self.put_while_held(put, known_key.as_deref()).await
    }

    /// What is stored is read, and compared with what is given, while nobody else can change it.
    async fn put_while_held(
        &self,
        put: &EndpointPut,
        known_key: Option<&str>,
    ) -> Result<PutResult, StoreError> {
        let has_key = self.vault.key_id().is_some();
        let generated = (has_key && put.secret.is_none()).then(SigningSecret::generate);
        let generated = generated.transpose().map_err(not_generated)?;
        let (held, stored) = self.hold_endpoint(&put.id).await?;
        let args = self.args(put, &stored, known_key, generated.as_deref())?;
        let row = held.end_with(&PUT_ENDPOINT, &args.params()).await?;
        args.result(row, generated)
    }

    fn args<'a>(
        &self,
        put: &'a EndpointPut,
        stored: &Stored,
        known_key: Option<&str>,
        generated: Option<&str>,
    ) -> Result<Args<'a>, StoreError> {
        let text = |field, given: Option<&str>| {
            self.to_store(&Place { endpoint_id: &put.id, url: &put.url, field }, given, stored.of(field))
        };
        let mut args = Args {
            secret: text(Field::Secret, put.secret.as_deref())?,
            new_secret: text(Field::Secret, generated)?,
            signing_key: text(Field::SigningKey, put.signing_key.as_deref())?,
            auth: text(Field::Auth, put.auth.as_deref())?,
            client_certificate: text(Field::ClientCertificate, put.client_certificate.as_deref())?,
            ..Args::in_the_clear(put)
        };
        // Two that ask for a new key at once get one: neither is told a key that the other has replaced.
        let came_in = stored.public_key.as_deref().filter(|_| put.is_new_key);
        if let Some(key) = came_in.filter(|key| known_key != Some(key)) {
            args.signing_key = None;
            args.public_key = Some(key.to_owned());
        }
        Ok(args)
    }

    /// As of now; whoever is about to change it is not waited for.
    async fn public_key(&self, id: &str) -> Result<Option<String>, StoreError> {
        Ok(self.read_endpoint(id).await?.and_then(|row| row.public_key))
    }

    /// `sql/statements/secrets/rotate_secret.sql`: generates a secret unless one is given.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE P0002 for an unknown id, 22023 when an argument is invalid.
    pub async fn rotate_secret(
        &self,
        id: &str,
        secret: Option<&str>,
        overlap: Duration,
    ) -> Result<RotatedSecret, StoreError> {
        if self.vault.key_id().is_none() {
            let row = self.row(&ROTATE_SECRET, &[&id, &secret, &millis(overlap)]).await?;
            return json_row(&ROTATE_SECRET, &row.ok_or_else(|| missing(&ROTATE_SECRET))?);
        }
        let generated = secret.is_none().then(SigningSecret::generate);
        let generated = generated.transpose().map_err(not_generated)?;
        let given = secret.or(generated.as_deref()).unwrap_or_default();
        for _ in 0..PREPARE_AGAIN_MAX {
            match self.rotate_while_held(id, given, overlap).await {
                Err(fault) if is_stale_plan(&fault) => {}
                done => return done,
            }
        }
        self.rotate_while_held(id, given, overlap).await
    }

    async fn rotate_while_held(
        &self,
        id: &str,
        given: &str,
        overlap: Duration,
    ) -> Result<RotatedSecret, StoreError> {
        let (held, stored) = self.hold_endpoint(id).await?;
        // What signs is bound to no host.
        let place = Place { endpoint_id: id, url: "", field: Field::Secret };
        let to_store = self.to_store(&place, Some(given), stored.of(Field::Secret))?;
        let row = held.end_with(&ROTATE_SECRET, &[&id, &to_store, &millis(overlap)]).await?;
        let row = row.ok_or_else(|| missing(&ROTATE_SECRET))?;
        let rotated: RotatedSecret = json_row(&ROTATE_SECRET, &row)?;
        Ok(RotatedSecret { secret: given.to_owned(), ..rotated })
    }
}

/// The arguments of `sql/statements/endpoints/put_endpoint.sql`; what is secret as it is stored.
struct Args<'a> {
    put: &'a EndpointPut,
    format: &'static str,
    timeout_ms: Option<i64>,
    schedule_ms: Option<Vec<i64>>,
    secret: Option<String>,
    new_secret: Option<String>,
    signing_key: Option<String>,
    public_key: Option<String>,
    auth: Option<String>,
    client_certificate: Option<String>,
}

impl<'a> Args<'a> {
    fn in_the_clear(put: &'a EndpointPut) -> Self {
        let key: Option<SigningKey> = put.signing_key.as_deref().and_then(|text| text.parse().ok());
        let schedule = put.retry_schedule.as_ref();
        Self {
            put,
            format: put.format.as_str(),
            timeout_ms: put.timeout.map(millis),
            schedule_ms: schedule.map(|delays| delays.iter().copied().map(millis).collect()),
            secret: put.secret.clone(),
            new_secret: None,
            signing_key: put.signing_key.clone(),
            public_key: key.map(|key| key.public_key()),
            auth: put.auth.clone(),
            client_certificate: put.client_certificate.clone(),
        }
    }

    fn params(&self) -> [&(dyn ToSql + Sync); 17] {
        [
            &self.put.id,
            &self.put.url,
            &self.put.topics,
            &self.put.headers,
            &self.secret,
            &self.put.max_in_flight,
            &self.put.rate_limit,
            &self.timeout_ms,
            &self.schedule_ms,
            &self.put.ordered,
            &self.format,
            &self.signing_key,
            &self.public_key,
            &self.auth,
            &self.put.ca_certificates,
            &self.client_certificate,
            &self.new_secret,
        ]
    }

    /// What it came to. `generated` is `new_secret` before it was sealed, and is told only if the endpoint has it.
    fn result(self, row: Option<Row>, generated: Option<String>) -> Result<PutResult, StoreError> {
        let row = row.ok_or_else(|| missing(&PUT_ENDPOINT))?;
        let new_secret: Option<String> = column(&PUT_ENDPOINT, &row, "new_secret")?;
        Ok(PutResult {
            endpoint_id: column(&PUT_ENDPOINT, &row, "endpoint_id")?,
            result: column(&PUT_ENDPOINT, &row, "result")?,
            secret: new_secret.map(|stored| generated.unwrap_or(stored)),
            public_key: self.public_key,
        })
    }
}

fn not_generated(fault: NoRandomness) -> StoreError {
    StoreError::Row { statement: PUT_ENDPOINT.name, fault: fault.to_string() }
}
