//! IPv4 addresses inside IPv6 ones. A packet to `64:ff9b::a00:1` on a network with NAT64 reaches 10.0.0.1.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Lengths that the prefix of a translator may have (RFC 6052, section 2.2), within the /48 that RFC 8215 keeps for networks of
/// one's own. The IPv4 address follows the prefix, around the byte from bit 64 on.
const TRANSLATOR_PREFIXES: [u8; 4] = [48, 56, 64, 96];

/// The IPv4 addresses that a packet to this address may end at. All ways to carry an IPv4 address are looked at that have a
/// form of their own. If the operator names the prefix of a translator, no address is looked for before `prefix_len`.
pub(super) fn embedded(address: IpAddr, prefix_len: u8) -> Vec<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return Vec::new() };
    let bits = v6.to_bits();
    let mut found = match v6.segments() {
        // The unspecified address and loopback carry nothing.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Vec::new(),
        // Mapped (RFC 4291), compatible (the same), translated (RFC 2765), NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _]
        | [0, 0, 0, 0, 0xffff, 0, _, _]
        | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => {
            vec![ipv4_at(bits, 96)]
        }
        [0x64, 0xff9b, 1, ..] => translated(bits, prefix_len),
        // 6to4 (RFC 3056).
        [0x2002, ..] => vec![ipv4_at(bits, 16)],
        // Teredo (RFC 4380): the server, and the client with every bit inverted.
        [0x2001, 0, ..] => vec![ipv4_at(bits, 32), ipv4_at(!bits, 96)],
        _ => Vec::new(),
    };
    // ISATAP (RFC 5214), below any prefix, with any value of the bits "universal" and "group".
    if matches!(v6.segments(), [_, _, _, _, 0 | 0x100 | 0x200 | 0x300, 0x5efe, _, _]) {
        found.push(ipv4_at(bits, 96));
    }
    found
}

/// The addresses that a translator of the network's own may take out. Nobody knows its prefix, so each length is tried.
fn translated(bits: u128, prefix_len: u8) -> Vec<Ipv4Addr> {
    let possible = TRANSLATOR_PREFIXES.into_iter().filter(|prefix| *prefix >= prefix_len.min(96));
    let mut found: Vec<Ipv4Addr> = possible.map(|prefix| behind(bits, prefix)).collect();
    // No IPv4 address of a host begins with a zero: such bytes are the rest of a longer prefix.
    if found.iter().any(|v4| v4.octets().starts_with(&[0])) {
        let whole = found.last().copied();
        found.retain(|v4| !v4.octets().starts_with(&[0]));
        if found.is_empty() {
            found.extend(whole);
        }
    }
    found
}

/// The IPv4 address behind a translator's prefix. The byte from bit 64 on does not belong to it.
fn behind(bits: u128, prefix: u8) -> Ipv4Addr {
    if prefix == 96 {
        return ipv4_at(bits, 96);
    }
    let (high, low) = (bits >> 64, (bits << 72) >> 64);
    // That byte has 64 bits before it, and 56 after it.
    ipv4_at((high << 64) | low, prefix)
}

fn ipv4_at(bits: u128, bit: u8) -> Ipv4Addr {
    let [a, b, c, d, ..] = Ipv6Addr::from_bits(bits << bit).octets();
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(address: &str, prefix_len: u8) -> Vec<String> {
        let found = embedded(address.parse().unwrap(), prefix_len);
        found.iter().map(Ipv4Addr::to_string).collect()
    }

    #[test]
    fn an_ipv4_address_is_found_in_every_form_that_carries_one() {
        for (address, expected) in [
            ("::192.0.2.33", &["192.0.2.33"][..]),
            ("::ffff:192.0.2.33", &["192.0.2.33"]),
            ("::ffff:0:192.0.2.33", &["192.0.2.33"]),
            ("64:ff9b::192.0.2.33", &["192.0.2.33"]),
            ("2002:c000:221::1", &["192.0.2.33"]),
            // RFC 4380, section 4: server and client.
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", &["65.54.227.120", "192.0.2.45"]),
            ("2001:db8::5efe:192.0.2.33", &["192.0.2.33"]),
            ("2606:4700::200:5efe:192.0.2.33", &["192.0.2.33"]),
            ("2002:c000:221::5efe:10.0.0.1", &["192.0.2.33", "10.0.0.1"]),
        ] {
            assert_eq!(found(address, 0), expected, "{address}");
        }
        for address in ["::", "::1", "10.0.0.1", "2606:4700::1111", "64:ff9b:2::1", "2001:1::1", "fd00::1"] {
            assert!(found(address, 0).is_empty(), "{address}");
        }
    }

    /// The examples of RFC 6052, section 2.4, with the prefix of RFC 8215.
    #[test]
    fn behind_a_translators_prefix_it_is_found_at_every_place_where_it_may_be() {
        for (address, v4) in [
            ("64:ff9b:1:c000:2:2100::", "192.0.2.33"),
            ("64:ff9b:1:1c0:0:221::", "192.0.2.33"),
            ("64:ff9b:1:122:c0:2:2100:0", "192.0.2.33"),
            ("64:ff9b:1:122::c000:221", "192.0.2.33"),
        ] {
            assert!(found(address, 48).contains(&v4.to_owned()), "{address}: {:?}", found(address, 48));
        }
    }

    #[test]
    fn of_a_translator_whose_whole_prefix_is_named_it_is_found_there_alone() {
        assert_eq!(found("64:ff9b:1:a00:1:100:808:808", 96), ["8.8.8.8"]);
        assert_eq!(found("64:ff9b:1::808:808", 48), ["8.8.8.8"]);
        assert_eq!(found("64:ff9b:1::1", 48), ["0.0.0.1"]);
    }
}
