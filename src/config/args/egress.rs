//! What may be called, as typed.

use clap::Args;

/// What may be called.
#[derive(Args, Clone, Debug, Default)]
pub struct Egress {
    /// Allow plain http
    #[arg(long, env = "POSTRIDER_ALLOW_HTTP", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
    pub allow_http: Option<String>,
    /// Allow a special range (loopback, private, ...), as 10.0.0.0/8; an IPv4 address that one of IPv6 carries (NAT64) needs leave
    /// of its own if it is special; repeatable
    #[arg(long, env = "POSTRIDER_ALLOW_CIDR", value_name = "CIDR", value_delimiter = ',')]
    pub allow_cidr: Vec<String>,
    /// Never call this range, whatever else allows it, nor an address that carries one of it; repeatable
    #[arg(long, env = "POSTRIDER_DENY_CIDR", value_name = "CIDR", value_delimiter = ',')]
    pub deny_cidr: Vec<String>,
    /// Allow a port beside 80, 443 and those from 1024 that no database or the like uses; repeatable
    #[arg(long, env = "POSTRIDER_ALLOW_PORT", value_name = "PORT", value_delimiter = ',')]
    pub allow_port: Vec<String>,
    /// Send every request through this proxy, as `http://host:3128`; it resolves names, and should allow no special range
    #[arg(long, env = "POSTRIDER_EGRESS_PROXY", value_name = "URL", hide_env_values = true)]
    pub egress_proxy: Option<String>,
}
