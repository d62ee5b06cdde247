//! Where the database is, and how our sessions are set up. A front end with libpq's names and meaning: the driver reads
//! `tcp_user_timeout` in seconds, `p@ss` as a host, and knows no verification of certificates, so it is handed what we
//! have read.

mod driver;
mod host;
mod options;
mod parse;
mod passfile;
mod service;
mod session;
mod throttle;
mod tls;

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::config::{LoadBalanceHosts, SslMode, TargetSessionAttrs};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::{debug, warn};

use self::host::DatabaseHost;
use self::options::Options;
use self::passfile::Wanted;
use self::session::{MARK, pin_if_known};
use self::throttle::ConnectThrottle;
use self::tls::Tls;
use super::errors::is_refused_setting;
use super::statements::REQUIRE_HOME;
use super::{first_value, is_permanent, one_line};
use crate::model::installation::InstallationName;

pub use self::options::Environment;
pub use self::passfile::{exposed, is_public};
pub use self::session::Session;

/// A connection string, with what the service file, the environment and the password file add to it. Its password shows
/// in no output.
#[derive(Clone)]
pub struct DatabaseUrl {
    options: Options,
    places: Vec<DatabaseHost>,
    /// One for each place, because passwords may differ, and Unix sockets have no TLS.
    configs: Vec<Config>,
    /// The password file, if passwords come from one. Each connection reads it anew, because a password may be changed.
    passfile: Option<PathBuf>,
    tls: MakeRustlsConnect,
    in_random_order: bool,
    host_deadline: Duration,
    warnings: Vec<String>,
    /// Shared by all copies but those that are apart.
    gate: Arc<ConnectThrottle>,
    has_pooler: Arc<AtomicBool>,
    /// The installation that it should be the home of, as the operator says.
    installation: Option<InstallationName>,
}

/// Why no connection can be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// The connection string is wrong. The text names the fault and never the password.
    #[error("{0}")]
    Url(String),
    /// No host took us; this is what the last one said.
    #[error("cannot connect")]
    Refused(#[source] Arc<tokio_postgres::Error>),
    /// No host answered in time.
    #[error("cannot connect within {0:?}")]
    Deadline(Duration),
}

/// What the driver makes of our TLS.
type TlsStream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;
/// A client and the connection that somebody has to poll for it.
pub type Connected = (Client, Connection<Socket, TlsStream>);

impl DatabaseUrl {
    /// Parses `postgres://user:password@host:port/database` or `host=… dbname=…`. What it does not say is taken from
    /// the service file, else from the environment, else it is libpq's default. Reads the files that are named.
    ///
    /// # Errors
    /// [`ConnectError::Url`].
    pub fn parse(text: &str, environment: &Environment) -> Result<Self, ConnectError> {
        parse::parse(text).and_then(|given| Self::complete(given, environment)).map_err(ConnectError::Url)
    }

    /// The database that the environment alone names.
    ///
    /// # Errors
    /// [`ConnectError::Url`].
    pub fn of(environment: &Environment) -> Result<Self, ConnectError> {
        Self::complete(Options::default(), environment).map_err(ConnectError::Url)
    }

    fn complete(mut options: Options, environment: &Environment) -> Result<Self, String> {
        let surroundings = Options::of(environment);
        let mut exposed = None;
        if let Some(name) = options.text("service").or_else(|| surroundings.text("service")) {
            let (found, path) = service::read(name, environment)?;
            let is_exposed = found.text("password").is_some() && is_public(&path);
            exposed = is_exposed.then(|| passfile::exposed(&path));
            options.fill(found);
        }
        options.fill(surroundings);
        if let Some(user) = environment.user().filter(|_| options.text("user").is_none()) {
            options.set("user", user.to_owned())?;
        }
        let places = DatabaseHost::all(&options)?;
        let tls = Tls::of(&options, environment)?;
        let config = driver::config(&options)?;
        let mut configs: Vec<Config> =
            places.iter().map(|place| driver::at(place, &config, tls.mode)).collect();
        let passfile = passfile_of(&options, environment);
        let passed_over = set_passwords(&mut configs, &places, &options, passfile.as_deref());
        let warnings =
            plaintext_warning(&tls, &places).into_iter().chain(passed_over).chain(exposed).collect();
        Ok(Self {
            host_deadline: driver::host_deadline(&options)?,
            in_random_order: config.get_load_balance_hosts() == LoadBalanceHosts::Random,
            tls: tls.connector,
            options,
            places,
            configs,
            passfile,
            warnings,
            gate: Arc::new(ConnectThrottle::new()),
            has_pooler: Arc::default(),
            installation: None,
        })
    }

    /// A copy with a throttle of its own: its connections wait for no other runtime.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { gate: Arc::new(ConnectThrottle::new()), ..self.clone() }
    }

    /// The same, as the home of an installation of this name. A dispatcher does nothing in the database of another one.
    #[must_use]
    pub fn of_installation(self, name: Option<InstallationName>) -> Self {
        Self { installation: name, ..self }
    }

    /// The installation that it should be the home of.
    pub fn installation(&self) -> Option<&InstallationName> {
        self.installation.as_ref()
    }

    fn installation_or_nothing(&self) -> &str {
        self.installation().map(InstallationName::as_str).unwrap_or_default()
    }

    /// What each transaction of such a session begins with behind a transaction pooler.
    pub(super) fn beginning(&self, session: Session) -> String {
        session.for_transaction(self.installation_or_nothing())
    }

    /// Remarks for its owner, one a line.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether a password stands in it.
    pub fn has_password(&self) -> bool {
        self.options.text("password").is_some()
    }

    /// The name of the database, for messages.
    pub fn database(&self) -> &str {
        self.options.text("dbname").or(self.options.text("user")).unwrap_or("postgres")
    }

    /// Where it is, for a person or for psql: without the password.
    pub fn without_password(&self) -> String {
        let places = self.places.iter().map(|place| {
            let is_ip6 = place.host.contains(':');
            let host = if is_ip6 { format!("[{}]", place.host) } else { parse::encode(&place.host) };
            format!("{host}:{}", place.port)
        });
        let places: Vec<String> = places.collect();
        let user =
            self.options.text("user").map(|user| format!("{}@", parse::encode(user))).unwrap_or_default();
        let in_front = ["host", "port", "dbname", "user", "service"];
        let others: Vec<String> = self
            .options
            .shown()
            .filter(|(name, _)| !in_front.contains(name))
            // Of a path, as of passfile, a person sees more so; a slash means nothing there.
            .map(|(name, value)| format!("{name}={}", parse::encode(value).replace("%2F", "/")))
            .collect();
        let mark = if others.is_empty() { "" } else { "?" };
        let database = parse::encode(self.database());
        format!("postgres://{user}{}/{database}{mark}{}", places.join(","), others.join("&"))
    }

    /// The driver's configurations for such a session, one for each host, with deadlines on everything.
    pub fn configs(&self, session: Session) -> Vec<Config> {
        let name = session.application_name(self.options.text("application_name"));
        let mut configs = self.configs.clone();
        if self.passfile.is_some() {
            // A file that cannot be read now leaves the passwords of before.
            set_passwords(&mut configs, &self.places, &self.options, self.passfile.as_deref());
        }
        for config in &mut configs {
            config.application_name(&name);
            if session.writes() && config.get_target_session_attrs() == TargetSessionAttrs::Any {
                config.target_session_attrs(TargetSessionAttrs::ReadWrite);
            }
        }
        configs
    }

    /// The longest that [`Self::connect`] takes: one host after the other.
    pub fn deadline(&self) -> Duration {
        self.configs.iter().map(|_| self.host_deadline).sum()
    }

    /// Whether nothing stands between us and the server, as far as is known: then what is prepared in a session stays,
    /// and its settings are in force.
    pub fn is_direct(&self) -> bool {
        !self.has_pooler.load(Ordering::Relaxed)
    }

    /// Connects to the first host that takes us. In trouble, all attempts of this process wait for each other (see
    /// `connect/throttle.rs`).
    ///
    /// # Errors
    /// [`ConnectError::Refused`] or [`ConnectError::Deadline`].
    pub async fn connect(&self, session: Session) -> Result<Connected, ConnectError> {
        self.attempt(self.try_hosts(session)).await
    }

    /// Connects as [`Self::connect`] does, for statements alone, and finds out whether a pooler stands in between.
    pub(super) async fn open(&self, session: Session) -> Result<ClientWrapper, ConnectError> {
        self.attempt(async {
            let (client, connection) = self.try_hosts(session).await?;
            // What ends a connection is told to the statement that runs on it.
            #[expect(clippy::disallowed_methods, reason = "the pool ends it with its connection")]
            let client = ClientWrapper::new(client, tokio::spawn(async { drop(connection.await) }));
            if self.is_direct() && !is_marked(&client).await? {
                self.note_pooler();
            }
            if session.needs_home() {
                self.require_home(session, &client).await?;
            }
            Ok(client)
        })
        .await
    }

    /// A dispatcher says nothing to a database before it knows that it is no copy.
    async fn require_home(&self, session: Session, client: &Client) -> Result<(), tokio_postgres::Error> {
        if self.is_direct() {
            return client.batch_execute(REQUIRE_HOME.sql).await;
        }
        // One message is one transaction.
        client.batch_execute(&self.beginning(session)).await
    }

    async fn attempt<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, ConnectError> {
        let hosts_max = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        let in_time = async {
            let done = tokio::time::timeout(self.deadline(), work).await;
            let done = done.map_err(|_elapsed| ConnectError::Deadline(self.deadline()))?;
            done.map_err(|fault| ConnectError::Refused(Arc::new(fault)))
        };
        self.gate.pass(hosts_max, in_time).await
    }

    async fn try_hosts(&self, session: Session) -> Result<Connected, tokio_postgres::Error> {
        let mut hosts: Vec<_> = self.places.iter().zip(self.configs(session)).collect();
        if self.in_random_order {
            fastrand::shuffle(&mut hosts);
        }
        let last = hosts.pop().map(|(_, config)| config).unwrap_or_default();
        for (place, config) in hosts {
            // A host that hangs is left for the next one; the last one has the time that remains.
            match tokio::time::timeout(self.host_deadline, self.try_host(session, &config)).await {
                Ok(Ok(connected)) => return Ok(connected),
                // As libpq: a wrong password is not tried on everybody.
                Ok(Err(fault)) if is_permanent(&fault) => return Err(fault),
                Ok(Err(fault)) => debug!("passing over {}: {}", place.host, one_line(&fault)),
                Err(_elapsed) => debug!("passing over {}: no answer", place.host),
            }
        }
        self.try_host(session, &last).await
    }

    /// A pooler that refuses our settings takes us without.
    async fn try_host(&self, session: Session, config: &Config) -> Result<Connected, tokio_postgres::Error> {
        if self.is_direct() {
            let mut with_settings = config.clone();
            with_settings.options(session.options(config.get_options(), self.installation_or_nothing()));
            match Box::pin(with_settings.connect(self.tls.clone())).await {
                Err(fault) if is_refused_setting(&fault) => self.note_pooler(),
                done => return done,
            }
        }
        Box::pin(config.connect(self.tls.clone())).await
    }

    fn note_pooler(&self) {
        if !self.has_pooler.swap(true, Ordering::Relaxed) {
            warn!(
                "a connection pooler stands in front of the database: statements are planned anew each time, and with \
                 --listen-database-url alone notifications are heard; a direct connection is better"
            );
        }
    }
}

/// Whether the settings of the session have reached the server. Then those follow that only some versions know.
async fn is_marked(client: &Client) -> Result<bool, tokio_postgres::Error> {
    // Qualified: where they have not, a function of that name may come first.
    let query = format!("select pg_catalog.current_setting('{MARK}', true), {}", pin_if_known(false));
    let answer = client.simple_query(&query).await?;
    Ok(first_value(&answer) == Some("on"))
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseUrl").field("database", &self.database()).finish_non_exhaustive()
    }
}

/// The password file, unless a password is given.
fn passfile_of(options: &Options, environment: &Environment) -> Option<PathBuf> {
    let usual = || environment.home().map(|home| Path::new(home).join(".pgpass"));
    let is_given = options.text("password").is_some();
    options.text("passfile").map(PathBuf::from).or_else(usual).filter(|_| !is_given)
}

/// Gives each host its password: the one that is given, or else what the password file has for it now. Returns why the
/// file is passed over.
fn set_passwords(
    configs: &mut [Config],
    places: &[DatabaseHost],
    options: &Options,
    passfile: Option<&Path>,
) -> Option<String> {
    if let Some(password) = options.text("password") {
        for config in configs {
            config.password(password);
        }
        return None;
    }
    let text = match passfile::read(passfile?) {
        Ok(text) => text?,
        Err(warning) => return Some(warning),
    };
    let user = options.text("user").unwrap_or_default();
    let database = options.text("dbname").unwrap_or(user);
    for (config, place) in configs.iter_mut().zip(places) {
        let wanted = Wanted { host: place.password_host(), port: place.port, database, user };
        if let Some(password) = passfile::find(&text, &wanted) {
            config.password(password);
        }
    }
    None
}

fn plaintext_warning(tls: &Tls, places: &[DatabaseHost]) -> Option<String> {
    let hosts: Vec<&str> =
        places.iter().filter(|place| place.is_remote()).map(|place| place.host.as_str()).collect();
    let how = if tls.mode == SslMode::Disable { "goes" } else { "may go" };
    (!hosts.is_empty() && tls.mode != SslMode::Require).then(|| {
        format!(
            "the connection to {} {how} unencrypted: write sslmode=verify-full, with sslrootcert=FILE for an authority of your own",
            hosts.join(", ")
        )
    })
}
