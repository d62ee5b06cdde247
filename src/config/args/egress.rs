//! The flags that say which addresses may be called.

use clap::Args;

/// Addresses that may be called.
#[derive(Args, Clone, Debug, Default)]
pub struct Egress {
    /// Allow plain http
    #[arg(long, env = "POSTRIDER_ALLOW_HTTP", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
    pub allow_http: Option<String>,
    /// Allow a special range (loopback, private, ...), as 10.0.0.0/8; repeatable. A special IPv4 address inside an IPv6 address
    /// (NAT64) must be allowed itself
    #[arg(long, env = "POSTRIDER_ALLOW_CIDR", value_name = "CIDR", value_delimiter = ',')]
    pub allow_cidr: Vec<String>,
    /// Never call this range, even if another flag allows it, nor an address that embeds one of it; repeatable
    #[arg(long, env = "POSTRIDER_DENY_CIDR", value_name = "CIDR", value_delimiter = ',')]
    pub deny_cidr: Vec<String>,
    /// Allow another port; repeatable. Always allowed: 80, 443 and 1024-65535, except well-known database and broker ports
    #[arg(long, env = "POSTRIDER_ALLOW_PORT", value_name = "PORT", value_delimiter = ',')]
    pub allow_port: Vec<String>,
    /// Send every request through this proxy, as `http://host:3128`. The proxy resolves names, and should allow no special range
    #[arg(long, env = "POSTRIDER_EGRESS_PROXY", value_name = "URL", hide_env_values = true)]
    pub egress_proxy: Option<String>,
}
