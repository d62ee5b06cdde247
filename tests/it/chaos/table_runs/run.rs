//! A run: work and trouble side by side, then healing, then silence, then judgement.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::check::{Ledger, judge};
use super::decoded::follow;
use super::faults::torment;
use super::plan::Plan;
use super::stage::Stage;
use super::users::user;
use super::writers::write;
use crate::support::{DEADLINE, Database};

/// After healing everything is settled and written back within this: deadlines, leases, retries, a backoff.
const DRAIN_MAX: Duration = Duration::from_mins(2);

/// Carries out a plan; panics with all breaches if a promise is broken.
pub(crate) async fn run(plan: Plan) -> Ledger {
    println!("tables with seed {}, {:?}, {} dispatchers", plan.seed, plan.lasts, plan.dispatchers);
    let stage = Stage::set(plan).await;
    let mut decoding = JoinSet::new();
    decoding.spawn(follow(Arc::clone(&stage)));
    let mut working = JoinSet::new();
    for number in 0..stage.plan.writers {
        working.spawn(write(Arc::clone(&stage), number));
    }
    for number in 0..stage.plan.users {
        working.spawn(user(Arc::clone(&stage), number));
    }
    torment(Arc::clone(&stage)).await;
    work_on(&stage).await;
    stage.end();
    while let Some(done) = working.join_next().await {
        done.unwrap();
    }
    let database = stage.database().await;
    commit_prepared(&database).await;
    stage.finish();
    let drained = drain(&stage, &database).await;
    let decoded = decoding.join_next().await.unwrap().unwrap();
    let ledger = judge(&stage, &decoded, drained).await;
    for slot in &stage.slots {
        let dispatcher = slot.process.lock().await.take().expect("a dispatcher in every slot");
        assert!(dispatcher.terminate().await.success(), "{}", slot.log());
    }
    println!("{ledger}");
    ledger
}

/// Waits until there was time enough, and users have done their transactions.
async fn work_on(stage: &Stage) {
    let (mut done, mut since) = (0, Instant::now());
    while !stage.is_enough() {
        sleep(Duration::from_millis(20)).await;
        let now = stage.counts.transactions.load(Ordering::Relaxed);
        if now > done {
            (done, since) = (now, Instant::now());
        } else if done < stage.plan.transactions && since.elapsed() > DEADLINE {
            stage.breach(format!("users have done {done} transactions, and no other within {DEADLINE:?}"));
            return;
        }
    }
}

/// What was prepared by a session that went away.
async fn commit_prepared(database: &Database) {
    for row in database.rows("select gid from pg_prepared_xacts", &[]).await {
        database.execute(&format!("commit prepared '{}'", row.get::<_, String>(0))).await;
    }
}

/// Waits until nothing is left to deliver, and no status to write.
async fn drain(stage: &Stage, database: &Database) -> Duration {
    let begun = Instant::now();
    let left = "select (select count(*) from postrider.outbox where status in ('pending', 'in_progress'))
                     + (select count(*) from postrider.claim) + (select count(*) from postrider.row_due)";
    while database.value::<i64>(left).await > 0 {
        if begun.elapsed() > DRAIN_MAX {
            let left = "select format('%s events, %s rows due: %s',
                               (select count(*) from postrider.outbox where status in ('pending', 'in_progress')),
                               (select count(*) from postrider.row_due),
                               (select string_agg(last_error, '; ') from postrider.attachment))";
            stage.breach(format!(
                "not drained {DRAIN_MAX:?} after healing: {}",
                database.value::<String>(left).await
            ));
            break;
        }
        database.execute("select postrider.retry_set_aside()").await;
        sleep(Duration::from_millis(50)).await;
    }
    begun.elapsed()
}
