//! Lanes: the deliveries of one key to one ordered endpoint, of which only the first is due.
//!
//! ```text
//!   head (due) ──attempted──> complete ──settled──> open the lane ──> the next is the head, and due
//! ```
//!
//! The settler opens a lane after it has settled its head. The router opens a lane after it has put a delivery behind another. Each does
//! it after its commit, so the later of the two sees what both have done. A dispatcher that dies in between, and a row that somebody has locked,
//! leave a lane shut: the sweep finds it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::dispatcher::context::Context;
use crate::dispatcher::subscriptions::Subscriptions;
use crate::model::endpoint::EndpointNo;
use crate::model::event::EventId;
use crate::rules::halves::Halves;
use crate::store::{LanePlace, StoreError, SweptLanes, is_row_fault};

/// Lanes opened in one statement.
const LANES_MAX: usize = 1_000;
/// While there is always work, lanes are still swept this often.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Sweeps may cost this part of the time, unless something waits for one.
const SWEEP_PART: u32 = 20;

/// What other stages tell the work loop about lanes.
#[derive(Debug, Default)]
pub struct Lanes {
    news: Mutex<News>,
}

#[derive(Debug, Default)]
struct News {
    /// Lanes that may have to be opened, each named by one of its events.
    touched: Vec<(EndpointNo, EventId)>,
    /// Endpoints whose lanes were opened.
    opened: Vec<EndpointNo>,
    /// Something was given back without a look at its lane.
    is_sweep_due: bool,
}

impl Lanes {
    /// These lanes are to be opened.
    pub fn touched(&self, lanes: Vec<(EndpointNo, EventId)>) {
        self.lock().touched.extend(lanes);
    }

    /// Lanes of these endpoints were opened: they have something due.
    pub fn opened(&self, endpoints: Vec<EndpointNo>) {
        self.lock().opened.extend(endpoints);
    }

    /// Deliveries were given back whose lanes are not known.
    pub fn sweep_soon(&self) {
        self.lock().is_sweep_due = true;
    }

    fn take(&self) -> News {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of the work loop that opens lanes.
pub(super) struct LaneOpener {
    context: Arc<Context>,
    /// Whether there may be lanes.
    may_be_some: bool,
    /// Where the next sweep begins.
    place: LanePlace,
    /// The next one comes no earlier, unless something waits for it.
    sweep_at: Instant,
    /// Something was given back: all lanes are swept without a pause.
    is_in_hurry: bool,
}

impl LaneOpener {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            may_be_some: true,
            place: LanePlace::default(),
            sweep_at: Instant::now(),
            is_in_hurry: true,
        }
    }

    /// Opens the lanes that go on. Returns an endpoint for each delivery that is due now.
    ///
    /// # Errors
    /// [`StoreError`]: what was not opened is tried again in the next step.
    pub(super) async fn step(
        &mut self,
        subscriptions: &Subscriptions,
    ) -> Result<Vec<EndpointNo>, StoreError> {
        let News { mut touched, mut opened, is_sweep_due } = self.context.lanes.take();
        self.may_be_some |= subscriptions.has_ordered();
        if is_sweep_due {
            self.is_in_hurry = true;
            self.place = LanePlace::default();
        }
        let done = async {
            if self.may_be_some && (self.is_in_hurry || self.sweep_at <= Instant::now()) {
                let found = self.sweep().await?;
                touched.extend(found.shut);
                opened.extend(found.due);
                self.may_be_some |= subscriptions.has_ordered();
            }
            self.open(&mut touched, &mut opened).await
        };
        if let Err(fault) = done.await {
            self.context.lanes.touched(touched);
            self.context.lanes.opened(opened);
            return Err(fault);
        }
        Ok(opened)
    }

    /// Opens lanes, and takes them from the list. One whose head the database refuses to write stays shut until the next sweep; the
    /// others go on.
    async fn open(
        &self,
        touched: &mut Vec<(EndpointNo, EventId)>,
        opened: &mut Vec<EndpointNo>,
    ) -> Result<(), StoreError> {
        while !touched.is_empty() {
            let rest = touched.split_off(touched.len().min(LANES_MAX));
            let mut halves = Halves::new(std::mem::replace(touched, rest));
            while let Some(part) = halves.next_part() {
                match self.context.store.open_lanes(&part).await {
                    Ok(nos) => opened.extend(nos),
                    Err(fault) if is_row_fault(&fault) => {
                        if halves.refused(part).is_some() {
                            self.context.database_health.log_failure("a lane cannot be opened", &fault);
                        }
                    }
                    Err(fault) => {
                        touched.extend(part.into_iter().chain(halves.rest()));
                        return Err(fault);
                    }
                }
            }
        }
        Ok(())
    }

    async fn sweep(&mut self) -> Result<SweptLanes, StoreError> {
        let begun = Instant::now();
        let max = i64::try_from(LANES_MAX).unwrap_or(i64::MAX);
        let found = match self.context.store.sweep_lanes(max, &self.place, false).await {
            Err(fault) if is_row_fault(&fault) => {
                self.context.database_health.log_failure("a delivery cannot leave its lane", &fault);
                self.context.store.sweep_lanes(max, &self.place, true).await?
            }
            found => found?,
        };
        self.may_be_some = found.is_any;
        let is_end = found.last.is_none();
        self.place = found.last.clone().unwrap_or_default();
        if found.left > 0 {
            // What follows in those lanes.
            self.place = LanePlace::default();
        }
        self.is_in_hurry = found.left > 0 || (self.is_in_hurry && !is_end);
        if self.is_in_hurry {
            self.context.bell.look_now();
        }
        let pause = if is_end { SWEEP_INTERVAL } else { Duration::ZERO };
        self.sweep_at = Instant::now() + pause.max(begun.elapsed() * SWEEP_PART);
        Ok(found)
    }
}
