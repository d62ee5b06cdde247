//! Listeners inside that nobody may ever call. Hostile URLs lead to them, the environment of every process names one as its
//! proxy, and every answer of every receiver points to it; so that a guard that fails is seen: whoever ends a dispatcher or a
//! command looks whether somebody called.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::OnceLock;

/// An address that nothing else of the tests uses.
pub(crate) const QUIET: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

/// All at one port: loopback's usual addresses and a quiet one.
pub(crate) struct Canaries {
    /// Their port.
    pub(crate) port: u16,
    listeners: Vec<TcpListener>,
}

impl Canaries {
    /// Those of this process, which sit there until it ends.
    pub(crate) fn get() -> &'static Self {
        static CANARIES: OnceLock<Canaries> = OnceLock::new();
        CANARIES.get_or_init(|| {
            loop {
                if let Some(canaries) = Self::start() {
                    return canaries;
                }
            }
        })
    }

    /// None: a port that is free here is taken there.
    fn start() -> Option<Self> {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        let has_v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        let others = [Some(IpAddr::from(QUIET)), has_v6.then_some(Ipv6Addr::LOCALHOST.into())];
        let others = others.into_iter().flatten().map(|address| TcpListener::bind((address, port)));
        let listeners: Vec<_> = std::iter::once(Ok(first)).chain(others).collect::<Result<_, _>>().ok()?;
        for listener in &listeners {
            listener.set_nonblocking(true).unwrap();
        }
        Some(Self { port, listeners })
    }

    /// One that only a temptation leads to.
    pub(crate) fn address(&self) -> SocketAddr {
        (QUIET, self.port).into()
    }

    /// Fails if somebody has called one. The system takes calls for us, so that none is missed.
    pub(crate) fn assert_untouched(&self) {
        for listener in &self.listeners {
            if let Ok((_call, peer)) = listener.accept() {
                panic!("{peer} called the canary at {}", listener.local_addr().unwrap());
            }
        }
    }
}
