//! The attempts under way: loads what claimed deliveries send, runs them on as many runners as may be in flight, and
//! reports each outcome to `settle`. A runner holds no connection of the database.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::deliver::Deliverer;
use crate::delivery::Claimed;
use crate::desk::{Desk, Next, Ready};
use crate::event::{Event, EventId};
use crate::lease::Lease;
use crate::outcome::{Answer, Outcome};
use crate::settle::Report;
use crate::store::{Store, one_line};

/// Runs attempts.
pub struct Attempts {
    store: Store,
    desk: Arc<Desk>,
    lease: Arc<Lease>,
    deliverer: Deliverer,
    reports: mpsc::Sender<Report>,
    runners: Mutex<JoinSet<()>>,
}

impl Attempts {
    /// Nothing is under way yet. `reports` leads to `settle`.
    pub fn new(
        store: Store,
        desk: Arc<Desk>,
        lease: Arc<Lease>,
        deliverer: Deliverer,
        reports: mpsc::Sender<Report>,
    ) -> Arc<Self> {
        Arc::new(Self { store, desk, lease, deliverer, reports, runners: Mutex::default() })
    }

    /// Takes over freshly claimed deliveries, each with its payload's stored bytes, and starts what has a slot. What
    /// cannot be loaded is given back.
    pub async fn admit(self: &Arc<Self>, claimed: Vec<(Claimed, u64)>) {
        self.desk.note_claims(claimed.iter().map(|(claimed, _)| claimed.claim_id));
        let ids: HashSet<EventId> = claimed.iter().map(|(claimed, _)| claimed.event_id).collect();
        if ids.is_empty() {
            return;
        }
        let ids: Vec<EventId> = ids.into_iter().collect();
        let events: HashMap<EventId, Arc<Event>> = match self.store.load_events(&ids).await {
            Ok(events) => events.into_iter().map(|event| (event.id, Arc::new(event))).collect(),
            Err(fault) => {
                warn!("claimed events cannot be read, giving them back: {}", one_line(&fault));
                for (claimed, _) in &claimed {
                    self.desk.unreserve_lane(claimed.endpoint_no);
                }
                return self.give_back(claimed.into_iter().map(|(claimed, _)| claimed).collect()).await;
            }
        };
        let ready = |(claimed, payload_bytes): (Claimed, u64)| Ready {
            claimed,
            event: events.get(&claimed.event_id).map(Arc::clone),
            payload_bytes,
        };
        let runners = self.desk.admit(claimed.into_iter().map(ready).collect());
        let mut tasks = self.runners.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {} // Ended runners; their panics were caught.
        for _ in 0..runners {
            tasks.spawn(Arc::clone(self).run());
        }
    }

    /// Gives claimed deliveries back that were never begun.
    pub async fn give_back(&self, claimed: Vec<Claimed>) {
        for claimed in claimed {
            self.report(Report::GivenBack { claimed, begun: false }).await;
        }
    }

    /// Waits until every runner ended, at most so long, then cuts the rest off and gives their deliveries back.
    pub async fn finish(&self, grace: Duration) {
        let mut runners = std::mem::take(&mut *self.runners.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while runners.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all).await.is_err() {
            runners.shutdown().await;
            let cut_off = self.desk.begun();
            warn!("{} attempts did not end within the grace period and are given back", cut_off.len());
            for claimed in cut_off {
                self.report(Report::GivenBack { claimed, begun: true }).await;
            }
        }
    }

    async fn run(self: Arc<Self>) {
        while let Some(next) = self.desk.next() {
            let (claimed, payload_bytes) = (next.ready.claimed, next.ready.payload_bytes);
            let report = self.attempt(next).await;
            self.desk.finish(&claimed, payload_bytes);
            self.report(report).await;
        }
    }

    async fn attempt(&self, next: Next) -> Report {
        let Next { ready: Ready { claimed, event, .. }, endpoint, start_at } = next;
        tokio::time::sleep_until(start_at).await;
        if !self.lease.covers(self.deliverer.timeout(&endpoint)) {
            return Report::GivenBack { claimed, begun: false };
        }
        let Some(event) = event else {
            return Report::EventGone { claimed };
        };
        let begun = Instant::now();
        let attempt = self.deliverer.attempt(&endpoint, &event, claimed.attempt);
        // A panic costs this attempt, not the dispatcher.
        let outcome = AssertUnwindSafe(attempt).catch_unwind().await.unwrap_or_else(|_panic| Outcome {
            answer: Answer::NoAnswer { error: "internal error: the attempt panicked".to_owned() },
            duration: begun.elapsed(),
            response_excerpt: None,
        });
        debug!(
            delivery.id = claimed.delivery_id.get(),
            endpoint.id = endpoint.id,
            attempt = claimed.attempt,
            status_code = outcome.status_code(),
            "attempt ended: {}",
            outcome.error().as_deref().unwrap_or("success"),
        );
        Report::Attempted { claimed, outcome, begun }
    }

    async fn report(&self, report: Report) {
        // Settle outlives every sender.
        drop(self.reports.send(report).await);
    }
}
