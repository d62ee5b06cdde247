//! The body of `PUT /v1/endpoints/{id}`.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::openapi::{Auth, HeaderName, HeaderValue, Secret, SigningKey, TopicPattern, Whole};
use crate::model::endpoint::Format;
use crate::operations::endpoint_spec::EndpointSpec;
use crate::store::Span;

/// An endpoint as its owner wants it. What is left out has its default, but the secret of an endpoint that exists is kept.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct EndpointBody {
    /// Where to POST: `https://host/path` to a public address, unless the dispatcher allows more.
    #[schema(format = "uri", max_length = 2048, example = "https://orders.example/hook")]
    url: String,
    /// Patterns of dotted words: `*` is one word, `**` at the end one or more. Default: `["**"]`, everything.
    #[serde(default = "everything")]
    #[schema(value_type = Vec<TopicPattern>, max_items = 100, example = json!(["order.*"]))]
    topics: Vec<String>,
    /// Sent with every request; texts of visible ASCII.
    #[serde(default)]
    #[schema(value_type = HashMap<HeaderName, HeaderValue>)]
    headers: Map<String, Value>,
    /// Kept if left out; generated and shown once for a new endpoint.
    #[schema(value_type = Option<Secret>, write_only)]
    secret: Option<String>,
    /// Requests under way at once. Default: 64.
    #[serde(default = "default_in_flight")]
    #[schema(value_type = i32, minimum = 1, maximum = 10000)]
    max_in_flight: Whole,
    /// Requests per s, m or h, as `50/s`.
    #[schema(pattern = "^[1-9][0-9]{0,6}/[smh]$", example = "50/s")]
    rate_limit: Option<String>,
    /// Deadline of one attempt, 100ms to 5m. Default: that of the dispatcher.
    #[schema(value_type = Option<Span>)]
    timeout: Option<String>,
    /// 1 to 50 delays before the second, third ... attempt.
    #[schema(value_type = Option<Vec<Span>>, min_items = 1, max_items = 50, example = json!(["5s", "5m", "30m"]))]
    retry_schedule: Option<Vec<String>>,
    /// Order per key: not available yet.
    #[serde(default)]
    ordered: bool,
    /// What is sent. Default: `webhook`, the payload.
    #[schema(value_type = Option<Format>)]
    format: Option<String>,
    /// Signs with ed25519 (`v1a`) too: `whsk_...`, `new` to have one made, `none` to remove it. Kept if left out.
    #[schema(value_type = Option<SigningKey>, write_only)]
    signing_key: Option<String>,
    /// How to log in; type `none` to do so no more. Kept if left out.
    #[schema(value_type = Option<Auth>, write_only)]
    auth: Option<Map<String, Value>>,
    /// PEM: the authorities that alone are trusted. Default: those of the system.
    #[schema(max_length = 65536)]
    ca_certificates: Option<String>,
    /// PEM: the certificate to show, its chain and its private key; `none` to remove it. Kept if left out.
    #[schema(max_length = 65536, write_only)]
    client_certificate: Option<String>,
}

impl EndpointBody {
    /// As the rules of registration take it.
    pub(super) fn registration(self, id: String) -> EndpointSpec {
        EndpointSpec {
            id,
            url: self.url,
            topics: self.topics,
            headers: self.headers,
            secret: self.secret,
            max_in_flight: usize::try_from(self.max_in_flight.0).ok(),
            rate_limit: self.rate_limit,
            timeout: self.timeout,
            retry_schedule: self.retry_schedule,
            ordered: self.ordered,
            format: self.format,
            signing_key: self.signing_key,
            auth: self.auth.map(auth_text),
            ca_certificates: self.ca_certificates,
            client_certificate: self.client_certificate,
        }
    }
}

/// As `registration` has it.
fn auth_text(auth: Map<String, Value>) -> String {
    let is_none = auth.len() == 1 && auth.get("type").is_some_and(|kind| kind == "none");
    if is_none { "none".to_owned() } else { Value::Object(auth).to_string() }
}

fn everything() -> Vec<String> {
    vec!["**".to_owned()]
}

fn default_in_flight() -> Whole {
    Whole(64)
}
