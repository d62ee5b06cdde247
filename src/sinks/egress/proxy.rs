//! The egress proxy: if the operator names one, all requests go through it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

/// How long a connection to the proxy may take to open.
const REACH_TIMEOUT: Duration = Duration::from_secs(2);

/// An HTTP proxy. For https it is asked to CONNECT; for plain http it is asked for the request itself. The proxy resolves
/// names, and has the last word on which addresses are called.
#[derive(Clone)]
pub struct EgressProxy(Url);

/// A text that names no proxy.
#[derive(Clone, Copy, Debug, Error)]
#[error("needs http://host:port, with user:password@ before the host if it wants them")]
pub struct InvalidProxy;

/// Why the proxy does not pass requests on. Nothing is known of the endpoint.
#[derive(Clone, Debug, Error)]
pub enum ProxyFault {
    /// Nobody answers at the address of the proxy.
    #[error("the egress proxy {0} cannot be reached")]
    Unreachable(EgressProxy),
    /// The proxy answered 407.
    #[error("the egress proxy {0} refuses our credentials")]
    Unauthorized(EgressProxy),
    /// The proxy, or an endpoint behind it, answered 407.
    #[error("the egress proxy {0} refuses our credentials, or an endpoint answers 407 itself")]
    Doubtful(EgressProxy),
}

/// A request that the proxy did not pass on.
#[derive(Clone, Debug, Error)]
#[error("{fault}")]
pub struct NotPassed {
    /// Why.
    pub fault: ProxyFault,
    /// Time until the request may be tried again.
    pub pause: Duration,
}

impl FromStr for EgressProxy {
    type Err = InvalidProxy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url: Url = text.parse().ok().ok_or(InvalidProxy)?;
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if url.scheme() != "http"
            || url.host_str().is_none()
            || url.port_or_known_default() == Some(0)
            || !is_bare
        {
            return Err(InvalidProxy);
        }
        Ok(Self(url))
    }
}

/// Shows the address without the password.
impl fmt::Display for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host(), self.port())
    }
}

/// Shows the address without the password.
impl fmt::Debug for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl EgressProxy {
    /// Its URL, with the password.
    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    /// Its host, as the URL has it.
    pub(super) fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(80)
    }

    /// Whether somebody answers at the address of the proxy.
    pub(crate) async fn is_reachable(&self) -> bool {
        let host = self.host().trim_start_matches('[').trim_end_matches(']');
        matches!(timeout(REACH_TIMEOUT, TcpStream::connect((host, self.port()))).await, Ok(Ok(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_named_by_its_address_and_shown_without_its_password() {
        for (text, shown) in [
            ("http://proxy.internal:3128", "http://proxy.internal:3128"),
            ("http://10.0.0.1", "http://10.0.0.1:80"),
            ("http://[::1]:4750/", "http://[::1]:4750"),
            ("http://me:hunter2@proxy:3128", "http://proxy:3128"),
        ] {
            let proxy: EgressProxy = text.parse().unwrap();

            assert_eq!((proxy.to_string(), format!("{proxy:?}")), (shown.to_owned(), shown.to_owned()));
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        for text in [
            "",
            "proxy:3128",
            "https://proxy:3128",
            "socks5://proxy",
            "http://",
            "http://proxy:0",
            "http://proxy/x",
        ] {
            assert!(text.parse::<EgressProxy>().is_err(), "{text}");
        }
    }
}
