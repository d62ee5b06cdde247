//! Deletes finished events that are old enough, in order of the transactions that inserted them, a few at a time.
//!
//! A walk looks at each event when it is old enough. Most events are deleted then, so the cost of a step depends on what it
//! deletes. Some events stay: they failed and are kept longer, or they are not finished yet. The next walk begins at the first of
//! them. It costs a small part of the time, and makes these events go a little late.
//!
//! Events that were restored from another cluster carry its transaction ids, which may lie above or among ours, whatever their
//! age. A second walk goes through that range to its end, and passes over young events.
//!
//! A batch that the database refuses is halved. An event that is refused alone is recorded, and the walk goes on behind it.

mod walk;

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::walk::Walk;
use crate::dispatcher::context::{Context, Progress};
use crate::store::{
    DeletionRange, Position, RefusedStage, Retention, Store, StoreError, is_lock_timeout, is_row_fault,
    one_line,
};

/// A step deletes no longer than this: deliveries of dead dispatchers do not wait for it.
const STEP_MAX: Duration = Duration::from_secs(3);
/// After a statement, a pause of this part of its time leaves the database to others.
const PAUSE_PART: u32 = 4;
/// An event is looked at so much later than it could be deleted at the earliest: most are finished within that.
const FINISHED_WITHIN_MAX: Duration = Duration::from_mins(1);
/// Walking through events that stay may cost this part of the time, and deletes them this part of their retention late.
const WALK_PART: u32 = 20;
/// A lock timeout after so long is that of a whole table: no event is to blame.
const ROW_WAIT_MAX: Duration = Duration::from_secs(1);
/// Refused deletions that are tried again in one step.
const AGAIN_MAX: i64 = 20;
/// The first events that are refused one after the other are recorded, the next ones are only passed over: the record stays short if
/// somebody forbids all deletions.
const RECORDED_MAX: u32 = 100;
/// A restored event is finished and looked at so much later than it could be deleted at the earliest.
const RESTORED_LATE_MAX: Duration = Duration::from_hours(7 * 24);
/// Longer than anything is kept.
const FOR_EVER: Duration = Duration::from_hours(24 * 365 * 1000);

/// How far the deletion of old events has come.
pub(super) struct Deletions {
    retention: Retention,
    /// Through events inserted in this cluster, up to the young ones.
    own: Walk,
    /// Through restored events; over before it has begun if there are none.
    restored: Walk,
    /// The first and the last transaction of restored events.
    restored_range: Option<(u64, u64)>,
    /// When that range was last read.
    range_read: Option<Instant>,
    /// Events refused since one was deleted.
    refused_in_a_row: u32,
}

/// One of the walks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Own,
    Restored,
}

/// The step under way.
struct Step<'a> {
    context: &'a Context,
    stop: &'a CancellationToken,
}

impl Deletions {
    /// Deletions that have not begun.
    pub(super) fn new(retention: Retention) -> Self {
        let (own, restored) = (Walk::begin(Position::default(), 0), Walk::over());
        Self { retention, own, restored, restored_range: None, range_read: None, refused_in_a_row: 0 }
    }

    /// Deletes until nothing is left that is old enough, or the step has taken long enough, or it is stopped.
    ///
    /// # Errors
    /// [`StoreError`]: the next step goes on.
    pub(super) async fn step(
        &mut self,
        context: &Context,
        stop: &CancellationToken,
    ) -> Result<Progress, StoreError> {
        let this_step = Step { context, stop };
        self.try_again(&context.store).await?;
        self.look_for_restored(&context.store).await?;
        let (mut progress, mut deleted) = (Progress::Idle, 0);
        for which in [Which::Own, Which::Restored] {
            let (walked, gone) = self.go_on(which, &this_step).await?;
            deleted += gone;
            if walked != Progress::Idle {
                progress = walked;
            }
        }
        if deleted > 0 {
            info!("deleted {deleted} finished events that were old enough");
        }
        Ok(progress)
    }

    /// Goes on with one walk, and with the next one if it is time for that.
    async fn go_on(&mut self, which: Which, step: &Step<'_>) -> Result<(Progress, u32), StoreError> {
        let begun = Instant::now();
        // Both walks share a step.
        let time = if self.restored.is_over { STEP_MAX } else { STEP_MAX / 2 };
        let mut deleted = 0;
        while begun.elapsed() < time && !step.stop.is_cancelled() {
            if self.walk(which).is_over {
                return Ok((Progress::Idle, deleted));
            }
            let asked = Instant::now();
            let (after, rows_max) = (self.walk(which).after, self.walk(which).rows_max);
            let range = self.range(which);
            let deletion = step.context.store.delete_finished(after, rows_max, self.retention, range).await;
            let took = asked.elapsed();
            let deletion = match deletion {
                Ok(deletion) => deletion,
                Err(fault) => {
                    self.narrow(which, &step.context.store, fault, took).await?;
                    continue;
                }
            };
            self.walk(which).note(&deletion, took);
            deleted += deletion.deleted;
            if deletion.deleted > 0 {
                self.refused_in_a_row = 0;
            }
            if !deletion.is_end {
                step.stop.run_until_cancelled(tokio::time::sleep(took / PAUSE_PART)).await;
            } else if which == Which::Restored {
                self.restored.is_over = true;
            } else if self.own.begun.elapsed() >= self.own.pause(self.shortest()) {
                self.own = self.own.next(step.context.routed_below.load(Ordering::Relaxed));
            } else {
                return Ok((Progress::Idle, deleted));
            }
        }
        Ok((Progress::Worked(0), deleted))
    }

    /// A batch was refused: halves the next one. An event that is refused alone is recorded and passed over.
    async fn narrow(
        &mut self,
        which: Which,
        store: &Store,
        fault: StoreError,
        took: Duration,
    ) -> Result<(), StoreError> {
        let is_held_up = is_lock_timeout(&fault) && took < ROW_WAIT_MAX;
        if !is_held_up && !is_row_fault(&fault) {
            return Err(fault);
        }
        if self.walk(which).rows_max > 1 {
            self.walk(which).rows_max /= 2;
            return Ok(());
        }
        // With this retention nothing is old enough: the statement only looks.
        let never = Retention { complete: FOR_EVER, failed: FOR_EVER };
        let looked = store.delete_finished(self.walk(which).after, 1, never, self.range(which)).await?;
        let Some(place) = looked.last else { return Err(fault) };
        self.refused_in_a_row += 1;
        if !is_held_up && self.refused_in_a_row <= RECORDED_MAX {
            set_aside(store, place, &fault).await?;
        }
        self.walk(which).note(&looked, took);
        Ok(())
    }

    /// Tries refused events again whose time has come, each alone. When one is deleted, the events refused for the same reason
    /// follow at once.
    async fn try_again(&mut self, store: &Store) -> Result<(), StoreError> {
        for place in store.find_refused_deletions(AGAIN_MAX).await? {
            let before = Position { id: place.id - 1, ..place };
            let range = DeletionRange::UpToTransaction(place.xid + 1);
            match store.delete_finished(before, 1, self.retention, range).await {
                Ok(deletion) if deletion.deleted > 0 => {
                    store.hasten_refused(RefusedStage::Delete, place.id).await?;
                }
                // Locked, or not old enough any more.
                Ok(_) => {}
                Err(fault) if is_row_fault(&fault) => set_aside(store, place, &fault).await?,
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// Begins the next walk through restored events, if it is time and there are any.
    async fn look_for_restored(&mut self, store: &Store) -> Result<(), StoreError> {
        let pause = self.restored.pause(self.shortest());
        if !self.restored.is_over || self.range_read.is_some_and(|read| read.elapsed() < pause) {
            return Ok(());
        }
        let longest = self.retention.complete.max(self.retention.failed);
        self.restored_range = store.read_restored(longest + RESTORED_LATE_MAX).await?;
        self.range_read = Some(Instant::now());
        // The other walk has met the events below.
        let ahead = self.restored_range.filter(|(_, until)| self.own.after.xid <= *until);
        self.restored = ahead.map_or_else(Walk::over, |(from, _)| {
            Walk::begin(self.own.after.max(Position { xid: from, id: 0 }), 0)
        });
        Ok(())
    }

    fn walk(&mut self, which: Which) -> &mut Walk {
        match which {
            Which::Own => &mut self.own,
            Which::Restored => &mut self.restored,
        }
    }

    fn range(&self, which: Which) -> DeletionRange {
        let shortest = self.shortest();
        match (which, self.restored_range) {
            (Which::Restored, Some((_, until))) => DeletionRange::UpToTransaction(until.saturating_add(1)),
            _ => DeletionRange::UpToYoungerThan(shortest + (shortest / WALK_PART).min(FINISHED_WITHIN_MAX)),
        }
    }

    fn shortest(&self) -> Duration {
        self.retention.complete.min(self.retention.failed)
    }
}

async fn set_aside(store: &Store, place: Position, fault: &StoreError) -> Result<(), StoreError> {
    warn!("event {} is old enough, and cannot be deleted: {}", place.id, one_line(fault));
    store.set_aside(RefusedStage::Delete, place.id, fault).await
}
