//! Looks on during a run: how large dispatchers become, whether one ended by itself, whether a claim outlives its lease.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use super::slot::Slot;
use super::stage::{Stage, connect};

const INTERVAL: Duration = Duration::from_millis(500);
/// Claims of dispatchers whose lease ended 15 s ago, while another has lived long enough to take them back.
const STUCK: &str = "select count(*) from postrider.claim as c
    left join postrider.dispatcher as d on d.id = c.dispatcher_id
    where coalesce(d.lease_until, '-infinity') < clock_timestamp() - interval '15 seconds'
      and exists (select from postrider.dispatcher as live
                  where live.lease_until > clock_timestamp() and live.started_at < clock_timestamp() - interval '20 seconds')";

/// Looks on until it is dropped.
pub(crate) async fn watch(stage: Arc<Stage>) {
    let mut client = None;
    let mut is_stuck = false;
    loop {
        sleep(INTERVAL).await;
        for slot in &stage.slots {
            look_at(&stage, slot);
        }
        if client.is_none() {
            client = connect(&stage.admin_url).await;
        }
        let Some(stuck) = count_stuck(client.as_ref()).await else {
            client = None;
            continue;
        };
        // Seen twice: the first time one may be just about to take it back.
        if stuck > 0 && is_stuck {
            stage.history.breach(format!(
                "I8: {stuck} claims outlive their lease by 15 s at {:?}",
                stage.history.now()
            ));
        }
        is_stuck = stuck > 0;
    }
}

async fn count_stuck(client: Option<&Client>) -> Option<i64> {
    let row = timeout(Duration::from_secs(5), client?.query_one(STUCK, &[])).await.ok()?.ok()?;
    Some(row.get(0))
}

fn look_at(stage: &Stage, slot: &Slot) {
    if let Some(now) = slot.measure() {
        stage.history.write(|book| {
            let peaks = &mut book.peaks;
            peaks.memory_kib = peaks.memory_kib.max(now.memory_kib);
            peaks.descriptors = peaks.descriptors.max(now.descriptors);
            peaks.connections = peaks.connections.max(now.connections);
        });
    }
    // A fault has it in its hands otherwise.
    if let Ok(mut process) = slot.process.try_lock()
        && let Some(status) = process.as_mut().and_then(crate::support::Dispatcher::has_ended)
    {
        let last = slot.log().lines().last().unwrap_or_default().to_owned();
        stage
            .history
            .breach(format!("P10: dispatcher in slot {} ended by itself, {status}: {last}", slot.number));
        *process = Some(slot.start(stage.plan.flags));
    }
}
