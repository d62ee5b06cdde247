//! Whose 407 it is, where requests go through an egress proxy. The proxy's own costs no attempt. An endpoint's own is a refusal
//! like any other; over plain http it looks the same, and only what others are answered tells them apart.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Method, Request, Response, StatusCode};
use thiserror::Error;
use tokio::time::{Instant, timeout};
use url::Url;

use super::causes;
use super::client::Pair;
use crate::sinks::egress::{EgressProxy, ProxyFault};

/// What hyper-util says of a 407 to CONNECT. The whole text: a part of it may stand in a receiver's certificate.
const REFUSED_TUNNEL: &str = "tunnel error: proxy authorization required";
/// Before what a proxy did not let through is tried again; doubled with each refusal of the same place.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// So many refusals in a row, each after its pause, make a 407 the endpoint's own if nothing speaks against it.
const IN_A_ROW: u32 = 3;
/// What others were answered counts for so long.
const LATELY: Duration = Duration::from_mins(2);
/// A row that was not heard of for so long begins anew.
const ROW_KEPT: Duration = Duration::from_hours(1);
/// Places that are remembered.
const PLACES_MAX: usize = 10_000;
/// Nobody is called so (RFC 6761, section 6.4): what answers is the proxy.
const NOBODY: &str = "http://postrider.invalid/";
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// A request that was not passed on: nothing is known of the endpoint.
#[derive(Clone, Debug, Error)]
#[error("{fault}")]
pub struct NotPassed {
    /// What the proxy does wrong.
    pub fault: ProxyFault,
    /// Before it is tried again.
    pub pause: Duration,
}

/// Tells the proxy's answers from those of endpoints.
#[derive(Clone, Debug)]
pub(super) struct Proxied {
    proxy: Option<EgressProxy>,
    heard: Arc<Mutex<Heard>>,
}

/// What was answered lately. Places are URLs, by their hash: of one host each path may be somebody else's.
#[derive(Debug, Default)]
struct Heard {
    hasher: RandomState,
    refusing: HashMap<u64, Refusals>,
    /// When anybody answered something else than 407: our credentials were right then.
    passed: Option<Instant>,
}

/// 407 from one place.
#[derive(Clone, Copy, Debug)]
struct Refusals {
    first: Instant,
    last: Instant,
    /// Refusals with a whole pause before each: many requests at once are one.
    in_a_row: u32,
    next: Instant,
    /// It was found to be the endpoint's.
    is_own: bool,
}

/// Whose a 407 is, as far as it can be told without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Endpoint,
    Unknown,
    /// Others are refused too, and nobody is let through.
    Everybody,
}

impl Proxied {
    pub(super) fn new(proxy: Option<EgressProxy>) -> Self {
        Self { proxy, heard: Arc::default() }
    }

    /// Whether it was the proxy that let no connection come about. What a proxy that is there says of the endpoint is the
    /// endpoint's.
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

    /// Whether the proxy refused to pass a request on.
    pub(super) async fn judge(&self, response: &Response, client: &Pair) -> Result<(), NotPassed> {
        let Some(proxy) = self.proxy.as_ref().filter(|_| response.url().scheme() == "http") else {
            return Ok(());
        };
        let place = response.url();
        if response.status() != StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            self.lock().passed = Some(Instant::now());
            return Ok(());
        }
        let (whose, pause) = self.lock().refused(place, Instant::now());
        let not_passed =
            |fault: fn(EgressProxy) -> ProxyFault| NotPassed { fault: fault(proxy.clone()), pause };
        match whose {
            Whose::Endpoint => Ok(()),
            Whose::Unknown => Err(not_passed(ProxyFault::Doubtful)),
            Whose::Everybody if refuses_us(client).await => Err(not_passed(ProxyFault::Unauthorized)),
            // From the next on: this one may have met the proxy before its credentials were mended.
            Whose::Everybody => {
                self.lock().own(place);
                Err(not_passed(ProxyFault::Doubtful))
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    /// Whose it is, and how long to wait if it is not the endpoint's.
    fn refused(&mut self, place: &Url, now: Instant) -> (Whose, Duration) {
        let key = self.hasher.hash_one(place);
        if self.refusing.len() >= PLACES_MAX && !self.refusing.contains_key(&key) {
            self.refusing.retain(|_, refusals| now < refusals.last + LATELY);
            if self.refusing.len() >= PLACES_MAX {
                self.refusing.clear();
            }
        }
        let anew = Refusals { first: now, last: now, in_a_row: 0, next: now, is_own: false };
        let known = self.refusing.get(&key).copied();
        // What it answered in between ends a row, unless it goes on at once: it may answer some requests so and some not.
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
        let whose = self.whose(key, &refusals, now);
        refusals.is_own |= whose == Whose::Endpoint;
        self.refusing.insert(key, refusals);
        (whose, refusals.next.saturating_duration_since(now).max(PAUSE))
    }

    fn whose(&self, key: u64, refusals: &Refusals, now: Instant) -> Whose {
        let passed = self.passed.filter(|at| *at > refusals.first);
        let others = self.refusing.iter().filter(|(other, known)| **other != key && !known.is_own);
        let refused = others.map(|(_, known)| known.last).filter(|at| now < *at + LATELY).max();
        match () {
            () if refusals.is_own => Whose::Endpoint,
            // Somebody got through since, so our credentials are right.
            () if passed > refused && refusals.in_a_row > 1 => Whose::Endpoint,
            () if refusals.in_a_row < IN_A_ROW => Whose::Unknown,
            () if refused > passed => Whose::Everybody,
            () => Whose::Endpoint,
        }
    }

    /// The proxy lets us through: it was the endpoint.
    fn own(&mut self, place: &Url) {
        let key = self.hasher.hash_one(place);
        if let Some(refusals) = self.refusing.get_mut(&key) {
            refusals.is_own = true;
        }
    }
}

/// Whether the proxy says 407 where no endpoint can have said it. One that does not answer is asked again after the pause.
async fn refuses_us(client: &Pair) -> bool {
    let Ok(url) = Url::parse(NOBODY) else { return true };
    let probe = || Ok::<_, reqwest::Error>(Request::new(Method::HEAD, url.clone()));
    match timeout(PROBE_TIMEOUT, client.execute(probe)).await {
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

    /// What is made of a 407 from a place at these seconds, one after the other.
    fn verdicts(heard: &mut Heard, begun: Instant, place: &str, seconds: &[u64]) -> Vec<Whose> {
        let at = |s: &u64| begun + Duration::from_secs(*s);
        seconds.iter().map(|s| heard.refused(&url(place), at(s)).0).collect()
    }

    #[test]
    fn the_third_in_a_row_of_one_place_alone_is_its_own_however_many_requests_there_are() {
        let (mut heard, begun) = (Heard::default(), Instant::now());

        let said = verdicts(&mut heard, begun, "http://a/", &[0, 0, 0, 0, 1, 1, 2, 3, 3, 4]);

        assert_eq!(said[..7], [Whose::Unknown; 7]);
        assert_eq!(said[7..], [Whose::Endpoint; 3]);
    }

    #[test]
    fn where_others_get_through_it_is_its_own_soon() {
        let (mut heard, begun) = (Heard::default(), Instant::now());

        assert_eq!(verdicts(&mut heard, begun, "http://a/x", &[1]), [Whose::Unknown]);
        heard.passed = Some(begun + Duration::from_secs(2));

        assert_eq!(verdicts(&mut heard, begun, "http://a/x", &[3, 4, 500]), [Whose::Endpoint; 3]);
        assert_eq!(verdicts(&mut heard, begun, "http://a/y", &[501]), [Whose::Unknown]);
    }

    #[test]
    fn where_everybody_is_refused_it_is_nobodys_own_until_the_proxy_was_asked() {
        let (mut heard, begun) = (Heard::default(), Instant::now());
        heard.passed = Some(begun);

        for s in [10, 11, 13, 17] {
            heard.refused(&url("http://c/"), begun + Duration::from_secs(s));
            heard.refused(&url("http://d/"), begun + Duration::from_secs(s));
        }
        assert_eq!(verdicts(&mut heard, begun, "http://c/", &[25]), [Whose::Everybody]);

        heard.own(&url("http://c/"));
        assert_eq!(verdicts(&mut heard, begun, "http://c/", &[26]), [Whose::Endpoint]);
    }

    #[test]
    fn an_answer_long_ago_ends_a_row() {
        let (mut heard, begun) = (Heard::default(), Instant::now());
        verdicts(&mut heard, begun, "http://a/", &[0, 1]);
        heard.passed = Some(begun + Duration::from_secs(2));

        assert_eq!(verdicts(&mut heard, begun, "http://a/", &[200]), [Whose::Unknown]);
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
