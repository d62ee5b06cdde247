//! Where the database is, and how our sessions are set up.

use std::fmt;
use std::time::Duration;

use thiserror::Error;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// A connection string, parsed. Its password shows in no output.
#[derive(Clone)]
pub struct DatabaseUrl {
    config: Config,
}

/// Why no connection can be had.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The connection string is wrong. The text names the fault and never the password.
    #[error("{0}")]
    Url(String),
    /// The pool could not be built.
    #[error("connection pool")]
    Pool(#[source] deadpool_postgres::BuildError),
}

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// Claims and settles: plans that must not flip.
    Dispatcher,
    /// LISTEN and the session locks; never idles out.
    Listener,
    /// One command of a person.
    Command,
    /// Reads for metrics, again and again.
    Scrape,
}

impl DatabaseUrl {
    /// Parses `postgres://user:password@host:port/database` or `host=… dbname=…`.
    ///
    /// # Errors
    /// [`ConnectError::Url`].
    pub fn parse(text: &str) -> Result<Self, ConnectError> {
        let wrong = |what: &str| ConnectError::Url(format!("{what}; expected postgres://user@host/database"));
        if text.trim().is_empty() {
            return Err(wrong("is empty"));
        }
        let config: Config = text.parse().map_err(|fault: tokio_postgres::Error| {
            let cause =
                std::error::Error::source(&fault).map_or_else(|| fault.to_string(), ToString::to_string);
            wrong(&format!("is not a connection string ({cause})"))
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(wrong("names no host"));
        }
        // `p@ss` in a password is read as a host: the driver does not notice.
        if config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(name) if name.contains('@'))) {
            return Err(wrong("has an @ in its password; write it as %40"));
        }
        if config.get_ssl_mode() == SslMode::Require {
            return Err(wrong(
                "asks for sslmode=require, which is not available yet; allowed: disable, prefer",
            ));
        }
        Ok(Self { config })
    }

    /// The name of the database, for messages.
    pub fn database(&self) -> &str {
        self.config.get_dbname().or(self.config.get_user()).unwrap_or("postgres")
    }

    /// Where it is, for a person: without the password.
    pub fn without_password(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string().replace('/', "%2F"),
            None => "localhost".to_owned(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let user = self.config.get_user().map(|user| format!("{user}@")).unwrap_or_default();
        format!("postgres://{user}{host}:{port}/{}", self.database())
    }

    /// The driver's configuration for such a session, with deadlines on everything.
    pub fn config(&self, session: Session) -> Config {
        let mut config = self.config.clone();
        config
            .application_name(session.application_name())
            .connect_timeout(Duration::from_secs(5))
            .tcp_user_timeout(Duration::from_secs(30))
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .ssl_mode(SslMode::Disable);
        config
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseUrl").field("database", &self.database()).finish_non_exhaustive()
    }
}

impl Session {
    const fn application_name(self) -> &'static str {
        match self {
            Self::Dispatcher => "postrider",
            Self::Listener => "postrider listener",
            Self::Command => "postrider command",
            Self::Scrape => "postrider metrics",
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
            // drops it after 30 s.
            Self::Listener => {
                "set statement_timeout = '10s'; set idle_session_timeout = 0; set tcp_user_timeout = 30000; \
                 set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3"
            }
            Self::Command => "set statement_timeout = '5min'; set lock_timeout = '30s'",
            // Nobody waits longer for metrics, and they may cost the database no more than that. Every count has its
            // partial index: the history is not to be read, whatever the statistics say.
            Self::Scrape => {
                "set default_transaction_read_only = on; set enable_seqscan = off; set jit = off; \
                 set max_parallel_workers_per_gather = 0; set statement_timeout = '4s'"
            }
        }
    }
}
