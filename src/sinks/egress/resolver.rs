//! Resolves names under the policy, with a DNS client of our own. A look-up that hangs ends with its deadline, and delays no
//! other.

mod both_families;
mod configuration;
mod hosts;

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::net::NetError;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use tokio::time::timeout;

use self::configuration::Configuration;
use super::{EgressPolicy, NotAllowed};
use crate::rules::descriptors::{Descriptors, Shortage};

/// Deadline of a look-up, over all servers and tries.
const DEADLINE: Duration = Duration::from_secs(5);
/// Sockets that a look-up counts for itself. It mostly takes two, one per address family. The other one is counted by the
/// connection that the look-up is for.
const SOCKETS: usize = 1;

/// Resolves names and hands on only addresses that may be called.
#[derive(Clone, Debug)]
pub struct GuardedResolver {
    policy: EgressPolicy,
    descriptors: Descriptors,
    configuration: Configuration,
}

/// Why a name leads to no address.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum LookupError {
    /// The name does not resolve, or its addresses may not be called.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// No socket was left to ask with.
    #[error(transparent)]
    Shortage(#[from] Shortage),
}

impl GuardedResolver {
    /// A resolver under this policy. It looks into `/etc/hosts`, then asks the servers of `/etc/resolv.conf`. It follows
    /// changes of both files.
    pub fn new(policy: EgressPolicy, descriptors: Descriptors) -> Self {
        Self { policy, descriptors, configuration: Configuration::of_this_machine() }
    }

    /// The same resolver under another policy.
    pub(crate) fn under(&self, policy: EgressPolicy) -> Self {
        Self { policy, ..self.clone() }
    }

    /// The addresses of a name that may be called. Their port is 0: the port comes from the URL.
    pub(crate) async fn look_up(&self, name: &str) -> Result<Vec<SocketAddr>, LookupError> {
        let names = self.configuration.names().map_err(NotAllowed::Unresolved)?;
        // The operator named the proxy, so its address needs no leave.
        let is_proxy = self.policy.proxy.as_ref().is_some_and(|proxy| proxy.host() == name);
        let is_usable = |address| is_proxy || self.policy.judge_address(address).is_ok();
        let late = |_elapsed| NotAllowed::Unresolved(format!("no answer within {} s", DEADLINE.as_secs()));
        self.descriptors.open(SOCKETS)?;
        let found = timeout(DEADLINE, names.addresses_of(name, is_usable)).await.map_err(late)?;
        let found = found.map_err(|fault| judge(&fault))?;
        let found = found.into_iter().map(|address| SocketAddr::new(address, 0));
        if is_proxy { Ok(found.collect()) } else { Ok(self.policy.choose(found)?) }
    }
}

fn judge(fault: &NetError) -> LookupError {
    if let NetError::Io(io) = fault
        && let Some(shortage) = Shortage::of(io)
    {
        return shortage.into();
    }
    let why = if fault.is_no_records_found() { "no address".to_owned() } else { fault.to_string() };
    NotAllowed::Unresolved(why).into()
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let found = resolver.look_up(name.as_str()).await.map_err(|unknown| match unknown {
                LookupError::NotAllowed(refused) => Box::<dyn Error + Send + Sync>::from(refused),
                LookupError::Shortage(shortage) => shortage.into(),
            })?;
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::IpAddr;
    use std::sync::{Arc, Mutex};

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{CNAME, SOA};
    use hickory_resolver::proto::rr::{Name as DnsName, RData, Record, RecordType};
    use tokio::net::UdpSocket;
    use tokio::task::JoinSet;

    use super::configuration::Names;
    use super::hosts::Hosts;
    use super::*;
    use crate::rules::descriptors::Budget;

    /// The names that a DNS server knows. Of other names it says that they do not exist.
    type Zone = HashMap<&'static str, Says>;

    #[derive(Clone)]
    enum Says {
        Addresses(&'static [&'static str]),
        AliasOf(&'static str),
        Nothing,
        /// The addresses, and nothing to questions for those of the other kind.
        NothingElse(&'static [&'static str]),
    }

    /// A DNS server for these tests, and a resolver that asks only that server.
    struct Dns {
        zone: Arc<Mutex<Zone>>,
        resolver: GuardedResolver,
        _server: JoinSet<()>,
    }

    impl Dns {
        async fn start(zone: Zone) -> Self {
            let zone = Arc::new(Mutex::new(zone));
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let address = socket.local_addr().unwrap();
            let known = Arc::clone(&zone);
            let mut server = JoinSet::new();
            server.spawn(async move {
                let mut buffer = [0; 1024];
                while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
                    let answer = answer(&buffer[..length], &known.lock().unwrap());
                    if let Some(answer) = answer {
                        socket.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
                    }
                }
            });
            let mut connection = ConnectionConfig::udp();
            connection.port = address.port();
            let mut asked = NameServerConfig::udp(address.ip());
            asked.connections = vec![connection];
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![asked]);
            let names = Names::new(config, ResolverOpts::default(), Hosts::default());
            let resolver = GuardedResolver {
                policy: EgressPolicy::default(),
                descriptors: Descriptors::new(Budget::new(1 << 20, 1)),
                configuration: Configuration::fixed(names.map_err(|fault| fault.to_string())),
            };
            Self { zone, resolver, _server: server }
        }

        fn says(&self, name: &'static str, says: Says) {
            self.zone.lock().unwrap().insert(name, says);
        }

        async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, NotAllowed> {
            match self.resolver.look_up(name).await {
                Ok(found) => Ok(found.into_iter().map(|address| address.ip()).collect()),
                Err(LookupError::NotAllowed(refused)) => Err(refused),
                Err(LookupError::Shortage(shortage)) => panic!("{shortage}"),
            }
        }
    }

    /// `None` if the server is to be silent.
    fn answer(question: &[u8], zone: &Zone) -> Option<Message> {
        let mut message = Message::from_vec(question).unwrap().into_response();
        let query = message.queries[0].clone();
        let asked = query.name().to_ascii();
        let is_ipv6 = query.query_type() == RecordType::AAAA;
        let records = |owner: &DnsName, texts: &[&str]| -> Vec<Record> {
            let addresses = texts.iter().map(|text| text.parse::<IpAddr>().unwrap());
            let wanted = addresses.filter(|address| address.is_ipv6() == is_ipv6);
            wanted.map(|address| Record::from_rdata(owner.clone(), 0, RData::from(address))).collect()
        };
        let says = |name: &str| zone.get(name.trim_end_matches('.')).cloned();
        match says(&asked) {
            Some(Says::Nothing) => return None,
            Some(Says::NothingElse(texts)) if records(query.name(), texts).is_empty() => return None,
            Some(Says::Addresses(texts) | Says::NothingElse(texts)) => {
                message.answers = records(query.name(), texts);
            }
            Some(Says::AliasOf(other)) => {
                let target: DnsName = format!("{other}.").parse().unwrap();
                let alias = RData::CNAME(CNAME(target.clone()));
                message.answers = vec![Record::from_rdata(query.name().clone(), 0, alias)];
                if let Some(Says::Addresses(texts)) = says(other) {
                    message.answers.extend(records(&target, texts));
                }
            }
            None => {
                message.metadata.response_code = ResponseCode::NXDomain;
                // Its zone would have the answer kept for an hour.
                let (of, by) = (DnsName::root(), DnsName::root());
                let soa = SOA::new(of, by, 1, 3600, 3600, 3600, 3600);
                message.authorities = vec![Record::from_rdata(DnsName::root(), 3600, RData::SOA(soa))];
            }
        }
        Some(message)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn of_a_public_and_a_private_address_of_a_name_the_public_one_is_dialled() {
        let mixed =
            Says::Addresses(&["10.0.0.1", "1.1.1.1", "169.254.169.254", "fd00::1", "2606:4700::1111"]);
        let dns = Dns::start(Zone::from([("mixed.example", mixed)])).await;

        let mut found = dns.look_up("mixed.example").await.unwrap();
        found.sort();

        assert_eq!(found, [ip("1.1.1.1"), ip("2606:4700::1111")]);
    }

    #[tokio::test]
    async fn names_that_lead_inside_are_refused_with_the_range() {
        let dns = Dns::start(Zone::from([
            ("private.example", Says::Addresses(&["10.0.0.1"])),
            ("mapped.example", Says::Addresses(&["::ffff:127.0.0.1"])),
            ("nat64.example", Says::Addresses(&["64:ff9b::a9fe:a9fe"])),
            ("alias.example", Says::AliasOf("metadata.internal")),
            ("metadata.internal", Says::Addresses(&["169.254.169.254"])),
        ]))
        .await;

        for (name, range) in [
            ("private.example", "10.0.0.0/8"),
            ("mapped.example", "127.0.0.0/8"),
            ("nat64.example", "64:ff9b::/96"),
            ("alias.example", "169.254.0.0/16"),
        ] {
            let refused = dns.look_up(name).await.unwrap_err();

            assert!(refused.to_string().contains(range), "{name}: {refused}");
        }
    }

    #[tokio::test]
    async fn a_name_that_changes_its_mind_is_judged_by_what_it_says_now() {
        let dns = Dns::start(Zone::from([("flip.example", Says::Addresses(&["1.1.1.1"]))])).await;

        let first = dns.look_up("flip.example").await;
        dns.says("flip.example", Says::Addresses(&["127.0.0.1"]));
        let second = dns.look_up("flip.example").await;

        assert_eq!(first, Ok(vec![ip("1.1.1.1")]));
        assert!(matches!(second, Err(NotAllowed::Address { .. })), "{second:?}");
    }

    #[tokio::test]
    async fn a_name_that_is_not_there_has_no_address() {
        let dns = Dns::start(Zone::new()).await;

        let refused = dns.look_up("nowhere.example").await.unwrap_err();

        assert_eq!(refused.to_string(), "dns: no address");
    }

    #[tokio::test]
    async fn a_question_without_an_answer_does_not_take_the_other_answer_along() {
        let dns = Dns::start(Zone::from([
            ("four.example", Says::NothingElse(&["1.1.1.1"])),
            ("six.example", Says::NothingElse(&["2606:4700::1111"])),
            // The address that came may not be called, so the other answer is waited for.
            ("private.example", Says::NothingElse(&["10.0.0.1"])),
        ]))
        .await;
        let begun = tokio::time::Instant::now();

        let four = dns.look_up("four.example").await;
        let took = begun.elapsed();
        let six = dns.look_up("six.example").await;
        let private = dns.look_up("private.example").await;

        assert_eq!(four, Ok(vec![ip("1.1.1.1")]));
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert_eq!(six, Ok(vec![ip("2606:4700::1111")]));
        assert!(private.unwrap_err().to_string().starts_with("address 10.0.0.1 is not allowed"));
    }

    #[tokio::test]
    async fn a_name_that_comes_is_found_soon_whatever_its_zone_says() {
        let dns = Dns::start(Zone::new()).await;

        let before = dns.look_up("new.example").await;
        dns.says("new.example", Says::Addresses(&["1.1.1.1"]));
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        let found = timeout(Duration::from_mins(1), async {
            loop {
                looks.tick().await;
                if let Ok(found) = dns.look_up("new.example").await {
                    return found;
                }
            }
        });

        assert_eq!(before.unwrap_err().to_string(), "dns: no address");
        // The zone says an hour.
        assert_eq!(found.await, Ok(vec![ip("1.1.1.1")]));
    }

    #[tokio::test]
    async fn odd_names_that_dns_may_know_are_asked_for() {
        let label = "a".repeat(63);
        let longest: &'static str = format!("{label}.{label}.{label}.{}", &label[..61]).leak();
        let names = [
            "order_service.example",
            "_service.example",
            "order_",
            "__",
            "7.example",
            "7seven",
            "xn--bcher-kva.example",
            "a.b-c--d.example",
            longest,
        ];
        let dns = Dns::start(names.map(|name| (name, Says::Addresses(&["1.1.1.1"]))).into()).await;

        for name in names {
            let whole = format!("{name}.");
            assert_eq!(dns.look_up(name).await, Ok(vec![ip("1.1.1.1")]), "{name}");
            assert_eq!(dns.look_up(&whole).await, Ok(vec![ip("1.1.1.1")]), "{whole}");
        }
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_given_up_within_the_deadline() {
        let dns = Dns::start(Zone::from([("silent.example", Says::Nothing)])).await;
        let begun = tokio::time::Instant::now();

        let refused = dns.look_up("silent.example").await.unwrap_err();

        assert!(matches!(refused, NotAllowed::Unresolved(_)), "{refused}");
        assert!(begun.elapsed() < DEADLINE * 3, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_asked_for_here_is_not_one_without_an_address() {
        let mut dns = Dns::start(Zone::from([("one.example", Says::Addresses(&["1.1.1.1"]))])).await;
        dns.resolver.descriptors = Descriptors::new(Budget { outgoing: 0, ..Budget::new(1024, 1) });

        let full = dns.resolver.look_up("one.example").await;
        // EMFILE, as `bind` says it.
        let refused = judge(&NetError::from(std::io::Error::from_raw_os_error(24)));

        assert_eq!(full, Err(LookupError::Shortage(Shortage::Descriptors(1024))));
        assert!(matches!(refused, LookupError::Shortage(Shortage::Machine(_))), "{refused}");
    }
}
