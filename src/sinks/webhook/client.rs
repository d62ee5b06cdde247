//! The HTTP clients: a common one, and one for each TLS of an endpoint's own.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Client, Request, Response};
use thiserror::Error;
use tokio::time::Instant;
use url::{Host, Url};

use super::connector::{AfterRequest, BoundedLayer, NotKept};
use super::failure::causes;
use crate::model::endpoint::EndpointTls;
use crate::rules::descriptors::{Descriptors, Shortage};
use crate::sinks::egress::{EgressPolicy, GuardedResolver};

/// Response headers that are accepted at most.
const RESPONSE_HEADERS_MAX: usize = 64;
/// Idle connections kept per host. An endpoint may have as many requests under way. The descriptors bound their sum over all hosts.
const IDLE_CONNECTIONS_MAX: usize = 10_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Clients that are kept for endpoints with TLS of their own. Of more, those that were used last are kept.
const OWN_MAX: usize = 1_000;
/// Descriptors that are open while the TLS roots of this machine are read: a folder, and a file in it.
const ROOT_FILES: usize = 2;

/// All clients.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    policy: EgressPolicy,
    resolver: GuardedResolver,
    descriptors: Descriptors,
    common: Arc<ClientPair>,
    /// By the fingerprint of the endpoint's TLS.
    own: Arc<Mutex<HashMap<[u8; 32], OwnClient>>>,
}

/// The client for one TLS of an endpoint's own.
#[derive(Debug)]
struct OwnClient {
    pair: Arc<ClientPair>,
    used: Instant,
}

/// Two clients that differ in one thing: one keeps a connection after its request, the other closes it.
#[derive(Debug)]
pub(super) struct ClientPair {
    keeping: Client,
    closing: Client,
    descriptors: Descriptors,
}

/// An HTTP client could not be set up.
#[derive(Debug, Error)]
#[error("http client")]
pub enum ClientError {
    /// The TLS does not fit, or the client cannot be built at all.
    Unfit(#[from] reqwest::Error),
    /// There are no descriptors left for it.
    Shortage(#[from] Shortage),
}

impl Clients {
    pub(super) fn new(policy: EgressPolicy, descriptors: Descriptors) -> Result<Self, ClientError> {
        let resolver = GuardedResolver::new(policy.clone(), descriptors.clone());
        let common = Arc::new(ClientPair::build(&policy, &resolver, &descriptors, None)?);
        Ok(Self { policy, resolver, descriptors, common, own: Arc::default() })
    }

    /// The client for endpoints without TLS of their own, and for servers that issue tokens.
    pub(super) fn common(&self) -> &ClientPair {
        &self.common
    }

    /// The client for an endpoint with this TLS. It stays the same, with its connections, however often endpoints are read again.
    pub(super) fn of(&self, tls: Option<&EndpointTls>) -> Result<Arc<ClientPair>, ClientError> {
        let Some(tls) = tls else { return Ok(Arc::clone(&self.common)) };
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = own.get_mut(&tls.fingerprint) {
            found.used = Instant::now();
            return Ok(Arc::clone(&found.pair));
        }
        // The roots of this machine are files: without a descriptor some of them would be missing from now on.
        self.descriptors.open(ROOT_FILES)?;
        let pair = Arc::new(ClientPair::build(&self.policy, &self.resolver, &self.descriptors, Some(tls))?);
        if own.len() >= OWN_MAX
            && let Some(oldest) = own.iter().min_by_key(|(_, own)| own.used).map(|(key, _)| *key)
        {
            own.remove(&oldest);
        }
        own.insert(tls.fingerprint, OwnClient { pair: Arc::clone(&pair), used: Instant::now() });
        Ok(pair)
    }

    /// Whether an address of this machine leads to each address of a host. Sends nothing.
    pub(super) async fn has_way_to(&self, url: &Url) -> bool {
        let port = url.port_or_known_default().unwrap_or_default();
        let addresses = match url.host() {
            Some(Host::Ipv4(address)) => vec![SocketAddr::new(address.into(), port)],
            Some(Host::Ipv6(address)) => vec![SocketAddr::new(address.into(), port)],
            Some(Host::Domain(name)) => self.resolver.look_up(name).await.unwrap_or_default(),
            None => Vec::new(),
        };
        addresses.into_iter().all(|to| {
            let from: IpAddr =
                if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            // UDP has ports of its own, so this works where all ports of TCP are in use.
            UdpSocket::bind((from, 0)).is_ok_and(|socket| socket.connect(to).is_ok())
        })
    }
}

impl ClientPair {
    fn build(
        policy: &EgressPolicy,
        resolver: &GuardedResolver,
        descriptors: &Descriptors,
        tls: Option<&EndpointTls>,
    ) -> Result<Self, ClientError> {
        let build = |after| {
            let bounded = BoundedLayer { descriptors: descriptors.clone(), after };
            build(policy, resolver, bounded, tls)
        };
        let (keeping, closing) = (build(AfterRequest::Keep)?, build(AfterRequest::Close)?);
        Ok(Self { keeping, closing, descriptors: descriptors.clone() })
    }

    /// Sends a request over an idle connection, or else over a new one. A new one ends with its request if too many are kept
    /// already.
    pub(super) async fn execute<E: From<reqwest::Error>>(
        &self,
        request: impl Fn() -> Result<Request, E>,
    ) -> Result<Response, E> {
        match self.keeping.execute(request()?).await {
            Err(fault) if causes(&fault).any(|cause| cause.downcast_ref::<NotKept>().is_some()) => {
                let passing = Arc::new(self.descriptors.passing());
                let mut response = self.closing.execute(request()?).await?;
                // The connection counts as passing until the body is read.
                response.extensions_mut().insert(passing);
                Ok(response)
            }
            done => Ok(done?),
        }
    }
}

/// A client that follows no redirect, decompresses nothing, retries nothing, and uses no proxy but the policy's. It dials only
/// addresses that the policy allows, and only while descriptors are left.
fn build(
    policy: &EgressPolicy,
    resolver: &GuardedResolver,
    bounded: BoundedLayer,
    tls: Option<&EndpointTls>,
) -> Result<Client, ClientError> {
    let idle_max = match bounded.after {
        // If fewer were kept than may be under way, connections would be closed and opened all the time.
        AfterRequest::Keep => IDLE_CONNECTIONS_MAX,
        AfterRequest::Close => 0,
    };
    let mut builder = Client::builder()
        .use_preconfigured_provider()
        .dns_resolver(resolver.clone())
        .connector_layer(bounded)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(Duration::from_mins(1))
        .pool_max_idle_per_host(idle_max)
        .tcp_nodelay(true)
        .http1_max_headers(RESPONSE_HEADERS_MAX)
        .http2_max_header_list_size(16 * 1024);
    if let Some(proxy) = &policy.proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy.url().clone())?);
    }
    if let Some(authorities) = tls.and_then(|tls| tls.authorities.clone()) {
        builder = builder.tls_certs_only(authorities);
    }
    if let Some(identity) = tls.and_then(|tls| tls.identity.clone()) {
        builder = builder.identity(identity);
    }
    Ok(builder.build()?)
}

/// Checks that an endpoint could be called with this TLS: the certificates can be read, and the key belongs to its certificate.
///
/// # Errors
/// [`ClientError`].
pub fn check_tls(tls: &EndpointTls) -> Result<(), ClientError> {
    let mut builder = Client::builder().use_preconfigured_provider();
    if let Some(authorities) = &tls.authorities {
        builder = builder.tls_certs_only(authorities.clone());
    }
    if let Some(identity) = &tls.identity {
        builder = builder.identity(identity.clone());
    }
    Ok(builder.build().map(drop)?)
}

/// Names the crypto provider of reqwest. reqwest is built without one, so that TLS is ring's, as small as it gets.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::descriptors::Budget;

    #[tokio::test]
    async fn where_no_address_of_ours_leads_is_told_from_where_ports_are_taken() {
        let descriptors = Descriptors::new(Budget::new(1 << 20, 1));
        let clients = Clients::new(EgressPolicy::default(), descriptors).unwrap();

        // The second is on no link in particular.
        for (url, has_way) in [("http://127.0.0.1:9/", true), ("http://[fe80::1]/", false)] {
            assert_eq!(clients.has_way_to(&url.parse().unwrap()).await, has_way, "{url}");
        }
    }
}
