//! Finished events that are old enough are deleted, in order of the transactions that inserted them, a few at a time.
//!
//! Each event is looked at when it is old enough, and mostly gone then: what a step costs depends on what it deletes.
//! What stays, because it failed and is kept longer, or is not finished yet, is walked through again now and then, from
//! the first that stays. That makes it go a little late, and costs a small part of the time.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::rounds::{Progress, Shared};
use crate::store::{Deletion, EventFloor, Retention, StoreError};

/// A step deletes no longer than this: dead dispatchers do not wait for it.
const STEP_MAX: Duration = Duration::from_secs(3);
/// What a statement should take at most: the next one is smaller if it takes longer, and larger if it takes half of it.
const STATEMENT_MAX: Duration = Duration::from_millis(50);
/// Events, and deliveries, in one statement.
const ROWS_FIRST: u32 = 250;
const ROWS_MIN: u32 = 20;
const ROWS_MAX: u32 = 2_000;
/// After a statement, so much of the time that it took is left to others.
const BREATH_PART: u32 = 4;
/// Walking through what stays may cost this part of the time, and makes it go this part of its retention late.
const WALK_PART: u32 = 20;
/// An event is looked at so much later than it could go at the earliest: most are finished within that.
const FINISHED_WITHIN_MAX: Duration = Duration::from_mins(1);

/// How far the deletion of old events has come.
pub(super) struct Deletions {
    retention: Retention,
    /// What was looked at last.
    after: EventFloor,
    rows_max: u32,
    walk: Walk,
}

/// From the first event that is left, through what stays, and then on as events grow old, until the next walk begins.
struct Walk {
    begun: Instant,
    /// When it began, no transaction below this one was open: it has met all that they inserted.
    complete_below: u64,
    /// The first that stays.
    kept: Option<EventFloor>,
    /// Spent on what stays.
    in_vain: Duration,
}

impl Deletions {
    /// Nothing was looked at yet.
    pub(super) fn new(retention: Retention) -> Self {
        let walk = Walk::begin(0);
        Self { retention, after: EventFloor::default(), rows_max: ROWS_FIRST, walk }
    }

    /// Deletes until nothing is left that is old enough, or the step has taken long enough, or it is stopped.
    ///
    /// # Errors
    /// [`StoreError`]: the next step goes on.
    pub(super) async fn step(
        &mut self,
        shared: &Shared,
        stop: &CancellationToken,
    ) -> Result<Progress, StoreError> {
        let begun = Instant::now();
        let mut deleted = 0;
        let mut progress = Progress::Worked(0);
        while begun.elapsed() < STEP_MAX && !stop.is_cancelled() {
            let asked = Instant::now();
            let young = self.shortest() + (self.shortest() / WALK_PART).min(FINISHED_WITHIN_MAX);
            let deletion =
                shared.store.delete_finished(self.after, self.rows_max, self.retention, young).await?;
            let took = asked.elapsed();
            self.note(&deletion, took);
            deleted += deletion.deleted;
            if !deletion.is_end {
                stop.run_until_cancelled(tokio::time::sleep(took / BREATH_PART)).await;
            } else if self.walk.begun.elapsed() >= self.walk_pause() {
                self.walk_again(shared.routed_below.load(Ordering::Relaxed));
            } else {
                progress = Progress::Idle;
                break;
            }
        }
        if deleted > 0 {
            info!("deleted {deleted} finished events that were old enough");
        }
        Ok(progress)
    }

    fn note(&mut self, deletion: &Deletion, took: Duration) {
        self.after = deletion.last.unwrap_or(self.after);
        self.walk.kept = self.walk.kept.or(deletion.kept);
        let stay = deletion.looked_at.saturating_sub(deletion.deleted);
        self.walk.in_vain += took * stay / deletion.looked_at.max(1);
        self.rows_max = next_rows_max(self.rows_max, took);
    }

    /// From the beginning of one walk to that of the next.
    fn walk_pause(&self) -> Duration {
        (self.walk.in_vain * WALK_PART).max(self.shortest() / WALK_PART)
    }

    fn walk_again(&mut self, routed_below: u64) {
        let first = self.walk.kept.map_or(self.after, |kept| EventFloor { id: kept.id - 1, ..kept });
        // What was committed late, below all that was met, must not be passed over.
        self.after = first.min(EventFloor { xid: self.walk.complete_below, id: 0 });
        self.walk = Walk::begin(routed_below);
    }

    fn shortest(&self) -> Duration {
        self.retention.complete.min(self.retention.failed)
    }
}

impl Walk {
    fn begin(complete_below: u64) -> Self {
        Self { begun: Instant::now(), complete_below, kept: None, in_vain: Duration::ZERO }
    }
}

fn next_rows_max(rows_max: u32, took: Duration) -> u32 {
    let next = if took > STATEMENT_MAX {
        rows_max / 2
    } else if took < STATEMENT_MAX / 2 {
        rows_max * 2
    } else {
        rows_max
    };
    next.clamp(ROWS_MIN, ROWS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(xid: u64, id: i64) -> EventFloor {
        EventFloor { xid, id }
    }

    fn deletions() -> Deletions {
        Deletions::new(Retention { complete: Duration::from_hours(1), failed: Duration::from_hours(2) })
    }

    fn found(kept: Option<EventFloor>, last: EventFloor) -> Deletion {
        Deletion {
            looked_at: 10,
            deleted: 10 - u32::from(kept.is_some()),
            last: Some(last),
            kept,
            is_end: false,
        }
    }

    #[test]
    fn a_statement_that_takes_long_is_followed_by_smaller_ones_and_then_by_larger_ones_again() {
        let mut rows = ROWS_FIRST;

        for _ in 0..20 {
            rows = next_rows_max(rows, Duration::from_secs(1));
        }
        assert_eq!(rows, ROWS_MIN);

        for _ in 0..20 {
            rows = next_rows_max(rows, Duration::from_millis(1));
        }
        assert_eq!(rows, ROWS_MAX);
    }

    #[test]
    fn a_walk_begins_with_the_first_event_that_the_last_one_left() {
        let mut deletions = deletions();
        deletions.walk_again(100);

        deletions.note(&found(None, place(10, 10)), Duration::ZERO);
        deletions.note(&found(Some(place(11, 15)), place(20, 20)), Duration::ZERO);
        deletions.note(&found(Some(place(21, 25)), place(30, 30)), Duration::ZERO);
        assert_eq!(deletions.after, place(30, 30));

        deletions.walk_again(100);
        assert_eq!(deletions.after, place(11, 14));
    }

    #[test]
    fn a_walk_does_not_pass_over_what_was_inserted_but_not_committed_when_the_last_one_began() {
        let mut deletions = deletions();
        deletions.walk_again(25);
        deletions.note(&found(None, place(30, 30)), Duration::ZERO);

        deletions.walk_again(100);
        assert_eq!(deletions.after, place(25, 0));

        deletions.note(&found(None, place(40, 40)), Duration::ZERO);
        deletions.walk_again(100);
        assert_eq!(deletions.after, place(40, 40));
    }

    #[test]
    fn walks_through_what_stays_cost_a_twentieth_of_the_time() {
        let mut deletions = deletions();
        assert_eq!(deletions.walk_pause(), Duration::from_mins(3));

        let all_stay = Deletion { deleted: 0, ..found(Some(place(1, 1)), place(2, 2)) };
        deletions.note(&all_stay, Duration::from_mins(1));

        assert_eq!(deletions.walk_pause(), Duration::from_mins(20));
    }
}
