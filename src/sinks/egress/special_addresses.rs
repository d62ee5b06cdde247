//! The special addresses, from the registries of IANA.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use thiserror::Error;

/// IPv4 ranges that are not globally routable unicast (IANA special-purpose registry, RFC 6890 and successors). One address is
/// added: Azure gives it to the host below its machines, although it looks public. The addresses that other clouds use so are
/// link-local, private or shared.
const SPECIAL_V4: [(Ipv4Addr, u8, &str); 18] = [
    (Ipv4Addr::UNSPECIFIED, 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "host service of Azure"),
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

/// IPv6 ranges that are not globally routable unicast, and have a name. All addresses outside `2000::/3` are special too, so
/// that a range assigned there later is not called.
const SPECIAL_V6: [(Ipv6Addr, u8, &str); 17] = [
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (Ipv6Addr::UNSPECIFIED, 96, "IPv4-compatible"),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, "NAT64"),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "NAT64"),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64, "discard"),
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16, "segment routing"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "unique local"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "site-local"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, "Teredo"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "IETF protocol assignments"),
    (Ipv6Addr::new(0x2001, 0x0db8, 0, 0, 0, 0, 0, 0), 32, "documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (Ipv6Addr::new(0x2620, 0x004f, 0x8000, 0, 0, 0, 0, 0), 48, "AS112"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation"),
];
/// The range that is assigned as global unicast today.
const GLOBAL_V6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// The range where IPv4 is written as IPv6 (RFC 4291, section 2.5.5.2).
const MAPPED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);

/// Why a text names no range of addresses. The message says what is allowed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidRange {
    /// An address without a prefix length.
    #[error("needs a prefix length too; {0} is this address alone")]
    Address(IpNet),
    /// IPv4 written as IPv6, with a prefix that covers more than IPv4.
    #[error("needs a prefix length of 96 to 128 where IPv4 is written as IPv6; {0} is all of IPv4")]
    Mapped(Ipv6Net),
    /// No address at all.
    #[error("needs an address and a prefix length, as 10.0.0.0/8")]
    Other,
}

/// Reads a range as people type it. IPv4 that is written as IPv6 becomes IPv4. Bits behind the prefix are dropped.
///
/// # Errors
/// [`InvalidRange`].
pub fn parse_range(text: &str) -> Result<IpNet, InvalidRange> {
    let text = text.trim();
    let Ok(net) = text.parse::<IpNet>() else {
        let address = text.parse::<IpAddr>();
        return Err(address.map_or(InvalidRange::Other, |address| InvalidRange::Address(address.into())));
    };
    if let IpNet::V6(v6) = net
        && v6.prefix_len() < MAPPED.prefix_len()
        && MAPPED.contains(&v6.addr())
    {
        return Err(InvalidRange::Mapped(MAPPED));
    }
    Ok(meant(net).trunc())
}

/// Whether a range covers an address. A range of IPv4 written as IPv6 covers addresses of IPv4.
pub(super) fn covers(net: &IpNet, address: IpAddr) -> bool {
    meant(*net).contains(&address)
}

/// The range in its own family: IPv4 if it is IPv4 written as IPv6.
fn meant(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let v4 = v6.addr().to_ipv4_mapped();
    let prefix = v6.prefix_len().checked_sub(MAPPED.prefix_len());
    let mapped = v4.zip(prefix).and_then(|(v4, prefix)| Ipv4Net::new(v4, prefix).ok());
    mapped.map_or(net, IpNet::V4)
}

/// The special range of an address, and its name. `None` if the address is globally routable unicast.
pub(super) fn special_range(address: IpAddr) -> Option<(IpNet, &'static str)> {
    match address {
        IpAddr::V4(v4) => {
            let nets = SPECIAL_V4.iter().map(|(net, bits, name)| (Ipv4Net::new_assert(*net, *bits), *name));
            nets.into_iter().find(|(net, _)| net.contains(&v4)).map(|(net, name)| (net.into(), name))
        }
        IpAddr::V6(v6) => {
            let nets = SPECIAL_V6.iter().map(|(net, bits, name)| (Ipv6Net::new_assert(*net, *bits), *name));
            let special = nets.into_iter().find(|(net, _)| net.contains(&v6));
            let elsewhere =
                || (!GLOBAL_V6.contains(&v6)).then_some((Ipv6Net::default(), "not global unicast"));
            special.or_else(elsewhere).map(|(net, name)| (net.into(), name))
        }
    }
}
