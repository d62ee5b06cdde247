//! The settings that say which addresses may be called.

use std::fmt::Display;

use ipnet::IpNet;
use tracing::warn;

use super::Settings;
use crate::config::args;
use crate::sinks::egress::{EgressPolicy, EgressProxy, InvalidProxy, parse_range};

/// The widest private ranges are 10.0.0.0/8 and `fc00::/7`.
const PREFIX_MIN: (u8, u8) = (8, 7);

impl Settings {
    /// Reads the policy for addresses that may be called.
    pub fn egress(&mut self, typed: &args::Egress) -> EgressPolicy {
        let policy = EgressPolicy {
            allow_http: self.switch("allow_http", typed.allow_http.as_deref()),
            allow_cidrs: self.parsed_list("allow_cidr", &typed.allow_cidr, parse_range),
            deny_cidrs: self.parsed_list("deny_cidr", &typed.deny_cidr, parse_range),
            allow_ports: self.parsed_list("allow_port", &typed.allow_port, |text| {
                text.trim().parse().or(Err("needs a port, 1 to 65535"))
            }),
            only_cidrs: None,
            proxy: self.proxy(typed.egress_proxy.clone()),
        };
        for cidr in policy.allow_cidrs.iter().filter(|cidr| is_too_wide(cidr)) {
            warn!(
                "allow_cidr: {cidr} is wider than any private range: anybody who registers an endpoint can reach all of it, \
                 this machine, private networks and cloud metadata (169.254.169.254) included; allow only the ranges of your endpoints"
            );
        }
        policy
    }

    fn proxy(&mut self, typed: Option<String>) -> Option<EgressProxy> {
        let text = self.text("egress_proxy", typed, None)?;
        // Not shown: it may carry a password.
        text.parse()
            .map_err(|fault: InvalidProxy| self.problems.add("egress_proxy", &fault.to_string(), None))
            .ok()
    }

    /// Parses each text of a list; a text that cannot be parsed is a problem.
    fn parsed_list<T, E: Display>(
        &mut self,
        name: &str,
        typed: &[String],
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let mut parsed = Vec::new();
        for text in self.list(name, typed.to_vec()) {
            match parse(&text) {
                Ok(value) => parsed.push(value),
                Err(fault) => self.problems.add(name, &fault.to_string(), Some(&text)),
            }
        }
        parsed
    }
}

fn is_too_wide(cidr: &IpNet) -> bool {
    let (v4, v6) = PREFIX_MIN;
    cidr.prefix_len() < if cidr.addr().is_ipv4() { v4 } else { v6 }
}
