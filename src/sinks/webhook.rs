//! One signed HTTP attempt under one deadline. Never sees the database; whatever happens is an [`Outcome`].

mod client;
mod connector;
mod oauth2;
mod proxied;
mod request;
pub mod signature;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::model::endpoint::{Auth, Endpoint, OAuth2};
use crate::model::event::Event;
use crate::model::outcome::{Answer, NoAnswer, Outcome, Unsendable};
use crate::rules::clock::Clock;
use crate::rules::descriptors::{Descriptors, Shortage};
use crate::rules::redaction::excerpt;
use crate::rules::retry;
use crate::sinks::egress::{EgressPolicy, Refused};

use self::client::Clients;
use self::oauth2::{Token, Tokens};
use self::proxied::Proxied;
use self::request::Parts;

pub use self::client::check_tls;
pub use self::proxied::NotPassed;

/// At most so much of a response is read.
const RESPONSE_BYTES_MAX: usize = 16 * 1024;

/// Makes attempts.
#[derive(Clone, Debug)]
pub struct Deliverer {
    clients: Clients,
    tokens: Tokens,
    policy: EgressPolicy,
    proxied: Proxied,
    clock: Arc<Clock>,
    bounds: Bounds,
    /// `source` of CloudEvents.
    source: Arc<str>,
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
pub enum ClientError {
    /// With this TLS, or at all.
    Unfit(#[from] reqwest::Error),
    /// There is nothing left for it.
    Shortage(#[from] Shortage),
}

/// The endpoint was not asked, and nothing is known of it.
#[derive(Debug, Error)]
pub enum NotAsked {
    /// The egress proxy does not do its work.
    #[error(transparent)]
    Proxy(#[from] NotPassed),
    /// This machine, or the limit of this process, is in the way.
    #[error(transparent)]
    Shortage(#[from] Shortage),
}

impl Deliverer {
    /// Dials only what the policy allows, while descriptors are left; `source` is that of CloudEvents.
    ///
    /// # Errors
    /// [`ClientError`] when the TLS roots of this machine cannot be read.
    pub fn new(
        policy: EgressPolicy,
        descriptors: Descriptors,
        clock: Arc<Clock>,
        bounds: Bounds,
        source: &str,
    ) -> Result<Self, ClientError> {
        let clients = Clients::new(policy.clone(), descriptors)?;
        let proxied = Proxied::new(policy.proxy.clone());
        let (tokens, source) = (Tokens::default(), source.into());
        Ok(Self { clients, tokens, policy, proxied, clock, bounds, source })
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
    /// [`NotAsked`]: by no fault of the endpoint's.
    ///
    /// # Cancel safety
    /// Dropped, the request is cut off; the endpoint may have received it.
    pub async fn attempt(
        &self,
        endpoint: &Endpoint,
        event: &Event,
        attempt: u32,
    ) -> Result<Outcome, NotAsked> {
        let begun = Instant::now();
        let deadline = begun + self.timeout(endpoint);
        let (answer, response_excerpt) = match timeout_at(deadline, self.send(endpoint, event, attempt)).await
        {
            Err(_elapsed) => (self.timed_out(endpoint), None),
            Ok(Err(Fault::Unanswered(unanswered))) => (unanswered.into(), None),
            Ok(Err(Fault::Shortage(shortage))) => return Err(shortage.into()),
            Ok(Err(Fault::NotPassed(not_passed))) => return Err(not_passed.into()),
            Ok(Err(Fault::Request(fault))) => {
                self.judge_machine(endpoint, &fault).await?;
                self.proxied.judge_fault(&fault).await?;
                (describe(&fault).into(), None)
            }
            Ok(Ok((response, authorization))) => {
                self.proxied.judge(&response, self.clients.common()).await?;
                let answer = read_head(&response);
                // The head is the answer: a body that drips, breaks off or never ends cannot change it.
                let body = timeout_at(deadline, read_body(response)).await.unwrap_or_default();
                (answer, excerpt(&body, confided(endpoint, event, authorization.as_ref())))
            }
        };
        Ok(Outcome { answer, duration: begun.elapsed(), response_excerpt })
    }

    /// Sends one request, after a token for it was asked for if need be; the login that went with it, beside the response.
    async fn send(
        &self,
        endpoint: &Endpoint,
        event: &Event,
        attempt: u32,
    ) -> Result<(Response, Option<HeaderValue>), Fault> {
        let credentials = endpoint.credentials.as_ref().map_err(ToString::to_string)?;
        let url = endpoint.url.as_ref().map_err(Clone::clone)?;
        self.policy.judge(url).map_err(|refused| Unanswered::from(&refused))?;
        let tls = credentials.tls.as_ref().map_err(ToString::to_string)?;
        let client = self.clients.of(tls.as_deref()).map_err(|fault| match Shortage::behind(&fault) {
            Some(shortage) => Fault::Shortage(shortage),
            None => format!("tls: {}", innermost(&fault)).into(),
        })?;
        let auth = credentials.auth.as_ref().map_err(|fault| format!("auth: {fault}"))?;
        let authorization = match auth {
            None => None,
            Some(Auth::Fixed(value)) => Some(value.clone()),
            Some(Auth::OAuth2(login)) => Some(self.token(login).await?),
        };
        let parts = Parts {
            endpoint,
            credentials,
            event,
            attempt,
            timestamp: self.clock.unix_seconds(),
            authorization: authorization.clone(),
            source: &self.source,
        };
        let response = client.execute(|| Ok::<_, Fault>(parts.build()?)).await?;
        if let (Some(Auth::OAuth2(login)), Some(refused), StatusCode::UNAUTHORIZED) =
            (auth, &authorization, response.status())
        {
            self.tokens.forget(login, refused).await;
        }
        Ok((response, authorization))
    }

    /// A token that is kept, or a new one.
    async fn token(&self, login: &OAuth2) -> Result<HeaderValue, Fault> {
        let answer = self.tokens.get(login, self.ask_for_token(login)).await?;
        Ok(answer.map_err(|why| format!("oauth2: no token: {why}"))?)
    }

    async fn ask_for_token(&self, login: &OAuth2) -> Result<Result<Token, String>, Fault> {
        if let Err(refused) = self.policy.judge(&login.token_url) {
            return Ok(Err(refused.to_string()));
        }
        match self.clients.common().execute(|| Ok(oauth2::request(login))).await {
            Ok(response) => {
                let judged = self.proxied.judge(&response, self.clients.common()).await;
                judged.map_err(Fault::NotPassed)?;
                let status_code = response.status().as_u16();
                Ok(oauth2::read(status_code, &read_body(response).await))
            }
            // Perhaps it was the proxy.
            Err(fault) if self.policy.proxy.is_some() => Err(Fault::Request(fault)),
            Err(fault) if self.lacks(&login.token_url, &fault).await.is_some() => Err(Fault::Request(fault)),
            Err(fault) => Ok(Err(describe(&fault).error)),
        }
    }

    /// Whether it was this machine that had nothing left for a connection.
    async fn judge_machine(&self, endpoint: &Endpoint, fault: &reqwest::Error) -> Result<(), Shortage> {
        let Ok(url) = &endpoint.url else { return Ok(()) };
        self.lacks(url, fault).await.map_or(Ok(()), Err)
    }

    /// What lacked, if that was it. All ports towards a host may be taken, which passes; but an address that none of ours
    /// leads to, as of IPv6 on a machine without it, is the endpoint's.
    async fn lacks(&self, url: &Url, fault: &reqwest::Error) -> Option<Shortage> {
        let shortage = Shortage::behind(fault)?;
        let passes = !Shortage::is_of_addresses(fault) || self.clients.has_way_to(url).await;
        passes.then_some(shortage)
    }

    fn timed_out(&self, endpoint: &Endpoint) -> Answer {
        let timeout = humantime::format_duration(self.timeout(endpoint));
        Answer::NoAnswer { why: NoAnswer::Timeout, error: format!("timeout: no answer within {timeout}") }
    }
}

/// Why there is no response.
enum Fault {
    /// No request could be made.
    Unanswered(Unanswered),
    /// It failed on its way: perhaps at the proxy, or for want of something here.
    Request(reqwest::Error),
    /// Something was wanting before there was a request.
    Shortage(Shortage),
    /// The proxy kept it.
    NotPassed(NotPassed),
}

impl From<Unanswered> for Fault {
    fn from(unanswered: Unanswered) -> Self {
        Self::Unanswered(unanswered)
    }
}

impl From<String> for Fault {
    fn from(error: String) -> Self {
        Self::Unanswered(error.into())
    }
}

impl From<reqwest::Error> for Fault {
    fn from(fault: reqwest::Error) -> Self {
        Self::Request(fault)
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

fn read_head(response: &Response) -> Answer {
    let status_code = response.status().as_u16();
    if response.status().is_success() {
        return Answer::Success { status_code };
    }
    let texts = |name| response.headers().get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    let date = texts(DATE).next();
    // None of several is undercut.
    let retry_after = texts(RETRY_AFTER).filter_map(|value| retry::parse_retry_after(value, date)).max();
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

/// What we were given in confidence and sent to an endpoint.
fn confided<'a>(
    endpoint: &'a Endpoint,
    event: &'a Event,
    authorization: Option<&'a HeaderValue>,
) -> impl Iterator<Item = &'a str> {
    let of_endpoint = endpoint.headers.iter().flat_map(HeaderMap::values).chain(authorization);
    let of_endpoint = of_endpoint.filter_map(|value| value.to_str().ok());
    of_endpoint.chain(event.headers.iter().flatten().map(|(_, value)| value.as_str()))
}

/// One line for a transport failure: its kind and its innermost cause, without the URL.
fn describe(fault: &reqwest::Error) -> Unanswered {
    if let Some(refused) = causes(fault).find_map(|cause| cause.downcast_ref::<Refused>()) {
        return refused.into();
    }
    let cause = innermost(fault);
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

fn innermost<'a>(fault: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    causes(fault).last().unwrap_or(fault)
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
