//! The HTTP clients: a common one, one for each TLS of an endpoint's own, and one for the addresses that the endpoints of a template may
//! lead to. No connection of one is used by another, so that a name never leads a narrow endpoint to an address of a wide one.

use std::collections::HashMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use reqwest::{Client, Request, Response};
use thiserror::Error;
use tokio::time::Instant;
use tracing::{debug, warn};
use url::{Host, Url};

use super::connector::{AfterRequest, BoundedLayer, NotKept};
use super::deadline::Deadline;
use super::ended::{ended_by_itself, is_of_an_idle_connection, was_not_processed};
use super::failure::{causes, innermost};
use super::heads::{HEADERS_MAX, LIST_BYTES_MAX};
use super::progress::Progress;
use crate::model::endpoint::{EndpointTls, Narrowing};
use crate::rules::descriptors::{Descriptors, Shortage};
use crate::sinks::egress::{EgressPolicy, GuardedResolver};

/// Idle connections kept per host. An endpoint may have as many requests under way. The descriptors bound their sum over all hosts.
const IDLE_CONNECTIONS_MAX: usize = 10_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Clients that are kept for endpoints that cannot use the common one. Of more, those that were used last are kept.
const OWN_MAX: usize = 1_000;
/// Descriptors that are open while the TLS roots of this machine are read: a folder, and a file in it.
const ROOT_FILES: usize = 2;
/// A client that could not be made anew is used for so long, until that is tried again.
const RENEW_AGAIN: Duration = Duration::from_secs(10);

/// All clients.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    policy: EgressPolicy,
    resolver: GuardedResolver,
    descriptors: Descriptors,
    age_max: Duration,
    common: Arc<Mutex<AgingClient>>,
    own: Arc<Mutex<HashMap<OwnKey, AgingClient>>>,
}

/// What keeps an endpoint from using the common client: the fingerprint of its TLS, and the ranges that its template leaves it.
type OwnKey = (Option<[u8; 32]>, Option<Arc<[IpNet]>>);

/// A client, which another one with the same settings follows. Its connections end with it, so none is older. Requests that
/// are under way then still have it.
#[derive(Debug)]
struct AgingClient {
    pair: Arc<ClientPair>,
    used: Instant,
    renew_at: Instant,
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
    /// Clients whose connections are not used any more when they are as old as `age_max`.
    pub(super) fn new(
        policy: EgressPolicy,
        descriptors: Descriptors,
        age_max: Duration,
    ) -> Result<Self, ClientError> {
        let resolver = GuardedResolver::new(policy.clone(), descriptors.clone());
        let common = Arc::new(ClientPair::build(&policy, &resolver, &descriptors, None)?);
        let common = Arc::new(Mutex::new(AgingClient::new(common, age_max)));
        Ok(Self { policy, resolver, descriptors, age_max, common, own: Arc::default() })
    }

    /// The client for endpoints without TLS and ranges of their own, and for servers that issue tokens.
    pub(super) fn common(&self) -> Arc<ClientPair> {
        let (pair, is_old) = self.common.lock().unwrap_or_else(PoisonError::into_inner).take();
        if !is_old {
            return pair;
        }
        match self.build(None, &Narrowing::default()) {
            Ok(new) => {
                let aging = AgingClient::new(Arc::clone(&new), self.age_max);
                *self.common.lock().unwrap_or_else(PoisonError::into_inner) = aging;
                new
            }
            Err(fault) => still_old(pair, &fault),
        }
    }

    /// The client for an endpoint with this TLS that may call so much. It stays the same, with its connections, however often endpoints are read
    /// again, until it is too old.
    pub(super) fn of(
        &self,
        tls: Option<&EndpointTls>,
        narrowing: &Narrowing,
    ) -> Result<Arc<ClientPair>, ClientError> {
        let key: OwnKey = (tls.map(|tls| tls.fingerprint), narrowing.only_cidrs.clone());
        if key == (None, None) {
            return Ok(self.common());
        }
        let known = self.own().get_mut(&key).map(AgingClient::take);
        let old = match known {
            Some((pair, false)) => return Ok(pair),
            Some((pair, true)) => Some(pair),
            None => None,
        };
        let new = match (self.build(tls, narrowing), old) {
            (Ok(new), _) => new,
            (Err(fault), Some(old)) => return Ok(still_old(old, &fault)),
            (Err(fault), None) => return Err(fault),
        };
        let mut own = self.own();
        if own.len() >= OWN_MAX
            && !own.contains_key(&key)
            && let Some(oldest) = own.iter().min_by_key(|(_, own)| own.used).map(|(key, _)| key.clone())
        {
            own.remove(&oldest);
        }
        own.insert(key, AgingClient::new(Arc::clone(&new), self.age_max));
        Ok(new)
    }

    fn own(&self) -> MutexGuard<'_, HashMap<OwnKey, AgingClient>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new client.
    fn build(
        &self,
        tls: Option<&EndpointTls>,
        narrowing: &Narrowing,
    ) -> Result<Arc<ClientPair>, ClientError> {
        // The roots of this machine are files: without a descriptor some of them would be missing from now on.
        self.descriptors.open(ROOT_FILES)?;
        let policy = self.policy.narrowed(narrowing);
        let resolver = self.resolver.under(policy.clone());
        Ok(Arc::new(ClientPair::build(&policy, &resolver, &self.descriptors, tls)?))
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

impl AgingClient {
    /// Each dispatcher has a little more or less patience, so that not all open their connections again at once.
    fn new(pair: Arc<ClientPair>, age_max: Duration) -> Self {
        let now = Instant::now();
        Self { pair, used: now, renew_at: now + age_max.mul_f64(0.9 + 0.1 * fastrand::f64()) }
    }

    /// The client, and whether this caller is to make it anew. Others go on with it meanwhile.
    fn take(&mut self) -> (Arc<ClientPair>, bool) {
        self.used = Instant::now();
        let is_old = self.used >= self.renew_at;
        if is_old {
            self.renew_at = self.used + RENEW_AGAIN;
        }
        (Arc::clone(&self.pair), is_old)
    }
}

fn still_old(pair: Arc<ClientPair>, fault: &ClientError) -> Arc<ClientPair> {
    warn!("connections to endpoints are used beyond their greatest age: {}", innermost(fault));
    pair
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
    ///
    /// If the connection ended by itself, or had no stream free for the request, the request is sent again over a new
    /// connection, once. So a server may see a request twice.
    pub(super) async fn execute<E: From<reqwest::Error>>(
        &self,
        deadline: &Deadline,
        request: impl Fn() -> Result<Request, E>,
    ) -> Result<Response, E> {
        let mut first = request()?;
        let progress = Progress::follow(&mut first);
        match progress.send(pin!(self.keeping.execute(first)), deadline).await {
            Some(Ok(response)) if !is_of_an_idle_connection(&response, &progress) => Ok(response),
            // Apart, so that the future of nearly every request stays small.
            sent => Box::pin(self.judge_first(sent, &progress, request)).await,
        }
    }

    /// The first request brought no answer of the receiver: sends it again, or returns its failure.
    async fn judge_first<E: From<reqwest::Error>>(
        &self,
        sent: Option<Result<Response, reqwest::Error>>,
        progress: &Progress,
        request: impl Fn() -> Result<Request, E>,
    ) -> Result<Response, E> {
        let sent = match sent {
            Some(Err(fault)) if causes(&fault).any(<dyn Error>::is::<NotKept>) => {
                match self.execute_apart(request()?).await {
                    Err(fault) if was_not_processed(&fault) => Some(Err(fault)),
                    done => return Ok(done?),
                }
            }
            sent => sent,
        };
        match sent {
            None => debug!("a request waited too long for a stream, and is sent over a new connection"),
            Some(Err(fault)) if ended_by_itself(&fault, progress) => {
                debug!(cause = %innermost(&fault), "a connection ended by itself, and its request is sent again");
            }
            Some(Err(fault)) => return Err(fault.into()),
            Some(Ok(_)) => debug!("a connection was closed as idle, and its request is sent again"),
        }
        Ok(self.execute_apart(request()?).await?)
    }

    /// Sends a request over a new connection, which ends with it.
    async fn execute_apart(&self, request: Request) -> Result<Response, reqwest::Error> {
        let passing = Arc::new(self.descriptors.passing());
        let mut response = self.closing.execute(request).await?;
        // The connection counts as passing until the body is read.
        response.extensions_mut().insert(passing);
        Ok(response)
    }
}

/// A client that follows no redirect, decompresses nothing, retries nothing by itself, and uses no proxy but the policy's. It dials only
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
        .http1_max_headers(HEADERS_MAX)
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http2_max_header_list_size(LIST_BYTES_MAX);
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
        let clients = Clients::new(EgressPolicy::default(), descriptors, Duration::from_mins(5)).unwrap();

        // The second is on no link in particular.
        for (url, has_way) in [("http://127.0.0.1:9/", true), ("http://[fe80::1]/", false)] {
            assert_eq!(clients.has_way_to(&url.parse().unwrap()).await, has_way, "{url}");
        }
    }
}
