//! What goes wrong, and how it is made good again. Every fault heals itself.

use std::num::{NonZeroU32, NonZeroUsize};
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::kind::{Kind, Network, Process, Restart, Session};
use super::plan::{ENDPOINTS, Planned};
use super::slot::Slot;
use super::stage::{Stage, connect};
use super::strangers::let_in;
use crate::support::{Door, Toxic, Toxics};

/// Nothing goes wrong any more when there is less time left.
const LEFT_MIN: Duration = Duration::from_millis(500);

/// Injects the faults of the schedule until the end is near; returns when all are healed.
pub(crate) async fn torment(stage: Arc<Stage>) {
    let mut faults = JoinSet::new();
    for mut planned in stage.plan.schedule() {
        sleep(planned.after).await;
        let left = stage.plan.lasts.saturating_sub(stage.history.now());
        if left < LEFT_MIN {
            break;
        }
        if !planned.kind.is_whole() {
            planned.lasts = planned.lasts.min(left);
        }
        faults.spawn(inject(Arc::clone(&stage), planned));
    }
    while let Some(done) = faults.join_next().await {
        done.unwrap();
    }
}

async fn inject(stage: Arc<Stage>, planned: Planned) {
    let slot = &stage.slots[planned.target % stage.slots.len()];
    match planned.kind {
        Kind::Process(process) => disturb_process(&stage, slot, planned, process).await,
        Kind::Server(restart) => restart_server(&stage, planned, restart).await,
        Kind::Session(session) => disturb_sessions(&stage, planned, session).await,
        Kind::Network(network) => disturb_network(&stage, slot, planned, network).await,
        Kind::Stranger(stranger) => let_in(&stage, planned, stranger).await,
    }
}

async fn disturb_process(stage: &Stage, slot: &Slot, planned: Planned, kind: Process) {
    let mut process = slot.process.lock().await;
    let from = stage.history.now();
    let mut dispatcher = process.take().expect("a dispatcher in every slot");
    let next = match kind {
        Process::Freeze | Process::FreezeBeyondLease => {
            dispatcher.signal("STOP").await;
            sleep(planned.lasts).await;
            dispatcher.signal("CONT").await;
            dispatcher
        }
        Process::Terminate => {
            dispatcher.signal("TERM").await;
            let status = dispatcher.ended().await;
            // Before it has said a word it may not yet hear signals.
            let is_deaf = status.signal().is_some() && dispatcher.log().is_empty();
            if !status.success() && !is_deaf {
                let text = format!("P23: dispatcher in slot {} ended with {status} on SIGTERM", slot.number);
                stage.history.breach(text);
            }
            sleep(planned.lasts).await;
            slot.start(stage.plan.flags)
        }
        Process::Kill => {
            dispatcher.kill().await;
            sleep(planned.lasts).await;
            slot.start(stage.plan.flags)
        }
    };
    *process = Some(next);
    stage.history.injected(planned, slot.number, from);
}

async fn restart_server(stage: &Stage, planned: Planned, kind: Restart) {
    let _turn = stage.server.turn.lock().await;
    let from = stage.history.now();
    match kind {
        Restart::StopFast => stage.server.stop("fast").await,
        Restart::StopImmediate => stage.server.stop("immediate").await,
        Restart::KillServer => stage.server.kill().await,
    }
    let counted: Vec<_> = stage.slots.iter().map(|slot| slot.count(stage)).collect();
    sleep(planned.lasts).await;
    for (slot, counted) in stage.slots.iter().zip(&counted) {
        slot.note_outage(stage, counted);
    }
    stage.server.start_again().await;
    stage.history.injected(planned, 0, from);
}

async fn disturb_sessions(stage: &Stage, planned: Planned, kind: Session) {
    let from = stage.history.now();
    let end = |name| {
        format!("select pg_terminate_backend(pid) from pg_stat_activity where application_name = '{name}'")
    };
    // Without a server it is no fault.
    match kind {
        Session::EndListeners => drop(stage.try_execute(&end("postrider listener")).await),
        Session::EndClaimers => drop(stage.try_execute(&end("postrider")).await),
        Session::LockTable => {
            if let Some(client) = connect(&stage.admin_url).await {
                let lock = "begin; set local lock_timeout = '2s'; lock table postrider.delivery in access exclusive mode";
                drop(client.batch_execute(lock).await);
                sleep(planned.lasts).await;
            }
        }
        Session::Revoke => {
            stage.try_execute("revoke update on postrider.delivery from postrider_dispatcher").await;
            sleep(planned.lasts).await;
            stage.execute("grant update on postrider.delivery to postrider_dispatcher").await;
        }
        Session::Pause => {
            let (id, _) = ENDPOINTS[planned.target % ENDPOINTS.len()];
            stage.try_execute(&format!("select postrider.pause_endpoint('{id}')")).await;
            sleep(planned.lasts).await;
            stage.execute(&format!("select postrider.resume_endpoint('{id}')")).await;
        }
        Session::LoseProducersCommit => {
            stage.producers.swallow_answer_to("commit");
            sleep(planned.lasts).await;
            stage.producers.heal();
        }
    }
    stage.history.injected(planned, 0, from);
}

async fn disturb_network(stage: &Stage, slot: &Slot, planned: Planned, kind: Network) {
    let _network = slot.network.lock().await;
    let from = stage.history.now();
    let counted = slot.count(stage);
    slot.proxy.set(toxics(kind));
    match kind {
        Network::Resets | Network::ShutOut => slot.proxy.reset(),
        Network::LoseCommit => slot.proxy.swallow_answer_to("COMMIT"),
        Network::LoseSettle => slot.proxy.swallow_answer_to("insert into postrider.attempt"),
        Network::Slow
        | Network::Narrow
        | Network::Hole
        | Network::HoleDown
        | Network::CutMidway
        | Network::Deafen => {}
    }
    sleep(planned.lasts).await;
    if kind == Network::ShutOut {
        slot.note_outage(stage, &counted);
    }
    slot.proxy.heal();
    stage.history.injected(planned, slot.number, from);
}

fn toxics(kind: Network) -> Toxics {
    let hole = Toxic { is_hole: true, ..Toxic::default() };
    let slow =
        Toxic { latency: Duration::from_millis(20), jitter: Duration::from_millis(100), ..Toxic::default() };
    let narrow =
        Toxic { slice: NonZeroUsize::new(100), bytes_per_s: NonZeroU32::new(50_000), ..Toxic::default() };
    let cut = Toxic { cut_after: Some(5_000), ..Toxic::default() };
    match kind {
        Network::Slow => Toxics { up: slow, down: slow, ..Toxics::default() },
        Network::Narrow => Toxics { up: narrow, down: narrow, ..Toxics::default() },
        Network::Hole => Toxics { up: hole, down: hole, ..Toxics::default() },
        Network::HoleDown => Toxics { down: hole, ..Toxics::default() },
        Network::CutMidway => Toxics { up: cut, down: cut, ..Toxics::default() },
        Network::ShutOut => Toxics { door: Door::Reset, ..Toxics::default() },
        Network::Deafen => Toxics { is_deaf: true, ..Toxics::default() },
        Network::Resets | Network::LoseCommit | Network::LoseSettle => Toxics::default(),
    }
}
