//! This machine's DNS configuration. It is read again when its files change: a dispatcher may start before the network does,
//! and may outlive the lease of an address.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use tokio::time::Instant;
use tracing::{info, warn};

use super::both_families::addresses_of;
use super::hosts::Hosts;

/// Deadline of one question to one server.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
/// An answer is kept for as long as it says, and no longer than this: names move.
const ANSWER_KEPT_MAX: Duration = Duration::from_mins(5);
/// The answer that there is no such name, or no address, is kept no longer than this, whatever its zone says: names come.
const NO_ANSWER_KEPT_MAX: Duration = Duration::from_secs(5);
/// Answers that are kept at most.
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
    names: Result<Names, String>,
    /// A file that became empty, or went. It is believed at the second look: a program may be writing it.
    doubted: Option<Files>,
}

/// Finds the addresses of names.
#[derive(Clone, Debug)]
pub(super) struct Names {
    resolver: TokioResolver,
    hosts: Arc<Hosts>,
    /// The domains that are tried after a name that is not whole.
    search: Arc<[Name]>,
    /// A name with fewer dots is tried with the domains first.
    dots: usize,
}

/// The content of the files. `None` for a file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
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
        let names = files.names();
        if let Err(why) = &names {
            warn!("names of endpoints will not be resolved: {why}");
        }
        let known = KnownFiles { files, looked_at: Instant::now(), names, doubted: None };
        Self { servers, hosts, interval, known: Arc::new(Mutex::new(known)) }
    }

    /// The names by the files as they are now, or were some seconds ago.
    ///
    /// # Errors
    /// Why names cannot be resolved.
    pub(super) fn names(&self) -> Result<Names, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now >= known.looked_at + self.interval {
            known.looked_at = now;
            known.learn(Files::read(&self.servers, &self.hosts));
        }
        known.names.clone()
    }
}

impl KnownFiles {
    fn learn(&mut self, files: Files) {
        if files == self.files {
            self.doubted = None;
            return;
        }
        if files.lack_one_of(&self.files) && self.doubted.as_ref() != Some(&files) {
            self.doubted = Some(files);
            return;
        }
        self.doubted = None;
        self.files = files;
        match self.files.names() {
            Ok(names) => {
                info!("this machine's DNS configuration has changed: names of endpoints are resolved by it");
                self.names = Ok(names);
            }
            // Perhaps a program is writing the file, and is not done.
            Err(why) if self.names.is_ok() => {
                warn!("names of endpoints are resolved as before: {why}");
            }
            Err(why) => self.names = Err(why),
        }
    }
}

impl Files {
    // The files are small and local, so they are read without waiting.
    fn read(servers: &PathBuf, hosts: &PathBuf) -> Self {
        Self { servers: fs::read(servers).ok(), hosts: fs::read(hosts).ok() }
    }

    /// Whether a file is empty here, or not there, that had something to say.
    fn lack_one_of(&self, before: &Self) -> bool {
        let is_empty = |file: &Option<Vec<u8>>| file.as_ref().is_none_or(|text| text.trim_ascii().is_empty());
        let lacks = |now, then| is_empty(now) && !is_empty(then);
        lacks(&self.servers, &before.servers) || lacks(&self.hosts, &before.hosts)
    }

    fn names(&self) -> Result<Names, String> {
        let unreadable = |why: &str| format!("cannot read this machine's DNS configuration: {why}");
        let servers = self.servers.as_ref().ok_or_else(|| unreadable("no /etc/resolv.conf"))?;
        let parsed = parse_resolv_conf(servers).map_err(|fault| unreadable(&fault.to_string()))?;
        let hosts = Hosts::read(self.hosts.as_deref().unwrap_or_default());
        Names::new(parsed.0, parsed.1, hosts).map_err(|fault| unreadable(&fault.to_string()))
    }
}

impl Names {
    pub(super) fn new(config: ResolverConfig, options: ResolverOpts, hosts: Hosts) -> Result<Self, NetError> {
        let (search, dots) = (config.search().iter().chain(config.domain()).cloned(), options.ndots);
        let search = search.collect();
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = build(builder.with_options(options))?;
        Ok(Self { resolver, hosts: Arc::new(hosts), search, dots })
    }

    /// The addresses of a host, as its URL names it. `/etc/hosts` comes first, and has all to say of the names in it.
    pub(super) async fn addresses_of(
        &self,
        host: &str,
        is_usable: impl Fn(IpAddr) -> bool,
    ) -> Result<Vec<IpAddr>, NetError> {
        if let Some(found) = self.hosts.find(host) {
            return Ok(found.to_vec());
        }
        let mut last = Ok(Vec::new());
        for name in self.candidates(host)? {
            let found = addresses_of(&self.resolver, &name, &is_usable).await;
            match found {
                Ok(found) if !found.is_empty() => return Ok(found),
                Err(fault) if !fault.is_no_records_found() => last = Err(fault),
                Ok(_) | Err(_) => {}
            }
        }
        last
    }

    /// The whole names that a name may stand for, in the order of `resolv.conf(5)`. Text that DNS may know is no Unicode any
    /// more, so underscores are letters like others.
    fn candidates(&self, host: &str) -> Result<Vec<Name>, NetError> {
        let mut name = Name::from_ascii(host)?;
        if name.is_fqdn() || name.is_localhost() {
            name.set_fqdn(true);
            return Ok(vec![name]);
        }
        let is_first = usize::from(name.num_labels()) > self.dots;
        let searched = self.search.iter().filter_map(|domain| name.clone().append_domain(domain).ok());
        let mut names: Vec<Name> = searched.collect();
        name.set_fqdn(true);
        names.insert(if is_first { 0 } else { names.len() }, name);
        Ok(names)
    }
}

fn build(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<TokioResolver, NetError> {
    let options = builder.options_mut();
    options.timeout = QUESTION_TIMEOUT;
    options.attempts = 2;
    options.cache_size = CACHE_SIZE;
    options.positive_max_ttl = Some(ANSWER_KEPT_MAX);
    options.negative_max_ttl = Some(NO_ANSWER_KEPT_MAX);
    builder.build()
}

#[cfg(test)]
impl Configuration {
    /// A configuration that never changes.
    pub(super) fn fixed(names: Result<Names, String>) -> Self {
        let files = Files { servers: None, hosts: None };
        let known = KnownFiles { files, looked_at: Instant::now(), names, doubted: None };
        let (servers, hosts) = (PathBuf::new(), PathBuf::new());
        Self { servers, hosts, interval: Duration::from_hours(1), known: Arc::new(Mutex::new(known)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn address(configuration: &Configuration) -> Result<String, String> {
        let found = configuration.names()?.addresses_of("receiver.example.", |_| true).await;
        found.map(|found| found[0].to_string()).map_err(|fault| fault.to_string())
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

    #[tokio::test]
    async fn a_file_is_followed_however_it_is_replaced_and_doubted_where_it_became_empty() {
        let folder = std::env::temp_dir().join(format!("postrider-dns-moved-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let hosts = folder.join("hosts");
        let write = |name: &str, address: &str| {
            let path = folder.join(name);
            fs::write(&path, format!("{address} receiver.example\n")).unwrap();
            path
        };
        write("first", "192.0.2.1");
        fs::write(folder.join("resolv.conf"), "nameserver 127.0.0.1\noptions edns0 trust-ad no-aaaa new:1\n")
            .unwrap();
        std::os::unix::fs::symlink("first", &hosts).unwrap();
        let configuration = Configuration::at(folder.join("resolv.conf"), hosts.clone(), Duration::ZERO);

        let mut found = vec![address(&configuration).await];
        // As Kubernetes replaces a mounted file, and systemd its own.
        write("second", "192.0.2.2");
        std::os::unix::fs::symlink("second", folder.join("link")).unwrap();
        fs::rename(folder.join("link"), &hosts).unwrap();
        found.push(address(&configuration).await);
        fs::rename(write("third", "192.0.2.3"), &hosts).unwrap();
        found.push(address(&configuration).await);
        fs::write(&hosts, "").unwrap();
        found.push(address(&configuration).await);
        write("hosts", "192.0.2.4");
        found.push(address(&configuration).await);
        fs::write(&hosts, "\n").unwrap();
        let doubted = address(&configuration).await;
        let believed = configuration.names().unwrap().hosts.find("receiver.example").is_none();
        fs::remove_dir_all(&folder).unwrap();

        let expected = ["1", "2", "3", "3", "4"].map(|last| Ok(format!("192.0.2.{last}")));
        assert_eq!((found, doubted), (expected.to_vec(), Ok("192.0.2.4".to_owned())));
        assert!(believed);
    }

    #[test]
    fn a_name_that_is_not_whole_is_tried_with_the_domains_by_its_dots() {
        for (host, options, expected) in [
            ("orders", "ndots:1", &["orders.a.example.", "orders.b.example.", "orders."][..]),
            ("orders.shop", "ndots:1", &["orders.shop.", "orders.shop.a.example.", "orders.shop.b.example."]),
            (
                "or_ders.shop",
                "ndots:5",
                &["or_ders.shop.a.example.", "or_ders.shop.b.example.", "or_ders.shop."],
            ),
            ("orders.", "ndots:5", &["orders."]),
            ("x_y.localhost", "ndots:5", &["x_y.localhost."]),
        ] {
            let text = format!("nameserver 127.0.0.1\nsearch a.example b.example\noptions {options}\n");
            let files = Files { servers: Some(text.into_bytes()), hosts: None };

            let names = files.names().unwrap().candidates(host).unwrap();

            let names: Vec<String> = names.iter().map(Name::to_ascii).collect();
            assert_eq!(names, expected, "{host} {options}");
        }
    }
}
