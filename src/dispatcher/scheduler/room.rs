//! How many deliveries this dispatcher may hold: claimed and not settled yet.

/// Limits of one dispatcher as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests under way at once.
    pub in_flight_max: usize,
    /// Deliveries claimed and not settled: under way, queued, or waiting to be settled.
    pub held_max: usize,
}

impl Limits {
    /// Limits for `in_flight_max` requests at once. Eight times as many deliveries may be held: claims and settles come in large
    /// batches then, and no slot is idle between them.
    pub fn for_in_flight(in_flight_max: usize) -> Self {
        Self { in_flight_max, held_max: in_flight_max.saturating_mul(8).max(64) }
    }
}

/// Where a delivery comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From an event that is being routed.
    New,
    /// It was pending.
    Waited,
}

/// The room for claimed deliveries, and how much of it is taken.
#[derive(Debug)]
pub(super) struct Room {
    max: usize,
    held: usize,
}

impl Room {
    pub(super) fn new(max: usize) -> Self {
        Self { max, held: 0 }
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn left(&self) -> usize {
        self.max.saturating_sub(self.held)
    }

    /// The room left for deliveries of this origin. Deliveries that waited may fill three quarters of the room: a backlog
    /// that is worked off leaves room for new events.
    pub(super) fn left_for(&self, origin: Origin) -> usize {
        let max = match origin {
            Origin::New => self.max,
            Origin::Waited => self.max / 4 * 3,
        };
        max.saturating_sub(self.held)
    }

    pub(super) fn take(&mut self, count: usize) {
        self.held += count;
    }

    pub(super) fn release(&mut self, count: usize) {
        self.held = self.held.saturating_sub(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_that_waited_leave_a_quarter_to_new_ones() {
        let mut room = Room::new(64);

        room.take(48);

        assert_eq!((room.left_for(Origin::Waited), room.left_for(Origin::New)), (0, 16));
    }
}
