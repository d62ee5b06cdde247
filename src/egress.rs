//! Rules: which addresses may be called. Judged on the URL's literal address and on every address a name resolves to,
//! right before it is dialled: a name that changes its mind gains nothing.

mod proxy;
mod ranges;
mod resolver;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;

use ipnet::IpNet;
use thiserror::Error;
use url::{Host, Url};

pub use self::proxy::{EgressProxy, InvalidProxy, ProxyFault};
use self::ranges::special_range;
pub use self::resolver::GuardedResolver;

/// Beside 80 and 443, ports below this one belong to services of the system, and are not called.
const PORT_FIRST: u16 = 1024;
/// Services above that are no receivers either, and take harm from what is sent to them.
// SQL Server, Oracle, NFS, ZooKeeper, Docker (two), etcd, MySQL, RDP, PostgreSQL, AMQP, VNC, CouchDB, Redis, PgBouncer,
// Cassandra, Kafka, Elasticsearch, memcached, MongoDB.
const SERVICE_PORTS: [u16; 20] = [
    1433, 1521, 2049, 2181, 2375, 2376, 2379, 3306, 3389, 5432, 5672, 5900, 5984, 6379, 6432, 9042, 9092,
    9200, 11211, 27017,
];

/// What the operator allows beyond public addresses over https.
#[derive(Clone, Debug, Default)]
pub struct EgressPolicy {
    /// Plain http may be used.
    pub allow_http: bool,
    /// Ranges that may be called although they are special.
    pub allow_cidrs: Vec<IpNet>,
    /// Ranges that may not be called whatever else allows them.
    pub deny_cidrs: Vec<IpNet>,
    /// Ports that may be called beside the usual ones.
    pub allow_ports: Vec<NonZeroU16>,
    /// What every request goes through.
    pub proxy: Option<EgressProxy>,
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
    #[error("address {address} is not allowed: {name}, {range} (--allow-cidr permits it)")]
    Address {
        /// The address that would have been dialled.
        address: IpAddr,
        /// The range it belongs to.
        range: IpNet,
        /// What that range is for.
        name: &'static str,
    },
    /// An address in a range that the operator denies.
    #[error("address {address} is not allowed: in {range} of --deny-cidr")]
    Denied {
        /// The address that would have been dialled.
        address: IpAddr,
        /// The range it belongs to.
        range: IpNet,
    },
    /// The port of another service.
    #[error(
        "port {0} is not allowed, only 80, 443, and those from 1024 that no database or the like uses (--allow-port permits it)"
    )]
    Port(u16),
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
        self.judge_scheme(&url)?;
        let authority = text.get(url.scheme().len()..).and_then(|rest| rest.strip_prefix("://"));
        if authority.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
            return invalid("needs the form https://host/path");
        }
        self.judge(&url)?;
        // These names mean this machine wherever they are asked for (RFC 6761 section 6.3); others are known when they are.
        if let Some(Host::Domain(name)) = url.host()
            && is_localhost(name)
        {
            let v6 = self.judge_address(Ipv6Addr::LOCALHOST.into());
            v6.or_else(|_| self.judge_address(Ipv4Addr::LOCALHOST.into()))?;
        }
        // The parser reads 0x7f.1, 2130706433 and 127.0.0.1 alike.
        if let (Some(Host::Ipv4(address)), Some(authority)) = (url.host(), authority)
            && !authority.trim_start_matches('/').starts_with(&address.to_string())
        {
            return Err(Refused::Url(format!("the host means {address}: write it so")));
        }
        Ok(url)
    }

    /// Judges a parsed URL, as far as that is possible without resolving its name.
    ///
    /// # Errors
    /// As [`Self::judge_text`].
    pub fn judge(&self, url: &Url) -> Result<(), Refused> {
        self.judge_scheme(url)?;
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
            Some(Host::Domain(name)) if !is_valid_name(name) => invalid(
                "host name has a label that is empty, longer than 63 bytes, or begins or ends with a hyphen",
            ),
            Some(Host::Domain(_)) => Ok(()),
        }?;
        match url.port_or_known_default() {
            Some(port) if !self.is_allowed_port(port) => Err(Refused::Port(port)),
            _ => Ok(()),
        }
    }

    fn judge_scheme(&self, url: &Url) -> Result<(), Refused> {
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.allow_http => Ok(()),
            "http" => Err(Refused::Plaintext),
            other => Err(Refused::Scheme(other.to_owned())),
        }
    }

    fn is_allowed_port(&self, port: u16) -> bool {
        let is_usual = matches!(port, 80 | 443) || (port >= PORT_FIRST && !SERVICE_PORTS.contains(&port));
        is_usual || self.allow_ports.iter().any(|allowed| allowed.get() == port)
    }

    /// Judges the address that is about to be dialled.
    ///
    /// # Errors
    /// [`Refused::Address`], [`Refused::Denied`].
    pub fn judge_address(&self, address: IpAddr) -> Result<(), Refused> {
        let address = address.to_canonical();
        if let Some(range) = self.deny_cidrs.iter().find(|net| net.contains(&address)) {
            return Err(Refused::Denied { address, range: *range });
        }
        if self.allow_cidrs.iter().any(|net| net.contains(&address)) {
            return Ok(());
        }
        match special_range(address) {
            None => Ok(()),
            Some((range, name)) => Err(Refused::Address { address, range, name }),
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

/// Whether DNS may know it (RFC 1123 section 2.1); underscores are common and let through.
fn is_valid_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_valid_label =
        |label: &str| (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
    name.len() <= 253 && name.split('.').all(is_valid_label)
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strict() -> EgressPolicy {
        EgressPolicy { allow_http: true, ..EgressPolicy::default() }
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
        let policy = EgressPolicy {
            allow_http: true,
            allow_cidrs: vec!["127.0.0.0/8".parse().unwrap()],
            ..EgressPolicy::default()
        };

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

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_it_accepts_names_no_special_address(
            text in "(https?:)?/{0,2}[!-~０-９]{0,24}[.:/@0-9a-fx\\[\\]]{0,16}",
        ) {
            if let Ok(url) = strict().judge_text(&text) {
                match url.host() {
                    Some(Host::Ipv4(v4)) => prop_assert!(!is_special_to_std(v4), "{text}"),
                    Some(Host::Ipv6(v6)) => prop_assert!(v6.segments()[0] & 0xe000 == 0x2000, "{text}"),
                    Some(Host::Domain(name)) => prop_assert!(!is_localhost(name), "{text}"),
                    None => prop_assert!(false, "{text}"),
                }
            }
        }

        #[test]
        fn an_ipv4_address_is_judged_alike_however_it_is_written(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let is_allowed = strict().judge_address(v4.into()).is_ok();

            prop_assert!(!is_allowed || !is_special_to_std(v4), "{v4}");
            prop_assert_eq!(strict().judge_address(v4.to_ipv6_mapped().into()).is_ok(), is_allowed, "{}", v4);
            prop_assert!(strict().judge_address(v4.to_ipv6_compatible().into()).is_err(), "{v4}");
        }
    }

    fn is_special_to_std(v4: Ipv4Addr) -> bool {
        v4.is_private()
            || v4.is_loopback()
            || v4.is_link_local()
            || v4.is_multicast()
            || v4.is_broadcast()
            || v4.is_unspecified()
            || v4.is_documentation()
    }
}
