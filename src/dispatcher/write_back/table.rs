//! What the stage remembers of one attached table: how much it writes at once, and whether it is left alone for a while.

use std::time::Duration;

use tokio::time::Instant;

use crate::rules::backoff::Backoff;

/// Rows in one batch: the most, the fewest, and the first time.
pub(super) const BATCH_MAX: usize = 200;
const BATCH_MIN: usize = 5;
const BATCH_FIRST: usize = 50;
/// A batch holds rows of users. One that took longer is followed by a smaller one, one that was faster by a larger one.
const SLOW: Duration = Duration::from_millis(40);
const FAST: Duration = Duration::from_millis(10);
/// What is wrong with a table is told no more often.
const TELL_INTERVAL: Duration = Duration::from_secs(1);
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The state of a table.
#[derive(Debug)]
pub(super) struct TableState {
    batch_max: usize,
    backoff: Backoff,
    failing_since: Option<Instant>,
    paused_until: Option<Instant>,
    told_at: Option<Instant>,
}

impl Default for TableState {
    fn default() -> Self {
        Self {
            batch_max: BATCH_FIRST,
            backoff: Backoff::new(PAUSE_FIRST, PAUSE_MAX),
            failing_since: None,
            paused_until: None,
            told_at: None,
        }
    }
}

impl TableState {
    /// Rows of the next batch.
    pub(super) const fn batch_max(&self) -> usize {
        self.batch_max
    }

    /// A batch of so many rows took so long.
    pub(super) fn note_batch(&mut self, rows: usize, took: Duration) {
        if took > SLOW {
            self.batch_max = (self.batch_max / 2).max(BATCH_MIN);
        } else if took < FAST && rows >= self.batch_max {
            self.batch_max = (self.batch_max * 2).min(BATCH_MAX);
        }
    }

    /// A batch of so many rows was refused because of one of them.
    pub(super) fn note_refused(&mut self, rows: usize) {
        self.batch_max = (rows / 2).max(1);
    }

    /// Whether it is time to tell what is wrong.
    pub(super) fn may_tell(&mut self) -> bool {
        let may_tell = self.told_at.is_none_or(|at| at.elapsed() >= TELL_INTERVAL);
        if may_tell {
            self.told_at = Some(Instant::now());
        }
        may_tell
    }

    /// The table can be written.
    pub(super) fn note_success(&mut self) {
        self.backoff.reset();
        self.failing_since = None;
        self.paused_until = None;
    }

    /// The table cannot be written for now. Returns since when.
    pub(super) fn note_failure(&mut self) -> Duration {
        let now = Instant::now();
        self.paused_until = Some(now + self.backoff.pause());
        now.duration_since(*self.failing_since.get_or_insert(now))
    }

    /// Whether it is left alone for now.
    pub(super) fn is_paused(&self, now: Instant) -> bool {
        self.paused_until(now).is_some()
    }

    /// When it may be tried again. `None` if it may be now.
    pub(super) fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_shrink_while_they_are_slow_and_grow_while_they_are_fast() {
        let mut table = TableState::default();

        for _ in 0..10 {
            table.note_batch(table.batch_max(), SLOW * 2);
        }
        assert_eq!(table.batch_max(), BATCH_MIN);
        for _ in 0..10 {
            table.note_batch(table.batch_max(), FAST / 2);
        }
        assert_eq!(table.batch_max(), BATCH_MAX);
    }

    #[test]
    fn a_refused_batch_is_followed_by_one_of_half_its_size_down_to_one_row() {
        let mut table = TableState::default();

        let sizes: Vec<usize> = (0..8)
            .map(|_| {
                table.note_refused(table.batch_max());
                table.batch_max()
            })
            .collect();

        assert_eq!(sizes, [25, 12, 6, 3, 1, 1, 1, 1]);
    }

    #[test]
    fn a_small_batch_says_nothing_of_larger_ones() {
        let mut table = TableState::default();

        table.note_batch(1, FAST / 2);

        assert_eq!(table.batch_max(), BATCH_FIRST);
    }
}
