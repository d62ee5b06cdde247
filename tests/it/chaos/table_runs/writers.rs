//! Sessions that change rows at random: in savepoints, in transactions that are rolled back, prepared or left, at every level of
//! isolation. Nobody remembers what they did. Logical decoding says it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use futures_util::SinkExt;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Error};

use super::stage::Stage;
use super::statements::Statement;
use crate::chaos::seeded_runs::stage::connect;

/// Who is not answered gives up its connection.
const PATIENCE: Duration = Duration::from_secs(20);
/// These sessions wait for each other in every order. Each gives up before the server looks for a deadlock.
const SESSION: &str = "set lock_timeout = '200ms'; set application_name = 'writer'";
const LEVELS: [&str; 5] =
    ["read committed", "read committed", "read committed", "repeatable read", "serializable"];

/// Changes rows until the trouble is over.
pub(crate) async fn write(stage: Arc<Stage>, number: u64) {
    let mut rng = stage.plan.chance(1, number);
    let mut client: Option<Client> = None;
    while !stage.is_over() {
        sleep(Duration::from_millis(rng.u64(..15))).await;
        let Some(connected) = client.take().filter(|client| !client.is_closed()) else {
            client = open(&stage, number).await;
            continue;
        };
        let done = timeout(PATIENCE, transaction(&stage, &connected, &mut rng, number)).await;
        if matches!(done, Ok(Ok(true))) {
            client = Some(connected);
        }
    }
}

/// A session, if there is a server.
async fn open(stage: &Stage, number: u64) -> Option<Client> {
    let client = connect(&stage.app_url).await;
    match client {
        Some(client) if client.batch_execute(SESSION).await.is_ok() => {
            // If there is one that was prepared before the server went away, it is in everybody's way.
            drop(client.batch_execute(&format!("commit prepared 'writer-{number}'")).await);
            Some(client)
        }
        _ => {
            sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// One transaction. Returns whether the session goes on.
async fn transaction(stage: &Stage, client: &Client, rng: &mut Rng, number: u64) -> Result<bool, Error> {
    // PREPARE TRANSACTION refuses a transaction that rang.
    let is_prepared = rng.u8(..20) == 0;
    let quiet = if is_prepared { "; set local postrider.ring = off" } else { "" };
    let level = LEVELS[rng.usize(..LEVELS.len())];
    client.batch_execute(&format!("begin isolation level {level}{quiet}")).await?;
    for _ in 0..rng.u8(1..7) {
        let statement = Statement::next(rng, stage.has_merge);
        let in_savepoint = rng.u8(..5) < 3;
        if in_savepoint {
            client.batch_execute("savepoint one").await?;
        }
        match execute(client, &statement).await {
            Ok(()) => {
                stage.counts.statements.fetch_add(1, Ordering::Relaxed);
                if in_savepoint && rng.u8(..5) == 0 {
                    client.batch_execute("rollback to savepoint one").await?;
                }
            }
            Err(fault) if fault.as_db_error().is_none() => return Err(fault),
            Err(fault) => {
                stage.note_refusal(&fault, &statement.sql);
                if !in_savepoint {
                    client.batch_execute("rollback").await?;
                    return Ok(true);
                }
                client.batch_execute("rollback to savepoint one").await?;
            }
        }
    }
    end(client, rng, is_prepared.then_some(number)).await
}

/// Says to whoever decodes that a statement begins, and carries it out.
async fn execute(client: &Client, statement: &Statement) -> Result<(), Error> {
    let kind = if statement.is_update { "update" } else { "other" };
    let mark = format!("select pg_logical_emit_message(true, 'statement', '{kind}')");
    let Some(copied) = &statement.copied else {
        return client.batch_execute(&format!("{mark}; {}", statement.sql)).await;
    };
    client.batch_execute(&mark).await?;
    let mut sink = Box::pin(client.copy_in::<_, Bytes>(&statement.sql).await?);
    sink.send(Bytes::from(copied.clone())).await?;
    sink.close().await
}

async fn end(client: &Client, rng: &mut Rng, prepared: Option<u64>) -> Result<bool, Error> {
    if let Some(number) = prepared {
        let name = format!("writer-{number}");
        client.batch_execute(&format!("prepare transaction '{name}'")).await?;
        let end = if rng.u8(..4) == 0 { "rollback" } else { "commit" };
        client.batch_execute(&format!("{end} prepared '{name}'")).await?;
        return Ok(true);
    }
    match rng.u8(..20) {
        0 | 1 => client.batch_execute("rollback").await?,
        2 => return Ok(false),
        // One that failed under serializable says so here.
        _ => {
            if let Err(fault) = client.batch_execute("commit").await
                && fault.as_db_error().is_none()
            {
                return Err(fault);
            }
        }
    }
    Ok(true)
}
