//! This machine's DNS configuration. It is read again when its files change: a dispatcher may start before the network does,
//! and may outlive the lease of an address.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Hosts, ResolverBuilder, TokioResolver};
use tokio::time::Instant;
use tracing::{info, warn};

/// Deadline of one question to one server.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
/// Answers that are kept at most, each for as long as it says.
const CACHE_SIZE: u64 = 4096;
/// The files are looked at once in this time at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The files of the configuration, and the resolver that was made of them last.
#[derive(Clone, Debug)]
pub(super) struct Configuration {
    servers: PathBuf,
    hosts: PathBuf,
    interval: Duration,
    known: Arc<Mutex<KnownFiles>>,
}

/// The files as they were read last.
#[derive(Debug)]
struct KnownFiles {
    files: Files,
    looked_at: Instant,
    /// If names cannot be resolved, why.
    resolver: Result<TokioResolver, String>,
}

/// The content of the files. `None` for a file that cannot be read.
#[derive(Debug, PartialEq, Eq)]
struct Files {
    servers: Option<Vec<u8>>,
    hosts: Option<Vec<u8>>,
}

impl Configuration {
    /// The configuration of this machine: `/etc/hosts` first, then `/etc/resolv.conf`.
    pub(super) fn of_this_machine() -> Self {
        Self::at("/etc/resolv.conf".into(), "/etc/hosts".into(), LOOK_INTERVAL)
    }

    fn at(servers: PathBuf, hosts: PathBuf, interval: Duration) -> Self {
        let files = Files::read(&servers, &hosts);
        let resolver = files.resolver();
        if let Err(why) = &resolver {
            warn!("names of endpoints will not be resolved: {why}");
        }
        let known = KnownFiles { files, looked_at: Instant::now(), resolver };
        Self { servers, hosts, interval, known: Arc::new(Mutex::new(known)) }
    }

    /// A resolver by the files as they are now, or were some seconds ago.
    ///
    /// # Errors
    /// Why names cannot be resolved.
    pub(super) fn resolver(&self) -> Result<TokioResolver, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now >= known.looked_at + self.interval {
            known.looked_at = now;
            known.learn(Files::read(&self.servers, &self.hosts));
        }
        known.resolver.clone()
    }
}

impl KnownFiles {
    fn learn(&mut self, files: Files) {
        if files == self.files {
            return;
        }
        self.files = files;
        match self.files.resolver() {
            Ok(resolver) => {
                info!("this machine's DNS configuration has changed: names of endpoints are resolved by it");
                self.resolver = Ok(resolver);
            }
            // Perhaps a program is writing the file, and is not done.
            Err(why) if self.resolver.is_ok() => {
                warn!("names of endpoints are resolved as before: {why}");
            }
            Err(why) => self.resolver = Err(why),
        }
    }
}

impl Files {
    // The files are small and local, so they are read without waiting.
    fn read(servers: &PathBuf, hosts: &PathBuf) -> Self {
        Self { servers: fs::read(servers).ok(), hosts: fs::read(hosts).ok() }
    }

    fn resolver(&self) -> Result<TokioResolver, String> {
        let unreadable = |why: &str| format!("cannot read this machine's DNS configuration: {why}");
        let servers = self.servers.as_ref().ok_or_else(|| unreadable("no /etc/resolv.conf"))?;
        let built = parse_resolv_conf(servers).and_then(|(config, options)| {
            let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
                .with_options(options);
            build(builder)
        });
        let mut resolver = built.map_err(|fault| unreadable(&fault.to_string()))?;
        let mut hosts = Hosts::default();
        // The lines before one that is no text count.
        drop(hosts.read_hosts_conf(self.hosts.as_deref().unwrap_or_default()));
        resolver.set_hosts(Arc::new(hosts));
        Ok(resolver)
    }
}

pub(super) fn build(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<TokioResolver, NetError> {
    let options = builder.options_mut();
    options.timeout = QUESTION_TIMEOUT;
    options.attempts = 2;
    options.cache_size = CACHE_SIZE;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build()
}

#[cfg(test)]
impl Configuration {
    /// A configuration that never changes.
    pub(super) fn fixed(resolver: Result<TokioResolver, String>) -> Self {
        let known =
            KnownFiles { files: Files { servers: None, hosts: None }, looked_at: Instant::now(), resolver };
        let (servers, hosts) = (PathBuf::new(), PathBuf::new());
        Self { servers, hosts, interval: Duration::from_hours(1), known: Arc::new(Mutex::new(known)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn address(configuration: &Configuration) -> Result<String, String> {
        let found = configuration.resolver()?.lookup_ip("receiver.example.").await;
        found.map(|found| found.iter().next().unwrap().to_string()).map_err(|fault| fault.to_string())
    }

    #[tokio::test]
    async fn a_configuration_that_changes_is_read_again_and_one_that_breaks_is_not_followed() {
        let folder = std::env::temp_dir().join(format!("postrider-dns-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (servers, hosts) = (folder.join("resolv.conf"), folder.join("hosts"));
        let configuration = Configuration::at(servers.clone(), hosts.clone(), Duration::ZERO);

        let before_the_network = address(&configuration).await;
        fs::write(&hosts, "192.0.2.1 receiver.example\n").unwrap();
        fs::write(&servers, "nameserver 127.0.0.1\n").unwrap();
        let first = address(&configuration).await;
        fs::write(&hosts, "192.0.2.2 receiver.example\n").unwrap();
        let second = address(&configuration).await;
        fs::write(&servers, "").unwrap();
        let broken = address(&configuration).await;
        fs::remove_dir_all(&folder).unwrap();
        let gone = address(&configuration).await;

        assert!(before_the_network.unwrap_err().contains("no /etc/resolv.conf"));
        assert_eq!((first, second), (Ok("192.0.2.1".to_owned()), Ok("192.0.2.2".to_owned())));
        assert_eq!((broken, gone), (Ok("192.0.2.2".to_owned()), Ok("192.0.2.2".to_owned())));
    }
}
