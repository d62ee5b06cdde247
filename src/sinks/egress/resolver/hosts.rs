//! `/etc/hosts`. hickory would leave out names with an underscore, and ask DNS for the other kind of address of a name.

use std::collections::HashMap;
use std::net::IpAddr;

/// The names of the file, in small letters, and their addresses.
#[derive(Debug, Default)]
pub(super) struct Hosts(HashMap<String, Vec<IpAddr>>);

impl Hosts {
    /// Reads the file. Lines that say nothing are left out: `address name alias ... # comment`.
    pub(super) fn read(text: &[u8]) -> Self {
        let mut names: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for line in String::from_utf8_lossy(text).trim_start_matches('\u{feff}').lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            // The zone of a link (fe80::1%eth0) is no part of the address.
            let address = words.next().and_then(|word| word.split('%').next()?.parse().ok());
            let Some(address) = address else { continue };
            for name in words {
                let known = names.entry(key(name)).or_default();
                if !known.contains(&address) {
                    known.push(address);
                }
            }
        }
        Self(names)
    }

    /// The addresses of a name, if the file has it.
    pub(super) fn find(&self, name: &str) -> Option<&[IpAddr]> {
        self.0.get(&key(name)).map(Vec::as_slice)
    }
}

fn key(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_line_has_its_address_however_it_is_written() {
        let hosts = Hosts::read(
            b"\xef\xbb\xbf# ours\n 192.0.2.1\torder_service  Orders.Example # main\n2001:db8::1 orders.example\n\
              192.0.2.1 orders.example\nfe80::1%eth0 link\n999.1.1.1 wrong\nnothing\n192.0.2.3\n\xff\xfe bytes\n\
              192.0.2.4 7 xn--bcher-kva.example last",
        );

        for (name, addresses) in [
            ("order_service", &["192.0.2.1"][..]),
            ("ORDERS.example.", &["192.0.2.1", "2001:db8::1"]),
            ("link", &["fe80::1"]),
            ("7", &["192.0.2.4"]),
            ("xn--bcher-kva.example", &["192.0.2.4"]),
            ("last", &["192.0.2.4"]),
            ("wrong", &[]),
            ("bytes", &[]),
            ("main", &[]),
        ] {
            let found: Vec<String> =
                hosts.find(name).unwrap_or_default().iter().map(ToString::to_string).collect();

            assert_eq!(found, addresses, "{name}");
        }
    }
}
