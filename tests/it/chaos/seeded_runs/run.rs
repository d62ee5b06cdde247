//! A run: work and trouble side by side, then healing, then silence, then judgement.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::check::Check;
use super::faults::torment;
use super::ledger::Ledger;
use super::plan::{ENDPOINTS, FRESH, PRODUCERS, Plan};
use super::produce::produce;
use super::rows::Rows;
use super::stage::Stage;
use super::watch::watch;
use crate::support::{Database, variable};

/// After healing everything is settled within this: a statement's deadline of 30 s, a backoff of 15 s, leases, retries.
const DRAIN_MAX: Duration = Duration::from_secs(90);
/// A fresh event arrives within this, without a restart: the poll is 1 s.
const FRESH_MAX: Duration = Duration::from_secs(5);

/// Carries out a plan; panics with all breaches if an invariant is broken.
pub(crate) async fn run(plan: Plan) -> Ledger {
    println!("chaos with seed {}, {:?}, {} dispatchers", plan.seed, plan.lasts, plan.dispatchers);
    let (stage, _peers) = Stage::set(plan).await;
    for slot in &stage.slots {
        *slot.process.lock().await = Some(slot.start(stage.plan.flags));
    }
    let mut watching = JoinSet::new();
    watching.spawn(watch(Arc::clone(&stage)));
    let mut producing = JoinSet::new();
    for producer in 0..PRODUCERS {
        producing.spawn(produce(Arc::clone(&stage), producer));
    }
    torment(Arc::clone(&stage)).await;
    sleep(stage.plan.lasts.saturating_sub(stage.history.now())).await;
    stage.end();
    while let Some(done) = producing.join_next().await {
        done.unwrap();
    }
    let drained = drain(&stage).await;
    let fresh = deliver_a_fresh_event(&stage).await;
    watching.shutdown().await;
    let mut ledger = judge(&stage).await;
    ledger.drained = (drained, fresh);
    println!("{ledger}");
    ledger
}

/// Waits until nothing is left to do.
async fn drain(stage: &Stage) -> Duration {
    let database = Database::at(&stage.admin_url).await;
    let begun = Instant::now();
    let left = "select (select count(*) from postrider.outbox where status in ('pending', 'in_progress')) \
                     + (select count(*) from postrider.claim)";
    while database.value::<i64>(left).await > 0 {
        if begun.elapsed() > DRAIN_MAX {
            let stuck = "select coalesce(string_agg(format('%s %s of event %s due %s claim %s', d.status, d.id, d.event_id, \
                             d.due_at, d.claim_id), '; '), 'no delivery') \
                         from (select d.* from postrider.delivery as d where d.status in ('pending', 'in_progress') limit 5) as d";
            let stuck: String = database.value(stuck).await;
            stage.history.breach(format!("I1: not drained {DRAIN_MAX:?} after healing: {stuck}"));
            break;
        }
        // What was refused is due minutes from now.
        database.execute("select postrider.retry_set_aside()").await;
        sleep(Duration::from_millis(50)).await;
    }
    begun.elapsed()
}

/// I10: the newest event is delivered, without a restart. It leaves no trace.
async fn deliver_a_fresh_event(stage: &Stage) -> Duration {
    let event = stage.plan.event(FRESH);
    let sql = "insert into postrider.outbox (topic, payload, destination) values ($1, $2::text::json, 'all') returning id";
    let database = Database::at(&stage.admin_url).await;
    let begun = Instant::now();
    let id: i64 = database.client.query_one(sql, &[&event.topic, &event.payload]).await.unwrap().get(0);
    let status = format!("select status::text from postrider.outbox where id = {id}");
    while database.value::<String>(&status).await != "complete" {
        if begun.elapsed() > FRESH_MAX {
            let status: String = database.value(&status).await;
            stage.history.breach(format!("I10: after {FRESH_MAX:?} a fresh event is {status}"));
            break;
        }
        sleep(Duration::from_millis(5)).await;
    }
    let delivered = begun.elapsed();
    database
        .execute(&format!(
            "delete from postrider.delivery where event_id = {id}; delete from postrider.outbox where id = {id}"
        ))
        .await;
    stage.history.write(|book| book.requests.retain(|request| request.number != FRESH));
    delivered
}

async fn judge(stage: &Stage) -> Ledger {
    let database = Database::at(&stage.admin_url).await;
    for what in database.disagreements().await {
        stage.history.breach(format!("I7: {what}"));
    }
    let rows = Rows::read(&database).await;
    for slot in &stage.slots {
        let dispatcher = slot.process.lock().await.take().expect("a dispatcher in every slot");
        let status = dispatcher.terminate().await;
        if !status.success() {
            stage.history.breach(format!("P23: dispatcher in slot {} ended with {status}", slot.number));
        }
    }
    let book = stage.history.book();
    let (check, breaches) = Check::new(&stage.plan, &book, &rows).breaches(&stage.slots);
    let ledger = Ledger::new(&stage.plan, &book, &rows, check);
    if !breaches.is_empty() {
        let kept = keep(stage, &book.lines());
        panic!(
            "seed {}: {} invariants are broken; the history is in {kept}\n{}\n{ledger}",
            stage.plan.seed,
            breaches.len(),
            breaches.join("\n")
        );
    }
    ledger
}

/// Writes the history and all logs to where they can be read; returns the folder.
fn keep(stage: &Stage, lines: &str) -> String {
    let folder =
        variable("POSTRIDER_CHAOS_HISTORY").map_or_else(std::env::temp_dir, std::path::PathBuf::from);
    let folder = folder.join(format!("postrider-chaos-{}-{}", stage.plan.seed, std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("history.jsonl"), lines).unwrap();
    for slot in &stage.slots {
        std::fs::write(folder.join(format!("dispatcher-{}.log", slot.number)), slot.log()).unwrap();
    }
    // What receivers and the schedule are made of: the endpoints by name.
    std::fs::write(folder.join("endpoints.txt"), format!("{ENDPOINTS:?}\n{:#?}\n", stage.plan)).unwrap();
    folder.display().to_string()
}
