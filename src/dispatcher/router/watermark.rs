//! Where routing begins to look for unrouted events.
//!
//! They are found by an index on (inserting transaction, id), from a watermark upwards. Nothing below the *safe* watermark can
//! still turn up: every transaction below it has ended, and its events are routed. A long transaction holds the safe watermark
//! back. Meanwhile steps start from a *near* watermark behind the last claim. They return to the safe one as often as that is
//! cheap, and before every sleep.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::dispatcher::context::Look;
use crate::store::Position;

/// Looks from the safe watermark may cost this part of the time.
const SAFE_LOOK_PART: u32 = 20;

/// Where looks begin.
#[derive(Debug)]
pub(super) struct Watermark {
    /// How many connections had been opened when it was read from the database, or confirmed.
    opened: u64,
    safe: Position,
    near: Position,
    /// When the last look from the safe watermark ended, and how long it took.
    safe_look: (Instant, Duration),
}

impl Watermark {
    /// A watermark that was read from the database, not confirmed on any connection yet.
    pub(super) fn new(saved: Position) -> Self {
        Self { opened: 0, safe: saved, near: saved, safe_look: (Instant::now(), Duration::ZERO) }
    }

    /// How many connections had been opened when it was confirmed.
    pub(super) fn opened(&self) -> u64 {
        self.opened
    }

    /// Where a look begins.
    pub(super) fn start(&self, is_safe: bool) -> Position {
        if is_safe { self.safe } else { self.near }
    }

    /// Whether this look begins at the safe watermark.
    pub(super) fn is_safe_look(&self, look: Look) -> bool {
        let (ended, cost) = self.safe_look;
        look == Look::Full || ended.elapsed() >= cost * SAFE_LOOK_PART
    }

    /// A look from the safe watermark took so long.
    pub(super) fn note_safe_look(&mut self, took: Duration) {
        self.safe_look = (Instant::now(), took);
    }

    /// The last event of a batch was this one. If late rows were found far below, they come first, and the near watermark
    /// rises again afterwards.
    pub(super) fn note_last(&mut self, last: Position) {
        self.near = last.max(self.safe);
    }

    /// A new connection was opened: goes back to the saved watermark if that is lower.
    pub(super) fn go_back(&mut self, saved: Position, opened: u64) {
        self.safe = self.safe.min(saved);
        self.near = self.safe;
        self.opened = opened;
    }

    /// The database found this safe watermark.
    pub(super) fn set(&mut self, safe: Position) {
        if safe < self.safe {
            warn!(
                "the database's history went back (a restore, or a failover that lost commits): looking at all events again"
            );
            self.near = safe;
        }
        self.safe = safe;
        self.near = self.near.max(safe);
    }
}
