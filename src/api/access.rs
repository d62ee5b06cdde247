//! Access to the API: tokens, and checks that keep a web page from using a browser against an address of this machine.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use super::places::ConnectionPlace;
use super::problem::{Code, Problem};
use crate::config::ApiToken;

/// Where the page comes from that makes a browser ask (Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Requests under way at once, waiting ones included.
const REQUESTS_MAX: usize = 128;
/// Longest time of a request, `?wait=` included.
pub(super) const REQUEST_DEADLINE: Duration = Duration::from_secs(75);

/// Decides which requests are let in.
#[derive(Debug)]
pub struct Guard {
    tokens: Vec<ApiToken>,
    hosts: Vec<String>,
    requests: Semaphore,
}

impl Guard {
    /// With tokens, every request needs one of them. Without, the Host header must be an address, `localhost` or one of
    /// `hosts`. Requests that were let in use at most half of the connections, so that new ones are always heard.
    pub fn new(tokens: Vec<ApiToken>, hosts: Vec<String>, connections_max: usize) -> Self {
        Self { tokens, hosts, requests: Semaphore::new(REQUESTS_MAX.min(connections_max / 2)) }
    }

    fn judge(&self, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        if self.tokens.is_empty() { self.judge_site(method, headers) } else { self.judge_token(headers) }
    }

    fn judge_token(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        // Compares with every token, in constant time: the time does not tell how much of a token is right.
        let is_known = given.is_some_and(|given| {
            let equal = self.tokens.iter().map(|token| token.as_bytes().ct_eq(given));
            equal.fold(subtle::Choice::from(0), |any, one| any | one).into()
        });
        if is_known {
            return Ok(());
        }
        Err(Problem::new(Code::Unauthorized, "needs the header Authorization: Bearer TOKEN"))
    }

    /// A page of another site can make a browser send requests here: by a name that it lets resolve to this machine
    /// (then Host names that site), or straight to the address (then Origin does).
    fn judge_site(&self, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !self.is_ours(name_of(host)) {
            return Err(Problem::new(
                Code::Forbidden,
                "the Host header is neither an address nor localhost; --api-host NAME allows a name",
            ));
        }
        // Browsers send this header for links, images and forms too, which have no Origin.
        if headers.get(SEC_FETCH_SITE).is_some_and(|site| site.as_bytes() == b"cross-site") {
            return Err(Problem::new(
                Code::Forbidden,
                "the Sec-Fetch-Site header says that another site asks",
            ));
        }
        let origin = headers.get(ORIGIN).map(|value| value.to_str().unwrap_or_default());
        let is_same = |origin: &str| origin.split_once("://").is_some_and(|(_, site)| site == host);
        if method != Method::GET && origin.is_some_and(|origin| !is_same(origin)) {
            return Err(Problem::new(Code::Forbidden, "the Origin header names another site"));
        }
        Ok(())
    }

    fn is_ours(&self, name: &str) -> bool {
        let address = name.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost")
            || address.parse::<IpAddr>().is_ok()
            || self.hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
    }
}

/// Strips the port from a Host header.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Lets a request in; bounds the number of requests and the time of each.
pub(super) async fn admit(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    if let Err(problem) = guard.judge(request.method(), request.headers()) {
        return problem.into_response();
    }
    let Ok(_permit) = guard.requests.try_acquire() else {
        return Problem::new(Code::Busy, "too many requests at once").into_response();
    };
    let _at_work = request.extensions().get::<ConnectionPlace>().map(ConnectionPlace::work);
    match tokio::time::timeout(REQUEST_DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => Problem::new(Code::Timeout, "the request took too long").into_response(),
    }
}

/// Gives the router's bare refusals a body.
pub(super) async fn explain(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let is_bare = !response.headers().contains_key(axum::http::header::CONTENT_TYPE)
        || response.headers().get(axum::http::header::CONTENT_TYPE).is_some_and(|kind| {
            kind.as_bytes().starts_with(b"text/plain") && response.status().is_client_error()
        });
    match Problem::of_status(response.status()).filter(|_| is_bare) {
        Some(problem) => {
            let mut explained = problem.into_response();
            if let Some(allow) = response.headers().get(axum::http::header::ALLOW) {
                explained.headers_mut().insert(axum::http::header::ALLOW, allow.clone());
            }
            explained
        }
        None => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_ours_if_it_is_an_address_or_named() {
        let guard = Guard::new(Vec::new(), vec!["postrider.internal".to_owned()], 1);

        for host in [
            "127.0.0.1:7678",
            "[::1]:7678",
            "[::1]",
            "10.0.0.1",
            "localhost",
            "LocalHost:80",
            "postrider.internal:1",
        ] {
            assert!(guard.is_ours(name_of(host)), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:7678",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            ":80",
        ] {
            assert!(!guard.is_ours(name_of(host)), "{host}");
        }
    }
}
