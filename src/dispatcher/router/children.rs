//! Endpoints of templates that a batch of events is for: they are made before it is routed.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::Router;
use crate::dispatcher::subscriptions::Subscriptions;
use crate::model::endpoint::EndpointNo;
use crate::store::{StoreError, UnroutedEvent};

/// How often it is said that endpoints of templates cannot be made.
const WARN_PAUSE: Duration = Duration::from_mins(1);

impl Router {
    /// Makes endpoints of templates, in one statement. Says now and then that some cannot be made.
    pub(super) async fn make_children(
        &mut self,
        wanted: &[(EndpointNo, String)],
        subscriptions: &mut Subscriptions,
    ) -> Result<(), StoreError> {
        let refused = self.context.make_children(subscriptions, wanted).await?;
        if let Some(first) = refused.first()
            && self.warned.is_none_or(|at| at.elapsed() >= WARN_PAUSE)
        {
            self.warned = Some(Instant::now());
            let count = refused.len();
            warn!(
                "cannot make {count} endpoints of templates, as \"{first}\", because there are as many as installation.endpoints_max: their events fail"
            );
        }
        Ok(())
    }
}

/// The endpoints of templates that these events are for and that are not known here, each once, with their templates.
pub(super) fn wanted_children(
    events: &[UnroutedEvent],
    subscriptions: &Subscriptions,
) -> Vec<(EndpointNo, String)> {
    if !subscriptions.has_templates() {
        return Vec::new();
    }
    let ids: HashSet<&str> = events.iter().filter_map(|event| event.destination.as_deref()).collect();
    ids.into_iter().filter_map(|id| Some((subscriptions.maker(id)?, id.to_owned()))).collect()
}
