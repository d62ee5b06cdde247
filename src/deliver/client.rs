//! The HTTP clients: one for all endpoints, and one for each TLS of an endpoint's own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Client;
use tokio::time::Instant;

use super::ClientError;
use crate::egress::{EgressPolicy, GuardedResolver};
use crate::endpoint::Tls;

/// At most so many response headers.
const RESPONSE_HEADERS_MAX: usize = 64;
/// Idle connections kept per host: as many as an endpoint may have requests under way.
const IDLE_CONNECTIONS_MAX: usize = 10_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Clients of endpoints with TLS of their own; of more, those that were used last.
const OWN_MAX: usize = 1_000;

/// All of them.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    policy: EgressPolicy,
    resolver: GuardedResolver,
    common: Client,
    own: Arc<Mutex<HashMap<[u8; 32], Own>>>,
}

#[derive(Debug)]
struct Own {
    client: Client,
    used: Instant,
}

impl Clients {
    pub(super) fn new(policy: EgressPolicy) -> Result<Self, ClientError> {
        let resolver = GuardedResolver::new(policy.clone());
        let common = build(&policy, &resolver, None)?;
        Ok(Self { policy, resolver, common, own: Arc::default() })
    }

    /// For endpoints without TLS of their own, and for whoever issues tokens.
    pub(super) fn common(&self) -> &Client {
        &self.common
    }

    /// For an endpoint. Its connections are kept however often endpoints are read again.
    pub(super) fn of(&self, tls: Option<&Tls>) -> Result<Client, ClientError> {
        let Some(tls) = tls else { return Ok(self.common.clone()) };
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = own.get_mut(&tls.fingerprint) {
            found.used = Instant::now();
            return Ok(found.client.clone());
        }
        let client = build(&self.policy, &self.resolver, Some(tls))?;
        if own.len() >= OWN_MAX
            && let Some(oldest) = own.iter().min_by_key(|(_, own)| own.used).map(|(key, _)| *key)
        {
            own.remove(&oldest);
        }
        own.insert(tls.fingerprint, Own { client: client.clone(), used: Instant::now() });
        Ok(client)
    }
}

/// A client that follows no redirect, uses no proxy but the policy's, decompresses nothing, retries nothing, and dials
/// only what the policy allows.
fn build(
    policy: &EgressPolicy,
    resolver: &GuardedResolver,
    tls: Option<&Tls>,
) -> Result<Client, ClientError> {
    let mut builder = Client::builder()
        .use_preconfigured_provider()
        .dns_resolver(resolver.clone())
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
    if let Some(authorities) = tls.and_then(|tls| tls.authorities.clone()) {
        builder = builder.tls_certs_only(authorities);
    }
    if let Some(identity) = tls.and_then(|tls| tls.identity.clone()) {
        builder = builder.identity(identity);
    }
    builder.build().map_err(ClientError)
}

/// Whether an endpoint could be called with this TLS: whether the certificates are some, and the key is theirs.
///
/// # Errors
/// [`ClientError`].
pub fn check_tls(tls: &Tls) -> Result<(), ClientError> {
    let mut builder = Client::builder().use_preconfigured_provider();
    if let Some(authorities) = &tls.authorities {
        builder = builder.tls_certs_only(authorities.clone());
    }
    if let Some(identity) = &tls.identity {
        builder = builder.identity(identity.clone());
    }
    builder.build().map(drop).map_err(ClientError)
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
