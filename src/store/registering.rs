//! Puts an endpoint (`postrider.write_endpoint`), or rotates its secret, in one call, whoever else does the same at the same
//! time. Secrets are sealed before they are stored. The same secret counts as the same although it would be sealed differently.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::errors::is_stale_plan;
use super::row::Row;
use super::secrets::Stored;
use super::statements::{PUT_ENDPOINT, ROTATE_SECRET};
use super::views::RotatedSecret;
use super::{PREPARE_AGAIN_MAX, Store, StoreError, millis};
use crate::model::endpoint::{SigningKey, SigningSecret};
use crate::model::random::NoRandomness;
use crate::model::topic::TopicPattern;
use crate::rules::encryption::{Field, Place};

/// An endpoint to put, checked: by `EndpointSpec::check`, unless its author is Postrider.
#[derive(Clone)]
pub struct CheckedEndpoint {
    /// The id that its owner chose.
    pub id: String,
    /// Each setting that was named, as `postrider.write_endpoint` reads it; null: its default. Several are secret.
    pub settings: Map<String, Value>,
    /// Whether its signing key was made for this call: another one that came in while it waited serves as well.
    pub is_new_key: bool,
    /// The way in which it is written.
    pub writing: Writing,
}

/// The ways to write an endpoint. Either keeps a setting that is not named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// It is created if it does not exist. Headers that are named replace all others.
    Put,
    /// It must exist. Headers are changed one by one; null removes one.
    Set,
}

impl CheckedEndpoint {
    /// An endpoint of Postrider's own.
    pub fn new(id: &str, url: &str, secret: &str) -> Self {
        let settings = [("url", url), ("secret", secret)];
        let settings = settings.map(|(name, text)| (name.to_owned(), text.into())).into_iter().collect();
        Self { id: id.to_owned(), settings, is_new_key: false, writing: Writing::Put }
    }

    /// The patterns that the endpoint is to subscribe to. `None` if they were not named.
    pub fn topics(&self) -> Option<Vec<TopicPattern>> {
        match self.settings.get("topics")? {
            Value::Array(topics) => {
                Some(topics.iter().filter_map(Value::as_str).filter_map(|text| text.parse().ok()).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                Some(vec![TopicPattern::everything()])
            }
        }
    }

    /// The same with one more setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.settings.insert(name.to_owned(), value);
        self
    }

    /// A setting that is a text. `None` if it was not named.
    fn text(&self, name: &str) -> Option<&str> {
        self.settings.get(name).and_then(Value::as_str)
    }

    fn is_set(&self) -> bool {
        self.writing == Writing::Set
    }
}

impl fmt::Debug for CheckedEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckedEndpoint").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a put did.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PutResult {
    /// There was no such endpoint.
    Created,
    /// It had other settings.
    Changed,
    /// It had the same settings.
    Unchanged,
}

impl fmt::Display for PutResult {
    /// As it stands in the answer of the database.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// The answer to a put.
#[derive(Clone, Serialize)]
pub struct WrittenEndpoint {
    /// The endpoint.
    pub endpoint_id: String,
    /// What was done.
    pub result: PutResult,
    /// The secret, when this call has created the endpoint with a generated one: shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// What verifies the signatures of the key that was given or generated, or came in at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// A line for each setting that was changed, as `topics: order.* -> **`; without secrets and values of headers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
}

impl Store {
    /// `sql/statements/endpoints/put_endpoint.sql`. Where there is a key, nothing secret reaches the database in the clear.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE 22023 when an argument is invalid, 54000 when there are too many, P0002 when one that
    /// is to be set does not exist.
    pub async fn put_endpoint(&self, put: &CheckedEndpoint) -> Result<WrittenEndpoint, StoreError> {
        if self.vault.key_id().is_none() && !put.is_new_key {
            let document = Document::in_the_clear(put);
            let row = self.query_one(&PUT_ENDPOINT, &[&put.id, &document.text(), &put.is_set()]).await?;
            return document.written(&row, None);
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

    /// Reads the stored secrets, and compares the given ones with them, while nobody else can change them.
    async fn put_while_held(
        &self,
        put: &CheckedEndpoint,
        known_key: Option<&str>,
    ) -> Result<WrittenEndpoint, StoreError> {
        let has_key = self.vault.key_id().is_some();
        let is_secret_named = put.text(Field::Secret.as_str()).is_some();
        let is_secret_new = has_key && !is_secret_named && !put.is_set();
        let generated = is_secret_new.then(SigningSecret::generate);
        let generated = generated.transpose().map_err(not_generated)?;
        let (held, stored) = self.hold_endpoint(&put.id).await?;
        let document = self.document(put, &stored, known_key, generated.as_deref())?;
        let row = held.end_with(&PUT_ENDPOINT, &[&put.id, &document.text(), &put.is_set()]).await?;
        document.written(&row, generated)
    }

    /// The settings, those that are secret as they are to be stored.
    fn document(
        &self,
        put: &CheckedEndpoint,
        stored: &Stored,
        known_key: Option<&str>,
        generated: Option<&str>,
    ) -> Result<Document, StoreError> {
        let url = put.text("url").or(stored.url.as_deref()).unwrap_or_default();
        let to_store = |field, given: Option<&str>| {
            self.to_store(&Place { endpoint_id: &put.id, url, field }, given, stored.of(field))
        };
        let mut document = Document::in_the_clear(put);
        for field in Field::ALL {
            document.set(field.as_str(), to_store(field, put.text(field.as_str()))?);
        }
        document.set("new_secret_if_created", to_store(Field::Secret, generated)?);
        // Two that ask for a new key at once get one: neither is told a key that the other has replaced.
        let came_in = stored.public_key.as_deref().filter(|_| put.is_new_key);
        if let Some(key) = came_in.filter(|key| known_key != Some(key)) {
            document.settings.remove(Field::SigningKey.as_str());
            document.name_public_key(Some(key.to_owned()));
        }
        Ok(document)
    }

    /// The public key as of now. A transaction that is about to change it is not waited for.
    async fn public_key(&self, id: &str) -> Result<Option<String>, StoreError> {
        Ok(self.read_endpoint(id).await?.and_then(|row| row.public_key))
    }

    /// `sql/statements/secrets/rotate_secret.sql`. Generates a secret unless one is given.
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
            let row = self.query_one(&ROTATE_SECRET, &[&id, &secret, &millis(overlap)]).await?;
            return row.json("row");
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
        // A secret that signs is bound to no host.
        let place = Place { endpoint_id: id, url: "", field: Field::Secret };
        let to_store = self.to_store(&place, Some(given), stored.of(Field::Secret))?;
        let row = held.end_with(&ROTATE_SECRET, &[&id, &to_store, &millis(overlap)]).await?;
        let rotated: RotatedSecret = row.json("row")?;
        Ok(RotatedSecret { secret: given.to_owned(), ..rotated })
    }
}

/// The settings on their way to the database.
struct Document {
    settings: Map<String, Value>,
    public_key: Option<String>,
}

impl Document {
    fn in_the_clear(put: &CheckedEndpoint) -> Self {
        let key = put.text(Field::SigningKey.as_str());
        let key: Option<SigningKey> = key.and_then(|text| text.parse().ok());
        let mut document = Self { settings: put.settings.clone(), public_key: None };
        document.name_public_key(key.map(|key| key.public_key()));
        document
    }

    /// A sealed signing key does not show its public half.
    fn name_public_key(&mut self, key: Option<String>) {
        self.set("public_key", key.clone());
        self.public_key = key;
    }

    /// Leaves a setting alone if there is no text.
    fn set(&mut self, name: &str, text: Option<String>) {
        if let Some(text) = text {
            self.settings.insert(name.to_owned(), text.into());
        }
    }

    fn text(&self) -> String {
        Value::Object(self.settings.clone()).to_string()
    }

    /// The answer. `generated` is `new_secret` before it was sealed, and is told only if the endpoint has it.
    fn written(self, row: &Row, generated: Option<String>) -> Result<WrittenEndpoint, StoreError> {
        let new_secret: Option<String> = row.get("new_secret")?;
        Ok(WrittenEndpoint {
            endpoint_id: row.get("endpoint_id")?,
            result: row.word("result")?,
            secret: new_secret.map(|stored| generated.unwrap_or(stored)),
            public_key: self.public_key,
            changes: row.get("changes")?,
        })
    }
}

fn not_generated(fault: NoRandomness) -> StoreError {
    StoreError::Row { statement: PUT_ENDPOINT.name, fault: fault.to_string() }
}
