//! Words: an endpoint as its owner registered it, checked once when it is read.

mod auth;
mod signing;
mod tls;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;
use tokio::time::Instant;
use url::Url;
use utoipa::ToSchema;

use crate::model::header::check_header;
use crate::model::topic::TopicPattern;
use crate::model::unreadable::OpenError;

pub use auth::{Auth, AuthError, OAuth2};
pub use signing::{OldSecret, SecretError, SigningKey, SigningSecret};
pub use tls::{Tls, TlsError};

/// Private short key of an endpoint; its owner knows it by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointNo(i32);

impl EndpointNo {
    /// Wraps a key that came from the database.
    pub const fn new(no: i32) -> Self {
        Self(no)
    }

    /// The bare number, for the database.
    pub const fn get(self) -> i32 {
        self.0
    }
}

/// Who receives events, how, and within which limits.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Short key.
    pub no: EndpointNo,
    /// The id its owner chose.
    pub id: String,
    /// Where its deliveries go, or why its text is not a URL: then every attempt fails with that.
    pub url: Result<Url, String>,
    /// What it subscribes to.
    pub topics: Vec<TopicPattern>,
    /// Headers of every request, ready to send, or which of them is invalid: then every attempt fails with that.
    pub headers: Result<HeaderMap, String>,
    /// What is sent.
    pub format: Format,
    /// What proves who we are; or why it cannot be read here: then this dispatcher attempts nothing.
    pub credentials: Result<Credentials, OpenError>,
    /// Requests under way at once, 1 to 10,000, over all dispatchers.
    pub max_in_flight: u32,
    /// Requests per time, over all dispatchers.
    pub rate_limit: Option<RateLimit>,
    /// Deadline of one attempt; none: the dispatcher's.
    pub timeout: Option<Duration>,
    /// Delays before the second, third … attempt; none: the default schedule.
    pub retry_schedule: Option<Vec<Duration>>,
    /// Whether deliveries are attempted.
    pub state: EndpointState,
}

/// What only an endpoint and we know, and what goes with it. What is in the database and is none: every attempt fails with that.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Signs every request.
    pub secret: SigningSecret,
    /// Were rotated out, and sign beside it for a while.
    pub old_secrets: Vec<OldSecret>,
    /// Signs every request too.
    pub signing_key: Result<Option<SigningKey>, SecretError>,
    /// How we log in.
    pub auth: Result<Option<Auth>, AuthError>,
    /// TLS of its own.
    pub tls: Result<Option<Arc<Tls>>, TlsError>,
}

/// What is sent to an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum Format {
    /// The payload, with the headers of Standard Webhooks.
    #[default]
    Webhook,
    /// The same, and the attributes of CloudEvents 1.0 in headers.
    CloudeventsBinary,
    /// One JSON document of CloudEvents 1.0, with the payload as its data.
    CloudeventsStructured,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Webhook, Self::CloudeventsBinary, Self::CloudeventsStructured];

    /// As it is typed and stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::CloudeventsBinary => "cloudevents-binary",
            Self::CloudeventsStructured => "cloudevents-structured",
        }
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

/// Whether deliveries to an endpoint are attempted. Nothing is dropped in any state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum EndpointState {
    /// They are.
    Enabled,
    /// Somebody paused it.
    Paused,
    /// Postrider gave up on it.
    Disabled,
}

/// Whether an enabled endpoint is believed to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum CircuitState {
    /// It is: deliveries are attempted.
    Closed,
    /// It is not: deliveries wait for the next probe.
    Open,
    /// A dispatcher probes it with one delivery.
    HalfOpen,
}

/// Headers as they are sent, the last of a name; their values are shown to nobody. Checked although the tables have CHECKs: a
/// reserved name that is there all the same would be another request than ours.
///
/// # Errors
/// The name of an invalid one, and why.
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

impl Endpoint {
    /// Whether deliveries are attempted by this dispatcher.
    pub fn is_attempted(&self) -> bool {
        self.state == EndpointState::Enabled && self.credentials.is_ok()
    }
}

impl Credentials {
    /// What signs a request now: the secret, and those that were rotated out lately.
    pub fn secrets(&self) -> impl Iterator<Item = &SigningSecret> {
        let now = Instant::now();
        let old = self.old_secrets.iter().filter(move |old| now < old.valid_until);
        std::iter::once(&self.secret).chain(old.map(|old| &old.secret))
    }
}

/// At most so many requests per second, minute or hour, written `50/s`, `100/m`, `20/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    requests: u32,
    period: Duration,
}

impl RateLimit {
    /// The mean distance of two requests.
    pub fn interval(self) -> Duration {
        self.period / self.requests
    }
}

impl FromStr for RateLimit {
    type Err = RateLimitError;

    fn from_str(text: &str) -> Result<Self, RateLimitError> {
        let (requests, unit) = text.split_once('/').ok_or(RateLimitError)?;
        if requests.starts_with(['0', '+']) {
            return Err(RateLimitError);
        }
        let requests = requests.parse().ok().filter(|n| (1..10_000_000).contains(n)).ok_or(RateLimitError)?;
        let period = match unit {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return Err(RateLimitError),
        };
        Ok(Self { requests, period })
    }
}

/// A text is not a rate limit.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("needs a number per s, m or h, as 50/s")]
pub struct RateLimitError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_limit_is_a_number_per_unit() {
        assert_eq!("50/s".parse::<RateLimit>().unwrap().interval(), Duration::from_millis(20));
        assert_eq!("30/m".parse::<RateLimit>().unwrap().interval(), Duration::from_secs(2));
        for wrong in ["", "50", "0/s", "-1/s", "5/d", "1.5/s", "99999999/s"] {
            assert!(wrong.parse::<RateLimit>().is_err(), "{wrong}");
        }
    }
}
