//! What was promised, judged from what was decoded, what the outbox says, what was received, and what the rows have.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Display, Formatter};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::inbox::digest;
use super::stage::{OURS, Stage};
use super::story::Story;
use crate::support::Database;

/// Of all breaches so many are told.
const TOLD_MAX: usize = 20;
/// A user waits for a row as long as a status is written, and this machine may be busy.
const WAIT_MAX_MS: u64 = 3_000;
/// Why statements of writers may be refused: each other, keys and references, and a server that goes away. A session that gets no
/// processor time may find a deadlock before it gives up.
const REFUSALS: [&str; 9] = ["40P01", "23505", "23503", "23502", "23514", "40001", "55P03", "57P01", "57P02"];
/// And why by a trigger of ours: a table is not to be emptied, transactions that do not serialise, and a server that goes away.
const OUR_REFUSALS: [&str; 4] = ["22023", "40001", "57P01", "57P02"];

/// The sums of a run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) seed: u64,
    pub(crate) decoded: usize,
    pub(crate) events: usize,
    pub(crate) rows: usize,
    pub(crate) delivered: usize,
    pub(crate) statements: u64,
    pub(crate) refusals: Vec<(String, usize)>,
    pub(crate) transactions: u64,
    /// Transactions of users that failed, by SQLSTATE.
    pub(crate) users_faults: BTreeMap<String, usize>,
    pub(crate) changes: i64,
    pub(crate) wait_max_ms: u64,
    pub(crate) faults: u64,
    /// Until everything was delivered and written back.
    pub(crate) drained: Duration,
}

/// Judges a run; panics with all breaches.
pub(crate) async fn judge(stage: &Stage, decoded: &Story, drained: Duration) -> Ledger {
    let database = stage.database().await;
    let mut judge =
        Judge { breaches: stage.breaches(), taken: stage.inbox.taken(), outbox: Story::default() };
    judge.breaches.extend(stage.inbox.changed().iter().map(|id| format!("{id} came with two bodies")));
    judge.breaches.extend(database.disagreements().await);
    let delivered = judge.taken.len();
    judge.read_outbox(&database).await;
    judge.check_taken();
    judge.breaches.extend(decoded.differences(&judge.outbox));
    judge.check_refusals(stage);
    let changes = judge.check_statuses(&database).await;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let ledger = Ledger {
        seed: stage.plan.seed,
        decoded: decoded.count(),
        events: judge.outbox.count(),
        rows: decoded.rows.len(),
        delivered,
        statements: count(&stage.counts.statements),
        refusals: stage.refusals().into_iter().map(|(code, (count, _))| (code, count)).collect(),
        transactions: count(&stage.counts.transactions),
        users_faults: stage.users_faults(),
        changes,
        wait_max_ms: count(&stage.counts.wait_max_us) / 1_000,
        faults: count(&stage.counts.faults),
        drained,
    };
    if ledger.wait_max_ms > WAIT_MAX_MS {
        judge.breaches.push(format!("a user waited {} ms for a row", ledger.wait_max_ms));
    }
    if !judge.breaches.is_empty() {
        let told = judge.breaches.iter().take(TOLD_MAX).map(String::as_str).collect::<Vec<_>>().join("\n");
        panic!("seed {}: {} promises are broken\n{told}\n{ledger}", stage.plan.seed, judge.breaches.len());
    }
    ledger
}

struct Judge {
    breaches: Vec<String>,
    taken: HashMap<String, u64>,
    outbox: Story,
}

impl Judge {
    /// Reads all events in their order. Each that is complete was received as it is.
    async fn read_outbox(&mut self, database: &Database) {
        let page = "
            select o.id, o.created_xid::text, o.topic, o.row_key, o.status::text, o.payload::text,
                   postrider.webhook_id_of(o.id, o.created_at),
                   case when o.topic <> 'change.work' then
                       (o.payload::jsonb || jsonb_build_object(
                            'record', (select jsonb_object_agg(v.key, v.value) from jsonb_each_text(o.payload::jsonb -> 'record') as v),
                            'previous', (select jsonb_object_agg(v.key, v.value) from jsonb_each_text(
                                case jsonb_typeof(o.payload::jsonb -> 'previous') when 'object' then o.payload::jsonb -> 'previous' end) as v)
                       ))::text end
            from postrider.outbox as o where o.id > $1 order by o.id limit 2000";
        let mut last = 0_i64;
        loop {
            let rows = database.rows(page, &[&last]).await;
            for row in &rows {
                last = row.get(0);
                let (topic, status, body): (&str, &str, &str) = (row.get(2), row.get(4), row.get(5));
                let webhook_id: &str = row.get(6);
                let taken = self.taken.remove(webhook_id);
                if taken.is_some_and(|taken| taken != digest(body.as_bytes())) {
                    self.breaches.push(format!("event {last} was received with another body"));
                }
                if status == "complete" && taken.is_none() {
                    self.breaches.push(format!("event {last} of {topic} is complete, and was not received"));
                }
                if let Some(texts) = row.get::<_, Option<&str>>(7) {
                    self.add(last, row.get(1), row.get(3), texts);
                }
            }
            if rows.is_empty() {
                return;
            }
        }
    }

    fn add(&mut self, id: i64, xid: &str, row_key: Option<&str>, payload: &str) {
        let payload: Value = serde_json::from_str(payload).unwrap();
        // Decoding knows the lower half of it.
        let xid = u32::try_from(xid.parse::<u64>().unwrap() & u64::from(u32::MAX)).unwrap();
        match self.outbox.add_event(xid, &payload) {
            Ok((_, key)) => {
                let of_row = row_key.and_then(|text| Some(&text[text.find('[')?..])).unwrap_or("[]");
                if serde_json::from_str::<Vec<String>>(of_row).ok() != Some(key) {
                    self.breaches.push(format!("event {id} has the row key {row_key:?}: {payload}"));
                }
            }
            Err(fault) => self.breaches.push(format!("event {id}: {fault}: {payload}")),
        }
    }

    fn check_taken(&mut self) {
        self.breaches
            .extend(self.taken.keys().take(TOLD_MAX).map(|id| format!("{id} was never sent by anybody")));
    }

    /// Writers were refused for reasons of their own; an event is none.
    fn check_refusals(&mut self, stage: &Stage) {
        for (code, (count, example)) in stage.refusals() {
            let is_known = match code.strip_suffix(OURS) {
                Some(code) => OUR_REFUSALS.contains(&code),
                None => REFUSALS.contains(&code.as_str()),
            };
            if !is_known {
                self.breaches
                    .push(format!("{count} statements were refused with {code}, one with {example}"));
            }
        }
    }

    /// Each row has the status of its newest event, and users made every event. Returns how many.
    async fn check_statuses(&mut self, database: &Database) -> i64 {
        let stale = database
            .rows(
                "with newest as (
                     select distinct on (o.row_key) o.row_key, o.id, o.status from postrider.outbox as o
                     where o.topic = 'change.work' order by o.row_key, o.id desc)
                 select format('row %s is %s, and its newest event %s is %s', w.id, w.status, n.id, n.status)
                 from app.work as w
                 join postrider.attachment as a on a.relation = 'app.work'::regclass
                 left join newest as n on n.row_key = a.attachment_no || json_build_array(w.id::text)::text
                 where w.status::text is distinct from n.status::text",
                &[],
            )
            .await;
        self.breaches.extend(stale.iter().map(|row| row.get(0)));
        let changes: i64 = database.value("select coalesce(sum(changes), 0)::bigint from app.ledger").await;
        let events: i64 =
            database.value("select count(*) from postrider.outbox where topic = 'change.work'").await;
        if changes != events {
            self.breaches.push(format!("users changed {changes} rows, and {events} events tell of it"));
        }
        let due: i64 = database.value("select count(*) from postrider.row_due").await;
        if due > 0 {
            self.breaches.push(format!("{due} rows are still due"));
        }
        changes
    }
}

impl Ledger {
    /// How many transactions of users were the victim of a deadlock.
    pub(crate) fn deadlocks(&self) -> usize {
        self.users_faults.get("40P01").copied().unwrap_or_default()
    }
}

impl Display for Ledger {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed            {}", self.seed)?;
        writeln!(f, "statements      {} of writers", self.statements)?;
        let refused: usize = self.refusals.iter().map(|(_, count)| count).sum();
        writeln!(f, "refused         {refused}")?;
        self.refusals.iter().try_for_each(|(code, count)| writeln!(f, "{count:>20} {code}"))?;
        writeln!(f, "decoded         {} changes of {} rows", self.decoded, self.rows)?;
        writeln!(f, "events          {} of them", self.events)?;
        writeln!(f, "users           {} transactions, {} changes", self.transactions, self.changes)?;
        writeln!(f, "users' failures {}", self.users_faults.values().sum::<usize>())?;
        self.users_faults.iter().try_for_each(|(code, count)| writeln!(f, "{count:>20} {code}"))?;
        writeln!(f, "deadlocks       {} of users", self.deadlocks())?;
        writeln!(f, "longest wait    {} ms for a row", self.wait_max_ms)?;
        writeln!(f, "delivered       {} events", self.delivered)?;
        writeln!(f, "faults          {}", self.faults)?;
        write!(f, "after healing   drained in {:.1?}", self.drained)
    }
}
