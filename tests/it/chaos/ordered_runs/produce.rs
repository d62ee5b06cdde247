//! Producers: each transaction locks its keys before it inserts, so its events come after those of whoever had the lock before.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use super::stage::Stage;
use crate::chaos::seeded_runs::stage::connect;

/// A producer that is not answered gives up its connection.
const PATIENCE: Duration = Duration::from_secs(20);

/// One transaction.
struct Transaction {
    /// Sorted: two producers never wait for each other.
    keys: Vec<i32>,
    /// So many events of each key.
    count: i32,
    /// Open for so long after its inserts.
    hold: Duration,
    is_rolled_back: bool,
}

/// Carries out transactions until there are events enough, or the run is over.
pub(crate) async fn produce(stage: Arc<Stage>, producer: u64) {
    let mut rng = stage.plan.chance(producer);
    let mut client: Option<Client> = None;
    while !stage.is_enough() && !stage.is_over() {
        if stage.backlog() > stage.plan.backlog_max {
            sleep(Duration::from_millis(10)).await;
            continue;
        }
        let transaction = Transaction::next(&mut rng, stage.plan.keys, stage.plan.events);
        let _gate = stage.gate.read().await;
        let connected = match client.take().filter(|client| !client.is_closed()) {
            Some(client) => Some(client),
            None => connect(stage.server().url()).await,
        };
        let Some(connected) = connected else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        // Of a commit without an answer the counters know whether it was one.
        if let Ok(Ok(())) = timeout(PATIENCE, transaction.carry_out(&connected)).await {
            client = Some(connected);
            if !transaction.is_rolled_back {
                let events = transaction.keys.len() * usize::try_from(transaction.count).unwrap();
                stage.committed.fetch_add(u64::try_from(events).unwrap(), Ordering::SeqCst);
            }
        }
    }
}

impl Transaction {
    fn next(rng: &mut Rng, keys: u64, events: u64) -> Self {
        // A few for a small run, so that there is time for trouble.
        let many = usize::try_from((events / 2_000).clamp(4, 40)).unwrap();
        let count = if rng.u8(..4) == 0 { 1 } else { rng.usize(1..=many) };
        // The lower a key, the more events it has.
        let mut key = || {
            let lowest = (0..3).map(|_| rng.u64(..keys)).min().unwrap();
            i32::try_from(lowest).unwrap()
        };
        let mut keys: Vec<_> = (0..count).map(|_| key()).collect();
        keys.sort_unstable();
        keys.dedup();
        Self {
            keys,
            count: rng.i32(1..=4),
            hold: Duration::from_millis(if rng.u8(..20) == 0 { rng.u64(5..100) } else { 0 }),
            is_rolled_back: rng.u8(..20) == 0,
        }
    }

    async fn carry_out(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        // An id of a transaction before the lock: who has the lock first is first, whoever began earlier.
        client.batch_execute("begin; select pg_current_xact_id()").await?;
        client.execute("select public.produce($1, $2)", &[&self.keys, &self.count]).await?;
        if !self.hold.is_zero() {
            sleep(self.hold).await;
        }
        client.batch_execute(if self.is_rolled_back { "rollback" } else { "commit" }).await
    }
}
