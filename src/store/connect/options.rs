//! Options by libpq's names, and how their values are read.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::rules::did_you_mean::nearest;

/// Every option that is understood, and its variable in the environment if it has one.
const KNOWN: [(&str, &str); 25] = [
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("service", "PGSERVICE"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("application_name", "PGAPPNAME"),
    ("options", "PGOPTIONS"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    ("keepalives", ""),
    ("keepalives_idle", ""),
    ("keepalives_interval", ""),
    ("keepalives_count", ""),
    ("tcp_user_timeout", ""),
    ("client_encoding", ""),
    ("gssencmode", ""),
];

/// The variables that say where a database is and who asks. Read in `config`, handed in here.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// A variable, unless it is missing.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Without the variables that say where a database is or how its sessions are set up. Those that log in stay `with_login`.
    #[must_use]
    pub fn without_place(&self, with_login: bool) -> Self {
        const OF_THE_USER: [&str; 3] = ["HOME", "USER", "LOGNAME"];
        const OF_A_LOGIN: [&str; 11] = [
            "PGUSER",
            "PGPASSWORD",
            "PGPASSFILE",
            "PGSERVICEFILE",
            "PGSYSCONFDIR",
            "PGCONNECT_TIMEOUT",
            "PGSSLMODE",
            "PGSSLROOTCERT",
            "PGSSLCERT",
            "PGSSLKEY",
            "PGCHANNELBINDING",
        ];
        let stays = |name: &str| OF_THE_USER.contains(&name) || (with_login && OF_A_LOGIN.contains(&name));
        let kept = self.0.iter().filter(|(name, _)| stays(name));
        kept.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The home directory.
    pub(super) fn home(&self) -> Option<&str> {
        self.get("HOME").filter(|home| !home.is_empty())
    }

    /// The name of the operating system's user, as far as the environment tells it.
    pub(super) fn user(&self) -> Option<&str> {
        ["USER", "LOGNAME"].into_iter().filter_map(|name| self.get(name)).find(|user| !user.is_empty())
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names alone: a value may be PGPASSWORD's.
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Values by name. An empty one counts as given: it hides what the service file and the environment say.
#[derive(Clone, Default)]
pub(super) struct Options(BTreeMap<&'static str, String>);

impl Options {
    /// What the environment says.
    pub(super) fn of(environment: &Environment) -> Self {
        let given = |(name, variable): (&'static str, &str)| {
            environment.get(variable).map(|value| (name, value.to_owned()))
        };
        Self(KNOWN.into_iter().filter_map(given).collect())
    }

    /// Sets one; the last one counts, as in libpq.
    ///
    /// # Errors
    /// Names what is unknown or not supported.
    pub(super) fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        match KNOWN.into_iter().find(|(known, _)| *known == name) {
            Some((known, _)) => {
                self.0.insert(known, value);
                Ok(())
            }
            None => Err(unknown(name)),
        }
    }

    /// Takes over what is not given here.
    pub(super) fn fill(&mut self, lower: Self) {
        for (name, value) in lower.0 {
            self.0.entry(name).or_insert(value);
        }
    }

    /// A value that is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A whole number.
    pub(super) fn number<T: FromStr>(&self, name: &str, unit: &str) -> Result<Option<T>, String> {
        let Some(text) = self.0.get(name) else { return Ok(None) };
        match text.trim().parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!("{name} needs a whole number{unit}, got \"{}\"", text.escape_debug())),
        }
    }

    /// One of the words that are allowed.
    pub(super) fn choice<T: Copy>(&self, name: &str, allowed: &[(&str, T)]) -> Result<Option<T>, String> {
        let Some(text) = self.0.get(name) else { return Ok(None) };
        if let Some((_, meaning)) = allowed.iter().find(|(word, _)| word == text) {
            return Ok(Some(*meaning));
        }
        let words: Vec<&str> = allowed.iter().map(|(word, _)| *word).collect();
        Err(format!("{name} needs one of {}; got \"{}\"", words.join(", "), text.escape_debug()))
    }

    /// Everything but the password, in the order of names.
    pub(super) fn shown(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().filter(|(name, _)| **name != "password").map(|(name, value)| (*name, value.as_str()))
    }
}

/// A name that cannot be one is not shown: it may be a piece of a password that was not quoted.
fn unknown(name: &str) -> String {
    let known: Vec<&str> = KNOWN.into_iter().map(|(known, _)| known).collect();
    let is_name = name.len() <= 40 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let named = if is_name { format!("\"{name}\"") } else { "of that name".to_owned() };
    match nearest(name, known.iter().copied()).filter(|_| is_name) {
        Some(meant) => format!("option {named} is not supported, did you mean \"{meant}\"?"),
        None => format!("option {named} is not supported; known are {}", known.join(", ")),
    }
}
