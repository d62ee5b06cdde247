//! The place of one dispatcher: its process, which comes and goes, its network, and what it ever logged.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::history::{Outage, Peaks};
use super::stage::Stage;
use crate::support::{Dispatcher, Proxy};

/// One place.
pub(crate) struct Slot {
    pub(crate) number: usize,
    pub(crate) proxy: Proxy,
    url: String,
    /// Faults of the process come one after the other.
    pub(crate) process: tokio::sync::Mutex<Option<Dispatcher>>,
    /// So do those of its network.
    pub(crate) network: tokio::sync::Mutex<()>,
    logs: Mutex<Vec<Arc<Mutex<String>>>>,
    pid: Mutex<Option<u32>>,
}

/// What was counted when an outage began.
pub(crate) struct Counted {
    at: Duration,
    connections: usize,
    log_lines: usize,
}

impl Slot {
    pub(crate) fn new(number: usize, proxy: Proxy, url: &str) -> Self {
        Self {
            number,
            url: proxy.url(url),
            proxy,
            process: tokio::sync::Mutex::default(),
            network: tokio::sync::Mutex::default(),
            logs: Mutex::default(),
            pid: Mutex::default(),
        }
    }

    /// Starts a dispatcher, and waits for nothing.
    pub(crate) fn start(&self, flags: &[&str]) -> Dispatcher {
        let dispatcher = Dispatcher::spawn(&self.url, &[&["--no-migrate"], flags].concat());
        self.logs.lock().unwrap().push(dispatcher.logbook());
        *self.pid.lock().unwrap() = Some(dispatcher.pid());
        dispatcher
    }

    /// Everything that its dispatchers logged.
    pub(crate) fn log(&self) -> String {
        let logs = self.logs.lock().unwrap();
        logs.iter().map(|log| log.lock().unwrap().clone()).collect()
    }

    fn log_lines(&self) -> usize {
        let logs = self.logs.lock().unwrap();
        logs.iter().map(|log| log.lock().unwrap().lines().count()).sum()
    }

    /// An outage begins.
    pub(crate) fn count(&self, stage: &Stage) -> Counted {
        Counted {
            at: stage.history.now(),
            connections: self.proxy.connections(),
            log_lines: self.log_lines(),
        }
    }

    /// An outage ends.
    pub(crate) fn note_outage(&self, stage: &Stage, before: &Counted) {
        let outage = Outage {
            lasted: stage.history.now().saturating_sub(before.at),
            connections: self.proxy.connections() - before.connections,
            log_lines: self.log_lines() - before.log_lines,
        };
        stage.history.write(|book| book.outages.push(outage));
    }

    /// How large its process is; none: there is none at the moment.
    pub(crate) fn measure(&self) -> Option<Peaks> {
        let pid = (*self.pid.lock().unwrap())?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(Peaks {
            memory_kib: line.trim().trim_end_matches(" kB").parse().ok()?,
            descriptors: std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count(),
            connections: self.proxy.open(),
        })
    }
}
