//! Producers: they commit, roll back, hold transactions open, vanish; and they remember what they were told.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, Error};

use super::history::Fate;
use super::plan::{End, Insert, Transaction};
use super::stage::{Stage, connect};

/// A producer that is not answered gives up its connection.
const PATIENCE: Duration = Duration::from_secs(20);

/// Carries out the transactions of one producer until the trouble is over.
pub(crate) async fn produce(stage: Arc<Stage>, producer: u64) {
    let mut transactions = stage.plan.transactions(producer);
    let mut client: Option<Client> = None;
    loop {
        let transaction = transactions.next();
        tokio::time::sleep(transaction.pause).await;
        let connected = loop {
            if stage.is_over() {
                return;
            }
            match client.take().filter(|client| !client.is_closed()) {
                Some(client) => break client,
                None => client = connect(&stage.producers_url).await,
            }
            if client.is_none() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let (fates, is_intact) = carry_out(&stage, &transaction, &connected).await;
        let now = stage.history.now();
        stage.history.write(|book| {
            let committed = fates.iter().filter(|(_, fate)| *fate == Fate::Committed);
            book.commits.extend(committed.map(|(number, _)| (*number, now)));
            book.fates.extend(fates);
        });
        if is_intact && transaction.end != End::Vanish {
            client = Some(connected);
        }
    }
}

/// What became of its events, and whether the connection is as good as before.
async fn carry_out(stage: &Stage, transaction: &Transaction, client: &Client) -> (Vec<(u64, Fate)>, bool) {
    let all = |fate| transaction.inserts.iter().map(|insert| (insert.number, fate)).collect();
    let Ok(Ok(inserted)) = timeout(PATIENCE, insert_all(stage, transaction, client)).await else {
        // Nobody ever said "commit".
        return (all(Fate::RolledBack), false);
    };
    let (statement, fate) = match transaction.end {
        End::Commit => ("commit", Fate::Committed),
        End::Rollback => ("rollback", Fate::RolledBack),
        End::Vanish => return (all(Fate::RolledBack), false),
    };
    let ended = timeout(PATIENCE, client.batch_execute(statement)).await;
    let is_intact = matches!(ended, Ok(Ok(())));
    let fate = if is_intact || transaction.end == End::Rollback { fate } else { Fate::Indeterminate };
    let fate_of = |insert: &Insert| if inserted.contains(&insert.number) { fate } else { Fate::RolledBack };
    (transaction.inserts.iter().map(|insert| (insert.number, fate_of(insert))).collect(), is_intact)
}

/// Returns the numbers that a commit would commit.
async fn insert_all(stage: &Stage, transaction: &Transaction, client: &Client) -> Result<Vec<u64>, Error> {
    let mut inserted = Vec::new();
    client.batch_execute("begin").await?;
    for insert in &transaction.inserts {
        if insert.is_undone {
            client.batch_execute("savepoint undone").await?;
        }
        let count = insert_one(stage, insert, client).await?;
        if insert.is_undone {
            client.batch_execute("rollback to savepoint undone").await?;
        } else if count > 0 {
            inserted.push(insert.number);
        }
    }
    tokio::time::sleep(transaction.hold).await;
    Ok(inserted)
}

async fn insert_one(stage: &Stage, insert: &Insert, client: &Client) -> Result<u64, Error> {
    let event = stage.plan.event(insert.number);
    let idempotency_key = insert.idempotency.map(|number| format!("once-{number}"));
    let delay_ms = event.deliver_after.map(|delay| f64::from(u32::try_from(delay.as_millis()).unwrap()));
    let sql =
        "insert into postrider.outbox (topic, payload, key, idempotency_key, destination, deliver_after)
               values ($1, $2::text::json, $3, $4, $5, clock_timestamp() + $6 * interval '1 millisecond')
               on conflict do nothing";
    client
        .execute(
            sql,
            &[&event.topic, &event.payload, &event.key, &idempotency_key, &event.destination, &delay_ms],
        )
        .await
}
