//! File descriptors of this process, and how many connections they allow. The database and the API keep a reserve;
//! connections to endpoints, under way and idle, share the rest.
//!
//! Nothing reports that a connection was closed. So the system is asked how many descriptors are open, but only when as many
//! have been opened as are allowed.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;
use tokio::time::Instant;

/// For the database, the runtimes, the log and the certificates of this machine: some 40 are used.
const OWN: usize = 64;
/// Bounds for connections of the API, which get a quarter of the limit.
const API_MIN: usize = 32;
const API_MAX: usize = 512;
/// Fewer would be no dispatcher. With such a low limit, the dispatcher waits when the system refuses.
const OUTGOING_MIN: usize = 16;
/// Twice the most requests that may be under way: memory has limits too.
const KEPT_MAX: usize = 20_000;
/// Stands for "unlimited".
const UNLIMITED: usize = 1 << 20;
/// Time between two checks for room to keep a connection. A wrong answer costs a connection, not a delivery.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Folder in which the system lists open descriptors.
const OPEN: &str = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };

/// How a limit of file descriptors is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The limit.
    pub limit: usize,
    /// Connections of the API.
    pub api: usize,
    /// Connections to endpoints, under way and idle.
    pub outgoing: usize,
    /// Requests under way at once.
    pub in_flight: usize,
    /// Connections to endpoints that may be kept after a request.
    pub kept: usize,
}

impl Budget {
    /// Divides a limit, if this many requests may be under way.
    pub fn new(limit: usize, max_in_flight: usize) -> Self {
        let api = (limit / 4).clamp(API_MIN, API_MAX);
        let outgoing = limit.saturating_sub(OWN + api).max(OUTGOING_MIN);
        let in_flight = max_in_flight.min(outgoing / 2);
        // An eighth is on its way out: a connection is closed a moment after its request has ended.
        let kept = (outgoing - outgoing / 8 - in_flight).min(KEPT_MAX);
        Self { limit, api, outgoing, in_flight, kept }
    }

    /// Warns if fewer requests may be under way than were asked for.
    pub fn lacks_requests(&self, max_in_flight: usize) -> Option<String> {
        let Self { limit, in_flight, .. } = self;
        (*in_flight < max_in_flight).then(|| {
            format!(
                "{limit} file descriptors are not enough for {max_in_flight} requests at once (--max-in-flight): at most \
                 {in_flight} are made"
            )
        })
    }

    /// Warns if endpoints are on more hosts than connections can be kept.
    pub fn lacks_connections(&self, hosts: usize) -> Option<String> {
        let Self { limit, kept, .. } = self;
        (*kept < hosts && *kept < KEPT_MAX).then(|| {
            format!(
                "endpoints are on {hosts} hosts, and {limit} file descriptors are enough to keep {kept} connections: further \
                 requests open one each"
            )
        })
    }

    /// The remedy for both.
    pub fn remedy(&self, hosts: usize, max_in_flight: usize) -> String {
        let outgoing = (hosts.min(KEPT_MAX) + max_in_flight) * 8 / 7 + 8;
        let enough = outgoing.max(max_in_flight * 2) + OWN + API_MAX;
        format!("raise the limit to {enough} or more: ulimit -n {enough}, or LimitNOFILE={enough} of systemd")
    }
}

/// Raises the soft limit of this process to the hard one, and returns the limit then. If that is refused, it stays as it is.
pub fn raise_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let is_raised =
        current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if is_raised { maximum } else { current };
    limit.and_then(|limit| usize::try_from(limit).ok()).map_or(UNLIMITED, |limit| limit.min(UNLIMITED))
}

/// No connection can be opened, whatever the endpoint would say.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Shortage {
    /// All descriptors for endpoints are in use.
    #[error(
        "all connections are in use that {0} file descriptors are enough for (ulimit -n or LimitNOFILE= allows more)"
    )]
    Descriptors(usize),
    /// The system refuses one.
    #[error("this machine has nothing left for another connection: {0}")]
    Machine(String),
}

impl Shortage {
    /// Whether a failure is one, or was caused by one.
    pub fn behind(fault: &(dyn Error + 'static)) -> Option<Self> {
        std::iter::successors(Some(fault), |&cause| cause.source()).find_map(|cause| {
            let known = cause.downcast_ref::<Self>().cloned();
            known.or_else(|| cause.downcast_ref::<io::Error>().and_then(Self::of))
        })
    }

    /// Whether the system lacks something, as no peer could make it.
    pub fn of(fault: &io::Error) -> Option<Self> {
        let lacks = [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOBUFS,
            Errno::NOMEM,
            Errno::ADDRNOTAVAIL,
            // Of `connect`: its kind for sockets that are not ready never gets here.
            Errno::AGAIN,
        ];
        let code = fault.raw_os_error()?;
        lacks.iter().any(|errno| errno.raw_os_error() == code).then(|| Self::Machine(fault.to_string()))
    }

    /// Whether it is said of addresses: all ports towards one are taken, or none of ours leads there at all.
    pub fn is_of_addresses(fault: &(dyn Error + 'static)) -> bool {
        std::iter::successors(Some(fault), |&cause| cause.source())
            .filter_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error())
            .any(|code| code == Errno::ADDRNOTAVAIL.raw_os_error())
    }
}

/// The descriptors of this process.
#[derive(Clone, Debug)]
pub struct Descriptors(Arc<DescriptorPool>);

#[derive(Debug)]
struct DescriptorPool {
    budget: Budget,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    /// Time when the system was last asked.
    read: Option<Instant>,
    /// What was open then, and what was opened since: more than is open, but for what is opened in this very moment.
    open: usize,
    /// Of the open ones, those that end with their request.
    passing: usize,
    /// Of the open ones, connections of the API.
    serving: usize,
}

/// One of what is counted apart, until it is dropped.
#[derive(Debug)]
pub struct Part {
    shared: Arc<DescriptorPool>,
    of: fn(&mut Used) -> &mut usize,
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut used = self.shared.used();
        *(self.of)(&mut used) -= 1;
    }
}

impl Descriptors {
    /// Nothing is open yet but what the system says. Where it says nothing (no `/proc`), no connection is kept: then as many
    /// are open as requests are under way.
    pub fn new(budget: Budget) -> Self {
        let is_blind = count_open().is_none();
        let budget = if is_blind { Budget { kept: 0, outgoing: usize::MAX, ..budget } } else { budget };
        Self(Arc::new(DescriptorPool { budget, used: Mutex::default() }))
    }

    /// The division of the limit.
    pub fn budget(&self) -> Budget {
        self.0.budget
    }

    /// Whether a connection may be opened that stays idle after its request.
    pub fn keep_one(&self) -> bool {
        let Budget { kept, .. } = self.0.budget;
        let mut used = self.0.used();
        let may_keep = |used: &Used| used.outgoing().saturating_sub(used.passing) < kept;
        if !may_keep(&used) && used.read.is_none_or(|read| read.elapsed() > LOOK_AGAIN) {
            used.look();
        }
        let may_keep = may_keep(&used);
        drop(used);
        may_keep && self.open(1).is_ok()
    }

    /// Takes so many of them, to be opened now. Who closes them need not say so.
    ///
    /// # Errors
    /// [`Shortage::Descriptors`].
    pub fn open(&self, sockets: usize) -> Result<(), Shortage> {
        let Budget { outgoing, limit, .. } = self.0.budget;
        let mut used = self.0.used();
        if used.outgoing() + sockets > outgoing {
            used.look();
        }
        if used.outgoing() + sockets > outgoing {
            return Err(Shortage::Descriptors(limit));
        }
        used.open += sockets;
        Ok(())
    }

    /// A request is under way on a connection that ends with it.
    pub fn passing(&self) -> Part {
        self.0.used().passing += 1;
        self.part(|used| &mut used.passing)
    }

    /// The API has a connection.
    pub fn serving(&self) -> Part {
        let mut used = self.0.used();
        used.serving += 1;
        used.open += 1;
        self.part(|used| &mut used.serving)
    }

    fn part(&self, of: fn(&mut Used) -> &mut usize) -> Part {
        Part { shared: Arc::clone(&self.0), of }
    }
}

impl DescriptorPool {
    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    /// Sockets towards endpoints, or a few more.
    fn outgoing(&self) -> usize {
        self.open.saturating_sub(self.serving)
    }

    fn look(&mut self) {
        self.read = Some(Instant::now());
        // Without an answer, for want of a descriptor, nothing is known to have been closed.
        if let Some(open) = count_open() {
            self.open = open.saturating_sub(OWN);
        }
    }
}

/// How many descriptors this process has open.
fn count_open() -> Option<usize> {
    // Linux says it as the size of the list, since 6.2.
    let size = std::fs::metadata(OPEN).ok().and_then(|list| usize::try_from(list.len()).ok());
    size.filter(|size| cfg!(target_os = "linux") && *size > 0)
        .or_else(|| std::fs::read_dir(OPEN).ok().map(Iterator::count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    fn behind(code: i32) -> Option<Shortage> {
        Shortage::behind(&Outer(io::Error::from_raw_os_error(code)))
    }

    #[test]
    fn what_the_system_lacks_is_a_shortage_and_what_a_peer_does_is_none() {
        for errno in
            [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL, Errno::AGAIN]
        {
            assert!(matches!(behind(errno.raw_os_error()), Some(Shortage::Machine(_))), "{errno}");
        }
        for errno in [
            Errno::CONNREFUSED,
            Errno::CONNRESET,
            Errno::HOSTUNREACH,
            Errno::NETUNREACH,
            Errno::PIPE,
            Errno::TIMEDOUT,
        ] {
            assert_eq!(behind(errno.raw_os_error()), None, "{errno}");
        }
        assert_eq!(Shortage::behind(&Outer(io::ErrorKind::TimedOut.into())), None);
    }

    #[test]
    fn no_more_are_opened_than_there_may_be() {
        let open = count_open().unwrap_or_default();
        let budget = Budget { outgoing: open + 1000, kept: open + 500, ..Budget::new(1 << 20, 512) };
        let descriptors = Descriptors::new(budget);

        // Nothing is really opened, so that each look finds room again.
        assert_eq!(descriptors.open(open + 1000), Ok(()));
        assert_eq!(descriptors.open(open + 1001), Err(Shortage::Descriptors(1 << 20)));
        assert!(descriptors.keep_one());
    }
}
