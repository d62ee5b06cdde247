//! Writes the status of events into the rows of attached tables that they tell of. Routing and settling only note which rows are due
//! (`postrider.row_due`), so neither ever waits for a table of somebody else. Several dispatchers share the work, and skip what another
//! one has in hand. It does not know what a status means: `postrider.write_back` reads that.
//!
//! A row that somebody holds, or that is refused, is put off alone. A table that cannot be written is left alone for a while. Neither
//! delays another table.

mod table;

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::table::TableState;
use crate::dispatcher::context::Progress;
use crate::dispatcher::database_health::DatabaseHealth;
use crate::dispatcher::metrics::Metrics;
use crate::model::attachment::AttachmentNo;
use crate::rules::backoff::Backoff;
use crate::rules::halves::Halves;
use crate::store::{
    DueRows, DueTable, Store, StoreError, is_lock_timeout, is_refused_by_server, is_row_fault, one_line,
};

/// After something was routed or settled, so long is left for more to come.
const GATHER: Duration = Duration::from_millis(20);
/// Looks take at most a fifth of the time.
const LOOK_PART: u32 = 4;
/// As long as no table wants a status, looks are at least this far apart.
const UNATTACHED_PAUSE: Duration = Duration::from_millis(500);
/// A table keeps the others waiting for no longer, give or take one batch.
const TURN_MAX: Duration = Duration::from_millis(100);
/// Rows that have been due for longer are looked for every so often. While an old snapshot is open, dead index entries pile up in
/// front of what is due, and each look would walk them all.
const LOOK_BACK: Duration = Duration::from_mins(1);
const LOOK_BACK_INTERVAL: Duration = Duration::from_secs(10);
/// A row that somebody holds is put off for this long at first.
const PUT_OFF: Duration = Duration::from_millis(50);
/// How often entries of detached tables are dropped, and how many at once.
const DROP_INTERVAL: Duration = Duration::from_mins(1);
const DROPPED_MAX: i64 = 10_000;
/// Rows that failed before and are tried at once, because one of them did not fail.
const HASTENED_MAX: i64 = 1_000;
/// A lock on a whole table is told of when it lasts this long.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// How long the last looks of a dispatcher that stops may take.
const LAST_WRITES: Duration = Duration::from_secs(2);
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Says that rows of attached tables may be due.
#[derive(Debug, Default)]
pub struct RowsDue(Notify);

impl RowsDue {
    /// Something was routed or settled, or it is time for a poll. Kept until somebody looks.
    pub fn look_now(&self) {
        self.0.notify_one();
    }
}

/// A table cannot be written before somebody has done something.
#[derive(Debug, Error)]
#[error("{0}")]
struct Obstacle(String);

/// Somebody has locked a table as a whole.
#[derive(Debug, Error)]
#[error("somebody holds a lock on the whole table; its rows are written when it is gone")]
struct TableLocked;

/// The stage.
pub(super) struct WriteBack {
    store: Store,
    rows_due: Arc<RowsDue>,
    metrics: Arc<Metrics>,
    database_health: Arc<DatabaseHealth>,
    tables: HashMap<AttachmentNo, TableState>,
    is_any_attached: bool,
    looked_at: Instant,
    look_took: Duration,
    /// When rows were last looked for that have been due for long. `None` if the next look has to.
    looked_back_at: Option<Instant>,
    dropped_at: Option<Instant>,
    /// When the next row is due, or a table may be tried again.
    next: Option<Instant>,
}

/// What came of the turn of a table.
#[derive(Default)]
struct Turn {
    /// Entries that no other dispatcher had in hand.
    taken: usize,
    /// Rows that got another status.
    written: usize,
    /// Rows that somebody holds.
    held_up: usize,
    /// Rows that were refused alone.
    refused: usize,
    /// Whether a row that had failed did not fail this time.
    is_late: bool,
    /// Whether rows are left that are due.
    is_more: bool,
}

impl WriteBack {
    /// A stage that has not looked yet.
    pub(super) fn new(
        store: Store,
        rows_due: Arc<RowsDue>,
        metrics: Arc<Metrics>,
        database_health: Arc<DatabaseHealth>,
    ) -> Self {
        Self {
            store,
            rows_due,
            metrics,
            database_health,
            tables: HashMap::new(),
            is_any_attached: false,
            looked_at: Instant::now(),
            look_took: Duration::ZERO,
            looked_back_at: None,
            dropped_at: None,
            next: None,
        }
    }

    /// Steps until stopped, and then until nothing is due. After a failure it waits with a jittered backoff.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
        while !stop.is_cancelled() {
            match self.step().await {
                Ok(Progress::Worked(_) | Progress::Full) => backoff.reset(),
                Ok(Progress::Idle) => {
                    backoff.reset();
                    self.sleep(&stop).await;
                }
                Err(fault) => {
                    self.database_health.log_failure("the status of rows is not written", &fault);
                    stop.run_until_cancelled(tokio::time::sleep(backoff.pause())).await;
                }
            }
        }
        // What was settled in the last moments.
        let finish = async { while let Ok(Progress::Worked(_)) = self.step().await {} };
        drop(tokio::time::timeout(LAST_WRITES, finish).await);
    }

    /// Gives each table with due rows one turn. The result is [`Progress::Worked`] if there is more to write at once.
    ///
    /// # Errors
    /// [`StoreError`]: what was not written is still due.
    ///
    /// # Cancel safety
    /// What was not written is still due.
    pub(super) async fn step(&mut self) -> Result<Progress, StoreError> {
        self.drop_detached().await?;
        let now = Instant::now();
        let looks_back = self.looked_back_at.is_none_or(|at| now.duration_since(at) >= LOOK_BACK_INTERVAL);
        let paused: Vec<AttachmentNo> =
            self.tables.iter().filter(|(_, state)| state.is_paused(now)).map(|(no, _)| *no).collect();
        let since = (!looks_back).then_some(LOOK_BACK);
        let due = self.store.find_due_rows(table::BATCH_MAX, &paused, since).await?;
        (self.looked_at, self.look_took) = (now, now.elapsed());
        self.is_any_attached = due.is_any_attached;
        let (mut is_more, mut written, mut put_off) = (false, 0, 0);
        for found in &due.tables {
            let turn = self.write_table(found).await?;
            is_more |= turn.is_more;
            written += turn.written;
            put_off += turn.held_up + turn.refused;
        }
        if looks_back {
            self.looked_back_at = (!is_more).then_some(now);
        }
        self.forget_tables(&due);
        if put_off > 0 {
            let look_again = Instant::now() + PUT_OFF;
            self.next = Some(self.next.map_or(look_again, |at| at.min(look_again)));
        }
        Ok(if is_more { Progress::Worked(written) } else { Progress::Idle })
    }

    /// Forgets tables that have nothing due, and notes when something will be due.
    fn forget_tables(&mut self, due: &DueRows) {
        let now = Instant::now();
        // Of a table without trouble nothing is known but the size of its batches, and that is found out again.
        let is_due = |no: &AttachmentNo| due.tables.iter().any(|table| table.no == *no);
        self.tables.retain(|no, state| state.is_paused(now) || is_due(no));
        let tried_again = self.tables.values().filter_map(|state| state.paused_until(now));
        self.next = tried_again.chain(due.next.map(|pause| now + pause)).min();
    }

    /// Sleeps until something was routed or settled, until the poll, or until a row is due.
    async fn sleep(&self, stop: &CancellationToken) {
        let next = async {
            match self.next {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Every branch only waits; a wake-up is kept when dropped.
            () = stop.cancelled() => {}
            () = self.rows_due.0.notified() => {}
            () = next => {}
        }
        let gather = Instant::now() + (self.look_took * LOOK_PART).clamp(GATHER, UNATTACHED_PAUSE);
        let apart = if self.is_any_attached { gather } else { gather.max(self.looked_at + UNATTACHED_PAUSE) };
        stop.run_until_cancelled(sleep_until(apart)).await;
    }

    /// Writes one batch of a table, in halves if the database refuses it.
    async fn write_table(&mut self, table: &DueTable) -> Result<Turn, StoreError> {
        let begun = Instant::now();
        let ids: Vec<i64> = table.ids.iter().copied().take(self.state(table).batch_max()).collect();
        let is_more = ids.len() < table.ids.len() || ids.len() >= table::BATCH_MAX;
        let mut turn = Turn { is_more, ..Turn::default() };
        let mut halves = Halves::new(ids);
        let mut is_in_time = true;
        while is_in_time && let Some(part) = halves.next_part() {
            let rows = part.len();
            match self.write_part(table, &part, &mut turn).await {
                Ok(true) => {}
                Ok(false) => return Ok(Turn { is_more: false, ..turn }),
                Err(fault) if is_row_fault(&fault) => {
                    // The next turn begins with a smaller batch: it gets down to the row, however long a batch takes.
                    self.state(table).note_refused(rows);
                    if let Some(id) = halves.refused(part) {
                        turn.refused += 1;
                        self.set_aside(table, id, &fault).await?;
                    }
                }
                Err(fault) if is_refused_by_server(&fault) => {
                    self.pause(table, fault).await;
                    return Ok(Turn { is_more: false, ..turn });
                }
                Err(fault) => return Err(fault),
            }
            is_in_time = begun.elapsed() < TURN_MAX;
        }
        // Where no entry is free, another dispatcher is at it.
        turn.is_more &= turn.taken + turn.refused > 0;
        turn.is_more |= !halves.rest().is_empty();
        self.note_written(table, &turn).await?;
        Ok(turn)
    }

    /// Puts off a row that the database refuses alone.
    async fn set_aside(&mut self, table: &DueTable, id: i64, fault: &StoreError) -> Result<(), StoreError> {
        self.metrics.write_back_failed();
        self.store.set_aside_row(id).await?;
        self.tell(table, fault).await;
        Ok(())
    }

    /// Writes a part of a batch. Returns whether the table can be written.
    async fn write_part(
        &mut self,
        table: &DueTable,
        ids: &[i64],
        turn: &mut Turn,
    ) -> Result<bool, StoreError> {
        let begun = Instant::now();
        let done = self.store.write_back(table.no, ids).await?;
        if let Some(obstacle) = done.obstacle {
            self.pause(table, Obstacle(obstacle)).await;
            return Ok(false);
        }
        self.state(table).note_batch(done.taken, begun.elapsed());
        self.metrics.written_back(done.written);
        turn.taken += done.taken;
        turn.written += done.written;
        turn.held_up += done.held_up;
        turn.is_late |= done.is_late;
        Ok(true)
    }

    /// The table can be written. Rows that failed are tried at once, if one of them did not fail now.
    async fn note_written(&mut self, table: &DueTable, turn: &Turn) -> Result<(), StoreError> {
        self.state(table).note_success();
        if turn.is_late && turn.refused == 0 {
            self.store.hasten_rows(table.no, HASTENED_MAX).await?;
        }
        // As long as much is due, looking for rows that failed would take long.
        let is_over = table.is_troubled && turn.refused == 0 && !turn.is_more;
        if is_over && self.store.clear_trouble(table.no).await? {
            info!("the status of rows of {} is written again", table.relation);
        }
        Ok(())
    }

    /// Leaves a table alone for a while.
    async fn pause(&mut self, table: &DueTable, fault: impl Error + Sync + 'static) {
        self.metrics.write_back_failed();
        let lasted = self.state(table).note_failure();
        if !is_lock_timeout(&fault) {
            self.tell(table, &fault).await;
        } else if lasted >= LOCK_PATIENCE {
            self.tell(table, &TableLocked).await;
        }
    }

    /// Says in the log and in `postrider.attached_table` why rows are not written; of each table once a second. Triggers of users read the
    /// attachment, so it is written seldom.
    async fn tell(&mut self, table: &DueTable, fault: &(dyn Error + Sync + 'static)) {
        if !self.state(table).may_tell() {
            return;
        }
        let what = format!("the status of rows of {} is not written, trying again", table.relation);
        self.database_health.log_failure(&what, fault);
        if let Err(fault) = self.store.note_trouble(table.no, &one_line(fault)).await {
            self.database_health.log_failure("trouble with an attached table is not recorded", &fault);
        }
    }

    fn state(&mut self, table: &DueTable) -> &mut TableState {
        self.tables.entry(table.no).or_default()
    }

    /// Drops entries of tables that are not attached any more.
    async fn drop_detached(&mut self) -> Result<(), StoreError> {
        if self.dropped_at.is_none_or(|at| at.elapsed() >= DROP_INTERVAL) {
            while self.store.drop_detached_rows(DROPPED_MAX).await? >= DROPPED_MAX {}
            self.dropped_at = Some(Instant::now());
        }
        Ok(())
    }
}
