//! The settings that say what may be called.

use std::str::FromStr;

use super::Settings;
use crate::cli;
use crate::egress::{EgressPolicy, EgressProxy, InvalidProxy};

const CIDR_EXPECTED: &str = "needs an address and a prefix length, as 10.0.0.0/8";

impl Settings {
    /// What may be called.
    pub fn egress(&mut self, typed: &cli::Egress) -> EgressPolicy {
        EgressPolicy {
            allow_http: self.switch("allow_http", typed.allow_http.as_deref()),
            allow_cidrs: self.parsed_list("allow_cidr", &typed.allow_cidr, CIDR_EXPECTED),
            deny_cidrs: self.parsed_list("deny_cidr", &typed.deny_cidr, CIDR_EXPECTED),
            allow_ports: self.parsed_list("allow_port", &typed.allow_port, "needs a port, 1 to 65535"),
            proxy: self.proxy(typed.egress_proxy.clone()),
        }
    }

    fn proxy(&mut self, typed: Option<String>) -> Option<EgressProxy> {
        let text = self.text("egress_proxy", typed, None)?;
        // It may carry a password.
        text.parse()
            .map_err(|fault: InvalidProxy| self.problems.add("egress_proxy", &fault.to_string(), None))
            .ok()
    }

    /// What the texts of a list mean; those that mean nothing are problems.
    fn parsed_list<T: FromStr>(&mut self, name: &str, typed: &[String], expected: &str) -> Vec<T> {
        let mut parsed = Vec::new();
        for text in self.list(name, typed.to_vec()) {
            match text.trim().parse() {
                Ok(value) => parsed.push(value),
                Err(_) => self.problems.add(name, expected, Some(&text)),
            }
        }
        parsed
    }
}
