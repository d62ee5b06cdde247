//! Writes batches of outcomes, and later the outcomes that could not be written with their batch.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use super::late::Late;
use super::outgoing::Outgoing;
use super::{BATCH_MAX, Batch, Settler};
use crate::dispatcher::database_health::{DatabaseHealth, Stage};
use crate::dispatcher::lanes::Lanes;
use crate::dispatcher::metrics::Metrics;
use crate::dispatcher::scheduler::Scheduler;
use crate::dispatcher::wakeup::bell::Bell;
use crate::dispatcher::write_back::RowsDue;
use crate::model::delivery::{ClaimId, DeliveryId};
use crate::rules::backoff::Backoff;
use crate::rules::halves::Halves;
use crate::store::{Attempted, GivenBack, Store, StoreError, is_data_fault, is_lock_timeout, is_row_fault};

const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// For so long after a locked row was met, locked rows are skipped at once. That costs a little more than not to expect any.
const LOCKS_EXPECTED: Duration = Duration::from_secs(30);
/// How many outcomes may wait without taking room from other deliveries.
const LATE_MAX: usize = 2_000;
/// How long a dispatcher that stops waits for locked rows.
const LAST_TRIES: Duration = Duration::from_secs(2);

/// Another dispatcher took the deliveries over. A metric counts them; the log says it once.
#[derive(Debug, Error)]
#[error("their claims were lost")]
pub(super) struct ClaimsLost;

/// Their rows are locked by transactions of others.
#[derive(Debug, Error)]
#[error("somebody's open transaction holds their rows; they are written when it ends")]
struct RowsLocked;

/// Writes outcomes.
pub(super) struct Writer {
    pub(super) store: Store,
    scheduler: Arc<Scheduler>,
    bell: Arc<Bell>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) database_health: Arc<DatabaseHealth>,
    rows_due: Arc<RowsDue>,
    lanes: Arc<Lanes>,
    pub(super) late: Late<Attempted>,
    pub(super) late_released: Late<GivenBack>,
    /// How many of the waiting outcomes take room from other deliveries, because they came when there were too many.
    holding_room: usize,
    skips_locked_until: Option<Instant>,
}

impl Writer {
    pub(super) fn new(settler: &Settler) -> Self {
        Self {
            store: settler.store.clone(),
            scheduler: Arc::clone(&settler.scheduler),
            bell: Arc::clone(&settler.bell),
            metrics: Arc::clone(&settler.metrics),
            database_health: Arc::clone(&settler.database_health),
            rows_due: Arc::clone(&settler.rows_due),
            lanes: Arc::clone(&settler.lanes),
            late: Late::new(),
            late_released: Late::new(),
            holding_room: 0,
            skips_locked_until: None,
        }
    }

    /// Writes a batch, however long the database is away: outcomes stay in memory until they are written, or until their claim
    /// is lost.
    pub(super) async fn write(&mut self, batch: Batch) {
        let has_pending = batch.has_pending;
        self.write_all(batch.attempted).await;
        self.write_all(batch.released).await;
        self.database_health.succeeded(Stage::Settler);
        self.rows_due.look_now();
        if has_pending {
            // The work loop may sleep, and does not know yet when these are due.
            self.bell.look_now();
        }
    }

    /// Waits until a waiting outcome may be written.
    pub(super) async fn is_due(&self) {
        match self.next() {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Whether a waiting outcome should be written by now.
    pub(super) fn is_late(&self) -> bool {
        self.next().is_some_and(|at| at <= Instant::now())
    }

    /// Writes the waiting outcomes that can be written now.
    pub(super) async fn write_late(&mut self) {
        self.try_late::<Attempted>().await;
        self.try_late::<GivenBack>().await;
        self.database_health.succeeded(Stage::Settler);
        self.rows_due.look_now();
    }

    /// No report can come any more: waits a little for locked rows, and leaves the others to the end of the lease.
    pub(super) async fn finish(mut self) {
        let until = Instant::now() + LAST_TRIES;
        while let Some(at) = self.next().filter(|at| *at <= until) {
            sleep_until(at).await;
            self.write_late().await;
        }
        let left = self.late.len() + self.late_released.len();
        if left > 0 {
            warn!(
                "{left} outcomes could not be written; their deliveries are attempted again after the lease"
            );
        }
    }

    fn next(&self) -> Option<Instant> {
        [self.late.next(), self.late_released.next()].into_iter().flatten().min()
    }

    /// Writes a batch in one statement; in halves, if the database refuses one of them.
    async fn write_all<T: Outgoing>(&mut self, batch: Vec<T>) {
        let mut halves = Halves::new(batch);
        while let Some(mut part) = halves.next_part() {
            match self.write_part(&mut part).await {
                Ok(locked) => {
                    let (locked, written) = split(part, &locked);
                    self.scheduler.settled(&claim_ids(&written));
                    self.open_lanes(&written, false).await;
                    for outcome in locked {
                        self.put_off();
                        T::late(self).add_locked(outcome, None);
                    }
                }
                Err(fault) => {
                    if let Some(one) = halves.refused(part) {
                        self.put_off();
                        self.set_aside(one, &fault).await;
                    }
                }
            }
        }
    }

    /// One more outcome waits. It takes no room from others, as long as there are not too many.
    fn put_off(&mut self) {
        self.metrics.put_off();
        if self.late.len() + self.late_released.len() < LATE_MAX {
            self.scheduler.release_room(1);
        } else {
            self.holding_room += 1;
        }
    }

    /// Opens the lanes that go on. What cannot be opened now, the work loop tries again.
    async fn open_lanes<T: Outgoing>(&self, written: &[T], is_late: bool) {
        let lanes: Vec<_> = written.iter().filter_map(|outcome| outcome.lane(is_late)).collect();
        if lanes.is_empty() {
            return;
        }
        match self.store.open_lanes(&lanes).await {
            Ok(opened) if opened.is_empty() => {}
            Ok(opened) => {
                self.lanes.opened(opened);
                self.bell.look_now();
            }
            Err(fault) => {
                self.database_health.log_failure("lanes are not opened, trying again", &fault);
                self.lanes.touched(lanes);
                self.bell.look_now();
            }
        }
    }

    /// These outcomes need not wait any more.
    async fn settled_late<T: Outgoing>(&mut self, written: &[T]) {
        let holding = self.holding_room.min(written.len());
        self.holding_room -= holding;
        self.scheduler.release_room(holding);
        self.scheduler.claims().settle(&claim_ids(written));
        self.open_lanes(written, true).await;
    }

    /// Tries the waiting outcomes again: those with locked rows together if their time has come, refused ones each alone.
    async fn try_late<T: Outgoing>(&mut self) {
        let now = Instant::now();
        let (locked, pauses): (Vec<T>, Vec<Duration>) =
            T::late(self).take_locked(now, BATCH_MAX).into_iter().unzip();
        let pause = pauses.into_iter().max();
        let mut halves = Halves::new(locked);
        while let Some(mut part) = halves.next_part() {
            match self.write_part(&mut part).await {
                Ok(locked) => {
                    let (locked, written) = split(part, &locked);
                    self.settled_late(&written).await;
                    for outcome in locked {
                        T::late(self).add_locked(outcome, pause);
                    }
                }
                Err(fault) => {
                    if let Some(one) = halves.refused(part) {
                        self.set_aside(one, &fault).await;
                    }
                }
            }
        }
        self.try_refused::<T>(now).await;
    }

    async fn try_refused<T: Outgoing>(&mut self, now: Instant) {
        let asked = T::late(self).refused_to_ask_for(now);
        if asked.is_empty() {
            return;
        }
        // If the question fails, it is asked again next time.
        let due = self.store.list_refused_due(T::STAGE, &asked).await.unwrap_or_default();
        for outcome in T::late(self).take_refused(&due) {
            let mut alone = vec![outcome];
            match self.write_part(&mut alone).await {
                Ok(locked) => {
                    let (locked, written) = split(alone, &locked);
                    self.settled_late(&written).await;
                    for outcome in &written {
                        let hastened = self.store.hasten_refused(T::STAGE, outcome.delivery_id().get()).await;
                        drop(hastened); // The others are tried when it is their time.
                    }
                    for outcome in locked {
                        T::late(self).add_locked(outcome, None);
                    }
                }
                Err(fault) => {
                    for outcome in alone {
                        self.set_aside(outcome, &fault).await;
                    }
                }
            }
        }
    }

    /// Keeps an outcome that the database refuses alone, and records why.
    async fn set_aside<T: Outgoing>(&mut self, outcome: T, fault: &StoreError) {
        self.database_health.log_failure("an outcome is refused and set aside", fault);
        if let Err(fault) = self.store.set_aside(T::STAGE, outcome.delivery_id().get(), fault).await {
            // Without a record it is tried again as if its row were locked.
            self.database_health.log_failure("a refused outcome is not recorded", &fault);
            return T::late(self).add_locked(outcome, Some(BACKOFF_MAX));
        }
        T::late(self).add_refused(outcome);
    }

    /// Writes a part, however long the database is away; returns the deliveries whose rows are locked.
    ///
    /// # Errors
    /// [`StoreError`]: the database refuses one of them.
    async fn write_part<T: Outgoing>(&mut self, part: &mut [T]) -> Result<Vec<DeliveryId>, StoreError> {
        let finished = self.scheduler.claims().finished_by(&claim_ids(part));
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
        let mut is_ascii = false;
        loop {
            let fault = match T::write(part, self, &finished).await {
                Ok(locked) => {
                    if !locked.is_empty() {
                        self.expect_locks();
                        self.database_health.log_failure("outcomes wait", &RowsLocked);
                    }
                    return Ok(locked);
                }
                Err(fault) => fault,
            };
            if is_lock_timeout(&fault) && !self.skips_locked() {
                self.expect_locks();
            } else if is_data_fault(&fault) && !is_ascii {
                self.database_health
                    .log_failure("outcomes not written, trying again without foreign characters", &fault);
                part.iter_mut().for_each(T::drop_foreign_characters);
                is_ascii = true;
            } else if is_row_fault(&fault) {
                return Err(fault);
            } else {
                self.database_health.failed(Stage::Settler, &fault);
                sleep(backoff.pause()).await;
            }
        }
    }

    fn expect_locks(&mut self) {
        self.skips_locked_until = Some(Instant::now() + LOCKS_EXPECTED);
    }

    pub(super) fn skips_locked(&self) -> bool {
        self.skips_locked_until.is_some_and(|until| Instant::now() < until)
    }
}

/// The claim of each delivery.
fn claim_ids<T: Outgoing>(outcomes: &[T]) -> Vec<ClaimId> {
    outcomes.iter().map(T::claim_id).collect()
}

/// Divides a part into the locked outcomes and the others.
fn split<T: Outgoing>(part: Vec<T>, locked: &[DeliveryId]) -> (Vec<T>, Vec<T>) {
    let locked: HashSet<DeliveryId> = locked.iter().copied().collect();
    part.into_iter().partition(|outcome| locked.contains(&outcome.delivery_id()))
}
