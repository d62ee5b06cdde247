//! What goes wrong, one after the other, and how it is made good again.

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::plan::{Fault, Planned};
use super::stage::{FLAGS, Stage};
use crate::chaos::seeded_runs::slot::Slot;
use crate::chaos::seeded_runs::stage::connect;

/// Nothing goes wrong any more when there is less time left.
const LEFT_MIN: Duration = Duration::from_secs(1);

/// Injects the faults of the schedule until the end is near; returns when the last one is healed.
pub(crate) async fn torment(stage: Arc<Stage>) {
    for planned in stage.plan.schedule() {
        if stage.ends_within(planned.after + LEFT_MIN) {
            return;
        }
        sleep(planned.after).await;
        inject(&stage, planned).await;
        stage.counts.faults.fetch_add(1, Ordering::Relaxed);
    }
}

async fn inject(stage: &Stage, planned: Planned) {
    let slot = &stage.slots[planned.target % stage.slots.len()];
    match planned.fault {
        Fault::Kill | Fault::Terminate | Fault::Freeze => {
            disturb_process(stage, slot, planned).await;
        }
        Fault::Reset => slot.proxy.reset(),
        Fault::EndSessions => {
            let end = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'postrider%'";
            if let Some(client) = connect(stage.server.url()).await {
                drop(client.batch_execute(end).await);
            }
        }
        Fault::StopServer | Fault::KillServer => {
            let _turn = stage.server.turn.lock().await;
            if planned.fault == Fault::KillServer {
                stage.server.kill().await;
            } else {
                stage.server.stop("fast").await;
            }
            sleep(planned.lasts).await;
            stage.server.start_again().await;
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
    *process = Some(slot.start(FLAGS));
}
