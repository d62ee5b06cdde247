//! Shared by the stages that work in steps: the parts of this dispatcher, how far a step looks, and its result.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tracing::error;

use crate::dispatcher::database_health::DatabaseHealth;
use crate::dispatcher::lanes::Lanes;
use crate::dispatcher::lease::Lease;
use crate::dispatcher::metrics::Metrics;
use crate::dispatcher::scheduler::Scheduler;
use crate::dispatcher::sender::Sender;
use crate::dispatcher::subscriptions::Subscriptions;
use crate::dispatcher::wakeup::bell::Bell;
use crate::dispatcher::write_back::RowsDue;
use crate::model::endpoint::EndpointNo;
use crate::store::{EndpointSet, Store, StoreError};

/// How far a step looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// For what is new: from the positions kept in memory.
    Near,
    /// For everything that may have been passed over: before every sleep.
    Full,
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// That many events and deliveries were claimed.
    Worked(usize),
    /// There is nothing to claim.
    Idle,
    /// There may be more, but no room to hold it.
    Full,
}

impl Progress {
    /// The result of two steps together.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Worked(a), Self::Worked(b)) => Self::Worked(a + b),
            (Self::Worked(n), Self::Idle | Self::Full) | (Self::Idle | Self::Full, Self::Worked(n)) => {
                Self::Worked(n)
            }
            (Self::Full, Self::Idle | Self::Full) | (Self::Idle, Self::Full) => Self::Full,
            (Self::Idle, Self::Idle) => Self::Idle,
        }
    }
}

/// The parts of this dispatcher that its stages work with.
pub struct Context {
    /// The database.
    pub store: Store,
    /// Limits and queues.
    pub scheduler: Arc<Scheduler>,
    /// Has the id of this dispatcher, and says whether it may work.
    pub lease: Arc<Lease>,
    /// Wakes the work loop.
    pub bell: Arc<Bell>,
    /// Makes the attempts.
    pub sender: Arc<Sender>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Learns of failures.
    pub database_health: Arc<DatabaseHealth>,
    /// Wakes the stage that writes into attached tables.
    pub rows_due: Arc<RowsDue>,
    /// Learns which lanes go on.
    pub lanes: Arc<Lanes>,
    /// Every event of a transaction below this one is routed. Maintenance saves it for the next start.
    pub routed_below: AtomicU64,
    /// How many connections had been opened when that was confirmed. A newer one may lead to a server that does not know of it.
    pub routed_as_of: AtomicU64,
    /// The one endpoint that this dispatcher serves. `None`: all of them.
    pub only_endpoint: Option<String>,
}

impl Context {
    /// Reads the endpoints again unless `subscriptions` is of this version.
    ///
    /// # Errors
    /// [`StoreError`]: the subscriptions stay as they are.
    pub async fn refresh_endpoints(
        &self,
        subscriptions: &mut Subscriptions,
        version: i64,
    ) -> Result<(), StoreError> {
        if subscriptions.version() == version {
            return Ok(());
        }
        let endpoints = self.store.load_endpoints().await?;
        self.use_endpoints(subscriptions, endpoints).await;
        Ok(())
    }

    /// Makes endpoints of templates: each is its template and its id. Returns the ids of those that cannot be made. Their events reach
    /// nobody in this step.
    ///
    /// # Errors
    /// [`StoreError`]: the subscriptions stay as they are.
    pub async fn make_children(
        &self,
        subscriptions: &mut Subscriptions,
        wanted: &[(EndpointNo, String)],
    ) -> Result<Vec<String>, StoreError> {
        let made = self.store.make_children(wanted).await?;
        let known: HashSet<&str> = made.iter().map(|child| child.id.as_str()).collect();
        let refused = wanted.iter().map(|(_, id)| id).filter(|id| !known.contains(id.as_str()));
        let refused: Vec<String> = refused.cloned().collect();
        self.scheduler.add_endpoints(subscriptions.add_children(made));
        subscriptions.refuse(refused.iter().cloned());
        Ok(refused)
    }

    /// Takes over those of these endpoints that are of templates, and that another dispatcher made.
    ///
    /// # Errors
    /// [`StoreError`]: the subscriptions stay as they are.
    pub async fn find_children(
        &self,
        subscriptions: &mut Subscriptions,
        nos: impl Iterator<Item = EndpointNo>,
    ) -> Result<(), StoreError> {
        if !subscriptions.has_templates() {
            return Ok(());
        }
        let unknown = self.scheduler.unknown(nos);
        if !unknown.is_empty() {
            let found = self.store.load_children(&unknown).await?;
            self.scheduler.add_endpoints(subscriptions.add_children(found));
        }
        Ok(())
    }

    /// Goes on with these endpoints. Releases what is queued for endpoints that are not attempted any more.
    pub async fn use_endpoints(&self, subscriptions: &mut Subscriptions, mut endpoints: EndpointSet) {
        if let Some(only) = &self.only_endpoint {
            endpoints.endpoints.retain(|endpoint| endpoint.id == *only);
        }
        *subscriptions = Subscriptions::new(endpoints);
        let unreadable = subscriptions.endpoints().iter().filter_map(|e| Some((&e.id, e.unreadable()?)));
        if let Some((id, fault)) = unreadable.clone().next() {
            let count = unreadable.count();
            error!(
                "the secrets of {count} endpoints cannot be read here, their deliveries wait: \"{id}\" has one that is {fault}"
            );
        }
        let unwanted = self.scheduler.set_endpoints(subscriptions.endpoints().iter().map(Arc::clone));
        self.sender.release(unwanted).await;
    }
}
