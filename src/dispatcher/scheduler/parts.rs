//! The parts of the scheduler together, and the motions in which several of them take part.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Duration, Instant};

use super::endpoint_queue::EndpointQueue;
use super::endpoint_queues::EndpointQueues;
use super::fairness::{self, Free};
use super::payload_memory::{PayloadMemory, needed_kib};
use super::ready_queue::Ready;
use super::requests::Requests;
use super::room::{Limits, Origin, Room};
use super::turn::Turn;
use super::{EndpointNow, Finished, Next};
use crate::dispatcher::circuit_breaker::{CircuitBreakers, Observation};
use crate::model::delivery::{Claimed, DispatcherId};
use crate::model::endpoint::{Endpoint, EndpointNo};
use crate::rules::circuit_breaker::Health;
use crate::rules::retry::DeliveryVerdict;
use crate::store::{Circuit, CircuitRow};

/// Everything behind the scheduler's lock.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) room: Room,
    pub(super) queues: EndpointQueues,
    pub(super) circuits: CircuitBreakers,
    pub(super) turn: Turn,
    pub(super) requests: Requests,
    pub(super) memory: PayloadMemory,
    pub(super) is_closed: bool,
}

impl Parts {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            room: Room::new(limits.held_max),
            queues: EndpointQueues::new(),
            circuits: CircuitBreakers::new(),
            turn: Turn::default(),
            requests: Requests::new(limits.in_flight_max),
            memory: PayloadMemory::new(),
            is_closed: false,
        }
    }

    pub(super) fn set_endpoints(&mut self, endpoints: impl Iterator<Item = Arc<Endpoint>>) -> Vec<Claimed> {
        let unwanted = self.queues.replace(endpoints);
        let queues = &self.queues;
        self.circuits.retain(|no| queues.get(no).is_some());
        unwanted
    }

    /// The room, requests and memory that are free for an endpoint.
    fn free_for(&self, no: EndpointNo) -> Free {
        let is_silent = self.queues.get(no).is_some_and(EndpointQueue::is_silent);
        let left_unanswered = || fairness::left_unanswered(&self.queues, &self.requests, Instant::now());
        Free {
            held: self.room.left(),
            requests: if is_silent { left_unanswered() } else { usize::MAX },
            memory_kib: self.memory.free_kib(),
        }
    }

    pub(super) fn room_under_backpressure(&mut self, no: EndpointNo) -> Option<usize> {
        let free = self.free_for(no);
        self.queues.get_mut(no)?.room_under_backpressure(free, self.circuits.get(no))
    }

    pub(super) fn reserve(&mut self, no: EndpointNo, wanted: usize, origin: Origin) -> usize {
        if self.is_closed {
            return 0;
        }
        let wanted = wanted.min(self.room.left_for(origin));
        let free = self.free_for(no);
        let Some(queue) = self.queues.get_mut(no) else { return 0 };
        let reserved = queue.reserve(wanted, free, self.circuits.get(no));
        self.room.take(reserved);
        reserved
    }

    pub(super) fn enqueue(&mut self, ready: Vec<Ready>) {
        for item in ready {
            let no = item.claimed.endpoint_no;
            if let Some(queue) = self.queues.get_mut(no) {
                queue.push(item);
            }
            self.offer(no);
        }
    }

    /// Counts the runners to start: one for each endpoint that can start an attempt. Where there is more to start, each
    /// starts another.
    pub(super) fn add_runners(&mut self) -> usize {
        self.requests.add_runners(self.turn.startable())
    }

    /// Starts the next attempt. `None` if there is none to start: the runner is not counted any more.
    pub(super) fn start_next(&mut self) -> Option<Next> {
        while let Some(no) = self.turn.pop() {
            if let Some((ready, endpoint, start_at)) = self.start(no) {
                self.offer(no);
                let is_more_startable = self.turn.startable() > 0;
                let has_more = self.requests.add_runners(usize::from(is_more_startable)) > 0;
                return Some(Next { ready, endpoint, start_at, has_more });
            }
        }
        self.requests.remove_runner();
        None
    }

    fn start(&mut self, no: EndpointNo) -> Option<(Ready, Arc<Endpoint>, Instant)> {
        let queue = self.queues.get(no)?;
        if !queue.can_start(self.circuits.get(no)) {
            return None;
        }
        if !fairness::may_start(queue, &self.queues, &self.requests) {
            self.turn.block(no, queue.in_flight());
            return None;
        }
        let queue = self.queues.get_mut(no)?;
        let (mut ready, start_at) = queue.start()?;
        let endpoint = queue.endpoint();
        let paced_at = self.circuits.begin(no, ready.claimed.delivery_id);
        self.requests.begin(&mut ready);
        Some((ready, endpoint, paced_at.map_or(start_at, |at| at.max(start_at))))
    }

    pub(super) fn finish(&mut self, claimed: &Claimed, goes_on: bool, took: Duration) -> Finished {
        let no = claimed.endpoint_no;
        let (payload_kib, mut behind) = self.requests.end(claimed.delivery_id);
        let mut finished = Finished::default();
        let next = behind.pop_front().map(|next| Ready { behind, ..next });
        if let Some(queue) = self.queues.get_mut(no) {
            queue.finish(payload_kib, took);
            match next {
                Some(next) if goes_on && !self.is_closed && queue.is_enabled() => {
                    queue.push_next(next);
                    finished.is_followed = true;
                }
                Some(next) => {
                    queue.note_run(false);
                    finished.released = queue.take_behind(next);
                }
                None => queue.note_run(goes_on),
            }
            if queue.in_flight() == 0 {
                self.requests.set_idle(no);
            }
        }
        self.offer_again(no);
        // A request is free: the blocked endpoint with the fewest may have it.
        if let Some(fewest) = self.turn.first_blocked() {
            self.offer_again(fewest);
        }
        finished
    }

    /// How many deliveries the head of a lane may take along.
    pub(super) fn run_max(&self, no: EndpointNo) -> usize {
        self.queues.get(no).map_or(0, |queue| queue.run_max(self.circuits.get(no)))
    }

    /// Reserves room for what a claim took along behind heads of lanes.
    pub(super) fn reserve_behind(&mut self, no: EndpointNo, count: usize) {
        self.room.take(count);
        if let Some(queue) = self.queues.get_mut(no) {
            queue.reserve_behind(count);
        }
    }

    /// Puts an endpoint into the turn if it can start an attempt.
    pub(super) fn offer(&mut self, no: EndpointNo) {
        if self.is_closed || self.turn.has(no) {
            return;
        }
        if self.queues.get(no).is_some_and(|queue| queue.can_start(self.circuits.get(no))) {
            self.turn.offer(no);
        }
    }

    /// The same for an endpoint that may be blocked.
    fn offer_again(&mut self, no: EndpointNo) {
        self.turn.unblock(no);
        self.offer(no);
    }

    pub(super) fn take_stalled(&mut self) -> Vec<Claimed> {
        let circuits = &self.circuits;
        self.queues.iter_mut().flat_map(|(no, queue)| queue.take_stalled(circuits.get(no))).collect()
    }

    pub(super) fn take_queued(&mut self) -> Vec<Claimed> {
        self.queues.iter_mut().flat_map(|(_, queue)| queue.take_queued()).collect()
    }

    pub(super) fn take_memory(
        &mut self,
        payload_kib: u32,
        endpoints: &[EndpointNo],
    ) -> (Vec<EndpointNo>, Option<OwnedSemaphorePermit>) {
        let free_kib = self.memory.free_kib();
        let mut take = |no: EndpointNo| {
            self.queues.get_mut(no).is_none_or(|queue| queue.memory().take(payload_kib, free_kib))
        };
        let (taken, refused): (Vec<EndpointNo>, Vec<EndpointNo>) =
            endpoints.iter().copied().partition(|no| take(*no));
        if taken.is_empty() {
            return (refused, None);
        }
        let Some(permit) = self.memory.take(payload_kib) else {
            for no in taken {
                if let Some(queue) = self.queues.get_mut(no) {
                    queue.memory().release(payload_kib);
                    queue.memory().wait_for(needed_kib(payload_kib));
                }
            }
            return (endpoints.to_vec(), None);
        };
        (refused, Some(permit))
    }

    /// Counts an outcome. Returns the verdict of `judge`, and whether there is something to record.
    pub(super) fn note_outcome(
        &mut self,
        no: EndpointNo,
        seen: &Observation,
        judge: impl FnOnce(&EndpointNow) -> DeliveryVerdict,
    ) -> (DeliveryVerdict, bool) {
        let Some(queue) = self.queues.get_mut(no) else { return (judge(&EndpointNow::default()), false) };
        queue.note_outcome(seen.health, seen.is_answer);
        let endpoint = Some(queue.endpoint());
        let has_unrecorded = self.circuits.note(no, seen);
        let circuit = self.circuits.get(no);
        let held_for = circuit.held_for().unwrap_or_default();
        let verdict = judge(&EndpointNow { endpoint, failing_for: circuit.failing_for(), held_for });
        if let DeliveryVerdict::RetryIn(delay) | DeliveryVerdict::PacedFor(delay) = verdict
            && seen.health != Health::Picks
        {
            self.circuits.note_retry(no, delay);
        }
        (verdict, has_unrecorded)
    }

    pub(super) fn set_circuits(&mut self, rows: &[CircuitRow], own: DispatcherId, as_of: Instant) {
        let known = rows.iter().filter(|row| self.queues.get(row.endpoint_no).is_some());
        let on_record: HashMap<EndpointNo, &Circuit> =
            known.map(|row| (row.endpoint_no, &row.circuit)).collect();
        for no in self.circuits.adopt(&on_record, own, as_of) {
            self.offer(no);
        }
    }

    pub(super) fn is_probe_due(&self, no: EndpointNo) -> bool {
        let is_due = || self.queues.get(no).is_some_and(|queue| queue.is_probe_due(self.circuits.get(no)));
        !self.is_closed && is_due()
    }
}
