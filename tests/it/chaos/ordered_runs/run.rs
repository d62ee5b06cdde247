//! A run: work and trouble side by side, then healing, then silence, then judgement.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::check::{Ledger, judge};
use super::faults::torment;
use super::plan::Plan;
use super::produce::produce;
use super::stage::Stage;
use crate::support::Database;

const PRODUCERS: u64 = 6;
/// Something is accepted within this, as long as something is left: a statement's deadline, a backoff, leases, retries.
const PATIENCE: Duration = Duration::from_secs(90);

/// Carries out a plan; panics with all breaches if a promise is broken.
pub(crate) async fn run(plan: Plan) -> Ledger {
    println!("order with seed {}, {} events, {} dispatchers", plan.seed, plan.events, plan.dispatchers);
    let stage = Stage::set(plan).await;
    let mut producing = JoinSet::new();
    for number in 0..PRODUCERS {
        producing.spawn(produce(Arc::clone(&stage), number));
    }
    let mut tormenting = JoinSet::new();
    tormenting.spawn(torment(Arc::clone(&stage)));
    work_on(&stage).await;
    stage.end();
    while let Some(done) = producing.join_next().await {
        done.unwrap();
    }
    while let Some(done) = tormenting.join_next().await {
        done.unwrap();
    }
    let database = stage.database().await;
    let drained = drain(&stage, &database).await;
    judge(&stage, &database, drained).await
}

/// Waits until there was work and time enough.
async fn work_on(stage: &Stage) {
    let mut progress = Progress::new(stage);
    while !stage.is_enough() {
        sleep(Duration::from_millis(20)).await;
        // It is known how this ends.
        if [&stage.all, &stage.few].iter().any(|receiver| receiver.judge(|lanes| lanes.is_broken())) {
            return;
        }
        if progress.is_stuck(stage) {
            stage.breach(format!(
                "nothing was accepted within {PATIENCE:?}, and {} are left",
                stage.backlog()
            ));
            return;
        }
    }
}

/// Waits until nothing is left to deliver.
async fn drain(stage: &Stage, database: &Database) -> Duration {
    let begun = Instant::now();
    let left = "select (select count(*) from postrider.outbox where status in ('pending', 'in_progress'))
                     + (select count(*) from postrider.claim)";
    let mut progress = Progress::new(stage);
    while database.value::<i64>(left).await > 0 {
        if progress.is_stuck(stage) {
            let stuck = "select coalesce(string_agg(format('%s %s of event %s lane %s place %s due %s claim %s', d.status, d.id, d.event_id,
                             d.lane, d.place, d.due_at, d.claim_id), '; '), 'no delivery')
                         from (select d.* from postrider.delivery as d where d.status in ('pending', 'in_progress')
                               order by d.endpoint_no, d.lane, d.place limit 8) as d";
            let stuck: String = database.value(stuck).await;
            stage.breach(format!("nothing was accepted {PATIENCE:?} after healing: {stuck}"));
            break;
        }
        database.execute("select postrider.retry_set_aside()").await;
        sleep(Duration::from_millis(100)).await;
    }
    begun.elapsed()
}

/// Whether something is still accepted.
struct Progress {
    accepted: u64,
    since: Instant,
}

impl Progress {
    fn new(stage: &Stage) -> Self {
        Self { accepted: accepted(stage), since: Instant::now() }
    }

    fn is_stuck(&mut self, stage: &Stage) -> bool {
        let accepted = accepted(stage);
        if accepted > self.accepted {
            *self = Self { accepted, since: Instant::now() };
        }
        self.since.elapsed() > PATIENCE
    }
}

fn accepted(stage: &Stage) -> u64 {
    let of = |receiver: &crate::support::LaneReceiver| receiver.judge(|lanes| lanes.sums().accepted);
    of(&stage.all) + of(&stage.few)
}
