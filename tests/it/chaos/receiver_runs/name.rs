//! The receiver's name, and where it leads: by a file that dispatchers see as their `/etc/hosts`.

use std::fs::OpenOptions;
use std::io::{Seek, Write};

use tokio::process::Command;

use crate::support::{Dispatcher, Folder, MOVING, command, with_hosts};

/// Both addresses.
pub(crate) const ADDRESSES: [&str; 2] = ["127.0.0.2", "127.0.0.3"];

/// A name that can be moved.
pub(crate) struct Name {
    _folder: Folder,
    /// None: this machine allows no namespaces, and so the name stays.
    hosts: Option<String>,
}

impl Name {
    /// It leads to the first address.
    pub(crate) async fn new() -> Self {
        let folder = Folder::new();
        let hosts = folder.write("hosts", &line(0));
        let mut probe = with_hosts(&hosts, &Command::new("true"));
        let is_allowed = probe.output().await.is_ok_and(|output| output.status.success());
        if !is_allowed {
            println!(
                "the name does not move: this machine does not let a process mount a file for itself (unshare -Urm)"
            );
        }
        Self { _folder: folder, hosts: is_allowed.then_some(hosts) }
    }

    pub(crate) fn moves(&self) -> bool {
        self.hosts.is_some()
    }

    /// What stands in URLs.
    pub(crate) fn host(&self) -> &'static str {
        if self.moves() { MOVING } else { "localhost" }
    }

    /// Where it leads in the beginning, and then.
    pub(crate) fn addresses(&self) -> [&'static str; 2] {
        if self.moves() { ADDRESSES } else { ["127.0.0.1"; 2] }
    }

    /// From now on it leads there. The file stays the same one, and is never half written: its length stays, too.
    pub(crate) fn lead_to(&self, address: usize) {
        let mut file = OpenOptions::new().write(true).open(self.hosts.as_ref().unwrap()).unwrap();
        file.rewind().unwrap();
        file.write_all(line(address).as_bytes()).unwrap();
    }

    /// A dispatcher that knows it.
    pub(crate) fn dispatcher(&self, url: &str, flags: &[&str]) -> Dispatcher {
        let mut run =
            command(&["run", "--allow-http", "--allow-cidr", "127.0.0.0/8", "--api-listen", "127.0.0.1:0"]);
        run.args(flags).env("DATABASE_URL", url);
        Dispatcher::of(match &self.hosts {
            Some(hosts) => with_hosts(hosts, &run),
            None => run,
        })
    }
}

fn line(address: usize) -> String {
    format!("{} {MOVING}\n127.0.0.1 localhost\n", ADDRESSES[address])
}
