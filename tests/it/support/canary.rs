//! Somebody whom nothing may ever call, in no test: whoever does ends the whole run at once. All are tempted: the environment of
//! every process names it as a proxy, and every answer of every receiver points to it.

use std::net::{SocketAddr, TcpListener};
use std::sync::OnceLock;
use std::thread;

/// Not an address that a test listens at.
const ADDRESS: &str = "127.66.6.6:0";

/// Where it is.
pub(crate) fn canary() -> SocketAddr {
    static CANARY: OnceLock<SocketAddr> = OnceLock::new();
    *CANARY.get_or_init(|| {
        let listener = TcpListener::bind(ADDRESS).or_else(|_| TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || die(&listener));
        address
    })
}

#[expect(clippy::exit, reason = "there is no other end of a run than that of its process")]
fn die(listener: &TcpListener) {
    let caller = listener.accept().map(|(_, caller)| caller);
    eprintln!("the canary, which nobody may call, was called by {caller:?}: a guard is missing");
    std::process::exit(101);
}
