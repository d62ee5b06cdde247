//! What a run came to, for people.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::check::Check;
use super::history::{Book, Fate, Outage, Peaks};
use super::lateness::Lateness;
use super::plan::Plan;
use super::rows::Rows;

/// The sums of a run.
pub(crate) struct Ledger {
    seed: u64,
    committed: usize,
    rolled_back: usize,
    indeterminate: (usize, usize),
    complete: usize,
    failed: usize,
    requests: usize,
    lost: usize,
    phantom: usize,
    /// How many duplicates there were, by what explains them.
    pub(crate) duplicates: BTreeMap<String, usize>,
    unrecorded: BTreeMap<String, usize>,
    faults: BTreeMap<String, usize>,
    outages: Vec<Outage>,
    peaks: Peaks,
    lateness: Lateness,
    /// How long it took until nothing was left to do, and until a fresh event was delivered after that.
    pub(crate) drained: (Duration, Duration),
}

impl Ledger {
    /// Sums up.
    pub(crate) fn new(plan: &Plan, book: &Book, rows: &Rows, check: Check<'_>) -> Self {
        let count = |fate| book.fates.values().filter(|known| **known == fate).count();
        let appeared = |(number, fate): &(&u64, &Fate)| {
            **fate == Fate::Indeterminate && rows.events.contains_key(number)
        };
        let status = |status| rows.deliveries.values().filter(|known| *known == status).count();
        let mut faults = BTreeMap::new();
        for fault in &book.faults {
            *faults.entry(format!("{:?}", fault.kind)).or_default() += 1;
        }
        Self {
            seed: plan.seed,
            committed: count(Fate::Committed),
            rolled_back: count(Fate::RolledBack),
            indeterminate: (count(Fate::Indeterminate), book.fates.iter().filter(appeared).count()),
            complete: status("complete"),
            failed: status("failed"),
            requests: book.requests.len(),
            lost: check.lost,
            phantom: check.phantom,
            duplicates: check.duplicates,
            unrecorded: check.unrecorded,
            faults,
            outages: book.outages.clone(),
            peaks: book.peaks,
            lateness: Lateness::of(plan, book),
            drained: (Duration::ZERO, Duration::ZERO),
        }
    }

    /// Connections and log lines per second in outages, on average over those of at least two seconds.
    fn outage_rates(&self) -> Option<(f64, f64)> {
        let long: Vec<_> =
            self.outages.iter().filter(|outage| outage.lasted >= Duration::from_secs(2)).collect();
        let seconds: f64 = long.iter().map(|outage| outage.lasted.as_secs_f64()).sum();
        let sum = |of: fn(&Outage) -> usize| {
            f64::from(u32::try_from(long.iter().map(|outage| of(outage)).sum::<usize>()).unwrap()) / seconds
        };
        (seconds > 0.0).then(|| (sum(|outage| outage.connections), sum(|outage| outage.log_lines)))
    }
}

impl Display for Ledger {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (indeterminate, appeared) = self.indeterminate;
        writeln!(f, "seed            {}", self.seed)?;
        writeln!(f, "committed       {}", self.committed)?;
        writeln!(f, "rolled back     {}", self.rolled_back)?;
        writeln!(f, "indeterminate   {indeterminate}, of which {appeared} were committed")?;
        writeln!(f, "deliveries      {} complete, {} failed", self.complete, self.failed)?;
        writeln!(f, "requests        {}", self.requests)?;
        writeln!(f, "lost            {}", self.lost)?;
        writeln!(f, "phantom         {}", self.phantom)?;
        list(f, "duplicates", &self.duplicates)?;
        list(f, "not recorded", &self.unrecorded)?;
        list(f, "faults", &self.faults)?;
        if let Some((connections, lines)) = self.outage_rates() {
            writeln!(f, "in outages      {connections:.1} connections and {lines:.1} log lines a second")?;
        }
        let Peaks { memory_kib, descriptors, connections } = self.peaks;
        let memory_mib = memory_kib / 1024;
        writeln!(
            f,
            "peaks           {memory_mib} MiB, {descriptors} descriptors, {connections} connections"
        )?;
        writeln!(f, "beside strangers {}", self.lateness)?;
        let (drained, newest) = self.drained;
        write!(f, "after healing   drained in {drained:.1?}, a fresh event was delivered in {newest:.1?}")
    }
}

fn list(f: &mut Formatter<'_>, name: &str, counts: &BTreeMap<String, usize>) -> fmt::Result {
    writeln!(f, "{name:<15} {}", counts.values().sum::<usize>())?;
    counts.iter().try_for_each(|(what, count)| writeln!(f, "{count:>20} {what}"))
}
