//! The environment: the variables that are read, and a warning for those that look like ours and are not.

use std::ffi::OsString;

use crate::config::args;
use crate::rules::did_you_mean::nearest;
use crate::store::Environment;

const OURS: &str = "POSTRIDER_";
/// Read by the test suite.
const OF_TESTS: &str = "POSTRIDER_TEST_";

/// Reads libpq's variables and `DATABASE_URL`.
pub(super) fn read() -> Environment {
    let is_read =
        |name: &str| name.starts_with("PG") || ["DATABASE_URL", "HOME", "USER", "LOGNAME"].contains(&name);
    texts(std::env::vars_os()).filter(|(name, _)| is_read(name)).collect()
}

/// Returns a warning for each unknown variable that begins with our prefix. No error: other programs set variables too.
pub(super) fn unknown_variables() -> Vec<String> {
    let known = args::variables();
    let is_known = |name: &str| known.iter().any(|known| known == name);
    let is_ours = |name: &str| name.starts_with(OURS) && !name.starts_with(OF_TESTS);
    texts(std::env::vars_os())
        .filter(|(name, value)| is_ours(name) && !is_known(name) && !is_of_kubernetes(name, value))
        .map(|(name, _)| match nearest(bare(&name), known.iter().map(|known| bare(known))) {
            Some(meant) => format!("{name} in the environment is no setting, did you mean {OURS}{meant}?"),
            None => {
                format!("{name} in the environment is no setting; postrider config show names them all")
            }
        })
        .collect()
}

/// Strips the prefix, which would make all names look alike.
fn bare(name: &str) -> &str {
    name.strip_prefix(OURS).unwrap_or(name)
}

fn texts(variables: impl Iterator<Item = (OsString, OsString)>) -> impl Iterator<Item = (String, String)> {
    variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Kubernetes gives every container the addresses of the services in its namespace, also of one named postrider or
/// postrider-api.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let is_port =
        name.ends_with("_PORT") && ["tcp://", "udp://", "sctp://"].iter().any(|s| value.starts_with(s));
    let of_a_port =
        name.split_once("_PORT_").is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()));
    is_port || of_a_port || name.contains("_SERVICE_HOST") || name.contains("_SERVICE_PORT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_sets_for_a_service_of_our_name_is_known() {
        for (name, value) in [
            ("POSTRIDER_SERVICE_HOST", "10.0.0.11"),
            ("POSTRIDER_SERVICE_PORT", "7678"),
            ("POSTRIDER_SERVICE_PORT_API", "7678"),
            ("POSTRIDER_PORT", "tcp://10.0.0.11:7678"),
            ("POSTRIDER_PORT_7678_TCP", "tcp://10.0.0.11:7678"),
            ("POSTRIDER_PORT_7678_TCP_PROTO", "tcp"),
            ("POSTRIDER_API_PORT_7678_TCP_ADDR", "10.0.0.11"),
        ] {
            assert!(is_of_kubernetes(name, value), "{name}");
        }
        for (name, value) in
            [("POSTRIDER_PORT", "7678"), ("POSTRIDER_ALOW_PORT", "22"), ("POSTRIDER_LEESE", "1m")]
        {
            assert!(!is_of_kubernetes(name, value), "{name}");
        }
    }
}
