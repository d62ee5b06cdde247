//! One walk through the events, from the first that is left.

use std::time::Duration;

use tokio::time::Instant;

use super::WALK_PART;
use crate::store::{Deletion, Position};

/// A statement should take at most this long. The next one is smaller after a longer one, and larger after one of half of it.
const STATEMENT_MAX: Duration = Duration::from_millis(50);
/// Events, and deliveries, in one statement.
const ROWS_FIRST: u32 = 250;
const ROWS_MIN: u32 = 20;
const ROWS_MAX: u32 = 2_000;

/// A walk from the first event that is left, through the events that stay, and on as events grow old, until the next begins.
pub(super) struct Walk {
    /// The last event that was looked at.
    pub(super) after: Position,
    pub(super) rows_max: u32,
    pub(super) begun: Instant,
    /// The end of its range is reached.
    pub(super) is_over: bool,
    /// When the walk began, no transaction below this one was open: it has met all their events.
    complete_below: u64,
    /// The first event that stays.
    kept: Option<Position>,
    /// Time spent on events that stay.
    in_vain: Duration,
}

impl Walk {
    /// A walk that begins behind this place.
    pub(super) fn begin(after: Position, complete_below: u64) -> Self {
        Self {
            after,
            rows_max: ROWS_FIRST,
            begun: Instant::now(),
            is_over: false,
            complete_below,
            kept: None,
            in_vain: Duration::ZERO,
        }
    }

    /// A walk through nothing.
    pub(super) fn over() -> Self {
        Self { is_over: true, ..Self::begin(Position::default(), 0) }
    }

    pub(super) fn note(&mut self, deletion: &Deletion, took: Duration) {
        self.after = deletion.last.unwrap_or(self.after);
        self.kept = self.kept.or(deletion.kept);
        let stay = deletion.looked_at.saturating_sub(deletion.deleted);
        self.in_vain += took * stay / deletion.looked_at.max(1);
        self.rows_max = next_rows_max(self.rows_max, took);
    }

    /// The time from the beginning of this walk to that of the next.
    pub(super) fn pause(&self, shortest: Duration) -> Duration {
        (self.in_vain * WALK_PART).max(shortest / WALK_PART)
    }

    /// The next walk: from the first event that this one left.
    pub(super) fn next(&self, routed_below: u64) -> Self {
        let first = self.kept.map_or(self.after, |kept| Position { id: kept.id - 1, ..kept });
        // An event that was committed late, below all others, must not be passed over.
        let after = first.min(Position { xid: self.complete_below, id: 0 });
        Self { rows_max: self.rows_max, ..Self::begin(after, routed_below) }
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

    const HOUR: Duration = Duration::from_hours(1);

    fn place(xid: u64, id: i64) -> Position {
        Position { xid, id }
    }

    fn walk(complete_below: u64) -> Walk {
        Walk::begin(Position::default(), complete_below)
    }

    fn found(kept: Option<Position>, last: Position) -> Deletion {
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
        let mut first = walk(100);

        first.note(&found(None, place(10, 10)), Duration::ZERO);
        first.note(&found(Some(place(11, 15)), place(20, 20)), Duration::ZERO);
        first.note(&found(Some(place(21, 25)), place(30, 30)), Duration::ZERO);
        assert_eq!(first.after, place(30, 30));

        assert_eq!(first.next(100).after, place(11, 14));
    }

    #[test]
    fn a_walk_does_not_pass_over_what_was_inserted_but_not_committed_when_the_last_one_began() {
        let mut first = walk(25);
        first.note(&found(None, place(30, 30)), Duration::ZERO);

        let mut second = first.next(100);
        assert_eq!(second.after, place(25, 0));

        second.note(&found(None, place(40, 40)), Duration::ZERO);
        assert_eq!(second.next(100).after, place(40, 40));
    }

    #[test]
    fn walks_through_what_stays_cost_a_twentieth_of_the_time() {
        let mut walk = walk(0);
        assert_eq!(walk.pause(HOUR), Duration::from_mins(3));

        let all_stay = Deletion { deleted: 0, ..found(Some(place(1, 1)), place(2, 2)) };
        walk.note(&all_stay, Duration::from_mins(1));

        assert_eq!(walk.pause(HOUR), Duration::from_mins(20));
    }
}
