//! Names, resolved under the policy, by DNS of our own: a look-up that hangs ends with its deadline, and holds up no other.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::time::timeout;
use tracing::warn;

use super::{EgressPolicy, Refused};

/// For all servers and attempts together.
const DEADLINE: Duration = Duration::from_secs(5);
/// For one question to one server.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
/// Answers kept, for as long as they say.
const CACHE_SIZE: u64 = 4096;

/// Resolves names and hands on only addresses that may be called.
#[derive(Clone, Debug)]
pub struct GuardedResolver {
    policy: EgressPolicy,
    /// Why there is none, where names cannot be resolved.
    resolver: Result<TokioResolver, String>,
}

impl GuardedResolver {
    /// A resolver under this policy, with the servers of `/etc/resolv.conf`, after `/etc/hosts`.
    pub fn new(policy: EgressPolicy) -> Self {
        let resolver = build().map_err(|fault| format!("cannot read this machine's DNS configuration: {fault}"));
        if let Err(why) = &resolver {
            warn!("names of endpoints will not be resolved: {why}");
        }
        Self { policy, resolver }
    }

    async fn look_up(&self, name: &str) -> Result<Vec<SocketAddr>, Refused> {
        let unresolved = |why: String| Refused::Unresolved(why);
        let resolver = self.resolver.as_ref().map_err(|why| unresolved(why.clone()))?;
        let found = timeout(DEADLINE, resolver.lookup_ip(name)).await;
        let found = found.map_err(|_elapsed| unresolved(format!("no answer within {} s", DEADLINE.as_secs())))?;
        let found = found.map_err(|fault| unresolved(fault.to_string()))?;
        // The port comes from the URL.
        self.policy.choose(found.iter().map(|address| SocketAddr::new(address, 0)))
    }
}

fn build() -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    let options = builder.options_mut();
    options.timeout = QUESTION_TIMEOUT;
    options.attempts = 2;
    options.cache_size = CACHE_SIZE;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build()
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses: Addrs = Box::new(resolver.look_up(name.as_str()).await?.into_iter());
            Ok(addresses)
        })
    }
}
