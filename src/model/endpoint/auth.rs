//! Logins at an endpoint: `Authorization: Basic`, `Bearer`, or a token of OAuth 2 client credentials (RFC 6749, section 4.4).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use thiserror::Error;
use url::Url;

const TEXT_BYTES_MAX: usize = 4096;

/// A login at an endpoint.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth {
    /// This value of the `authorization` header, with every request.
    Fixed(HeaderValue),
    /// A bearer token that is fetched, and kept while it is valid.
    OAuth2(OAuth2),
}

/// Client credentials of OAuth 2.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OAuth2 {
    /// URL of the server that issues tokens.
    pub token_url: Url,
    /// Our id at that server.
    pub client_id: String,
    /// Our secret at that server.
    pub client_secret: String,
    /// Rights that the token is to have. `None` to ask for none in particular.
    pub scope: Option<String>,
}

/// A login as it is typed and stored.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Typed {
    Basic { username: String, password: String },
    Bearer { token: String },
    OAuth2 { token_url: String, client_id: String, client_secret: String, scope: Option<String> },
}

/// Why a text is no login. Never contains the text.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AuthError {
    /// The text is not JSON of the needed shape.
    #[error(
        "needs {{\"type\": \"basic\", \"username\", \"password\"}}, {{\"type\": \"bearer\", \"token\"}} or {{\"type\": \"oauth2\", \"token_url\", \"client_id\", \"client_secret\", \"scope\"}}"
    )]
    Shape,
    /// A value cannot be sent.
    #[error("{0} needs 1 to 4096 visible ASCII characters{1}")]
    Text(&'static str, &'static str),
    /// The token URL cannot be parsed.
    #[error("token_url is no URL: {0}")]
    TokenUrl(url::ParseError),
}

impl FromStr for Auth {
    type Err = AuthError;

    fn from_str(json: &str) -> Result<Self, AuthError> {
        #[expect(clippy::map_err_ignore, reason = "the cause may quote a secret")]
        match serde_json::from_str(json).map_err(|_| AuthError::Shape)? {
            Typed::Basic { username, password } => {
                // RFC 7617: a colon ends the name.
                visible("username", &username, ", none of them a colon", |b| b != b':')?;
                visible("password", &password, "", |_| true)?;
                fixed("Basic", &BASE64.encode(format!("{username}:{password}")))
            }
            Typed::Bearer { token } => {
                visible("token", &token, ", none of them a space", |b| b != b' ')?;
                fixed("Bearer", &token)
            }
            Typed::OAuth2 { token_url, client_id, client_secret, scope } => {
                visible("client_id", &client_id, "", |_| true)?;
                visible("client_secret", &client_secret, "", |_| true)?;
                visible("scope", scope.as_deref().unwrap_or("x"), "", |_| true)?;
                let token_url = Url::parse(&token_url).map_err(AuthError::TokenUrl)?;
                Ok(Self::OAuth2(OAuth2 { token_url, client_id, client_secret, scope }))
            }
        }
    }
}

fn visible(
    name: &'static str,
    text: &str,
    but: &'static str,
    is_allowed: impl Fn(u8) -> bool,
) -> Result<(), AuthError> {
    let is_visible = text.bytes().all(|b| (b' '..=b'~').contains(&b) && is_allowed(b));
    if (1..=TEXT_BYTES_MAX).contains(&text.len()) && is_visible {
        Ok(())
    } else {
        Err(AuthError::Text(name, but))
    }
}

fn fixed(scheme: &str, credentials: &str) -> Result<Auth, AuthError> {
    #[expect(clippy::map_err_ignore, reason = "visible ASCII is a header value")]
    let mut value =
        HeaderValue::from_str(&format!("{scheme} {credentials}")).map_err(|_| AuthError::Shape)?;
    value.set_sensitive(true);
    Ok(Auth::Fixed(value))
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth(hidden)")
    }
}

impl fmt::Debug for OAuth2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OAuth2(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(json: &str) -> String {
        match json.parse().unwrap() {
            Auth::Fixed(value) => value.to_str().unwrap().to_owned(),
            Auth::OAuth2(_) => "oauth2".to_owned(),
        }
    }

    #[test]
    fn basic_and_bearer_are_one_header() {
        // RFC 7617, section 2; RFC 6750, section 2.1.
        assert_eq!(
            header(r#"{"type": "basic", "username": "Aladdin", "password": "open sesame"}"#),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
        assert_eq!(header(r#"{"type": "bearer", "token": "mF_9.B5f-4.1JqM"}"#), "Bearer mF_9.B5f-4.1JqM");
    }

    #[test]
    fn what_cannot_be_sent_is_refused_without_being_shown() {
        for wrong in [
            "hush",
            "{}",
            r#"{"type": "hush"}"#,
            r#"{"type": "bearer", "token": ""}"#,
            r#"{"type": "bearer", "token": "hush hush"}"#,
            "{\"type\": \"bearer\", \"token\": \"hush\\r\\nx: y\"}",
            r#"{"type": "bearer", "token": "hush", "more": "hush"}"#,
            r#"{"type": "basic", "username": "hush:hush", "password": "hush"}"#,
            r#"{"type": "oauth2", "token_url": "hush", "client_id": "a", "client_secret": "hush"}"#,
        ] {
            let fault = wrong.parse::<Auth>().unwrap_err();

            assert!(!fault.to_string().contains("hush"), "{wrong}: {fault}");
        }
    }
}
