//! The egress policy: which addresses may be called. It judges the literal address in a URL, and every address that a name
//! resolves to, right before the address is dialled. A name that changes its addresses gains nothing.

mod embedded;
mod proxy;
mod resolver;
mod special_addresses;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;

use ipnet::IpNet;
use thiserror::Error;
use url::{Host, Url};

use self::embedded::embedded;
pub use self::proxy::{EgressProxy, InvalidProxy, NotPassed, ProxyFault};
pub use self::resolver::GuardedResolver;
pub use self::special_addresses::{InvalidRange, parse_range};
use self::special_addresses::{covers, special_range};
use crate::model::endpoint::{Narrowing, TemplateUrl};

/// Ports below this one belong to services of the system. Of them, only 80 and 443 are called.
const PORT_FIRST: u16 = 1024;
/// Ports above that are not called either: these services are no receivers, and a request may do harm there.
// SQL Server, Oracle, NFS, ZooKeeper, Docker (two), etcd, MySQL, RDP, PostgreSQL, AMQP, VNC, CouchDB, Redis, PgBouncer,
// Cassandra, Kafka, Elasticsearch, memcached, MongoDB.
const SERVICE_PORTS: [u16; 20] = [
    1433, 1521, 2049, 2181, 2375, 2376, 2379, 3306, 3389, 5432, 5672, 5900, 5984, 6379, 6432, 9042, 9092,
    9200, 11211, 27017,
];

/// The fault of a URL that contains a user name or a password.
const CREDENTIALS: &str = "contains credentials; use a header";

/// The rules of one dispatcher. They allow public addresses over https; the operator allows more, or less.
#[derive(Clone, Debug, Default)]
pub struct EgressPolicy {
    /// Plain http may be used.
    pub allow_http: bool,
    /// Special ranges that may be called all the same.
    pub allow_cidrs: Vec<IpNet>,
    /// Ranges that may not be called, even if something else allows them.
    pub deny_cidrs: Vec<IpNet>,
    /// Further ports that may be called.
    pub allow_ports: Vec<NonZeroU16>,
    /// Of these ranges alone an address may be called, if everything else allows it. `None`: of all.
    pub only_cidrs: Option<Arc<[IpNet]>>,
    /// The proxy that every request goes through.
    pub proxy: Option<EgressProxy>,
}

/// Why an endpoint may not be called. The text is stored with the attempt, and names the option that would allow the call.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotAllowed {
    /// The scheme is neither http nor https.
    #[error("url scheme \"{0}\" is not allowed, only https")]
    Scheme(String),
    /// Plain http needs leave.
    #[error("url needs https (--allow-http permits http)")]
    Plaintext,
    /// No request can be made of the URL.
    #[error("url is invalid: {0}")]
    Url(String),
    /// The address is special, and needs leave.
    #[error("address {address} is not allowed: {}{name}, {range} (--allow-cidr permits it)", leading_to(*embedded))]
    Address {
        /// The address that would have been dialled.
        address: IpAddr,
        /// The address inside it that is special, if not the whole.
        embedded: Option<Ipv4Addr>,
        /// The range it belongs to.
        range: IpNet,
        /// The purpose of that range.
        name: &'static str,
    },
    /// The operator denies the range of the address.
    #[error("address {address} is not allowed: {}in {range} of --deny-cidr", leading_to(*embedded))]
    Denied {
        /// The address that would have been dialled.
        address: IpAddr,
        /// The address inside it that is denied, if not the whole.
        embedded: Option<Ipv4Addr>,
        /// The range it belongs to.
        range: IpNet,
    },
    /// The template of the endpoint does not allow it.
    #[error("address {address} is not allowed: {}in no range of its template's allow_cidr", leading_to(*embedded))]
    Outside {
        /// The address that would have been dialled.
        address: IpAddr,
        /// The address inside it that is in none, if not the whole.
        embedded: Option<Ipv4Addr>,
    },
    /// The egress proxy resolves the name, and nobody can compare its addresses with the template's ranges.
    #[error(
        "a name is not allowed by its template's allow_cidr where an egress proxy resolves it: only an address is"
    )]
    Unseen,
    /// The port belongs to another service.
    #[error(
        "port {0} is not allowed, only 80, 443, and from 1024 all but the usual ports of databases and brokers (--allow-port permits it)"
    )]
    Port(u16),
    /// The name does not resolve.
    #[error("dns: {0}")]
    Unresolved(String),
}

impl EgressPolicy {
    /// Reads and judges a URL, as far as that is possible without resolving its name.
    ///
    /// # Errors
    /// [`NotAllowed`], every variant but `Unresolved`.
    pub fn judge_text(&self, text: &str) -> Result<Url, NotAllowed> {
        let invalid = |why: &str| Err(NotAllowed::Url(why.to_owned()));
        if text.len() > 2048 {
            return invalid("longer than 2048 bytes");
        }
        // The parser drops tabs and line ends silently, and reads a backslash as a slash.
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return invalid("contains a space, a control character or a backslash");
        }
        if TemplateUrl::is_meant(text) {
            return invalid("contains a name in braces, which only a template has");
        }
        let url = Url::parse(text).map_err(|fault| NotAllowed::Url(fault.to_string()))?;
        self.judge_scheme(&url)?;
        let authority = text.get(url.scheme().len()..).and_then(|rest| rest.strip_prefix("://"));
        if authority.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
            return invalid("needs the form https://host/path");
        }
        // The parser does not report empty credentials.
        if authority
            .is_some_and(|rest| rest.split(['/', '?', '#']).next().is_some_and(|host| host.contains('@')))
        {
            return invalid(CREDENTIALS);
        }
        self.judge(&url)?;
        self.judge_authority(&url, authority)?;
        Ok(url)
    }

    /// Judges the URL of a template, as far as that is possible without a value. An address in it is judged.
    ///
    /// # Errors
    /// [`NotAllowed`], every variant but `Unresolved`.
    pub fn judge_template(&self, text: &str) -> Result<(), NotAllowed> {
        let template = TemplateUrl::parse(text).map_err(|fault| NotAllowed::Url(fault.to_string()))?;
        // Its length is that of the text: a value is judged with the URL that it makes.
        if text.len() > 2048 {
            return Err(NotAllowed::Url("longer than 2048 bytes".to_owned()));
        }
        self.judge_text(template.sample().as_str()).map(drop)
    }

    /// What is left of these rules for an endpoint that may call less.
    #[must_use]
    pub fn narrowed(&self, narrowing: &Narrowing) -> Self {
        Self {
            allow_http: self.allow_http && !narrowing.forbids_http,
            only_cidrs: narrowing.only_cidrs.clone(),
            ..self.clone()
        }
    }

    /// Judges what only the text tells.
    fn judge_authority(&self, url: &Url, authority: Option<&str>) -> Result<(), NotAllowed> {
        // These names mean this machine on every machine (RFC 6761 section 6.3). Other names are judged when they are resolved.
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
            return Err(NotAllowed::Url(format!("the host means {address}: write it so")));
        }
        Ok(())
    }

    /// Judges a parsed URL, as far as that is possible without resolving its name.
    ///
    /// # Errors
    /// The same as of [`Self::judge_text`].
    pub fn judge(&self, url: &Url) -> Result<(), NotAllowed> {
        self.judge_scheme(url)?;
        let invalid = |why: &str| Err(NotAllowed::Url(why.to_owned()));
        if !url.username().is_empty() || url.password().is_some() {
            return invalid(CREDENTIALS);
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
            Some(Host::Domain(name)) if name.contains(is_no_letter_of_names) => {
                invalid("host name has a character that no host has: letters, digits, - and _ are allowed")
            }
            Some(Host::Domain(name)) if !is_valid_name(name) => invalid(
                "host name has a label that is empty, longer than 63 bytes, or begins or ends with a hyphen",
            ),
            Some(Host::Domain(_)) if self.proxy.is_some() && self.only_cidrs.is_some() => {
                Err(NotAllowed::Unseen)
            }
            Some(Host::Domain(_)) => Ok(()),
        }?;
        match url.port_or_known_default() {
            Some(port) if !self.is_allowed_port(port) => Err(NotAllowed::Port(port)),
            _ => Ok(()),
        }
    }

    fn judge_scheme(&self, url: &Url) -> Result<(), NotAllowed> {
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.allow_http => Ok(()),
            "http" => Err(NotAllowed::Plaintext),
            other => Err(NotAllowed::Scheme(other.to_owned())),
        }
    }

    fn is_allowed_port(&self, port: u16) -> bool {
        let is_usual = matches!(port, 80 | 443) || (port >= PORT_FIRST && !SERVICE_PORTS.contains(&port));
        is_usual || self.allow_ports.iter().any(|allowed| allowed.get() == port)
    }

    /// Judges an address that is about to be dialled, and every IPv4 address inside it.
    ///
    /// # Errors
    /// [`NotAllowed::Address`], [`NotAllowed::Denied`], [`NotAllowed::Outside`].
    pub fn judge_address(&self, address: IpAddr) -> Result<(), NotAllowed> {
        let address = address.to_canonical();
        let denies = |reached| self.deny_cidrs.iter().find(|net| covers(net, reached)).copied();
        if let Some(range) = denies(address) {
            return Err(NotAllowed::Denied { address, embedded: None, range });
        }
        for v4 in embedded(address, 0) {
            if let Some(range) = denies(v4.into()) {
                return Err(NotAllowed::Denied { address, embedded: Some(v4), range });
            }
        }
        let prefix_len = match (self.allowing(address), special_range(address)) {
            (Some(net), _) => net.prefix_len(),
            (None, Some((range, name))) => {
                return Err(NotAllowed::Address { address, embedded: None, range, name });
            }
            (None, None) => 0,
        };
        // Leave for a network of translated addresses is no leave for the addresses behind the translator.
        for v4 in embedded(address, prefix_len) {
            if let (None, Some((range, name))) = (self.allowing(v4.into()), special_range(v4.into())) {
                return Err(NotAllowed::Address { address, embedded: Some(v4), range, name });
            }
        }
        self.judge_narrowed(address)
    }

    /// Judges whether the ranges that are left cover an address, and every special one inside it.
    fn judge_narrowed(&self, address: IpAddr) -> Result<(), NotAllowed> {
        let Some(only) = &self.only_cidrs else { return Ok(()) };
        let narrowest = |reached| only.iter().filter(|net| covers(net, reached)).map(IpNet::prefix_len).max();
        let Some(prefix_len) = narrowest(address) else {
            return Err(NotAllowed::Outside { address, embedded: None });
        };
        for v4 in embedded(address, prefix_len) {
            if narrowest(v4.into()).is_none() && special_range(v4.into()).is_some() {
                return Err(NotAllowed::Outside { address, embedded: Some(v4) });
            }
        }
        Ok(())
    }

    /// The narrowest range of --allow-cidr that covers an address.
    fn allowing(&self, address: IpAddr) -> Option<IpNet> {
        let nets = self.allow_cidrs.iter().filter(|net| covers(net, address));
        nets.max_by_key(|net| net.prefix_len()).copied()
    }

    /// The addresses that may be dialled, of those that a name resolves to. Of a public and a private one, only the public
    /// one may.
    fn choose(&self, found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, NotAllowed> {
        let mut refused = NotAllowed::Unresolved("no address".to_owned());
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

fn leading_to(embedded: Option<Ipv4Addr>) -> String {
    embedded.map(|v4| format!("it leads to {v4}, ")).unwrap_or_default()
}

/// Whether no name that is resolved here has this character. Underscores are common, and resolved.
fn is_no_letter_of_names(character: char) -> bool {
    !character.is_ascii_alphanumeric() && !matches!(character, '-' | '_' | '.')
}

/// Whether DNS may know a name (RFC 1123 section 2.1).
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
mod tests;
