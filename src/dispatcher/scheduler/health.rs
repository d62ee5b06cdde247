//! What attempts say of the health of their endpoints, on its way to the record and back.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::endpoint_queue::EndpointQueue;
use super::{Inner, Scheduler, Unrecorded};
use crate::model::delivery::{Claimed, DispatcherId};
use crate::model::endpoint::{Endpoint, EndpointNo};
use crate::model::outcome::Outcome;
use crate::rules::circuit_breaker::Health;
use crate::store::{Circuit, CircuitRow};

/// How long nobody asks again for the right to probe after it was refused.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

impl Scheduler {
    /// Counts the outcome of an attempt that began then, and returns the endpoint as it stands now.
    pub fn note_outcome(
        &self,
        claimed: &Claimed,
        outcome: &Outcome,
        begun: Instant,
    ) -> Option<Arc<Endpoint>> {
        let mut inner = self.lock();
        let queue = inner.queues.get_mut(&claimed.endpoint_no)?;
        let health = Health::of(&outcome.result);
        queue.note_outcome(health, outcome.is_answer());
        queue.circuit.note(claimed.delivery_id, begun, health, outcome.retry_after());
        let endpoint = queue.endpoint();
        if queue.circuit.has_news() {
            inner.with_news.insert(claimed.endpoint_no);
            self.news.notify_one();
        }
        Some(endpoint)
    }

    /// A claimed delivery was not attempted: if it was to be the probe, another may be.
    pub fn note_unattempted(&self, claimed: &Claimed) {
        if let Some(queue) = self.lock().queues.get_mut(&claimed.endpoint_no) {
            queue.circuit.forget(claimed.delivery_id);
        }
    }

    /// An endpoint wants no events any more and is to be disabled: nothing more is claimed or begun for it.
    pub fn set_gone(&self, no: EndpointNo) {
        let mut inner = self.lock();
        if let Some(queue) = inner.queues.get_mut(&no) {
            queue.set_gone(true);
            inner.gone.insert(no);
            self.news.notify_one();
        }
    }

    /// Endpoints that want no events any more and are not disabled in the database yet.
    pub fn gone(&self) -> Vec<EndpointNo> {
        self.lock().gone.iter().copied().collect()
    }

    /// How often the endpoints were taken over: to be asked before one is disabled in the database.
    pub fn endpoints_read(&self) -> u64 {
        self.lock().endpoints_read
    }

    /// It is disabled in the database; what is queued for it goes back when the endpoints are read again. If they were read
    /// since `as_of`, they are believed: somebody may have resumed it meanwhile.
    pub fn set_disabled(&self, no: EndpointNo, as_of: u64) {
        let mut inner = self.lock();
        inner.gone.remove(&no);
        let is_newest = inner.endpoints_read == as_of;
        if let Some(queue) = inner.queues.get_mut(&no) {
            if is_newest {
                queue.disable();
            }
            queue.set_gone(false);
        }
    }

    /// Whether deliveries to this endpoint are attempted.
    pub fn is_enabled(&self, no: EndpointNo) -> bool {
        self.lock().queues.get(&no).is_some_and(EndpointQueue::is_enabled)
    }

    /// Whether they are, and this dispatcher has a slot for it.
    pub fn is_served(&self, no: EndpointNo) -> bool {
        self.lock().queues.get(&no).is_some_and(EndpointQueue::is_served)
    }

    /// The endpoint as it stands now.
    pub fn endpoint(&self, no: EndpointNo) -> Option<Arc<Endpoint>> {
        Some(self.lock().queues.get(&no)?.endpoint())
    }

    /// What is to be put on record now.
    pub fn take_news(&self) -> Vec<(EndpointNo, Unrecorded)> {
        let mut inner = self.lock();
        let Inner { with_news, queues, .. } = &mut *inner;
        let mut taken = Vec::new();
        with_news.retain(|no| {
            let Some(queue) = queues.get_mut(no) else { return false };
            let Some(news) = queue.circuit.take_news() else { return queue.circuit.has_news() };
            taken.push((*no, news));
            false
        });
        taken
    }

    /// They could not be put on record.
    pub fn restore_news(&self, no: EndpointNo, news: Unrecorded) {
        let mut inner = self.lock();
        if let Some(queue) = inner.queues.get_mut(&no) {
            queue.circuit.restore(news);
            inner.with_news.insert(no);
        }
    }

    /// They are on record, and this is what stands there now.
    pub fn news_written(&self, no: EndpointNo, on_record: Option<&Circuit>, own: DispatcherId) {
        let mut inner = self.lock();
        let Some(queue) = inner.queues.get_mut(&no) else { return };
        queue.circuit.written(on_record, own);
        let (is_failing, has_news) = (queue.circuit.is_failing(), queue.circuit.has_news());
        if is_failing {
            inner.failing.insert(no);
        }
        if has_news {
            inner.with_news.insert(no);
        }
        inner.offer(no);
    }

    /// Takes over all circuits as they were on record at some time.
    pub fn set_circuits(&self, rows: &[CircuitRow], own: DispatcherId, as_of: Instant) {
        let by_no: HashMap<EndpointNo, &Circuit> =
            rows.iter().map(|row| (row.endpoint_no, &row.circuit)).collect();
        let mut inner = self.lock();
        let mut nos = std::mem::take(&mut inner.failing);
        nos.extend(by_no.keys());
        for no in nos {
            let Some(queue) = inner.queues.get_mut(&no) else { continue };
            queue.circuit.found(by_no.get(&no).copied(), own, as_of);
            if queue.circuit.is_failing() {
                inner.failing.insert(no);
            }
            inner.offer(no);
        }
    }

    /// Whether it is time to ask for the right to probe an endpoint, and the probe could be begun at once.
    pub fn is_probe_due(&self, no: EndpointNo) -> bool {
        let inner = self.lock();
        !inner.closed && inner.queues.get(&no).is_some_and(EndpointQueue::is_probe_due)
    }

    /// We may probe an endpoint, after so many failed probes, until then.
    pub fn set_probing(&self, no: EndpointNo, failed_probes: u32, until: Instant) {
        let mut inner = self.lock();
        if let Some(queue) = inner.queues.get_mut(&no) {
            queue.circuit.probe(failed_probes, until);
        }
        inner.offer(no);
    }

    /// Another dispatcher probes it, or it needs no probe any more: the next sweep tells.
    pub fn set_probe_refused(&self, no: EndpointNo) {
        if let Some(queue) = self.lock().queues.get_mut(&no) {
            queue.circuit.wait(REFUSED_PAUSE);
        }
    }

    /// Waits until something may have to be put on record.
    ///
    /// # Cancel safety
    /// A wake-up is kept for the next call.
    pub async fn news_came(&self) {
        self.news.notified().await;
    }
}
