//! Events below the watermark, where no look for new ones comes, that wait for ever: unrouted ones, which were put back from a backup
//! while a trigger was disabled, and those in progress whose deliveries somebody has deleted. A walk through the history finds them,
//! a part of it in each step.

use std::sync::atomic::Ordering;

use tracing::warn;

use crate::dispatcher::context::Context;
use crate::store::{Position, StoreError};

/// Events looked at in one step: some milliseconds.
const EVENTS_MAX: i64 = 10_000;

/// The position of the walk.
#[derive(Debug, Default)]
pub(super) struct PassedOver {
    after: Position,
}

impl PassedOver {
    /// Goes on with the walk, and begins anew where it ends. What it finds is routed by the next look.
    ///
    /// # Errors
    /// [`StoreError`]: the next step tries the same part again.
    pub(super) async fn step(&mut self, context: &Context) -> Result<(), StoreError> {
        let watermark = context.routed_below.load(Ordering::Relaxed);
        if watermark == 0 {
            // Not known, so that everything is looked at anyway.
            return Ok(());
        }
        let found = context.store.restamp_events(self.after, watermark, EVENTS_MAX).await?;
        self.after = found.last.unwrap_or_default();
        if found.restamped > 0 {
            warn!(
                "found {} events that were put back with transactions of before, while triggers were disabled: routing them",
                found.restamped
            );
        }
        if found.emptied > 0 {
            warn!(
                "found {} events in progress without their deliveries (was postrider.delivery emptied, or not restored?): routing them \
                 anew, so some are sent again",
                found.emptied
            );
        }
        if found.restamped + found.emptied > 0 {
            context.bell.look_now();
        }
        Ok(())
    }
}
