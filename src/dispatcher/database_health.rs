//! Whether the database does what the stages need, and what the log says about it. When a stage begins to fail, the log says
//! why; it repeats that now and then, and says when all stages succeed again. Meanwhile `/readyz` says no.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::store::{one_line, waits_for_adoption};

/// Within this time at most two failures are logged: with the lines of stages that recover, that makes two a second.
const BURST_SPAN: Duration = Duration::from_secs(2);
/// The same error is logged again after this.
const REPEAT_AFTER: Duration = Duration::from_secs(30);
/// How many different errors are remembered as logged.
const LOGGED_MAX: usize = 16;

/// A stage that cannot work without the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Claims.
    WorkLoop,
    /// Writes outcomes.
    Settler,
    /// Renews the lease.
    Lease,
    /// Takes back, tidies up, deletes.
    Maintenance,
}

/// The health of the database, as the stages see it.
#[derive(Debug, Default)]
pub struct DatabaseHealth {
    log: Mutex<FailureLog>,
}

#[derive(Debug, Default)]
struct FailureLog {
    failing: BTreeSet<Stage>,
    since: Option<Instant>,
    /// Errors that were logged, the newest last.
    logged: Vec<(String, Instant)>,
    held_back: u64,
    /// Why nothing is sent from this database, while it may be a copy.
    waits_because: Option<String>,
}

impl Stage {
    const fn failure(self) -> &'static str {
        match self {
            Self::WorkLoop => "events not claimed, trying again",
            Self::Settler => "outcomes not written, trying again",
            Self::Lease => "lease not renewed, trying again",
            Self::Maintenance => "maintenance failed, trying again",
        }
    }
}

impl DatabaseHealth {
    /// A stage failed and will try again.
    pub fn failed(&self, stage: Stage, fault: &(dyn Error + 'static)) {
        let mut health = self.lock();
        health.failing.insert(stage);
        health.since.get_or_insert_with(Instant::now);
        health.note_adoption(fault);
        health.log(stage.failure(), fault);
    }

    /// A dispatcher cannot start because its database may be a copy.
    pub fn wait_for_adoption(&self, fault: &(dyn Error + 'static)) {
        let mut health = self.lock();
        health.note_adoption(fault);
        health.log("waiting", fault);
    }

    /// Why nothing is sent from this database. `None` if it is no copy, as far as is known.
    pub fn waits_because(&self) -> Option<String> {
        self.lock().waits_because.clone()
    }

    /// Logs a failure that makes no stage fail, as seldom as those of the stages.
    pub fn log_failure(&self, what: &str, fault: &(dyn Error + 'static)) {
        self.lock().log(what, fault);
    }

    /// A stage did its work.
    pub fn succeeded(&self, stage: Stage) {
        let mut health = self.lock();
        // The lease is what looks again and again. Others may go on for a while with connections that were let in before.
        if stage == Stage::Lease && health.waits_because.take().is_some() {
            info!("this database is the home of the installation now: going on");
        }
        if health.failing.remove(&stage) && health.failing.is_empty() {
            health.log_recovery();
        }
    }

    /// Whether every stage did its work when it last tried.
    pub fn is_healthy(&self) -> bool {
        self.lock().failing.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, FailureLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FailureLog {
    fn note_adoption(&mut self, fault: &(dyn Error + 'static)) {
        if waits_for_adoption(fault) {
            self.waits_because = Some(one_line(fault));
        }
    }

    /// Logs a failure, unless the same error was logged lately or too much was logged just now.
    fn log(&mut self, what: &str, fault: &(dyn Error + 'static)) {
        let now = Instant::now();
        let fault = one_line(fault);
        let is_known = self.logged.iter().any(|(logged, at)| *logged == fault && now < *at + REPEAT_AFTER);
        let just_now = self.logged.iter().filter(|(_, at)| now < *at + BURST_SPAN).count();
        if is_known || just_now >= 2 {
            self.held_back += 1;
            return;
        }
        warn!("{what}: {fault}");
        self.logged.retain(|(logged, _)| *logged != fault);
        if self.logged.len() >= LOGGED_MAX {
            self.logged.remove(0);
        }
        self.logged.push((fault, now));
    }

    /// Logs that all stages work again, if the log says that one failed.
    fn log_recovery(&mut self) {
        let Some(since) = self.since.take() else { return };
        let now = Instant::now();
        if self.logged.iter().any(|(_, at)| *at >= since) {
            let lasted = since.elapsed();
            let held_back = match std::mem::take(&mut self.held_back) {
                0 => String::new(),
                more => format!("; {more} more failures were not logged"),
            };
            info!("database recovered after {lasted:.1?}{held_back}");
        }
        // The next trouble is logged from its beginning, but not faster than this one.
        self.logged.retain(|(_, at)| now < *at + BURST_SPAN);
    }
}
