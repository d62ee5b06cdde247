//! Users of a table that gets statuses: they lock and change its rows in every order. Each has rows of its own, and so has each
//! total that the table's trigger locks. So no two users can lock each other out: only we can have a part in a deadlock.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use super::inbox::REFUSED;
use super::stage::Stage;
use crate::chaos::seeded_runs::stage::connect;

/// Rows of each user.
const ROWS: u64 = 25;
const PATIENCE: Duration = Duration::from_mins(1);
const LOCKS: [&str; 4] = ["for update", "for no key update", "for share", "for key share"];

/// Uses the table until the trouble is over.
pub(crate) async fn user(stage: Arc<Stage>, number: u64) {
    let mut rng = stage.plan.chance(2, number);
    let mut client: Option<Client> = None;
    while !stage.is_over() {
        let Some(connected) = client.take().filter(|client| !client.is_closed()) else {
            client = connect(&stage.app_url).await;
            if client.is_none() {
                sleep(Duration::from_millis(100)).await;
            }
            continue;
        };
        match timeout(PATIENCE, transaction(&stage, &connected, &mut rng, number)).await {
            Ok(Ok(())) => {
                stage.counts.transactions.fetch_add(1, Ordering::Relaxed);
                client = Some(connected);
            }
            Ok(Err(fault)) => stage.note_users_fault(&fault),
            Err(_) => stage.breach(format!("a user was not answered within {PATIENCE:?}")),
        }
    }
}

/// One transaction: some rows are locked, some are changed, in any order; what it changes it adds to the ledger.
async fn transaction(stage: &Stage, client: &Client, rng: &mut Rng, number: u64) -> Result<(), Error> {
    client.batch_execute("begin").await?;
    let changes_rows = rng.u8(..4) == 0;
    let mut changes = 0;
    for _ in 0..rng.u8(1..7) {
        let id = number * 1_000 + rng.u64(1..=ROWS);
        let begun = Instant::now();
        if changes_rows && rng.u8(..3) > 0 {
            changes += count(&client.simple_query(&change(rng, id, number)).await?);
        } else {
            client.batch_execute(&lock(rng, id)).await?;
        }
        stage.note_wait(begun.elapsed());
    }
    if changes > 0 {
        let note = format!("insert into app.ledger values ({number}, {changes})");
        client.batch_execute(&note).await?;
    }
    if rng.u8(..200) == 0 {
        sleep(Duration::from_millis(rng.u64(..1_000))).await;
    }
    let end = if rng.u8(..10) == 0 { "rollback" } else { "commit" };
    client.batch_execute(end).await
}

/// How many rows a statement changed.
fn count(messages: &[SimpleQueryMessage]) -> u64 {
    let completed = |message: &SimpleQueryMessage| {
        if let SimpleQueryMessage::CommandComplete(count) = message { *count } else { 0 }
    };
    messages.iter().map(completed).sum()
}

fn lock(rng: &mut Rng, id: u64) -> String {
    match rng.u8(..5) {
        // The foreign key locks the row, where there is one.
        0 => format!(
            "insert into app.note select id, 'seen' from app.work where id = {id} and not exists (select from app.note where work_id = {id})"
        ),
        _ => format!("select from app.work where id = {id} {}", LOCKS[rng.usize(..LOCKS.len())]),
    }
}

/// A statement that changes one row, or none.
fn change(rng: &mut Rng, id: u64, number: u64) -> String {
    let fails = if rng.u8(..10) == 0 { format!(", {REFUSED}") } else { String::new() };
    let content = format!("{{\"n\": {}{fails}}}", rng.u64(..));
    let target = if rng.u8(..20) == 0 { "nowhere" } else { "work" };
    match rng.u8(..10) {
        0 => format!("delete from app.work where id = {id}"),
        1..=3 => format!(
            "insert into app.work values ({id}, '{content}', 'pending', '{target}', {number}) on conflict (id) do nothing"
        ),
        4 => format!(
            "insert into app.work values ({id}, '{content}', 'pending', '{target}', {number})
             on conflict (id) do update set content = excluded.content, status = 'pending'"
        ),
        5 => format!("update app.work set content = '{content}' where id = {id}"),
        // Many rows at once, in an order of its own.
        6 => format!(
            "update app.work set content = '{content}', status = 'pending' where owner_no = {number} and id % 5 = {}",
            id % 5
        ),
        _ => format!(
            "update app.work set content = '{content}', status = 'pending', target = '{target}' where id = {id}"
        ),
    }
}
