//! Access tokens of OAuth 2 client credentials (RFC 6749, section 4.4). One request serves all attempts that need the same
//! token; the token is kept until shortly before it expires.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request};
use serde::Deserialize;
use tokio::time::Instant;

use crate::model::endpoint::OAuth2;

/// Logins whose tokens are kept at most.
const LOGINS_MAX: usize = 10_000;
/// Life of a token that does not say how long it is good.
const LIFE_DEFAULT: Duration = Duration::from_mins(5);
const LIFE_MAX: Duration = Duration::from_hours(24);
/// A token is kept until this long before it expires, or for nine tenths of its life if that is longer.
const EARLY: Duration = Duration::from_secs(30);
/// A refused token is not asked for again for this long. Otherwise every attempt that waits would ask.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// The tokens that are kept, by login.
#[derive(Clone, Debug, Default)]
pub(super) struct TokenCache(Arc<Mutex<HashMap<OAuth2, Arc<TokenSlot>>>>);

/// The place of one login. One attempt at a time asks for a token; the others wait for the answer.
type TokenSlot = tokio::sync::Mutex<Option<CachedToken>>;

/// The last answer to a login.
#[derive(Debug)]
struct CachedToken {
    /// The `authorization` header, or why there is none.
    answer: Result<HeaderValue, String>,
    until: Instant,
}

/// A token that was issued.
#[derive(Debug)]
pub(super) struct AccessToken {
    /// The `authorization` header.
    header: HeaderValue,
    /// How long it is kept.
    life: Duration,
}

/// The body of a response that issues a token (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
    token_type: String,
    /// In seconds. Some servers send it as a text.
    expires_in: Option<serde_json::Value>,
}

impl TokenCache {
    /// The `authorization` header: the one that is kept, or the one that `ask` brings.
    ///
    /// # Errors
    /// `Ok(Err(…))` says why the server issued no token, and is kept for a while. `Err` is the error of `ask`, and is not kept.
    ///
    /// # Cancel safety
    /// Dropping the future keeps nothing. The next attempt that waits asks.
    pub(super) async fn get<E>(
        &self,
        login: &OAuth2,
        ask: impl Future<Output = Result<Result<AccessToken, String>, E>>,
    ) -> Result<Result<HeaderValue, String>, E> {
        let slot = self.slot(login);
        let mut kept = slot.lock().await;
        let now = Instant::now();
        if let Some(kept) = kept.as_ref().filter(|kept| now < kept.until) {
            return Ok(kept.answer.clone());
        }
        let (answer, life) = match ask.await? {
            Ok(AccessToken { header, life }) => (Ok(header), life),
            Err(why) => (Err(why), REFUSED_FOR),
        };
        *kept = Some(CachedToken { answer: answer.clone(), until: Instant::now() + life });
        Ok(answer)
    }

    /// Forgets a token that an endpoint refused. The next attempt asks for another one.
    pub(super) async fn forget(&self, login: &OAuth2, refused: &HeaderValue) {
        let slot = self.slot(login);
        let mut kept = slot.lock().await;
        if kept.as_ref().is_some_and(|kept| kept.answer.as_ref() == Ok(refused)) {
            *kept = None;
        }
    }

    fn slot(&self, login: &OAuth2) -> Arc<TokenSlot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= LOGINS_MAX && !slots.contains_key(login) {
            slots.clear();
        }
        Arc::clone(slots.entry(login.clone()).or_default())
    }
}

/// The request for a token.
pub(super) fn request(login: &OAuth2) -> Request {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if let Some(scope) = &login.scope {
        form.append_pair("scope", scope);
    }
    // Section 2.3.1: id and secret are encoded like a form before they are encoded in base64.
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let credentials = format!("{}:{}", encode(&login.client_id), encode(&login.client_secret));
    let mut request = Request::new(Method::POST, login.token_url.clone());
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Ok(mut value) = HeaderValue::from_str(&format!("Basic {}", BASE64.encode(credentials))) {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    *request.body_mut() = Some(form.finish().into());
    request
}

/// Reads the response to a request for a token. An error does not quote the response.
pub(super) fn read(status_code: u16, body: &[u8]) -> Result<AccessToken, String> {
    if status_code != 200 {
        return Err(format!("status {status_code}"));
    }
    #[expect(clippy::map_err_ignore, reason = "the cause may quote the token")]
    let answer: TokenResponse = serde_json::from_slice(body)
        .map_err(|_| "the answer is not JSON with access_token and token_type".to_owned())?;
    if !answer.token_type.eq_ignore_ascii_case("bearer") {
        return Err("token_type is not Bearer".to_owned());
    }
    let is_token =
        !answer.access_token.is_empty() && answer.access_token.bytes().all(|b| b.is_ascii_graphic());
    let header = HeaderValue::from_str(&format!("Bearer {}", answer.access_token)).ok();
    let mut header = header.filter(|_| is_token).ok_or_else(|| "access_token cannot be sent".to_owned())?;
    header.set_sensitive(true);
    let seconds = answer
        .expires_in
        .and_then(|value| value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()))
        .filter(|seconds| seconds.is_finite())
        .map_or(LIFE_DEFAULT.as_secs_f64(), |seconds| seconds.clamp(0.0, LIFE_MAX.as_secs_f64()));
    let life = Duration::from_secs_f64(seconds);
    Ok(AccessToken { header, life: life.saturating_sub(EARLY).max(life.mul_f64(0.9)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(answer: &str) -> Duration {
        read(200, answer.as_bytes()).unwrap().life
    }

    #[test]
    fn a_token_is_kept_until_shortly_before_it_expires() {
        let answer = |expires| format!(r#"{{"access_token": "t", "token_type": "bearer"{expires}}}"#);

        assert_eq!(life(&answer(r#", "expires_in": 3600"#)), Duration::from_secs(3570));
        assert_eq!(life(&answer(r#", "expires_in": "100""#)), Duration::from_secs(90));
        assert_eq!(life(&answer("")), Duration::from_secs(270));
        assert_eq!(life(&answer(r#", "expires_in": -1"#)), Duration::ZERO);
        assert_eq!(life(&answer(r#", "expires_in": 1e30"#)), Duration::from_secs(86_370));
        assert_eq!(life(&answer(r#", "expires_in": 0"#)), Duration::ZERO);
        assert_eq!(life(&answer(r#", "expires_in": "NaN""#)), Duration::from_secs(270));
    }

    #[test]
    fn an_answer_that_is_no_token_is_named_without_what_it_is() {
        for (status_code, answer) in [
            (401, "hush"),
            (200, "hush"),
            (200, r#"{"access_token": "hush"}"#),
            (200, r#"{"access_token": "hush", "token_type": "mac"}"#),
            (200, "{\"access_token\": \"hush\\r\\nx: y\", \"token_type\": \"Bearer\"}"),
            (200, r#"{"access_token": "", "token_type": "Bearer"}"#),
            (204, ""),
        ] {
            let why = read(status_code, answer.as_bytes()).unwrap_err();

            assert!(!why.contains("hush"), "{why}");
        }
    }

    /// RFC 6749, section 2.3.1: what a form would encode is encoded.
    #[test]
    fn a_token_is_asked_for_as_the_specification_has_it() {
        let request = request(&OAuth2 {
            token_url: "https://example.com/token".parse().unwrap(),
            client_id: "a:b".to_owned(),
            client_secret: "c d%".to_owned(),
            scope: Some("read write".to_owned()),
        });

        let credentials = BASE64.encode("a%3Ab:c+d%25");
        assert_eq!(request.headers()[AUTHORIZATION], format!("Basic {credentials}"));
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap();
        assert_eq!(body, b"grant_type=client_credentials&scope=read+write");
    }
}
