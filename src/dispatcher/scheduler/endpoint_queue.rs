//! One endpoint in this dispatcher: its queue, its slots, its rate and its memory, and how much it may claim.

use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::Partition;
use super::fairness::{Free, fair_share};
use super::payload_memory::EndpointMemory;
use super::rate::Rate;
use super::ready_queue::{Ready, ReadyQueue};
use super::slots::Slots;
use crate::dispatcher::circuit_breaker::CircuitBreaker;
use crate::model::delivery::Claimed;
use crate::model::endpoint::{Endpoint, EndpointState};
use crate::rules::circuit_breaker::Health;

/// What the head of a lane takes along at first, and at most. What a failure leaves of a run is given back, which costs as much as it
/// did to claim it.
const RUN_FIRST: usize = 8;
const RUN_MAX: usize = 1_000;
/// How long it may take, on average, to attempt all of them.
const RUN_TIME: Duration = Duration::from_millis(500);
/// How long an attempt is believed to take before there was one.
const ATTEMPT_TIME_ASSUMED: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct EndpointQueue {
    endpoint: Arc<Endpoint>,
    partition: Partition,
    queue: ReadyQueue,
    slots: Slots,
    /// `None` if the endpoint has no rate limit.
    rate: Option<Rate>,
    memory: EndpointMemory,
    /// It answered 410 and is being disabled: until that is written, a newer version of it does not show it.
    is_gone: bool,
    consecutive_failures: u32,
    /// Deliveries that wait in lanes behind those that are queued or under way.
    behind: usize,
    /// How long an attempt takes, on average.
    attempt_time: Duration,
    /// How many deliveries of a lane are claimed together: more after each run that came to its end, fewer after one that did not.
    run: usize,
}

impl EndpointQueue {
    pub(super) fn new(endpoint: Arc<Endpoint>, partition: Partition) -> Self {
        let slots = Slots::new(partition.part(endpoint.max_in_flight, endpoint.no));
        let mut queue = Self {
            endpoint,
            partition,
            queue: ReadyQueue::default(),
            slots,
            rate: None,
            memory: EndpointMemory::new(),
            is_gone: false,
            consecutive_failures: 0,
            behind: 0,
            attempt_time: ATTEMPT_TIME_ASSUMED,
            run: RUN_FIRST,
        };
        queue.apply_limits();
        queue
    }

    pub(super) fn set_endpoint(&mut self, endpoint: Arc<Endpoint>) {
        self.endpoint = endpoint;
        self.apply_limits();
    }

    pub(super) fn set_partition(&mut self, partition: Partition) {
        self.partition = partition;
        self.apply_limits();
    }

    /// Each dispatcher takes its part of the requests, and each that has a request an equal part of the rate.
    fn apply_limits(&mut self) {
        let max_in_flight = self.endpoint.max_in_flight;
        self.slots.set_count(self.partition.part(max_in_flight, self.endpoint.no));
        let dispatchers = self.partition.count.min(max_in_flight).max(1);
        let before = self.rate.take();
        self.rate = self.endpoint.rate_limit.map(|limit| Rate::new(limit, dispatchers, before.as_ref()));
    }

    pub(super) fn endpoint(&self) -> Arc<Endpoint> {
        Arc::clone(&self.endpoint)
    }

    /// Believes the endpoint to be disabled until the endpoints are read again.
    pub(super) fn disable(&mut self) {
        let mut endpoint = Endpoint::clone(&self.endpoint);
        endpoint.state = EndpointState::Disabled;
        self.endpoint = Arc::new(endpoint);
    }

    pub(super) fn set_gone(&mut self, is_gone: bool) {
        self.is_gone = is_gone;
    }

    /// Whether deliveries to it are attempted.
    pub(super) fn is_enabled(&self) -> bool {
        self.endpoint.is_attempted() && !self.is_gone
    }

    /// Whether they are, and this dispatcher has a slot for it.
    pub(super) fn is_served(&self) -> bool {
        self.is_enabled() && self.slots.count() > 0
    }

    /// Whether nothing of it is queued, under way or reserved.
    pub(super) fn is_unused(&self) -> bool {
        self.queue.len() == 0 && self.slots.in_flight() == 0 && self.behind == 0
    }

    /// An attempt ended, with or without an answer.
    pub(super) fn note_outcome(&mut self, health: Health, is_answer: bool) {
        let is_success = health == Health::Well;
        self.consecutive_failures = if is_success { 0 } else { self.consecutive_failures.saturating_add(1) };
        if is_answer {
            self.slots.note_answer();
        }
    }

    pub(super) fn consecutive_failures(&self) -> u32 {
        self.consecutive_failures
    }

    pub(super) fn is_answering(&self, now: Instant) -> bool {
        self.slots.is_answering(now)
    }

    pub(super) fn is_silent(&self) -> bool {
        self.slots.is_silent()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.slots.in_flight()
    }

    /// Reserves places for up to `wanted` deliveries; returns how many.
    pub(super) fn reserve(&mut self, wanted: usize, free: Free, circuit: &CircuitBreaker) -> usize {
        let reserved =
            wanted.min(self.room(free, circuit)).min(fair_share(self.held() + self.behind, free.held));
        self.queue.reserve(reserved);
        reserved
    }

    pub(super) fn unreserve(&mut self, count: usize) {
        self.queue.unreserve(count);
    }

    /// The room that the dispatcher leaves it, if that is less than it would take.
    pub(super) fn room_under_backpressure(&mut self, free: Free, circuit: &CircuitBreaker) -> Option<usize> {
        let left = fair_share(self.held() + self.behind, free.held);
        (self.room(free, circuit) > left).then_some(left)
    }

    fn held(&self) -> usize {
        self.queue.len() + self.slots.in_flight()
    }

    /// How many more its own limits let it claim. An endpoint that holds nothing may always claim one, unless its rate or its
    /// circuit forbids it.
    fn room(&mut self, free: Free, circuit: &CircuitBreaker) -> usize {
        if !self.is_served() || !self.memory.may_claim(free.memory_kib) {
            return 0;
        }
        let prefetch = self.slots.prefetch();
        let prefetch = if circuit.may_prefetch(self.slots.count()) { prefetch } else { 0 };
        let waiting = self.queue.len();
        let at_least = usize::from(self.held() == 0);
        let by_slots = (self.open_slots(circuit) + prefetch).saturating_sub(self.held());
        let by_requests = free.requests.saturating_sub(waiting);
        let by_rate = self.rate.as_ref().map_or(usize::MAX, |rate| rate.room().saturating_sub(waiting));
        let by_pace = circuit.paced_room().saturating_sub(waiting);
        let by_memory = self.memory.room().saturating_sub(self.queue.reserved());
        by_slots.min(by_requests.max(at_least)).min(by_rate.min(by_pace)).min(by_memory.max(at_least))
    }

    fn open_slots(&self, circuit: &CircuitBreaker) -> usize {
        circuit.open_slots(self.slots.count(), self.slots.in_flight())
    }

    /// How long its rate limit and its circuit forbid to claim. `None` if they do not.
    pub(super) fn claim_delay(&self, circuit: &CircuitBreaker) -> Option<Duration> {
        self.rate.as_ref().and_then(Rate::delay).max(circuit.claim_delay())
    }

    pub(super) fn memory(&mut self) -> &mut EndpointMemory {
        &mut self.memory
    }

    /// Queues a delivery in a reserved place; so are those behind it.
    pub(super) fn push(&mut self, ready: Ready) {
        self.queue.unreserve(ready.behind.len());
        self.behind += ready.behind.len();
        self.queue.push(ready);
    }

    /// Queues a delivery that another one of its lane was attempted before.
    pub(super) fn push_next(&mut self, ready: Ready) {
        self.behind = self.behind.saturating_sub(1);
        self.queue.push_next(ready);
    }

    /// Reserves places for what a claim took along behind heads of lanes.
    pub(super) fn reserve_behind(&mut self, count: usize) {
        self.queue.reserve(count);
    }

    /// How many deliveries the head of a lane may take along: as many as one after the other take the time that outlasts a claim and
    /// a settle.
    pub(super) fn run_max(&self, circuit: &CircuitBreaker) -> usize {
        if self.endpoint.order.is_none() || !circuit.may_prefetch(self.slots.count()) || self.is_silent() {
            return 0;
        }
        let attempts = RUN_TIME.as_micros() / self.attempt_time.as_micros().max(1);
        usize::try_from(attempts).unwrap_or(usize::MAX).min(self.run).min(self.memory.room())
    }

    /// Nothing of a run is left: all of it was attempted, or a failure ended it.
    pub(super) fn note_run(&mut self, is_whole: bool) {
        self.run = if is_whole { (self.run * 2).min(RUN_MAX) } else { (self.run / 2).max(1) };
    }

    pub(super) fn can_start(&self, circuit: &CircuitBreaker) -> bool {
        self.is_enabled() && self.queue.has_ready() && self.slots.in_flight() < self.open_slots(circuit)
    }

    /// Takes the next delivery and a slot for it; returns it and when its attempt may start.
    pub(super) fn start(&mut self) -> Option<(Ready, Instant)> {
        let ready = self.queue.pop()?;
        self.slots.take();
        let start_at = self.rate.as_mut().map_or_else(Instant::now, Rate::take);
        Some((ready, start_at))
    }

    /// An attempt ended, after so long: its slot and its memory are free.
    pub(super) fn finish(&mut self, payload_kib: u32, took: Duration) {
        self.memory.release(payload_kib);
        self.slots.free();
        self.attempt_time = (self.attempt_time * 7 + took) / 8;
    }

    /// Whether it is time to ask for the right to probe. A dispatcher without a slot for the probe does not ask.
    pub(super) fn is_probe_due(&self, circuit: &CircuitBreaker) -> bool {
        let is_in_time = self.rate.as_ref().is_none_or(|rate| rate.room() > 0);
        self.is_served()
            && self.slots.in_flight() < self.slots.count()
            && is_in_time
            && circuit.is_probe_due()
    }

    /// Takes the queue if nothing of it may be begun, or if none of its requests ended for a window: others need the room,
    /// and may have the slots.
    pub(super) fn take_stalled(&mut self, circuit: &CircuitBreaker) -> Vec<Claimed> {
        if !self.is_served() || circuit.is_open() {
            return self.take_queued();
        }
        if !self.queue.has_ready() || !self.slots.are_stuck() {
            return Vec::new();
        }
        self.slots.mark_silent();
        self.take_queued()
    }

    /// Takes the queue, and frees its memory.
    pub(super) fn take_queued(&mut self) -> Vec<Claimed> {
        let queued = self.queue.take_all();
        self.behind = self.behind.saturating_sub(queued.iter().map(|ready| ready.behind.len()).sum());
        queued.into_iter().flat_map(|ready| self.release(ready)).collect()
    }

    /// Takes a delivery that follows another one in its lane, and those behind it, out of the lane.
    pub(super) fn take_behind(&mut self, next: Ready) -> Vec<Claimed> {
        self.behind = self.behind.saturating_sub(1 + next.behind.len());
        self.release(next)
    }

    /// Frees the memory of a delivery and of those behind it; returns them.
    fn release(&mut self, ready: Ready) -> Vec<Claimed> {
        let released = ready.into_released().map(|(claimed, payload_kib)| {
            self.memory.release(payload_kib);
            claimed
        });
        released.collect()
    }
}
