//! Asks for IPv4 and IPv6 addresses at once. A question without an answer does not take the answer of the other along
//! (RFC 8305, section 3).

use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::select;
use tokio::time::timeout;

/// How long a resolver waits for the second answer once the first one has addresses that can be called.
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// How long a resolver waits for the second answer otherwise.
const SECOND_ANSWER_MAX: Duration = Duration::from_secs(3);

type Answer = Result<Vec<IpAddr>, NetError>;

/// The addresses of a name that is whole, IPv4 before IPv6. `is_usable` says whether one may be called.
pub(super) async fn addresses_of(
    resolver: &TokioResolver,
    name: &Name,
    is_usable: impl Fn(IpAddr) -> bool,
) -> Answer {
    let (v4, v6) = (ask(resolver, name, RecordType::A), ask(resolver, name, RecordType::AAAA));
    tokio::pin!(v4, v6);
    let is_enough = |answer: &Answer| answer.as_ref().is_ok_and(|found| found.iter().any(|a| is_usable(*a)));
    select! {
        first = &mut v4 => {
            let wait = if is_enough(&first) { RESOLUTION_DELAY } else { SECOND_ANSWER_MAX };
            joined(first, timeout(wait, v6).await.ok())
        }
        first = &mut v6 => {
            let is_enough = is_enough(&first) && first.iter().flatten().any(|to| leads(*to));
            let wait = if is_enough { RESOLUTION_DELAY } else { SECOND_ANSWER_MAX };
            match timeout(wait, v4).await {
                Ok(second) => joined(second, Some(first)),
                Err(_elapsed) => joined(first, None),
            }
        }
    }
}

async fn ask(resolver: &TokioResolver, name: &Name, kind: RecordType) -> Answer {
    let found = resolver.lookup(name.clone(), kind).await?;
    Ok(found.answers().iter().filter_map(|record| record.data.ip_addr()).collect())
}

/// All addresses. If there are none, the failure that says most: a server that is broken more than one that knows none.
fn joined(first: Answer, second: Option<Answer>) -> Answer {
    match (first, second) {
        (Ok(found), None) if !found.is_empty() => Ok(found),
        (Ok(_) | Err(_), None) => Err(NetError::Timeout),
        (Ok(mut found), Some(Ok(more))) => {
            found.extend(more);
            Ok(found)
        }
        (Ok(found), Some(Err(fault))) | (Err(fault), Some(Ok(found))) => {
            if found.is_empty() && !fault.is_no_records_found() { Err(fault) } else { Ok(found) }
        }
        (Err(first), Some(Err(second))) => Err(if first.is_no_records_found() { second } else { first }),
    }
}

/// Whether an address of this machine leads to this one. Sends nothing. Without an IPv6 address IPv4 is worth the wait.
fn leads(to: IpAddr) -> bool {
    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok_and(|socket| socket.connect((to, 9)).is_ok())
}
