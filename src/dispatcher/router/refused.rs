//! Events that the database refuses to route, because of a trigger, a constraint or damaged data. Such an event is set aside; the
//! others go on.

use tracing::warn;

use super::Router;
use crate::dispatcher::context::Progress;
use crate::dispatcher::subscriptions::Subscriptions;
use crate::model::event::EventId;
use crate::rules::halves::Halves;
use crate::store::{Position, RefusedStage, StoreError, Stretch, is_duplicate, is_row_fault};

/// How many refused events are tried again in one step.
const RETRIES_MAX: usize = 50;

impl Router {
    /// The database refuses one of the next events: routes them in halves, and sets that one aside. Deliveries that find no
    /// slot are found by the next search for due deliveries.
    pub(super) async fn route_in_halves(
        &mut self,
        from: Position,
        batch_max: usize,
        subscriptions: &mut Subscriptions,
    ) -> Result<Progress, StoreError> {
        let places = self.context.store.list_unrouted(from, batch_max).await?;
        let mut routed = 0;
        let mut halves = Halves::new(places);
        while let Some(part) = halves.next_part() {
            let (Some(from), Some(until)) = (part.first().copied(), part.last().copied()) else { continue };
            match self.route_batch(Stretch { from, until }, part.len(), subscriptions).await {
                Ok((plan, _)) => routed += plan.map_or(0, |plan| plan.rows.events.len()),
                Err(fault) if is_row_fault(&fault) => {
                    if let Some(place) = halves.refused(part) {
                        self.set_aside(place, &fault).await?;
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(Progress::Worked(routed))
    }

    pub(super) async fn set_aside(&mut self, place: Position, fault: &StoreError) -> Result<(), StoreError> {
        if is_duplicate(fault) {
            match self.restore(EventId::new(place.id)).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(refused) if is_row_fault(&refused) => {}
                Err(fault) => return Err(fault),
            }
        }
        self.context.database_health.log_failure("an event cannot be routed and is set aside", fault);
        self.has_refused = true;
        self.context.store.set_aside(RefusedStage::Route, place.id, fault).await
    }

    /// Tries events again that were refused before, each alone.
    pub(super) async fn try_refused(&mut self, subscriptions: &mut Subscriptions) -> Result<(), StoreError> {
        for place in self.context.store.list_refused_events(RETRIES_MAX).await? {
            let alone = Stretch { from: place, until: place };
            match self.route_alone(alone, subscriptions).await {
                Ok(Some(_)) => self.context.store.hasten_refused(RefusedStage::Route, place.id).await?,
                Ok(None) => {} // Somebody has locked it.
                Err(fault) if is_row_fault(&fault) => self.set_aside(place, &fault).await?,
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// Restores the status of an event that was routed before and made pending by hand: an event is routed only once. Returns
    /// whether it was such an event.
    async fn restore(&self, id: EventId) -> Result<bool, StoreError> {
        let is_restored = self.context.store.restore_events(&[id]).await? > 0;
        if is_restored {
            warn!(
                "event {} was routed before, and had been made pending by hand: restored its status from its deliveries; to send events again, use postrider.replay",
                id.get()
            );
        }
        Ok(is_restored)
    }
}
