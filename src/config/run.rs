//! Typed → checked: flag, environment, file and default become one configuration, or a list of all that is wrong with
//! them. Opens no socket.

use std::net::SocketAddr;
use std::time::Duration;

use super::{ApiToken, Settings, args, tokens};
use crate::dispatcher::DispatcherConfig;
use crate::sinks::cloudevents::is_source;
use crate::store::{Retention, WakeMode};
use crate::validation::{Problems, parse_address, parse_number};

/// Largest `max_payload`, in bytes: some of them are in memory at once, and each of those twice for a while.
const PAYLOAD_MAX: u64 = 32 * 1024 * 1024;

/// The defaults, as `--help` shows them.
pub mod defaults {
    /// `--api-listen`
    pub const API_LISTEN: &str = "127.0.0.1:7678";
    /// `--cloudevents-source`
    pub const CLOUDEVENTS_SOURCE: &str = "/postrider";
    /// `--max-in-flight`
    pub const MAX_IN_FLIGHT: &str = "512";
    /// `--max-payload`
    pub const MAX_PAYLOAD: &str = "1MiB";
    /// `--poll-interval`
    pub const POLL_INTERVAL: &str = "1s";
    /// `--lease`
    pub const LEASE: &str = "60s";
    /// `--grace-period`
    pub const GRACE_PERIOD: &str = "20s";
    /// `--wake`
    pub const WAKE: &str = "notify";
    /// `--request-timeout`
    pub const REQUEST_TIMEOUT: &str = "15s";
    /// `--connection-max-age`
    pub const CONNECTION_MAX_AGE: &str = "5m";
    /// `--disable-after`
    pub const DISABLE_AFTER: &str = "5d";
    /// `--retain-complete`
    pub const RETAIN_COMPLETE: &str = "7d";
    /// `--retain-failed`
    pub const RETAIN_FAILED: &str = "30d";
}

/// What `postrider run` does, checked.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// What the dispatcher does.
    pub dispatcher: DispatcherConfig,
    /// Who reaches the API.
    pub api: ApiConfig,
}

/// Who reaches the API, checked.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Its address.
    pub listen: SocketAddr,
    /// Every request needs one of them. Without any, the API is open to whoever reaches the address.
    pub tokens: Vec<ApiToken>,
    /// Names that the Host header may have, beside addresses and localhost.
    pub hosts: Vec<String>,
}

impl RunConfig {
    /// Checks everything that `postrider run` was given.
    ///
    /// # Errors
    /// All [`Problems`] at once.
    pub fn check(
        mut settings: Settings,
        database_url: Option<String>,
        typed: args::Run,
    ) -> Result<Self, Problems> {
        let config = Self::read(&mut settings, database_url, typed);
        settings.problems.unless_any(config)
    }

    /// Reads everything that `postrider run` was given; what is wrong is with the settings' problems, what was read with
    /// their readings. `None` if something is wrong.
    pub fn read(settings: &mut Settings, database_url: Option<String>, typed: args::Run) -> Option<Self> {
        let database = settings.database(database_url);
        let listen_database = match settings.text("listen_database_url", typed.listen_database_url, None) {
            Some(text) => settings.database_url("listen_database_url", &text),
            None => database.clone(),
        };
        let installation = settings.installation(typed.installation);
        let api_listen = check_address(settings, typed.api_listen);
        let api_tokens = tokens::check(settings, typed.api_token_file, api_listen);
        let api_hosts = settings.list("api_host", typed.api_host);
        let egress = settings.egress(&typed.egress);
        let vault = settings.vault(&typed.encryption);
        let cloudevents_source = check_source(settings, typed.cloudevents_source);
        let max_in_flight = check_max_in_flight(settings, typed.max_in_flight);
        let hour = Duration::from_hours(1);
        let poll_interval = settings.duration(
            "poll_interval",
            typed.poll_interval,
            defaults::POLL_INTERVAL,
            (Duration::from_millis(10), hour),
        );
        let (lease, request_timeout) = check_lease(settings, typed.lease, typed.request_timeout);
        let grace_period = settings.duration(
            "grace_period",
            typed.grace_period,
            defaults::GRACE_PERIOD,
            (Duration::ZERO, hour),
        );
        let connection_max_age = check_connection_max_age(settings, typed.connection_max_age);
        let max_payload = check_max_payload(settings, typed.max_payload);
        let range = (Duration::from_secs(1), Duration::from_hours(365 * 24));
        let disable_after =
            settings.duration("disable_after", typed.disable_after, defaults::DISABLE_AFTER, range);
        let retention = check_retention(settings, typed.retain_complete, typed.retain_failed);
        let wake = check_wake(settings, typed.wake);
        let no_migrate = settings.switch("no_migrate", typed.no_migrate.as_deref());
        let all = || {
            let api = ApiConfig { listen: api_listen?, tokens: api_tokens?, hosts: api_hosts };
            let dispatcher = DispatcherConfig {
                database: database?.of_installation(installation),
                listen_database: listen_database?,
                egress,
                vault: vault?,
                cloudevents_source: cloudevents_source?,
                max_in_flight: max_in_flight?,
                poll_interval: poll_interval?,
                lease: lease?,
                grace_period: grace_period?,
                wake: wake?,
                idle_pause: if wake? == WakeMode::Sleep { poll_interval? } else { Duration::ZERO },
                request_timeout: request_timeout?,
                connection_max_age: connection_max_age?,
                max_payload: max_payload?,
                disable_after: disable_after?,
                retention: retention?,
                no_migrate,
                only_endpoint: None,
            };
            Some(Self { dispatcher, api })
        };
        all()
    }
}

fn check_address(settings: &mut Settings, typed: Option<String>) -> Option<SocketAddr> {
    let text = settings.text("api_listen", typed, Some(defaults::API_LISTEN))?;
    parse_address("api_listen", &text, &mut settings.problems)
}

fn check_source(settings: &mut Settings, typed: Option<String>) -> Option<String> {
    let text = settings.text("cloudevents_source", typed, Some(defaults::CLOUDEVENTS_SOURCE))?;
    if is_source(&text) {
        return Some(text);
    }
    let expected = "needs a URI reference of 1 to 512 bytes, as /shop or https://example.com/shop";
    settings.problems.add("cloudevents_source", expected, Some(&text));
    None
}

fn check_max_in_flight(settings: &mut Settings, typed: Option<String>) -> Option<usize> {
    let text = settings.text("max_in_flight", typed, Some(defaults::MAX_IN_FLIGHT))?;
    parse_number("max_in_flight", &text, 10_000, &mut settings.problems)
}

/// A whole number of KiB or MiB.
fn check_max_payload(settings: &mut Settings, typed: Option<String>) -> Option<u64> {
    let text = settings.text("max_payload", typed, Some(defaults::MAX_PAYLOAD))?;
    let units = [("KiB", 1024), ("MiB", 1024 * 1024)];
    let of = |(unit, bytes): (&str, u64)| {
        text.trim().strip_suffix(unit)?.trim().parse::<u64>().ok()?.checked_mul(bytes)
    };
    let parsed = units.into_iter().find_map(of).filter(|bytes| (1024..=PAYLOAD_MAX).contains(bytes));
    if parsed.is_none() {
        settings.problems.add("max_payload", "needs 1KiB to 32MiB, as 256KiB or 1MiB", Some(&text));
    }
    parsed
}

fn check_lease(
    settings: &mut Settings,
    lease: Option<String>,
    request_timeout: Option<String>,
) -> (Option<Duration>, Option<Duration>) {
    let lease =
        settings.duration("lease", lease, defaults::LEASE, (Duration::from_secs(1), Duration::from_hours(1)));
    let range = (Duration::from_millis(100), Duration::from_mins(5));
    let timeout = settings.duration("request_timeout", request_timeout, defaults::REQUEST_TIMEOUT, range);
    if let (Some(lease), Some(timeout)) = (lease, timeout)
        && lease < timeout * 2
    {
        let expected =
            format!("needs at least twice request_timeout ({})", humantime::format_duration(timeout));
        settings.problems.add("lease", &expected, Some(&humantime::format_duration(lease).to_string()));
    }
    (lease, timeout)
}

fn check_connection_max_age(settings: &mut Settings, typed: Option<String>) -> Option<Duration> {
    let range = (Duration::from_secs(1), Duration::from_hours(24));
    settings.duration("connection_max_age", typed, defaults::CONNECTION_MAX_AGE, range)
}

fn check_retention(
    settings: &mut Settings,
    complete: Option<String>,
    failed: Option<String>,
) -> Option<Retention> {
    let range = (Duration::from_secs(1), Duration::from_hours(3650 * 24));
    let complete = settings.duration("retain_complete", complete, defaults::RETAIN_COMPLETE, range);
    let failed = settings.duration("retain_failed", failed, defaults::RETAIN_FAILED, range);
    Some(Retention { complete: complete?, failed: failed? })
}

fn check_wake(settings: &mut Settings, typed: Option<String>) -> Option<WakeMode> {
    let text = settings.text("wake", typed, Some(defaults::WAKE))?;
    let mode = WakeMode::ALL.into_iter().find(|mode| mode.as_str() == text);
    if mode.is_none() {
        settings.problems.add("wake", "needs notify, poll or sleep", Some(&text));
    }
    mode
}
