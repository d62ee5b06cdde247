//! An endpoint as its owner registered it, checked once when it is read.
//!
//! An endpoint has two halves. The dispatcher reads limits, schedule and state; it does not look at the [`Destination`]. The
//! sink reads its own variant of the destination, which holds everything that its protocol needs.

mod auth;
mod signing;
mod template;
mod tls;
mod webhook;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

use crate::model::id::id;
use crate::model::topic::TopicPattern;
use crate::model::unreadable::OpenError;

pub use auth::{Auth, AuthError, OAuth2};
pub use signing::{OldSecret, SecretError, SigningKey, SigningSecret};
pub use template::{Misfit, TemplateError, TemplateUrl, VALUE_BYTES_MAX};
pub use tls::{EndpointTls, TlsError};
pub use webhook::{Credentials, Format, FormatError, Narrowing, WebhookDestination, prepare_headers};

id! {
    /// Private short key of an endpoint; its owner knows it by its id.
    EndpointNo(i32)
}

/// A receiver of events: its destination, its topics and its limits.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Short key.
    pub no: EndpointNo,
    /// The id its owner chose.
    pub id: String,
    /// Where its deliveries go. If this dispatcher cannot read the endpoint, why: it attempts no delivery then.
    pub destination: Result<Destination, OpenError>,
    /// Topics it subscribes to.
    pub topics: Vec<TopicPattern>,
    /// Attempts under way at once, 1 to 10,000, over all dispatchers.
    pub max_in_flight: u32,
    /// Attempts per time, over all dispatchers.
    pub rate_limit: Option<RateLimit>,
    /// Deadline of one attempt. `None` for the dispatcher's.
    pub timeout: Option<Duration>,
    /// Delays before the second, third … attempt. `None` for the default schedule.
    pub retry_schedule: Option<Vec<Duration>>,
    /// Of an ordered endpoint, what a delivery that failed for good does to its key. `None`: the endpoint is not ordered.
    pub order: Option<OnFailed>,
    /// Whether deliveries are attempted.
    pub state: EndpointState,
    /// Of a template, its URL. Nothing is sent to a template itself, but to its children.
    pub template: Option<Arc<TemplateUrl>>,
}

/// An endpoint of a template, as it is stored: all else is the template's.
#[derive(Clone, Debug)]
pub struct Child {
    /// Short key.
    pub no: EndpointNo,
    /// `TEMPLATE/VALUE`.
    pub id: String,
    /// Its template.
    pub template_no: EndpointNo,
    /// Its own state. It is paused with its template, too.
    pub state: EndpointState,
}

/// Where deliveries of an endpoint go, with all that the protocol needs: one variant per sink.
#[derive(Clone, Debug)]
pub enum Destination {
    /// A URL that takes HTTP requests.
    Webhook(WebhookDestination),
}

/// What a delivery without attempts left does to its key, if its endpoint is ordered.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailed {
    /// It holds up its key until somebody retries or skips it.
    #[default]
    Block,
    /// The key goes on with the next delivery.
    Continue,
}

impl OnFailed {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Block, Self::Continue];

    /// The word that is typed and stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Continue => "continue",
        }
    }
}

impl fmt::Display for OnFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OnFailed {
    type Err = OnFailedError;

    fn from_str(text: &str) -> Result<Self, OnFailedError> {
        Self::ALL.into_iter().find(|word| word.as_str() == text).ok_or(OnFailedError)
    }
}

/// A text does not say what a failed delivery does to its key.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("needs block or continue")]
pub struct OnFailedError;

/// Whether deliveries to an endpoint are attempted. Nothing is dropped in any state.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    /// Deliveries are attempted.
    Enabled,
    /// Somebody paused it.
    Paused,
    /// Postrider gave up on it.
    Disabled,
}

/// How an endpoint is, in one word. `postrider.endpoint_condition` defines it, and every surface shows it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndpointHealth {
    /// Its last attempt succeeded, or there was none.
    Healthy,
    /// Attempts failed since the last success. Others are made.
    Failing,
    /// Its circuit is open: deliveries wait for a probe.
    Down,
    /// Somebody paused it.
    Paused,
    /// Postrider gave up on it.
    Disabled,
}

impl EndpointHealth {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Healthy, Self::Failing, Self::Down, Self::Paused, Self::Disabled];

    /// As it stands in `postrider.endpoint_health`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Failing => "failing",
            Self::Down => "down",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for EndpointHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether an enabled endpoint is believed to answer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CircuitState {
    /// It answers: deliveries are attempted.
    Closed,
    /// It does not answer: deliveries wait for the next probe.
    Open,
    /// A dispatcher probes it with one delivery.
    HalfOpen,
}

impl EndpointState {
    /// The state of a word in the database.
    pub fn of_word(word: &str) -> Self {
        match word {
            "enabled" => Self::Enabled,
            "paused" => Self::Paused,
            _ => Self::Disabled,
        }
    }
}

impl fmt::Display for EndpointState {
    /// As it stands in the database.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl fmt::Display for CircuitState {
    /// As it stands in the database.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl Destination {
    /// How the endpoint says that it wants no events any more. `endpoint_health.reason` shows it once the endpoint is disabled.
    pub const fn gone_reason(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "answered 410 Gone",
        }
    }
}

impl Endpoint {
    /// Whether deliveries are attempted by this dispatcher.
    pub fn is_attempted(&self) -> bool {
        self.state == EndpointState::Enabled && self.destination.is_ok()
    }

    /// An endpoint of this template. `None` if this is no template.
    pub fn child(&self, child: Child) -> Option<Self> {
        let template = self.template.as_ref()?;
        let url = value_of(&child.id).and_then(|value| template.fill(value).ok());
        let url = url.ok_or_else(|| format!("url is invalid: {Misfit}"));
        let mut endpoint =
            Self { no: child.no, id: child.id, template: None, topics: Vec::new(), ..self.clone() };
        if child.state != EndpointState::Enabled {
            endpoint.state = child.state;
        }
        if let Ok(Destination::Webhook(to)) = &mut endpoint.destination {
            to.url = url;
        }
        Some(endpoint)
    }

    /// Why this dispatcher cannot read the endpoint. `None` if it can.
    pub fn unreadable(&self) -> Option<&OpenError> {
        self.destination.as_ref().err()
    }
}

/// The id of the template in `TEMPLATE/VALUE`. `None` if the id is no such one.
pub fn template_of(id: &str) -> Option<&str> {
    id.split_once('/').map(|(template, _)| template)
}

/// The value in `TEMPLATE/VALUE`.
pub fn value_of(id: &str) -> Option<&str> {
    id.split_once('/').map(|(_, value)| value)
}

/// The most attempts per second, minute or hour, written `50/s`, `100/m`, `20/h`.
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
