//! What goes wrong, one after the other, and how it is made good again.

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::plan::{Fault, Planned};
use super::stage::Stage;
use crate::chaos::seeded_runs::slot::Slot;
use crate::chaos::seeded_runs::stage::connect;
use crate::support::{Database, eventually};

/// Nothing goes wrong any more when there is less time left.
const LEFT_MIN: Duration = Duration::from_millis(500);
/// Without an answer in this time there is no server.
const PATIENCE: Duration = Duration::from_secs(5);
/// A few of the latest rows that are not finished.
const SOME_DELIVERIES: &str = "select from postrider.delivery as d
    where d.id > (select max(id) - 2000 from postrider.delivery) and d.completed_at is null
    order by random() limit 20 for update of d skip locked";
const SOME_EVENTS: &str = "select from postrider.outbox as o
    where o.id > (select max(id) - 2000 from postrider.outbox) and o.completed_at is null
    order by random() limit 20 for update skip locked";

/// Injects the faults of the schedule until there was work enough; returns when the last one is healed.
pub(crate) async fn torment(stage: Arc<Stage>) {
    let mut has_failed_over = !stage.plan.has_failover;
    for planned in stage.plan.schedule() {
        let until = tokio::time::Instant::now() + planned.after;
        while tokio::time::Instant::now() < until {
            if stage.ends_within(LEFT_MIN) || stage.is_over() {
                return fail_over_once(&stage, &mut has_failed_over).await;
            }
            sleep(Duration::from_millis(10)).await;
        }
        let is_half = stage.committed.load(Ordering::SeqCst) >= stage.plan.events / 2;
        if is_half {
            fail_over_once(&stage, &mut has_failed_over).await;
        }
        inject(&stage, planned).await;
        stage.faults.fetch_add(1, Ordering::Relaxed);
    }
}

async fn fail_over_once(stage: &Stage, has_failed_over: &mut bool) {
    if !std::mem::replace(has_failed_over, true) {
        fail_over(stage).await;
        stage.faults.fetch_add(1, Ordering::Relaxed);
    }
}

/// The primary is lost with what dispatchers have just committed, and its standby takes its place. What producers committed is there:
/// they pause until the standby has it.
async fn fail_over(stage: &Stage) {
    let _turn = stage.gate.write().await;
    let (primary, standby) = (stage.server(), stage.standby());
    let written: String = Database::at(primary.url()).await.value("select pg_current_wal_lsn()::text").await;
    let replayed = format!("select pg_last_wal_replay_lsn() >= '{written}'");
    let client = connect(standby.url()).await.expect("a standby");
    eventually("the standby has what producers committed", || async {
        client.query_one(&replayed, &[]).await.unwrap().get::<_, bool>(0)
    })
    .await;
    primary.kill().await;
    standby.promote().await;
    stage.fail_over();
    for slot in &stage.slots {
        slot.proxy.lead_to(standby.url());
    }
}

async fn inject(stage: &Stage, planned: Planned) {
    let slot = &stage.slots[planned.target % stage.slots.len()];
    match planned.fault {
        Fault::Kill | Fault::Terminate | Fault::Freeze => disturb_process(stage, slot, planned).await,
        Fault::Reset => slot.proxy.reset(),
        Fault::LoseSettle => lose_answer(slot, planned, "insert into postrider.attempt").await,
        Fault::LoseRouting => lose_answer(slot, planned, "COMMIT").await,
        Fault::EndSessions => {
            let end = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'postrider%'";
            try_execute(stage, end).await;
        }
        Fault::HoldDeliveries => hold(stage, planned, SOME_DELIVERIES).await,
        Fault::HoldEvents => hold(stage, planned, SOME_EVENTS).await,
        Fault::Pause => {
            try_execute(stage, "select postrider.pause_endpoint('all')").await;
            sleep(planned.lasts).await;
            while !try_execute(stage, "select postrider.resume_endpoint('all')").await {
                sleep(Duration::from_millis(100)).await;
            }
        }
        Fault::StopServer | Fault::KillServer => {
            let server = stage.server();
            if planned.fault == Fault::KillServer {
                server.kill().await;
            } else {
                server.stop("fast").await;
            }
            sleep(planned.lasts).await;
            server.start_again().await;
        }
    }
}

async fn disturb_process(stage: &Stage, slot: &Slot, planned: Planned) {
    let mut process = slot.process.lock().await;
    let mut dispatcher = process.take().expect("a dispatcher in every slot");
    if planned.fault == Fault::Freeze {
        dispatcher.signal("STOP").await;
        sleep(planned.lasts).await;
        dispatcher.signal("CONT").await;
        *process = Some(dispatcher);
        return;
    }
    if planned.fault == Fault::Kill {
        dispatcher.kill().await;
    } else {
        dispatcher.signal("TERM").await;
        let status = dispatcher.ended().await;
        // Before it has said a word it may not yet hear signals.
        let is_deaf = status.signal().is_some() && dispatcher.log().is_empty();
        if !status.success() && !is_deaf {
            stage.breach(format!("a dispatcher ended with {status} on SIGTERM"));
        }
    }
    sleep(planned.lasts).await;
    *process = Some(slot.start(stage.flags()));
}

async fn lose_answer(slot: &Slot, planned: Planned, statement: &str) {
    slot.proxy.swallow_answer_to(statement);
    sleep(planned.lasts).await;
    slot.proxy.heal();
}

/// A transaction that locks some rows and is left open.
async fn hold(stage: &Stage, planned: Planned, query: &str) {
    let Some(client) = connect(stage.server().url()).await else { return };
    let sql = format!("begin; set local lock_timeout = '2s'; {query}");
    if let Ok(Ok(())) = timeout(PATIENCE, client.batch_execute(&sql)).await {
        sleep(planned.lasts).await;
    }
    drop(timeout(PATIENCE, client.batch_execute("rollback")).await);
}

async fn try_execute(stage: &Stage, sql: &str) -> bool {
    let Some(client) = connect(stage.server().url()).await else { return false };
    matches!(timeout(PATIENCE, client.batch_execute(sql)).await, Ok(Ok(())))
}
