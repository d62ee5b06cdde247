//! Rules: which addresses may be called. Judged on the URL's literal address and on every address a name resolves to,
//! right before it is dialled: a name that changes its mind gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use url::{Host, Url};

/// IPv4 ranges that are not globally routable unicast (IANA special-purpose registry, RFC 6890 and successors).
const SPECIAL_V4: [(Ipv4Addr, u8, &str); 17] = [
    (Ipv4Addr::UNSPECIFIED, 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "IETF protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "AS112"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "AMT"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// IPv6 ranges inside `2000::/3` that are not globally routable unicast. Everything outside `2000::/3` is refused as a
/// whole: loopback, IPv4-compatible, NAT64, unique local, link-local, multicast and whatever is assigned next.
const SPECIAL_V6: [(Ipv6Addr, u8, &str); 5] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "IETF protocol assignments, Teredo"),
    (Ipv6Addr::new(0x2001, 0x0db8, 0, 0, 0, 0, 0, 0), 32, "documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (Ipv6Addr::new(0x2620, 0x004f, 0x8000, 0, 0, 0, 0, 0), 48, "AS112"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation"),
];

/// What the operator allows beyond public addresses over https.
#[derive(Clone, Debug, Default)]
pub struct EgressPolicy {
    /// Plain http may be used.
    pub allow_http: bool,
    /// Ranges that may be called although they are special.
    pub allow_cidrs: Vec<IpNet>,
}

/// Why an endpoint may not be called. Its text is stored with the attempt and names what would allow it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// Not http or https.
    #[error("url scheme \"{0}\" is not allowed, only https")]
    Scheme(String),
    /// Plain http without leave.
    #[error("url needs https (--allow-http permits http)")]
    Plaintext,
    /// A URL that no request can be made of.
    #[error("url is invalid: {0}")]
    Url(String),
    /// A special address without leave.
    #[error("address {address} is not allowed: {range} (--allow-cidr permits it)")]
    Address {
        /// The address that would have been dialled.
        address: IpAddr,
        /// The range it belongs to.
        range: &'static str,
    },
    /// A name that does not resolve.
    #[error("dns: {0}")]
    Unresolved(String),
}

impl EgressPolicy {
    /// Reads and judges a URL, as far as that is possible without resolving its name.
    ///
    /// # Errors
    /// [`Refused`], every variant but `Unresolved`.
    pub fn judge_text(&self, text: &str) -> Result<Url, Refused> {
        let invalid = |why: &str| Err(Refused::Url(why.to_owned()));
        if text.len() > 2048 {
            return invalid("longer than 2048 bytes");
        }
        // The parser drops tabs and line ends silently, and reads a backslash as a slash.
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return invalid("contains a space, a control character or a backslash");
        }
        let url = Url::parse(text).map_err(|fault| Refused::Url(fault.to_string()))?;
        let authority = text.get(url.scheme().len()..).and_then(|rest| rest.strip_prefix("://"));
        if !url.cannot_be_a_base() && authority.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
            return invalid("needs the form https://host/path");
        }
        self.judge(&url)?;
        Ok(url)
    }

    /// Judges a parsed URL, as far as that is possible without resolving its name.
    ///
    /// # Errors
    /// As [`Self::judge_text`].
    pub fn judge(&self, url: &Url) -> Result<(), Refused> {
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            "http" => return Err(Refused::Plaintext),
            other => return Err(Refused::Scheme(other.to_owned())),
        }
        let invalid = |why: &str| Err(Refused::Url(why.to_owned()));
        if !url.username().is_empty() || url.password().is_some() {
            return invalid("contains credentials; use a header");
        }
        if url.fragment().is_some() {
            return invalid("contains a fragment, which is never sent");
        }
        if url.port() == Some(0) {
            return invalid("port 0");
        }
        match url.host() {
            None => invalid("has no host"),
            Some(Host::Ipv4(address)) => self.judge_address(address.into()),
            Some(Host::Ipv6(address)) => self.judge_address(address.into()),
            Some(Host::Domain(name)) if check_name(name) => Ok(()),
            Some(Host::Domain(_)) => invalid("host name has an empty or overlong label"),
        }
    }

    /// Judges the address that is about to be dialled.
    ///
    /// # Errors
    /// [`Refused::Address`].
    pub fn judge_address(&self, address: IpAddr) -> Result<(), Refused> {
        let canonical = address.to_canonical();
        if self.allow_cidrs.iter().any(|net| net.contains(&canonical)) {
            return Ok(());
        }
        match special_range(canonical) {
            None => Ok(()),
            Some(range) => Err(Refused::Address { address: canonical, range }),
        }
    }

    /// What may be dialled of the addresses that a name resolves to: of a public and a private one, the public one alone.
    fn choose(&self, found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, Refused> {
        let mut refused = Refused::Unresolved("no address".to_owned());
        let mut allowed = Vec::new();
        for address in found {
            match self.judge_address(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(fault) => refused = fault,
            }
        }
        if allowed.is_empty() { Err(refused) } else { Ok(allowed) }
    }
}

fn check_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len()))
}

fn special_range(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => SPECIAL_V4
            .iter()
            .find(|(net, bits, _)| Ipv4Net::new_assert(*net, *bits).contains(&v4))
            .map(|(_, _, name)| *name),
        IpAddr::V6(v6) if v6.is_loopback() => Some("loopback"),
        IpAddr::V6(v6) if v6.is_unique_local() => Some("unique local"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("link-local"),
        IpAddr::V6(v6) if v6.segments()[0] & 0xe000 != 0x2000 => Some("outside global unicast 2000::/3"),
        IpAddr::V6(v6) => SPECIAL_V6
            .iter()
            .find(|(net, bits, _)| Ipv6Net::new_assert(*net, *bits).contains(&v6))
            .map(|(_, _, name)| *name),
    }
}

/// Resolves names and hands on only addresses that may be called.
#[derive(Debug)]
pub struct GuardedResolver {
    policy: EgressPolicy,
}

impl GuardedResolver {
    /// A resolver under this policy.
    pub fn new(policy: EgressPolicy) -> Self {
        Self { policy }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.policy.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0))
                .await
                .map_err(|fault| Refused::Unresolved(fault.to_string()))?;
            let addresses: Addrs = Box::new(policy.choose(found)?.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strict() -> EgressPolicy {
        EgressPolicy { allow_http: true, allow_cidrs: Vec::new() }
    }

    #[test]
    fn every_spelling_of_a_special_address_is_refused() {
        let hosts = [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.0.0.1.",
            "0.0.0.0",
            "0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.100.100.200",
            "192.0.0.192",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "203.0.113.1",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::a9fe:a9fe]",
            "[64:ff9b:1::1]",
            "[2002:7f00:1::]",
            "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[fec0::1]",
            "[ff02::1]",
            "[100::1]",
            "[5f00::1]",
            "[3fff::1]",
            "[2001:db8::1]",
        ];

        for host in hosts {
            let judged = strict().judge_text(&format!("http://{host}/"));

            assert!(matches!(judged, Err(Refused::Address { .. })), "{host}: {judged:?}");
        }
    }

    #[test]
    fn public_addresses_and_names_are_allowed() {
        for host in ["93.184.216.34", "1.1.1.1", "[2606:4700::1111]", "example.com", "example.com."] {
            assert!(strict().judge_text(&format!("https://{host}/hook")).is_ok(), "{host}");
        }
    }

    #[test]
    fn an_allowed_range_lets_in_itself_alone() {
        let policy = EgressPolicy { allow_http: true, allow_cidrs: vec!["127.0.0.0/8".parse().unwrap()] };

        assert!(policy.judge_address("127.9.9.9".parse().unwrap()).is_ok());
        assert!(policy.judge_address("::ffff:127.0.0.1".parse().unwrap()).is_ok());
        assert!(policy.judge_address("10.0.0.1".parse().unwrap()).is_err());
        assert!(policy.judge_address("::1".parse().unwrap()).is_err());
    }

    #[test]
    fn urls_that_mean_something_else_are_refused() {
        let faults = [
            "",
            "example.com/hook",
            "//example.com/",
            "https://",
            "ftp://example.com/",
            "file:///etc/passwd",
            "https://user:pass@example.com/",
            "https://example.com@127.0.0.1/",
            "https://example.com\\@127.0.0.1/",
            "http:127.0.0.1",
            "http:///127.0.0.1",
            "https://exam\tple.com/",
            "https://example.com/\r\nX: 1",
            "https://exa mple.com/",
            "https://a..b/",
            "https://./",
            "https://1.2.3.4.5/",
            "https://[::1",
            "https://[fe80::1%25eth0]/",
            "https://example.com:99999/",
            "https://example.com:0/",
            "https://example.com/#frag",
            &format!("https://example.com/{}", "x".repeat(2048)),
        ];

        for text in faults {
            assert!(strict().judge_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn of_the_addresses_of_a_name_only_public_ones_are_dialled() {
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 443);
        let mixed = ["10.0.0.1", "1.1.1.1", "::ffff:127.0.0.1", "169.254.169.254"].map(address);

        let chosen = strict().choose(mixed.into_iter());

        assert_eq!(chosen, Ok(vec![address("1.1.1.1")]));
    }

    #[test]
    fn a_name_with_nothing_but_special_addresses_is_refused_and_so_is_one_without_any() {
        let mapped = SocketAddr::new("::ffff:10.0.0.1".parse().unwrap(), 443);

        assert!(matches!(strict().choose([mapped].into_iter()), Err(Refused::Address { .. })));
        assert!(matches!(strict().choose([].into_iter()), Err(Refused::Unresolved(_))));
    }

    #[test]
    fn plain_http_needs_leave() {
        assert_eq!(
            EgressPolicy::default().judge_text("http://example.com/").unwrap_err(),
            Refused::Plaintext
        );
    }
}
