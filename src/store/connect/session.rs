//! How our sessions differ.

use std::time::Duration;

use super::super::STATEMENT_DEADLINE;

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

    /// Statements that a new session starts with.
    pub const fn settings(self) -> &'static str {
        match self {
            // Planned while a table was empty, a cached plan with a scan or a hash join is kept until the next
            // autoanalyze: 8 to 41 ms a claim instead of a fraction of one. With only index paths left, one plan
            // serves for all parameters, and planning anew (0.2 to 0.35 ms a statement) gains nothing.
            Self::Dispatcher => {
                "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set enable_bitmapscan = off; \
                 set enable_sort = off; set jit = off; \
                 set plan_cache_mode = force_generic_plan; \
                 set statement_timeout = '25s'; set lock_timeout = '10s'; set idle_in_transaction_session_timeout = '20s'"
            }
            // A listener that stops reading would pin the server's notification queue until commits fail: the server
            // ends a session whose socket takes nothing for 8 s. (A Unix socket has no such limit.)
            Self::Listener => {
                "set tcp_user_timeout = 8000; \
                 set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3"
            }
            Self::Lease => "set statement_timeout = '4s'; set lock_timeout = '4s'",
            // Times are shown as RFC 3339 in UTC, wherever the server is.
            Self::Command => "set statement_timeout = '5min'; set lock_timeout = '30s'; set timezone = 'UTC'",
            Self::Api => "set statement_timeout = '10s'; set lock_timeout = '5s'; set timezone = 'UTC'",
            Self::Scrape => {
                "set default_transaction_read_only = on; set enable_seqscan = off; set jit = off; \
                 set max_parallel_workers_per_gather = 0; set statement_timeout = '4s'"
            }
        }
    }
}
