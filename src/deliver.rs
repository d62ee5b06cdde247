//! One signed HTTP attempt under one deadline. Never sees the database; whatever happens is an [`Outcome`].

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Client, Response, StatusCode};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::clock::Clock;
use crate::egress::{EgressPolicy, EgressProxy, GuardedResolver, ProxyFault, Refused};
use crate::endpoint::{Endpoint, prepare_headers};
use crate::event::Event;
use crate::outcome::{Answer, NoAnswer, Outcome, Unsendable};
use crate::{retry, signature};

/// At most so much of a response is read.
const RESPONSE_BYTES_MAX: usize = 16 * 1024;
/// At most so much of it is kept.
const EXCERPT_BYTES_MAX: usize = 2 * 1024;
/// At most so many response headers.
const RESPONSE_HEADERS_MAX: usize = 64;
/// Idle connections kept per host: as many as an endpoint may have requests under way.
const IDLE_CONNECTIONS_MAX: usize = 10_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const POSTRIDER_TOPIC: HeaderName = HeaderName::from_static("postrider-topic");
const POSTRIDER_ATTEMPT: HeaderName = HeaderName::from_static("postrider-attempt");
/// What every request has, those that reqwest and hyper add included.
const HEADERS_USUAL: usize = 10;
const USER_AGENT_VALUE: &str = concat!("postrider/", env!("CARGO_PKG_VERSION"));

/// Makes attempts.
#[derive(Clone, Debug)]
pub struct Deliverer {
    client: Client,
    policy: EgressPolicy,
    clock: Arc<Clock>,
    bounds: Bounds,
}

/// What an attempt may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Its deadline, where the endpoint names none.
    pub timeout_default: Duration,
    /// Its deadline, whatever the endpoint names: half of a lease, or the lease could never cover it.
    pub timeout_max: Duration,
    /// Bytes of a payload.
    pub payload_max: u64,
}

/// The HTTP client could not be set up.
#[derive(Debug, Error)]
#[error("http client")]
pub struct ClientError(#[source] reqwest::Error);

impl Deliverer {
    /// A client that follows no redirect, uses no proxy but the policy's, decompresses nothing, retries nothing, and dials
    /// only what the policy allows.
    ///
    /// # Errors
    /// [`ClientError`] when the TLS roots of this machine cannot be read.
    pub fn new(policy: EgressPolicy, clock: Arc<Clock>, bounds: Bounds) -> Result<Self, ClientError> {
        let mut builder = Client::builder()
            .use_preconfigured_provider()
            .dns_resolver(GuardedResolver::new(policy.clone()))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(Duration::from_mins(1))
            // No fewer than may be under way, or they would be closed and opened all the time.
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .tcp_nodelay(true)
            .http1_max_headers(RESPONSE_HEADERS_MAX)
            .http2_max_header_list_size(16 * 1024);
        if let Some(proxy) = &policy.proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy.url().clone()).map_err(ClientError)?);
        }
        let client = builder.build().map_err(ClientError)?;
        Ok(Self { client, policy, clock, bounds })
    }

    /// How long an attempt on this endpoint may take.
    pub fn timeout(&self, endpoint: &Endpoint) -> Duration {
        endpoint.timeout.unwrap_or(self.bounds.timeout_default).min(self.bounds.timeout_max)
    }

    /// Whether a payload of so many bytes may be sent.
    ///
    /// # Errors
    /// [`Unsendable::TooLarge`].
    pub fn check_size(&self, bytes: u64) -> Result<(), Unsendable> {
        let bytes_max = self.bounds.payload_max;
        if bytes <= bytes_max { Ok(()) } else { Err(Unsendable::TooLarge { bytes, bytes_max }) }
    }

    /// Makes attempt number `attempt`: one POST of the payload, signed anew.
    ///
    /// # Errors
    /// [`ProxyFault`]: the endpoint was not asked, and nothing is known of it.
    ///
    /// # Cancel safety
    /// Dropped, the request is cut off; the endpoint may have received it.
    pub async fn attempt(
        &self,
        endpoint: &Endpoint,
        event: &Event,
        attempt: u32,
    ) -> Result<Outcome, ProxyFault> {
        let begun = Instant::now();
        let deadline = begun + self.timeout(endpoint);
        let (answer, response_excerpt) = match self.request(endpoint, event, attempt) {
            Err(unanswered) => (unanswered.into(), None),
            Ok(request) => match timeout_at(deadline, self.client.execute(request)).await {
                Err(_elapsed) => (self.timed_out(endpoint), None),
                Ok(Err(fault)) => {
                    self.judge_proxy(&fault).await?;
                    (describe(&fault).into(), None)
                }
                Ok(Ok(response)) => {
                    self.judge_proxied(&response)?;
                    let answer = read_head(&response);
                    // The head is the answer: a body that drips, breaks off or never ends cannot change it.
                    let body = timeout_at(deadline, read_body(response)).await.unwrap_or_default();
                    (answer, excerpt(&body))
                }
            },
        };
        Ok(Outcome { answer, duration: begun.elapsed(), response_excerpt })
    }

    /// Whether it was the proxy that let no connection come about. What a proxy that is there says of the endpoint is the
    /// endpoint's.
    async fn judge_proxy(&self, fault: &reqwest::Error) -> Result<(), ProxyFault> {
        let Some(proxy) = self.policy.proxy.as_ref().filter(|_| fault.is_connect()) else { return Ok(()) };
        if causes(fault).any(|cause| cause.to_string().contains("proxy authorization required")) {
            return Err(ProxyFault::Unauthorized(proxy.clone()));
        }
        if proxy.is_reachable().await { Ok(()) } else { Err(ProxyFault::Unreachable(proxy.clone())) }
    }

    /// Whether the proxy refused to pass a request on.
    fn judge_proxied(&self, response: &Response) -> Result<(), ProxyFault> {
        let is_refused = response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED;
        match &self.policy.proxy {
            Some(proxy) if is_refused && response.url().scheme() == "http" => {
                Err(ProxyFault::Unauthorized(EgressProxy::clone(proxy)))
            }
            _ => Ok(()),
        }
    }

    fn request(
        &self,
        endpoint: &Endpoint,
        event: &Event,
        attempt: u32,
    ) -> Result<reqwest::Request, Unanswered> {
        let url = endpoint.url.as_ref().map_err(Clone::clone)?;
        self.policy.judge(url).map_err(|refused| Unanswered::from(&refused))?;
        let timestamp = self.clock.unix_seconds();
        let signature = signature::sign(endpoint.secrets(), &event.webhook_id, timestamp, &event.payload);
        let mut request = reqwest::Request::new(reqwest::Method::POST, url.clone());
        let headers = request.headers_mut();
        headers.clone_from(endpoint.headers.as_ref().map_err(Clone::clone)?);
        headers.reserve(HEADERS_USUAL + event.headers.len());
        if !event.headers.is_empty() {
            headers.extend(prepare_headers(&event.headers)?);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_VALUE));
        insert(headers, WEBHOOK_ID, &event.webhook_id)?;
        headers.insert(WEBHOOK_TIMESTAMP, timestamp.into());
        insert(headers, WEBHOOK_SIGNATURE, &signature)?;
        insert(headers, POSTRIDER_TOPIC, &event.topic)?;
        headers.insert(POSTRIDER_ATTEMPT, attempt.into());
        *request.body_mut() = Some(event.payload.clone().into());
        Ok(request)
    }

    fn timed_out(&self, endpoint: &Endpoint) -> Answer {
        let timeout = humantime::format_duration(self.timeout(endpoint));
        Answer::NoAnswer { why: NoAnswer::Timeout, error: format!("timeout: no answer within {timeout}") }
    }
}

/// Why there is no answer, while that is being found out.
struct Unanswered {
    why: NoAnswer,
    error: String,
}

impl From<String> for Unanswered {
    fn from(error: String) -> Self {
        Self { why: NoAnswer::Broken, error }
    }
}

impl From<&Refused> for Unanswered {
    fn from(refused: &Refused) -> Self {
        let why = match refused {
            Refused::Unresolved(_) => NoAnswer::Broken,
            Refused::Scheme(_)
            | Refused::Plaintext
            | Refused::Url(_)
            | Refused::Address { .. }
            | Refused::Denied { .. }
            | Refused::Port(_) => NoAnswer::RefusedAddress,
        };
        Self { why, error: refused.to_string() }
    }
}

impl From<Unanswered> for Answer {
    fn from(Unanswered { why, error }: Unanswered) -> Self {
        Self::NoAnswer { why, error }
    }
}

/// Names reqwest's provider once: it was built without one, so that TLS is ring's, as small as it gets.
trait PreconfiguredProvider {
    fn use_preconfigured_provider(self) -> Self;
}

impl PreconfiguredProvider for reqwest::ClientBuilder {
    fn use_preconfigured_provider(self) -> Self {
        // An error means that it is installed already.
        drop(rustls::crypto::ring::default_provider().install_default());
        self
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), String> {
    let value = HeaderValue::from_str(value).map_err(|why| format!("header {name} is invalid: {why}"))?;
    headers.insert(name, value);
    Ok(())
}

fn read_head(response: &Response) -> Answer {
    let status_code = response.status().as_u16();
    if response.status().is_success() {
        return Answer::Success { status_code };
    }
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let retry_after = text(RETRY_AFTER).and_then(|value| retry::parse_retry_after(value, text(DATE)));
    Answer::Refused { status_code, retry_after }
}

async fn read_body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let left = RESPONSE_BYTES_MAX - body.len();
        body.extend_from_slice(chunk.get(..left).unwrap_or(&chunk));
        if body.len() >= RESPONSE_BYTES_MAX {
            break;
        }
    }
    body
}

/// What is kept of a response: text without NUL, which PostgreSQL could not store, cut between characters.
fn excerpt(body: &[u8]) -> Option<String> {
    let mut text =
        String::from_utf8_lossy(body.get(..EXCERPT_BYTES_MAX).unwrap_or(body)).replace('\0', "\u{fffd}");
    // Replacement characters are longer than what they replace.
    text.truncate(text.floor_char_boundary(EXCERPT_BYTES_MAX));
    (!text.is_empty()).then_some(text)
}

/// One line for a transport failure: its kind and its innermost cause, without the URL.
fn describe(fault: &reqwest::Error) -> Unanswered {
    if let Some(refused) = causes(fault).find_map(|cause| cause.downcast_ref::<Refused>()) {
        return refused.into();
    }
    let cause = causes(fault).last().unwrap_or(fault);
    let (why, kind) = match () {
        () if fault.is_connect() && fault.is_timeout() => (NoAnswer::Timeout, "connect timeout"),
        () if fault.is_connect() => (NoAnswer::Broken, "connect"),
        () if fault.is_timeout() => (NoAnswer::Timeout, "timeout"),
        () => (NoAnswer::Broken, "request"),
    };
    // reqwest's own text would repeat the URL, which may carry a secret in its query.
    let error = if fault.source().is_none() { kind.to_owned() } else { format!("{kind}: {cause}") };
    Unanswered { why, error }
}

/// What lies under a failure, the innermost last.
fn causes<'a>(
    fault: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(fault.source(), |&cause| cause.source())
}

/// The form in which a URL may be logged: without its query.
pub fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_text_that_postgresql_can_store() {
        assert_eq!(excerpt(b""), None);
        assert_eq!(excerpt(b"a\0b\xffc").unwrap(), "a\u{fffd}b\u{fffd}c");
        assert!(excerpt(&[0xff; 5000]).unwrap().len() <= EXCERPT_BYTES_MAX);
        assert!(excerpt("ü".repeat(3000).as_bytes()).unwrap().chars().all(|c| c == 'ü'));
    }
}
