//! Looks on during a run: how large dispatchers become, whether one ended by itself, whether a claim outlives its lease.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use super::slot::Slot;
use super::stage::{Stage, connect};

const INTERVAL: Duration = Duration::from_millis(500);
/// So often it is seen in a row before it is a breach: one may be just about to take a claim back.
const LOOKS: u32 = 10;
/// Claims of dispatchers whose lease ended 15 s ago, while another has lived long enough to take them back, and no stranger
/// holds or refuses what is in them.
const STUCK: &str = "select count(*) from postrider.claim as c
    left join postrider.dispatcher as d on d.id = c.dispatcher_id
    where coalesce(d.lease_until, '-infinity') < clock_timestamp() - interval '15 seconds'
      and exists (select from postrider.dispatcher as live
                  where live.lease_until > clock_timestamp() and live.started_at < clock_timestamp() - interval '20 seconds')
      and pg_xact_status(c.xmax::text::xid8) is distinct from 'in progress'
      and not exists (
          select from postrider.delivery as held
          where held.id = any (c.delivery_ids) and held.claim_id = c.id
            and (pg_xact_status(held.xmax::text::xid8) = 'in progress' or exists (select from postrider.refused as r where r.id = held.id)))";

/// Looks on until it is dropped.
pub(crate) async fn watch(stage: Arc<Stage>) {
    let mut client = None;
    let mut looks = 0;
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
        looks = if stuck > 0 { looks + 1 } else { 0 };
        if looks == LOOKS {
            stage.history.breach(format!(
                "I8: {stuck} claims outlive their lease by 20 s at {:?}",
                stage.history.now()
            ));
        }
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
