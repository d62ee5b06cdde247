//! What the driver is told: our options in its words and units, and a deadline for everything.

use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, LoadBalanceHosts, SslMode, TargetSessionAttrs};

use super::host::DatabaseHost;
use super::options::Options;

/// For a TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a session: the name server, every address of the name, TLS and the password.
const HOST_DEADLINE: Duration = Duration::from_secs(10);
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);
const KEEPALIVES_IDLE: u32 = 10;
const KEEPALIVES_INTERVAL: u32 = 5;
const KEEPALIVES_COUNT: u32 = 3;

/// What is the same for every host.
pub(super) fn config(options: &Options) -> Result<Config, String> {
    let mut config = Config::new();
    if let Some(user) = options.text("user") {
        config.user(user);
    }
    if let Some(database) = options.text("dbname") {
        config.dbname(database);
    }
    if let Some(flags) = options.text("options") {
        config.options(flags);
    }
    set_words(&mut config, options)?;
    config.connect_timeout(connect_timeout(options)?.unwrap_or(CONNECT_TIMEOUT));
    let ms = options.number::<u32>("tcp_user_timeout", " of milliseconds")?;
    config.tcp_user_timeout(ms.map_or(TCP_USER_TIMEOUT, |ms| Duration::from_millis(ms.into())));
    config.keepalives(options.number::<i32>("keepalives", ", 0 or 1")?.unwrap_or(1) != 0);
    // Zero: the system's default, which the driver has when it is told nothing.
    let number = |name, unit, default| -> Result<Option<u32>, String> {
        Ok(Some(options.number(name, unit)?.unwrap_or(default)).filter(|number| *number != 0))
    };
    if let Some(seconds) = number("keepalives_idle", " of seconds", KEEPALIVES_IDLE)? {
        config.keepalives_idle(Duration::from_secs(seconds.into()));
    }
    if let Some(seconds) = number("keepalives_interval", " of seconds", KEEPALIVES_INTERVAL)? {
        config.keepalives_interval(Duration::from_secs(seconds.into()));
    }
    if let Some(count) = number("keepalives_count", "", KEEPALIVES_COUNT)? {
        config.keepalives_retries(count);
    }
    Ok(config)
}

fn set_words(config: &mut Config, options: &Options) -> Result<(), String> {
    let binding = [
        ("disable", ChannelBinding::Disable),
        ("prefer", ChannelBinding::Prefer),
        ("require", ChannelBinding::Require),
    ];
    if let Some(binding) = options.choice("channel_binding", &binding)? {
        config.channel_binding(binding);
    }
    let attributes = [
        ("any", TargetSessionAttrs::Any),
        ("read-write", TargetSessionAttrs::ReadWrite),
        // The driver has no other word for it, and a primary that takes no writes is of no use to us.
        ("primary", TargetSessionAttrs::ReadWrite),
        ("read-only", TargetSessionAttrs::ReadOnly),
    ];
    if let Some(attributes) = options.choice("target_session_attrs", &attributes)? {
        config.target_session_attrs(attributes);
    }
    let order = [("disable", LoadBalanceHosts::Disable), ("random", LoadBalanceHosts::Random)];
    if let Some(order) = options.choice("load_balance_hosts", &order)? {
        config.load_balance_hosts(order);
    }
    // Of no effect: the driver always speaks UTF-8, and no GSSAPI.
    options.choice("client_encoding", &[("utf8", ()), ("UTF8", ()), ("auto", ())])?;
    options.choice("gssencmode", &[("disable", ()), ("prefer", ())])?;
    Ok(())
}

/// The same, for one host.
pub(super) fn at(place: &DatabaseHost, config: &Config, ssl_mode: SslMode) -> Config {
    let mut config = config.clone();
    config.host(&place.host).port(place.port);
    if let Some(address) = place.address {
        config.hostaddr(address);
    }
    config.ssl_mode(if place.is_socket() { SslMode::Disable } else { ssl_mode });
    config
}

/// How long one host may take until there is a session.
pub(super) fn host_deadline(options: &Options) -> Result<Duration, String> {
    Ok(connect_timeout(options)?.unwrap_or(HOST_DEADLINE))
}

/// The deadline that is given. Zero and less mean none in libpq, and our own here: we never wait without one.
fn connect_timeout(options: &Options) -> Result<Option<Duration>, String> {
    let seconds = options.number::<i32>("connect_timeout", " of seconds")?;
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds != 0);
    Ok(seconds.map(Duration::from_secs))
}
