//! The destination of a webhook: a URL, and what goes with every request to it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::time::Instant;
use url::Url;
use utoipa::ToSchema;

use super::{Auth, AuthError, EndpointTls, OldSecret, SecretError, SigningKey, SigningSecret, TlsError};
use crate::model::header::check_header;

/// An endpoint that takes HTTP requests.
#[derive(Clone, Debug)]
pub struct WebhookDestination {
    /// Where requests go. If the stored text is no URL, why: every attempt fails with that.
    pub url: Result<Url, String>,
    /// Headers of every request, ready to send. If one is invalid, which and why: every attempt fails with that.
    pub headers: Result<HeaderMap, String>,
    /// The form of the body.
    pub format: Format,
    /// Proof of who we are.
    pub credentials: Credentials,
    /// What may be called of what the dispatcher may call.
    pub narrowing: Narrowing,
}

/// A part of the addresses that a dispatcher may call: those that an endpoint of a template may lead to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrowing {
    /// Plain http is forbidden, whatever the dispatcher allows.
    pub forbids_http: bool,
    /// An address must be in one of these ranges, too. `None` leaves it to the dispatcher.
    pub only_cidrs: Option<Arc<[IpNet]>>,
}

/// Credentials of a webhook. A stored value that cannot be parsed is kept as its error; every attempt then fails with that
/// error.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The secret that signs every request.
    pub secret: SigningSecret,
    /// Secrets that were rotated out. They sign beside the current one for a while.
    pub old_secrets: Vec<OldSecret>,
    /// A key that signs every request too.
    pub signing_key: Result<Option<SigningKey>, SecretError>,
    /// The login at the endpoint.
    pub auth: Result<Option<Auth>, AuthError>,
    /// TLS of the endpoint's own.
    pub tls: Result<Option<Arc<EndpointTls>>, TlsError>,
}

impl Credentials {
    /// The secrets that sign a request now: the current one, and those that were rotated out lately.
    pub fn secrets(&self) -> impl Iterator<Item = &SigningSecret> {
        let now = Instant::now();
        let old = self.old_secrets.iter().filter(move |old| now < old.valid_until);
        std::iter::once(&self.secret).chain(old.map(|old| &old.secret))
    }
}

/// The form of the requests to an endpoint.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// The payload, with the headers of Standard Webhooks.
    #[default]
    Webhook,
    /// The payload and those headers, with the attributes of CloudEvents 1.0 in further headers.
    CloudeventsBinary,
    /// One JSON document of CloudEvents 1.0, with the payload as its data.
    CloudeventsStructured,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Webhook, Self::CloudeventsBinary, Self::CloudeventsStructured];

    /// The name that is typed and stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::CloudeventsBinary => "cloudevents-binary",
            Self::CloudeventsStructured => "cloudevents-structured",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or(FormatError)
    }
}

/// A text is not a format.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("needs webhook, cloudevents-binary or cloudevents-structured")]
pub struct FormatError;

/// Headers as they are sent. Of headers with one name the last counts. Logs do not show their values.
///
/// The tables have CHECKs, and the names are checked here all the same: a reserved name that got round the CHECKs would make
/// another request than ours.
///
/// # Errors
/// The name of an invalid header, and why it is invalid.
pub fn prepare_headers(headers: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut prepared = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        check_header(name, value).map_err(|fault| format!("a header {fault}"))?;
        let invalid = |why: &dyn fmt::Display| format!("header {name} is invalid: {why}");
        let mut value = HeaderValue::from_str(value).map_err(|why| invalid(&why))?;
        value.set_sensitive(true);
        prepared.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|why| invalid(&why))?, value);
    }
    Ok(prepared)
}
