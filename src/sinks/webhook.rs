//! The sink for webhooks: one signed HTTP request per attempt, under one deadline. It never sees the database.
//!
//! ```text
//!  attempt ─> egress policy ─> client: the common one, or one of the endpoint's own
//!                                 ├─> a token, if the endpoint wants OAuth 2
//!                                 ├─> one request, signed anew ─> response ─> Outcome
//!                                 └─> no response: was it the endpoint, the egress proxy, or this machine?
//! ```

mod answer;
mod client;
mod connector;
mod deadline;
mod ended;
mod failure;
mod heads;
mod oauth2;
mod progress;
mod proxied;
mod request;
mod retry_after;
pub mod signature;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::model::endpoint::{Auth, OAuth2, WebhookDestination};
use crate::model::event::Event;
use crate::model::outcome::{NoAnswer, Outcome};
use crate::rules::clock::Clock;
use crate::rules::descriptors::{Descriptors, Shortage};
use crate::rules::redaction::excerpt;
use crate::sinks::attempt::{Attempt, NotAttempted};
use crate::sinks::egress::EgressPolicy;

use self::answer::{code_of, read_body, result_of};
use self::client::Clients;
use self::deadline::Deadline;
use self::failure::{SendError, Unanswered, describe, innermost};
use self::heads::check_head;
use self::oauth2::{AccessToken, TokenCache};
use self::proxied::Proxied;
use self::request::RequestParts;

pub use self::client::{ClientError, check_tls};
pub use self::retry_after::parse_retry_after;

/// Makes attempts on webhooks.
#[derive(Clone, Debug)]
pub struct Webhook {
    clients: Clients,
    tokens: TokenCache,
    policy: EgressPolicy,
    proxied: Proxied,
    clock: Arc<Clock>,
    /// `source` of CloudEvents.
    source: Arc<str>,
}

impl Webhook {
    /// A sink that dials only addresses that the policy allows, and only while descriptors are left. `source` is the
    /// attribute of that name in CloudEvents. No connection is used that is older than `connection_age_max`.
    ///
    /// # Errors
    /// [`ClientError`] when the TLS roots of this machine cannot be read.
    pub fn new(
        policy: EgressPolicy,
        descriptors: Descriptors,
        clock: Arc<Clock>,
        source: &str,
        connection_age_max: Duration,
    ) -> Result<Self, ClientError> {
        let clients = Clients::new(policy.clone(), descriptors, connection_age_max)?;
        let proxied = Proxied::new(policy.proxy.clone());
        let (tokens, source) = (TokenCache::default(), source.into());
        Ok(Self { clients, tokens, policy, proxied, clock, source })
    }

    /// Makes an attempt: one POST of the payload, signed anew. Where a connection ends by itself it is sent once more.
    ///
    /// # Errors
    /// [`NotAttempted`]: the endpoint is not at fault.
    ///
    /// # Cancel safety
    /// Dropping the future cuts the request off. The endpoint may have received it all the same.
    pub async fn attempt(
        &self,
        attempt: &Attempt<'_>,
        to: &WebhookDestination,
    ) -> Result<Outcome, NotAttempted> {
        let begun = Instant::now();
        let deadline = Deadline::new(begun, attempt.timeout);
        let sending = pin!(self.send(attempt, to, &deadline));
        let (response, authorization) = match deadline.within(sending).await {
            Some(Ok(sent)) => sent,
            Some(Err(error)) => {
                let Unanswered { why, error } = Box::pin(self.judge_failure(error, to)).await?;
                return Ok(Outcome::unanswered(why, error, begun.elapsed()));
            }
            None => {
                let timeout = humantime::format_duration(attempt.timeout);
                let error = format!("timeout: no answer within {timeout}");
                return Ok(Outcome::unanswered(NoAnswer::Timeout, error, begun.elapsed()));
            }
        };
        self.proxied.judge(&response, &self.clients).await?;
        if let Err(too_large) = check_head(response.headers()) {
            return Ok(Outcome::unanswered(NoAnswer::Broken, too_large.to_string(), begun.elapsed()));
        }
        let now = self.clock.unix_seconds();
        let (result, code) = (result_of(response.status(), response.headers(), now), code_of(&response));
        // The head is the answer: a body that drips, breaks off or never ends cannot change it.
        let body = timeout_at(deadline.at(), read_body(response)).await.unwrap_or_default();
        let response_excerpt = excerpt(&body, secrets_sent(to, attempt.event, authorization.as_ref()));
        Ok(Outcome { result, code: Some(code), duration: begun.elapsed(), response_excerpt })
    }

    /// Sends one request, after asking for a token if one is needed. Returns the response, and the login that went with the
    /// request.
    async fn send(
        &self,
        attempt: &Attempt<'_>,
        to: &WebhookDestination,
        deadline: &Deadline,
    ) -> Result<(Response, Option<HeaderValue>), SendError> {
        let url = to.url.as_ref().map_err(Clone::clone)?;
        let narrowing = &to.narrowing;
        self.policy.narrowed(narrowing).judge(url).map_err(|refused| Unanswered::from(&refused))?;
        let tls = to.credentials.tls.as_ref().map_err(ToString::to_string)?;
        let client =
            self.clients.of(tls.as_deref(), narrowing).map_err(|fault| match Shortage::behind(&fault) {
                Some(shortage) => SendError::NotAttempted(shortage.into()),
                None => format!("tls: {}", innermost(&fault)).into(),
            })?;
        let auth = to.credentials.auth.as_ref().map_err(|fault| format!("auth: {fault}"))?;
        let authorization = match auth {
            None => None,
            Some(Auth::Fixed(value)) => Some(value.clone()),
            Some(Auth::OAuth2(login)) => Some(Box::pin(self.token(login, deadline)).await?),
        };
        let parts = RequestParts {
            to,
            attempt,
            timestamp: self.clock.unix_seconds(),
            authorization: authorization.clone(),
            source: &self.source,
        };
        let response = client.execute(deadline, || Ok::<_, SendError>(parts.build()?)).await?;
        if let (Some(Auth::OAuth2(login)), Some(refused), StatusCode::UNAUTHORIZED) =
            (auth, &authorization, response.status())
        {
            self.tokens.forget(login, refused).await;
        }
        Ok((response, authorization))
    }

    /// A token from the cache, or a new one.
    async fn token(&self, login: &OAuth2, deadline: &Deadline) -> Result<HeaderValue, SendError> {
        let answer = self.tokens.get(login, self.ask_for_token(login, deadline)).await?;
        Ok(answer.map_err(|why| format!("oauth2: no token: {why}"))?)
    }

    async fn ask_for_token(
        &self,
        login: &OAuth2,
        deadline: &Deadline,
    ) -> Result<Result<AccessToken, String>, SendError> {
        if let Err(refused) = self.policy.judge(&login.token_url) {
            return Ok(Err(refused.to_string()));
        }
        let client = self.clients.common();
        match client.execute(deadline, || Ok(oauth2::request(login))).await {
            Ok(response) => {
                let judged = self.proxied.judge(&response, &self.clients).await;
                judged.map_err(|not_passed| SendError::NotAttempted(not_passed.into()))?;
                let status_code = response.status().as_u16();
                Ok(oauth2::read(status_code, &read_body(response).await))
            }
            // Perhaps it was the proxy.
            Err(fault) if self.policy.proxy.is_some() => Err(SendError::Request(fault)),
            Err(fault) if self.lacks(&login.token_url, &fault).await.is_some() => {
                Err(SendError::Request(fault))
            }
            Err(fault) => Ok(Err(describe(&fault).error)),
        }
    }

    /// Finds out whose failure it was. A failure of this machine or of the egress proxy is no attempt.
    async fn judge_failure(
        &self,
        error: SendError,
        to: &WebhookDestination,
    ) -> Result<Unanswered, NotAttempted> {
        match error {
            SendError::Unanswered(unanswered) => Ok(unanswered),
            SendError::NotAttempted(not_attempted) => Err(not_attempted),
            SendError::Request(fault) => {
                if let Ok(url) = &to.url
                    && let Some(shortage) = self.lacks(url, &fault).await
                {
                    return Err(shortage.into());
                }
                self.proxied.judge_fault(&fault).await?;
                Ok(describe(&fault))
            }
        }
    }

    /// The shortage of this machine that kept a connection from being opened, if that was the cause.
    ///
    /// All ports towards a host may be in use. That passes, so this machine lacks something. If no address of this machine
    /// leads to the host (IPv6 on a machine without it), the failure is the endpoint's.
    async fn lacks(&self, url: &Url, fault: &reqwest::Error) -> Option<Shortage> {
        let shortage = Shortage::behind(fault)?;
        let passes = !Shortage::is_of_addresses(fault) || self.clients.has_way_to(url).await;
        passes.then_some(shortage)
    }
}

/// Values that we were given in confidence and sent to the endpoint. They are hidden where its answer repeats them.
fn secrets_sent<'a>(
    to: &'a WebhookDestination,
    event: &'a Event,
    authorization: Option<&'a HeaderValue>,
) -> impl Iterator<Item = &'a str> {
    let of_endpoint = to.headers.iter().flat_map(HeaderMap::values).chain(authorization);
    let of_endpoint = of_endpoint.filter_map(|value| value.to_str().ok());
    of_endpoint.chain(event.headers.iter().flatten().map(|(_, value)| value.as_str()))
}
