//! How our sessions differ.

use std::time::Duration;

use super::super::STATEMENT_DEADLINE;
use super::super::statements::REQUIRE_HOME;

/// A setting that says nothing but that settings have reached the server.
pub(super) const MARK: &str = "postrider.session";

/// The setting that `postrider.require_home` compares with the database's name. Set even if we were told nothing, because a role or
/// database may have a value for it.
const INSTALLATION: &str = "postrider.installation";

/// What our statements call is PostgreSQL's own, whatever stands in the schemas that this role or database looks into first,
/// and in the temporary one, which is first unless it is named.
const SEARCH_PATH: (&str, &str) = ("search_path", "pg_catalog,pg_temp");
/// The same for one transaction, or for what a simple query has behind it.
pub(in crate::store) const PIN_SEARCH_PATH: &str = "set local search_path = pg_catalog, pg_temp";

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// Claims and settles: plans that must not flip.
    Dispatcher,
    /// LISTEN and the session locks: ended by the server when it falls silent.
    Listener,
    /// Renewals of the lease, and nothing that they could have to wait for.
    Lease,
    /// One command of a person.
    Command,
    /// Requests of the admin API.
    Api,
    /// Reads for metrics, again and again.
    Scrape,
}

impl Session {
    /// Statements for a listening session once notifications are proven to come back. Behind a transaction pooler they
    /// would hit the sessions of others.
    ///
    /// A dispatcher that is frozen or cut off would keep the bell and the leadership. It beats once a second, and gives a
    /// beat up after 5 s (`listener.rs`): after 8 s of silence nobody is there any more, however busy the machine, and
    /// the server ends the session.
    pub const LISTENER_GUARD: &'static str = "set idle_session_timeout = '8s'; set statement_timeout = '10s'";

    /// What the server shows of it; `given` stands in for our own name.
    pub(super) fn application_name(self, given: Option<&str>) -> String {
        let whose = given.unwrap_or("postrider");
        match self {
            Self::Dispatcher => whose.to_owned(),
            Self::Listener => format!("{whose} listener"),
            Self::Lease => format!("{whose} lease"),
            Self::Command => format!("{whose} command"),
            Self::Api => format!("{whose} api"),
            Self::Scrape => format!("{whose} metrics"),
        }
    }

    /// The longest one statement may take, in the server and on the way.
    pub const fn deadline(self) -> Duration {
        match self {
            // Half of the time between two renewals of the default lease: enough are left for another connection.
            Self::Lease => Duration::from_secs(5),
            Self::Dispatcher | Self::Listener | Self::Command | Self::Api | Self::Scrape => {
                STATEMENT_DEADLINE
            }
        }
    }

    /// What the server is told of it at the start. Not by SET: a transaction pooler in between would leave that behind
    /// in a connection that it gives to others, so there each transaction begins with [`Self::for_transaction`]. Values have
    /// no spaces.
    pub const fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // Planned while a table was empty, a cached plan with a scan or a hash join is kept until the next
            // autoanalyze: 8 to 41 ms a claim instead of a fraction of one. With only index paths left, one plan
            // serves for all parameters, and planning anew (0.2 to 0.35 ms a statement) gains nothing.
            Self::Dispatcher => &[
                ("enable_seqscan", "off"),
                ("enable_hashjoin", "off"),
                ("enable_mergejoin", "off"),
                ("enable_bitmapscan", "off"),
                ("enable_sort", "off"),
                ("jit", "off"),
                ("plan_cache_mode", "force_generic_plan"),
                ("statement_timeout", "25s"),
                // Nothing of ours holds a row for long; what somebody else has locked is written later and alone.
                ("lock_timeout", "100ms"),
                ("idle_in_transaction_session_timeout", "20s"),
            ],
            // A listener that stops reading would pin the server's notification queue until commits fail: the server
            // ends a session whose socket takes nothing for 8 s. (A Unix socket has no such limit.)
            Self::Listener => &[
                ("tcp_user_timeout", "8000"),
                ("tcp_keepalives_idle", "10"),
                ("tcp_keepalives_interval", "5"),
                ("tcp_keepalives_count", "3"),
            ],
            Self::Lease => &[("statement_timeout", "4s"), ("lock_timeout", "4s")],
            // Times are shown as RFC 3339 in UTC, wherever the server is.
            Self::Command => &[("statement_timeout", "5min"), ("lock_timeout", "30s"), ("timezone", "UTC")],
            // A request takes one process of the server, and no time to compile what runs for a millisecond.
            Self::Api => &[
                ("statement_timeout", "10s"),
                ("lock_timeout", "5s"),
                ("timezone", "UTC"),
                ("jit", "off"),
                ("max_parallel_workers_per_gather", "0"),
            ],
            Self::Scrape => &[
                ("default_transaction_read_only", "on"),
                ("enable_seqscan", "off"),
                ("jit", "off"),
                ("max_parallel_workers_per_gather", "0"),
                ("statement_timeout", "4s"),
            ],
        }
    }

    /// The same for a listening session that notifications come back to: a pooler that keeps sessions, and drops what they are
    /// told at the start, may stand in front of it.
    pub const LISTENER_PATH: &'static str = "set search_path = pg_catalog, pg_temp";

    /// Whether its connections work for a dispatcher: each begins with `require_home`, and behind a transaction pooler each
    /// transaction does.
    pub(super) const fn needs_home(self) -> bool {
        match self {
            Self::Dispatcher | Self::Lease => true,
            Self::Listener | Self::Command | Self::Api | Self::Scrape => false,
        }
    }

    /// The settings and [`PIN_SEARCH_PATH`] for the transaction in which it stands, and nothing beyond. `installation`: the name
    /// that we were told, or nothing.
    pub(super) fn for_transaction(self, installation: &str) -> String {
        let ours = self.settings().iter().map(|(name, value)| {
            // That one is read when a transaction begins.
            let name = if *name == "default_transaction_read_only" { "transaction_read_only" } else { name };
            format!("; set local {name} = '{value}'")
        });
        // A pooler may go on with another database beneath the same connection.
        let gate = self
            .needs_home()
            .then(|| format!("; set local {INSTALLATION} = '{installation}'; {}", REQUIRE_HOME.sql));
        std::iter::once(PIN_SEARCH_PATH.to_owned()).chain(ours).chain(gate).collect()
    }

    /// The settings as `options` of the connection, with the caller's own behind them, [`MARK`], [`SEARCH_PATH`] and the name of
    /// the installation that we were told, or nothing.
    pub(super) fn options(self, given: Option<&str>, installation: &str) -> String {
        let ours = [(MARK, "on"), SEARCH_PATH, (INSTALLATION, installation)]
            .into_iter()
            .chain(self.settings().iter().copied())
            .map(|(name, value)| format!("-c {name}={value}"));
        ours.chain(given.map(str::to_owned)).collect::<Vec<String>>().join(" ")
    }
}
