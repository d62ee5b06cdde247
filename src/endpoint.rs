//! Words: an endpoint as its owner registered it, checked once when it is read.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;
use thiserror::Error;
use tokio::time::Instant;
use url::Url;
use utoipa::ToSchema;

use crate::topics::TopicPattern;

/// Reads whatever PostgreSQL's `decode(…, 'base64')` reads, so that the CHECK on the table is the stricter of the two.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

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
    /// Signs every request.
    pub secret: SigningSecret,
    /// Were rotated out, and sign beside it for a while.
    pub old_secrets: Vec<OldSecret>,
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

/// A secret of Standard Webhooks 1.0.0: `whsec_` and base64 of 24 to 64 bytes.
#[derive(Clone)]
pub struct SigningSecret {
    bytes: Vec<u8>,
    /// The same, ready to sign with.
    key: hmac::Key,
}

/// Headers as they are sent, the last of a name; their values are shown to nobody.
///
/// # Errors
/// The name of an invalid one, and why.
pub fn prepare_headers(headers: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut prepared = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let invalid = |why: &dyn fmt::Display| format!("header {name} is invalid: {why}");
        let mut value = HeaderValue::from_str(value).map_err(|why| invalid(&why))?;
        value.set_sensitive(true);
        prepared.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|why| invalid(&why))?, value);
    }
    Ok(prepared)
}

impl Endpoint {
    /// What signs a request now: the secret, and those that were rotated out lately.
    pub fn secrets(&self) -> impl Iterator<Item = &SigningSecret> {
        let now = Instant::now();
        let old = self.old_secrets.iter().filter(move |old| now < old.valid_until);
        std::iter::once(&self.secret).chain(old.map(|old| &old.secret))
    }
}

/// A secret that was rotated out.
#[derive(Clone, Debug)]
pub struct OldSecret {
    /// Signs too.
    pub secret: SigningSecret,
    /// Until then.
    pub valid_until: Instant,
}

/// Why a text is not a signing secret. Never contains the text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SecretError {
    /// It does not begin with `whsec_`.
    #[error("needs the prefix whsec_")]
    Prefix,
    /// What follows is not base64.
    #[error("what follows whsec_ is not base64")]
    Base64,
    /// It decodes to too few or too many bytes.
    #[error("needs base64 of 24 to 64 bytes after whsec_, got {0} bytes")]
    Length(usize),
}

impl SigningSecret {
    /// The bare key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key of HMAC-SHA256.
    pub fn key(&self) -> &hmac::Key {
        &self.key
    }
}

impl FromStr for SigningSecret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix("whsec_").ok_or(SecretError::Prefix)?;
        #[expect(clippy::map_err_ignore, reason = "the cause would quote a byte of the secret")]
        let bytes = BASE64.decode(encoded).map_err(|_| SecretError::Base64)?;
        if !(24..=64).contains(&bytes.len()) {
            return Err(SecretError::Length(bytes.len()));
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        Ok(Self { bytes, key })
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(hidden)")
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
    fn a_secret_of_the_wrong_kind_is_refused_by_its_fault() {
        // Svix' own list of invalid secrets (research: 21 bytes, 81 bytes, wrong prefix).
        let cases = [
            ("whsec_C2FVsBQIhrscChlQIM+b5sSYspob", SecretError::Length(21)),
            (
                "whsec_V09IYXZUaFJoSnFobnpJQkpPMXdpdGFNWnJsRzAxdXZCeTVndVpwRmxSSXFsc0oyYzBTRWRUekJhYnlaZ0JSRGNPQ3BGZG1xYjFVVmRGQ3UK",
                SecretError::Length(81),
            ),
            ("hwsec_C2FVsBQIhrscChlQIM+b5sSYspob7oDazfgh", SecretError::Prefix),
            ("whsec_", SecretError::Length(0)),
            ("whsec_!!", SecretError::Base64),
        ];

        for (text, fault) in cases {
            assert_eq!(text.parse::<SigningSecret>().unwrap_err(), fault, "{text}");
        }
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        let secret: SigningSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();

        assert_eq!(format!("{secret:?}"), "SigningSecret(hidden)");
    }

    #[test]
    fn a_rate_limit_is_a_number_per_unit() {
        assert_eq!("50/s".parse::<RateLimit>().unwrap().interval(), Duration::from_millis(20));
        assert_eq!("30/m".parse::<RateLimit>().unwrap().interval(), Duration::from_secs(2));
        for wrong in ["", "50", "0/s", "-1/s", "5/d", "1.5/s", "99999999/s"] {
            assert!(wrong.parse::<RateLimit>().is_err(), "{wrong}");
        }
    }
}
