//! The hosts of a connection string, in order.

use std::net::IpAddr;
use std::path::Path;

use super::options::Options;

/// Where servers put their sockets by default, so that a connection string need not say it.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];
const PORT: u16 = 5432;

/// One host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DatabaseHost {
    /// A name, an address, or the folder of a Unix socket.
    pub(super) host: String,
    /// Spares the name server; the name still counts for certificates.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
}

impl DatabaseHost {
    /// All of them, at least one.
    ///
    /// # Errors
    /// Names the list that does not fit the others, or an entry that is none.
    pub(super) fn all(options: &Options) -> Result<Vec<Self>, String> {
        let hosts = list(options, "host");
        let addresses = list(options, "hostaddr");
        let ports = list(options, "port");
        let count = hosts.len().max(addresses.len()).max(1);
        for (name, found) in [("host", hosts.len()), ("hostaddr", addresses.len())] {
            if found != 0 && found != count {
                return Err(format!("{name} has {found} entries for {count} hosts"));
            }
        }
        if ports.len() > 1 && ports.len() != count {
            return Err(format!("port has {} entries for {count} hosts", ports.len()));
        }
        (0..count)
            .map(|number| {
                let port = parse_port(ports.get(number).or(ports.first()).copied().unwrap_or_default())?;
                let entry = |list: &[&str]| list.get(number).copied().unwrap_or_default().to_owned();
                Self::of(&entry(&hosts), &entry(&addresses), port)
            })
            .collect()
    }

    fn of(host: &str, address: &str, port: u16) -> Result<Self, String> {
        if host.contains('@') {
            return Err("has an @ in a host".to_owned());
        }
        let wrong = || format!("hostaddr needs an address, got \"{}\"", address.escape_debug());
        let address: Option<IpAddr> = match address {
            "" => None,
            text => Some(text.parse().map_err(|_fault| wrong())?),
        };
        let host = match (host, address) {
            ("", None) => usual_host(port),
            ("", Some(address)) => address.to_string(),
            (host, _) => host.to_owned(),
        };
        Ok(Self { host, address, port })
    }

    /// Whether it is a Unix socket; an address comes before it, as in libpq.
    pub(super) fn is_socket(&self) -> bool {
        self.host.starts_with('/') && self.address.is_none()
    }

    /// Whether what is sent there leaves this machine.
    pub(super) fn is_remote(&self) -> bool {
        match self.address.or_else(|| self.host.parse().ok()) {
            Some(address) => !address.is_loopback(),
            None => !self.is_socket() && self.host != "localhost",
        }
    }

    /// As a password file names it.
    pub(super) fn password_host(&self) -> &str {
        if SOCKET_FOLDERS.contains(&self.host.as_str()) { "localhost" } else { &self.host }
    }
}

fn list<'a>(options: &'a Options, name: &str) -> Vec<&'a str> {
    options.text(name).map(|text| text.split(',').map(str::trim).collect()).unwrap_or_default()
}

/// What is wrong is not shown: after a `:` too many it is the password.
fn parse_port(text: &str) -> Result<u16, String> {
    match text {
        "" => Ok(PORT),
        text => text
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| "has a port that is not a number from 1 to 65535".to_owned()),
    }
}

fn usual_host(port: u16) -> String {
    let has_socket = |folder: &&str| Path::new(folder).join(format!(".s.PGSQL.{port}")).exists();
    SOCKET_FOLDERS.into_iter().find(has_socket).unwrap_or("localhost").to_owned()
}
