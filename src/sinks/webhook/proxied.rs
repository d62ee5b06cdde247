//! Tells a 407 of the egress proxy from a 407 of an endpoint. A 407 of the proxy costs no attempt; a 407 of an endpoint is a
//! refusal like any other. Over plain http the two look alike, and only the answers to other requests tell them apart.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Method, Request, Response, StatusCode};
use tokio::time::{Instant, timeout};
use url::Url;

use super::client::{ClientPair, Clients};
use super::deadline::Deadline;
use super::failure::causes;
use crate::sinks::egress::{EgressProxy, NotPassed, ProxyFault};

/// The error of hyper-util for a 407 to CONNECT. The whole text is compared: a part of it may stand in a receiver's
/// certificate.
const REFUSED_TUNNEL: &str = "tunnel error: proxy authorization required";
/// Pause before a request that the proxy refused is tried again. Each refusal of the same URL doubles it.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// After this many refusals in a row, each after its pause, a 407 is the endpoint's own if nothing speaks against it.
const IN_A_ROW: u32 = 3;
/// The answers to other requests count for this long.
const LATELY: Duration = Duration::from_mins(2);
/// A row of refusals without a new one for this long begins anew.
const ROW_KEPT: Duration = Duration::from_hours(1);
/// URLs that are remembered at most.
const URLS_MAX: usize = 10_000;
/// No host has this name (RFC 6761, section 6.4), so an answer comes from the proxy.
const NOBODY: &str = "http://postrider.invalid/";
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Tells the proxy's answers from those of endpoints.
#[derive(Clone, Debug)]
pub(super) struct Proxied {
    proxy: Option<EgressProxy>,
    heard: Arc<Mutex<Heard>>,
}

/// The answers of late. They are kept by the hash of the URL, because each path of a host may belong to another owner.
#[derive(Debug, Default)]
struct Heard {
    hasher: RandomState,
    refusing: HashMap<u64, Refusals>,
    /// When any URL last answered something else than 407. Our credentials were right then.
    passed: Option<Instant>,
}

/// The answers 407 of one URL.
#[derive(Clone, Copy, Debug)]
struct Refusals {
    first: Instant,
    last: Instant,
    /// Refusals with a whole pause before each. Refusals of many requests at once count as one.
    in_a_row: u32,
    next: Instant,
    /// Whether they were found to be the endpoint's own.
    is_own: bool,
}

/// The sender of a 407, as far as it can be told without asking the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RefusedBy {
    /// The endpoint itself.
    Endpoint,
    /// The endpoint or the proxy: too little is known.
    Unknown,
    /// The proxy, as it seems: other requests are refused too, and none is passed on.
    Proxy,
}

impl Proxied {
    pub(super) fn new(proxy: Option<EgressProxy>) -> Self {
        Self { proxy, heard: Arc::default() }
    }

    /// Judges a failed request.
    ///
    /// # Errors [`NotPassed`] if the proxy let no connection come about. If a proxy that can be reached reports a failure of
    /// the endpoint, the failure is the endpoint's.
    pub(super) async fn judge_fault(&self, fault: &reqwest::Error) -> Result<(), NotPassed> {
        let Some(proxy) = self.proxy.as_ref().filter(|_| fault.is_connect()) else { return Ok(()) };
        if causes(fault).any(|cause| cause.to_string() == REFUSED_TUNNEL) {
            let pause = fault.url().map_or(PAUSE, |url| self.lock().refused(url, Instant::now()).1);
            return Err(NotPassed { fault: ProxyFault::Unauthorized(proxy.clone()), pause });
        }
        if proxy.is_reachable().await {
            return Ok(());
        }
        Err(NotPassed { fault: ProxyFault::Unreachable(proxy.clone()), pause: PAUSE })
    }

    /// Judges a response.
    ///
    /// # Errors
    /// [`NotPassed`] if the proxy refused to pass the request on, or may have.
    pub(super) async fn judge(&self, response: &Response, clients: &Clients) -> Result<(), NotPassed> {
        let Some(proxy) = self.proxy.as_ref().filter(|_| response.url().scheme() == "http") else {
            return Ok(());
        };
        let url = response.url();
        if response.status() != StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            self.lock().passed = Some(Instant::now());
            return Ok(());
        }
        let (by, pause) = self.lock().refused(url, Instant::now());
        let not_passed =
            |fault: fn(EgressProxy) -> ProxyFault| NotPassed { fault: fault(proxy.clone()), pause };
        match by {
            RefusedBy::Endpoint => Ok(()),
            RefusedBy::Unknown => Err(not_passed(ProxyFault::Doubtful)),
            RefusedBy::Proxy if Box::pin(refuses_us(&clients.common())).await => {
                Err(not_passed(ProxyFault::Unauthorized))
            }
            // The next 407 is the endpoint's own. This one may have met the proxy before its credentials were mended.
            RefusedBy::Proxy => {
                self.lock().set_own(url);
                Err(not_passed(ProxyFault::Doubtful))
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    /// Counts a 407. Returns who is behind it, and how long to wait if it is not the endpoint.
    fn refused(&mut self, url: &Url, now: Instant) -> (RefusedBy, Duration) {
        let key = self.hasher.hash_one(url);
        if self.refusing.len() >= URLS_MAX && !self.refusing.contains_key(&key) {
            self.refusing.retain(|_, refusals| now < refusals.last + LATELY);
            if self.refusing.len() >= URLS_MAX {
                self.refusing.clear();
            }
        }
        let anew = Refusals { first: now, last: now, in_a_row: 0, next: now, is_own: false };
        let known = self.refusing.get(&key).copied();
        // Another answer in between ends a row, unless the row goes on soon: an endpoint may refuse some requests and not
        // others.
        let kept = |known: &Refusals| {
            let is_ended = self.passed > Some(known.last) && now >= known.last + LATELY;
            !is_ended && now < known.last + ROW_KEPT
        };
        let mut refusals = known.filter(kept).unwrap_or(anew);
        refusals.last = now;
        let pause = PAUSE.saturating_mul(1 << refusals.in_a_row.min(5)).min(PAUSE_MAX);
        if now >= refusals.next {
            refusals.in_a_row += 1;
            refusals.next = now + pause;
        }
        let by = self.refused_by(key, &refusals, now);
        refusals.is_own |= by == RefusedBy::Endpoint;
        self.refusing.insert(key, refusals);
        (by, refusals.next.saturating_duration_since(now).max(PAUSE))
    }

    fn refused_by(&self, key: u64, refusals: &Refusals, now: Instant) -> RefusedBy {
        let passed = self.passed.filter(|at| *at > refusals.first);
        let others = self.refusing.iter().filter(|(other, known)| **other != key && !known.is_own);
        let refused = others.map(|(_, known)| known.last).filter(|at| now < *at + LATELY).max();
        match () {
            () if refusals.is_own => RefusedBy::Endpoint,
            // Another request was passed on since, so our credentials are right.
            () if passed > refused && refusals.in_a_row > 1 => RefusedBy::Endpoint,
            () if refusals.in_a_row < IN_A_ROW => RefusedBy::Unknown,
            () if refused > passed => RefusedBy::Proxy,
            () => RefusedBy::Endpoint,
        }
    }

    /// The proxy lets us through, so the endpoint is behind its refusals.
    fn set_own(&mut self, url: &Url) {
        let key = self.hasher.hash_one(url);
        if let Some(refusals) = self.refusing.get_mut(&key) {
            refusals.is_own = true;
        }
    }
}

/// Whether the proxy says 407 where no endpoint can have said it. No answer counts as a refusal; the pause comes, and then the
/// next question.
async fn refuses_us(client: &ClientPair) -> bool {
    let Ok(url) = Url::parse(NOBODY) else { return true };
    let probe = || Ok::<_, reqwest::Error>(Request::new(Method::HEAD, url.clone()));
    let deadline = Deadline::new(Instant::now(), PROBE_TIMEOUT);
    match timeout(PROBE_TIMEOUT, client.execute(&deadline, probe)).await {
        Ok(Ok(response)) => response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED,
        Ok(Err(_)) | Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    /// The verdicts on a 407 of this URL at these seconds, one after the other.
    fn verdicts(heard: &mut Heard, begun: Instant, address: &str, seconds: &[u64]) -> Vec<RefusedBy> {
        let at = |s: &u64| begun + Duration::from_secs(*s);
        seconds.iter().map(|s| heard.refused(&url(address), at(s)).0).collect()
    }

    #[test]
    fn the_third_in_a_row_of_one_place_alone_is_its_own_however_many_requests_there_are() {
        let (mut heard, begun) = (Heard::default(), Instant::now());

        let said = verdicts(&mut heard, begun, "http://a/", &[0, 0, 0, 0, 1, 1, 2, 3, 3, 4]);

        assert_eq!(said[..7], [RefusedBy::Unknown; 7]);
        assert_eq!(said[7..], [RefusedBy::Endpoint; 3]);
    }

    #[test]
    fn where_others_get_through_it_is_its_own_soon() {
        let (mut heard, begun) = (Heard::default(), Instant::now());

        assert_eq!(verdicts(&mut heard, begun, "http://a/x", &[1]), [RefusedBy::Unknown]);
        heard.passed = Some(begun + Duration::from_secs(2));

        assert_eq!(verdicts(&mut heard, begun, "http://a/x", &[3, 4, 500]), [RefusedBy::Endpoint; 3]);
        assert_eq!(verdicts(&mut heard, begun, "http://a/y", &[501]), [RefusedBy::Unknown]);
    }

    #[test]
    fn where_everybody_is_refused_it_is_nobodys_own_until_the_proxy_was_asked() {
        let (mut heard, begun) = (Heard::default(), Instant::now());
        heard.passed = Some(begun);

        for s in [10, 11, 13, 17] {
            heard.refused(&url("http://c/"), begun + Duration::from_secs(s));
            heard.refused(&url("http://d/"), begun + Duration::from_secs(s));
        }
        assert_eq!(verdicts(&mut heard, begun, "http://c/", &[25]), [RefusedBy::Proxy]);

        heard.set_own(&url("http://c/"));
        assert_eq!(verdicts(&mut heard, begun, "http://c/", &[26]), [RefusedBy::Endpoint]);
    }

    #[test]
    fn an_answer_long_ago_ends_a_row() {
        let (mut heard, begun) = (Heard::default(), Instant::now());
        verdicts(&mut heard, begun, "http://a/", &[0, 1]);
        heard.passed = Some(begun + Duration::from_secs(2));

        assert_eq!(verdicts(&mut heard, begun, "http://a/", &[200]), [RefusedBy::Unknown]);
    }

    #[test]
    fn pauses_grow_as_long_as_it_is_refused() {
        let (mut heard, mut now) = (Heard::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let (_, pause) = heard.refused(&url("https://a/"), now);
            pauses.push(pause.as_secs());
            now += pause;
        }

        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
    }
}
