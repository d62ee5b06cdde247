//! What is wrong with the database, as people hear of it: whichever stages cannot do their work, the log says why when it
//! begins, now and then while it lasts, and that it is over; `/readyz` says no meanwhile.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::store::one_line;

/// Within this time there are at most two complaints: with the lines of other stages that come back, two a second are kept.
const COMPLAINTS_SPAN: Duration = Duration::from_secs(2);
/// The same fault is said again after this.
const REPEAT_AFTER: Duration = Duration::from_secs(30);
/// So many different faults are remembered as said.
const FAULTS_MAX: usize = 16;

/// Who cannot do its work without a database that does what it is told.
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

/// See the module.
#[derive(Debug, Default)]
pub struct DatabaseHealth {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failing: BTreeSet<Stage>,
    since: Option<Instant>,
    /// Faults that were said, the newest last.
    said: Vec<(String, Instant)>,
    held_back: u64,
}

impl Stage {
    const fn complaint(self) -> &'static str {
        match self {
            Self::WorkLoop => "events not claimed, trying again",
            Self::Settler => "outcomes not written, trying again",
            Self::Lease => "lease not renewed, trying again",
            Self::Maintenance => "housekeeping failed, trying again",
        }
    }
}

impl DatabaseHealth {
    /// A stage failed and will try again.
    pub fn began(&self, stage: Stage, fault: &(dyn Error + 'static)) {
        let mut known = self.lock();
        known.failing.insert(stage);
        known.since.get_or_insert_with(Instant::now);
        known.say(stage.complaint(), fault);
    }

    /// Something failed that nobody tries again as such; it is said in turn with what the stages say.
    pub fn mention(&self, what: &str, fault: &(dyn Error + 'static)) {
        self.lock().say(what, fault);
    }

    /// A stage did its work.
    pub fn ended(&self, stage: Stage) {
        let mut known = self.lock();
        if known.failing.remove(&stage) && known.failing.is_empty() {
            known.end();
        }
    }

    /// Whether every stage did its work when it last tried.
    pub fn is_over(&self) -> bool {
        self.lock().failing.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Logs a complaint, unless the same was said lately or too much was said just now.
    fn say(&mut self, what: &str, fault: &(dyn Error + 'static)) {
        let now = Instant::now();
        let fault = one_line(fault);
        let is_old_news = self.said.iter().any(|(said, at)| *said == fault && now < *at + REPEAT_AFTER);
        let just_now = self.said.iter().filter(|(_, at)| now < *at + COMPLAINTS_SPAN).count();
        if is_old_news || just_now >= 2 {
            self.held_back += 1;
            return;
        }
        warn!("{what}: {fault}");
        self.said.retain(|(said, _)| *said != fault);
        if self.said.len() >= FAULTS_MAX {
            self.said.remove(0);
        }
        self.said.push((fault, now));
    }

    /// Tells the end of what was told to have begun.
    fn end(&mut self) {
        let Some(since) = self.since.take() else { return };
        let now = Instant::now();
        if self.said.iter().any(|(_, at)| *at >= since) {
            let lasted = since.elapsed();
            let held_back = match std::mem::take(&mut self.held_back) {
                0 => String::new(),
                more => format!("; {more} more complaints were not logged"),
            };
            info!("the database does its work again, after {lasted:.1?}{held_back}");
        }
        // The next trouble is told from its beginning, but not faster than this one.
        self.said.retain(|(_, at)| now < *at + COMPLAINTS_SPAN);
    }
}
