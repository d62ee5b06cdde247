//! What was promised, judged from what receivers saw, what the counters of producers say, and what the database has.

use std::fmt::{self, Display, Formatter};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::plan::Plan;
use super::stage::Stage;
use crate::support::{Database, LaneReceiver, Sums, variable};

/// Of all breaches so many are told.
const TOLD_MAX: usize = 20;

/// The sums of a run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    seed: u64,
    events: i64,
    keys: u64,
    pub(crate) duplicates: u64,
    all: Sums,
    few: Sums,
    faults: u64,
    lasted: Duration,
    drained: Duration,
}

/// Judges a run; panics with all breaches.
pub(crate) async fn judge(stage: &Stage, database: &Database, drained: Duration) -> Ledger {
    let lasted = stage.began.elapsed();
    let mut breaches = stage.breaches();
    let counts = database.rows("select key, number from public.counter order by key", &[]).await;
    let counts = counts.iter().map(|row| (row.get::<_, i32>(0), row.get::<_, i64>(1)));
    let counts: Vec<_> =
        counts.map(|(key, n)| (u64::try_from(key).unwrap(), u64::try_from(n).unwrap())).collect();
    let few: Vec<_> = counts.iter().copied().filter(|(key, _)| Plan::is_of_few(*key)).collect();
    breaches.extend(breaches_of("all", &stage.all, &counts));
    breaches.extend(breaches_of("few", &stage.few, &few));
    breaches.extend(database.disagreements().await);
    let in_lanes: i64 =
        database.value("select count(*) from postrider.delivery where lane is not null").await;
    if in_lanes > 0 {
        breaches.push(format!("{in_lanes} deliveries are still in lanes"));
    }
    for slot in &stage.slots {
        let dispatcher = slot.process.lock().await.take().expect("a dispatcher in every slot");
        let status = dispatcher.terminate().await;
        if !status.success() {
            breaches.push(format!("a dispatcher ended with {status}"));
        }
    }
    let sums = |receiver: &LaneReceiver| receiver.judge(|lanes| lanes.sums());
    let (all, few) = (sums(&stage.all), sums(&stage.few));
    let ledger = Ledger {
        seed: stage.plan.seed,
        events: database.value("select sum(number)::bigint from public.counter").await,
        keys: stage.plan.keys,
        duplicates: all.duplicates + few.duplicates,
        all,
        few,
        faults: stage.faults.load(Ordering::Relaxed),
        lasted,
        drained,
    };
    if !breaches.is_empty() {
        let told = breaches.iter().take(TOLD_MAX).map(String::as_str).collect::<Vec<_>>().join("\n");
        panic!(
            "seed {}: {} promises are broken; the logs are in {}\n{told}\n{ledger}",
            stage.plan.seed,
            breaches.len(),
            keep(stage)
        );
    }
    println!("{ledger}");
    ledger
}

fn breaches_of(endpoint: &str, receiver: &LaneReceiver, counts: &[(u64, u64)]) -> Vec<String> {
    let breaches = receiver.judge(|lanes| {
        for (key, count) in counts {
            lanes.expect(&format!("k{key}"), *count);
        }
        lanes.breaches()
    });
    breaches.iter().map(|breach| format!("{endpoint}: {breach}")).collect()
}

/// Writes all logs to where they can be read; returns the folder.
fn keep(stage: &Stage) -> String {
    let folder =
        variable("POSTRIDER_CHAOS_HISTORY").map_or_else(std::env::temp_dir, std::path::PathBuf::from);
    let folder = folder.join(format!("postrider-chaos-{}-{}", stage.plan.seed, std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for slot in &stage.slots {
        std::fs::write(folder.join(format!("dispatcher-{}.log", slot.number)), slot.log()).unwrap();
    }
    folder.display().to_string()
}

impl Display for Ledger {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { seed, events, keys, duplicates: _, all, few, faults, lasted, drained } = self;
        writeln!(f, "seed            {seed}")?;
        writeln!(f, "events          {events} of {keys} keys in {lasted:.1?}")?;
        for (name, sums) in [("all", all), ("few", few)] {
            let Sums { requests, accepted, duplicates, given_up } = sums;
            writeln!(f, "endpoint {name:6} {requests} requests, {accepted} events accepted")?;
            writeln!(
                f,
                "                {duplicates} of them again, {given_up} others passed: refused for good"
            )?;
        }
        writeln!(f, "faults          {faults}")?;
        write!(f, "after healing   drained in {drained:.1?}")
    }
}
