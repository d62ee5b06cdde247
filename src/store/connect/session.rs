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
const PIN_SEARCH_PATH: &str = "set local search_path = pg_catalog, pg_temp";

/// Settings that anybody may set for a database or a role, and that would change what our statements mean, what a value looks
/// like, what a failure does, or how long something may take. Every session pins them; those of [`Session::settings`] come
/// behind. `tests/it/database/bent_settings.rs` walks through all settings of a server and knows why the others may stay.
///
/// Not pinned on purpose: `default_transaction_read_only`. Providers and switch-overs protect a database by it, so a
/// dispatcher waits until it is off. `synchronous_commit` is the operator's choice, and is warned about.
const PINNED: [(&str, &str); 24] = [
    // How transactions see each other. Serializable dispatchers would make serializable producers fail.
    (ISOLATION, "read committed"),
    ("default_transaction_deferrable", "off"),
    // How a statement is read.
    ("standard_conforming_strings", "on"),
    ("backslash_quote", "safe_encoding"),
    ("transform_null_equals", "off"),
    ("array_nulls", "on"),
    ("check_function_bodies", "on"),
    ("quote_all_identifiers", "off"),
    ("plpgsql.extra_errors", "none"),
    ("plpgsql.extra_warnings", "none"),
    // What a value looks like as a text, and in which zone an hour begins.
    ("datestyle", "ISO,MDY"),
    ("intervalstyle", "postgres"),
    ("timezone", "UTC"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "1"),
    // Which rows are seen, and how tables are stored.
    ("row_security", "on"),
    ("default_table_access_method", "heap"),
    // What a failure does. Values of ours do not go to the server's log.
    ("exit_on_error", "off"),
    ("client_min_messages", "warning"),
    ("log_parameter_max_length_on_error", "0"),
    // How long something may take.
    ("statement_timeout", "30s"),
    ("lock_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "1min"),
    (IDLE_SESSION, "0"),
];
const ISOLATION: &str = "default_transaction_isolation";
const IDLE_SESSION: &str = "idle_session_timeout";

/// The same for settings that not every version of PostgreSQL has. A session cannot begin with one that the server does not
/// know.
const PINNED_IF_KNOWN: [(&str, &str); 2] =
    [("transaction_timeout", "0"), ("restrict_nonsystem_relation_kind", "")];

/// A query whose column pins what is known of [`PINNED_IF_KNOWN`]: for the transaction, or for the session if it is one of
/// ours. Names are qualified: the search path may not be pinned.
pub(super) fn pin_if_known(is_local: bool) -> String {
    let pins = PINNED_IF_KNOWN.map(|(name, value)| {
        format!(
            "case when pg_catalog.current_setting('{name}', true) is not null{} \
             then pg_catalog.set_config('{name}', '{value}', {is_local}) end",
            if is_local {
                String::new()
            } else {
                format!(" and pg_catalog.current_setting('{MARK}', true) is not null")
            }
        )
    });
    pins.join(", ")
}

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

    /// Whether it is of no use where nothing can be written: on a standby, or in a database that is read-only for a while. The
    /// server says so when such a session begins, and keeps to it as long as the session lives.
    pub(super) const fn writes(self) -> bool {
        match self {
            Self::Dispatcher | Self::Lease => true,
            Self::Listener | Self::Command | Self::Api | Self::Scrape => false,
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
    /// in a connection that it gives to others, so there each transaction begins with [`Self::for_transaction`].
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
                // Those paths are there, whatever a role says.
                ("enable_indexscan", "on"),
                ("enable_indexonlyscan", "on"),
                ("enable_nestloop", "on"),
                ("max_parallel_workers_per_gather", "0"),
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
            // A command ends after one statement or two: compiling it took a second where running it takes a millisecond.
            Self::Command => &[("statement_timeout", "5min"), ("lock_timeout", "30s"), ("jit", "off")],
            // A request takes one process of the server, and no time to compile what runs for a millisecond.
            Self::Api => &[
                ("statement_timeout", "10s"),
                ("lock_timeout", "5s"),
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
    pub const LISTENER_PATH: &'static str = "set search_path = pg_catalog, pg_temp; \
        select case when current_setting('transaction_timeout', true) is not null then set_config('transaction_timeout', '0', false) end";

    /// Whether its connections work for a dispatcher: each begins with `require_home`, and behind a transaction pooler each
    /// transaction does.
    pub(super) const fn needs_home(self) -> bool {
        match self {
            Self::Dispatcher | Self::Lease => true,
            Self::Listener | Self::Command | Self::Api | Self::Scrape => false,
        }
    }

    /// The settings and [`PIN_SEARCH_PATH`] for the transaction in which it stands, and nothing beyond. It comes before the
    /// first query: later the server does not change the isolation any more. `installation`: the name that we were told, or
    /// nothing.
    pub(in crate::store) fn for_transaction(self, installation: &str) -> String {
        let ours = PINNED.iter().chain(self.settings()).filter_map(|(name, value)| {
            // Some defaults are read when a transaction begins, and some settings mean nothing within one.
            let name = match *name {
                ISOLATION => "transaction_isolation",
                "default_transaction_read_only" => "transaction_read_only",
                "default_transaction_deferrable" | IDLE_SESSION => return None,
                name => name,
            };
            Some(format!("; set local {name} = {}", quoted(name, value)))
        });
        let mut settings: String = std::iter::once(PIN_SEARCH_PATH.to_owned()).chain(ours).collect();
        settings.push_str("; select ");
        settings.push_str(&pin_if_known(true));
        if self.needs_home() {
            // A pooler may go on with another database beneath the same connection.
            settings.push_str("; set local ");
            settings.push_str(INSTALLATION);
            settings.push_str(" = ");
            settings.push_str(&quoted(INSTALLATION, installation));
            settings.push_str("; ");
            settings.push_str(REQUIRE_HOME.sql);
        }
        settings
    }

    /// The settings as `options` of the connection, with the caller's own behind them, [`MARK`], [`SEARCH_PATH`] and the name of
    /// the installation that we were told, or nothing.
    pub(super) fn options(self, given: Option<&str>, installation: &str) -> String {
        let ours = [(MARK, "on"), SEARCH_PATH, (INSTALLATION, installation)]
            .into_iter()
            .chain(PINNED)
            .chain(self.settings().iter().copied())
            .map(|(name, value)| format!("-c {name}={}", value.replace(' ', "\\ ")));
        ours.chain(given.map(str::to_owned)).collect::<Vec<String>>().join(" ")
    }
}

/// A value as SET takes it. A list is not one word.
fn quoted(name: &str, value: &str) -> String {
    if name == "datestyle" { value.to_owned() } else { format!("'{value}'") }
}
