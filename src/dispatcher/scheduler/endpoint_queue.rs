//! One endpoint's queue, slots and pace in this dispatcher.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::circuit::Circuit;
use super::fairness::{Free, share};
use super::payload_memory::SHARE_KIB_MAX;
use super::{Partition, Ready};
use crate::model::delivery::Claimed;
use crate::model::endpoint::{Endpoint, EndpointState};
use crate::rules::circuit_breaker::Health;

/// How much of what an endpoint takes may wait in memory: enough to outlast a claim and a settle, little enough
/// that an endpoint which stops answering holds little.
const PREFETCH: Duration = Duration::from_millis(500);
/// Over how long the drain is measured.
const DRAIN_WINDOW: Duration = Duration::from_millis(250);
/// What an endpoint is believed to take per second and slot until it has shown it: 50 ms an attempt.
const DRAIN_ASSUMED: u32 = 20;
/// An endpoint that gave no answer for this long has to leave room for others.
const ANSWER_WINDOW: Duration = Duration::from_secs(1);
/// How far ahead a rate-limited delivery may be claimed.
const PACE_HORIZON: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct EndpointQueue {
    endpoint: Arc<Endpoint>,
    queue: VecDeque<Ready>,
    in_flight: usize,
    reserved: usize,
    /// Payloads that are queued or under way, in KiB.
    memory_kib: u32,
    /// The size of the last payload: what the next ones are believed to have.
    payload_kib: u32,
    /// What a payload that found no memory needs, in KiB: until there is so much, nothing more is claimed.
    memory_wanted: u32,
    slots: usize,
    drain: Drain,
    /// When an attempt last ended with an answer.
    answered: Option<Instant>,
    /// Since when no request has ended, while some are under way.
    quiet_since: Instant,
    /// None of its requests ended for a while; until the next answer.
    is_silent: bool,
    pub(super) circuit: Circuit,
    pace: Option<Pace>,
    share: Partition,
    is_gone: bool,
    consecutive_failures: u32,
    /// Whether it stands in the turn of startable queues.
    pub(super) is_offered: bool,
    /// It stands among the blocked, with so many requests under way.
    pub(super) blocked_at: Option<usize>,
}

/// How fast attempts end while they are the limit.
#[derive(Debug)]
struct Drain {
    since: Instant,
    ended: u32,
    per_second: f64,
    /// Whether all slots were taken at some time of this window.
    is_saturated: bool,
}

/// A rate limit as the earliest time of the next start (the generic cell rate algorithm).
#[derive(Debug)]
struct Pace {
    interval: Duration,
    next: Instant,
}

impl EndpointQueue {
    pub(super) fn new(endpoint: Arc<Endpoint>, share: Partition) -> Self {
        let slots = share.part(endpoint.max_in_flight, endpoint.no);
        let mut queue = Self {
            endpoint,
            queue: VecDeque::new(),
            in_flight: 0,
            reserved: 0,
            memory_kib: 0,
            payload_kib: 1,
            memory_wanted: 0,
            slots: 1,
            drain: Drain::new(slots),
            answered: None,
            quiet_since: Instant::now(),
            is_silent: false,
            circuit: Circuit::new(),
            pace: None,
            share,
            is_gone: false,
            consecutive_failures: 0,
            is_offered: false,
            blocked_at: None,
        };
        queue.apply_limits();
        queue
    }

    pub(super) fn set_endpoint(&mut self, endpoint: Arc<Endpoint>) {
        self.endpoint = endpoint;
        self.apply_limits();
    }

    pub(super) fn set_share(&mut self, share: Partition) {
        self.share = share;
        self.apply_limits();
    }

    /// Each dispatcher takes its part of the requests, and each that has one an equal part of the rate.
    fn apply_limits(&mut self) {
        let max_in_flight = self.endpoint.max_in_flight;
        self.slots = usize::try_from(self.share.part(max_in_flight, self.endpoint.no)).unwrap_or(usize::MAX);
        let sharers = self.share.of.min(max_in_flight).max(1);
        let next = self.pace.as_ref().map_or_else(Instant::now, |pace| pace.next);
        self.pace = self.endpoint.rate_limit.map(|limit| Pace { interval: limit.interval() * sharers, next });
    }

    pub(super) fn endpoint(&self) -> Arc<Endpoint> {
        Arc::clone(&self.endpoint)
    }

    /// An attempt ended, with or without an answer.
    pub(super) fn note_outcome(&mut self, health: Health, is_answer: bool) {
        let is_success = health == Health::Well;
        self.consecutive_failures = if is_success { 0 } else { self.consecutive_failures.saturating_add(1) };
        if is_answer {
            self.answered = Some(Instant::now());
            self.is_silent = false;
        }
    }

    /// Whether it answers, so that its slots will soon be free again. Whoever was not heard of yet does not.
    pub(super) fn is_answering(&self, now: Instant) -> bool {
        self.answered.is_some_and(|at| now.saturating_duration_since(at) < ANSWER_WINDOW)
    }

    /// Whether it had requests under way of which none ended for a while, and has given no answer since.
    pub(super) fn is_silent(&self) -> bool {
        self.is_silent
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn consecutive_failures(&self) -> u32 {
        self.consecutive_failures
    }

    pub(super) fn is_unused(&self) -> bool {
        self.queue.is_empty() && self.in_flight == 0 && self.reserved == 0
    }

    pub(super) fn reserve(&mut self, wanted: usize, free: Free) -> usize {
        let held = self.queue.len() + self.reserved + self.in_flight;
        let reserved = wanted.min(self.room(free)).min(share(held, free.held));
        self.reserved += reserved;
        reserved
    }

    /// What the scheduler leaves it, if that is less than it would take.
    pub(super) fn room_if_held_up(&mut self, free: Free) -> Option<usize> {
        let held = self.queue.len() + self.reserved + self.in_flight;
        let left = share(held, free.held);
        (self.room(free) > left).then_some(left)
    }

    /// Believed to be disabled until the endpoints are read again.
    pub(super) fn disable(&mut self) {
        let mut endpoint = Endpoint::clone(&self.endpoint);
        endpoint.state = EndpointState::Disabled;
        self.endpoint = Arc::new(endpoint);
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.endpoint.is_attempted() && !self.is_gone
    }

    /// Whether this dispatcher has a slot for it.
    pub(super) fn is_served(&self) -> bool {
        self.is_enabled() && self.slots > 0
    }

    /// It answered 410 and is being disabled: until that is written, a newer version of it does not know yet.
    pub(super) fn set_gone(&mut self, is_gone: bool) {
        self.is_gone = is_gone;
    }

    pub(super) fn unreserve(&mut self, count: usize) {
        self.reserved = self.reserved.saturating_sub(count);
    }

    fn room(&mut self, free: Free) -> usize {
        if !self.is_served() || free.memory_kib < self.memory_wanted {
            return 0;
        }
        self.memory_wanted = 0;
        self.drain.is_saturated |= self.in_flight >= self.slots;
        self.drain.roll();
        let waiting = self.queue.len() + self.reserved;
        let prefetch = if self.circuit.may_prefetch(self.slots) { self.drain.prefetch() } else { 0 };
        let by_slots = (self.open_slots() + prefetch).saturating_sub(waiting + self.in_flight);
        let by_requests = free.requests.saturating_sub(waiting);
        let is_empty = waiting + self.in_flight == 0;
        let by_pace = self.pace.as_ref().map_or(usize::MAX, |pace| pace.room().saturating_sub(waiting));
        let by_memory = SHARE_KIB_MAX.saturating_sub(self.memory_kib) / self.payload_kib;
        let by_memory = usize::try_from(by_memory).unwrap_or(usize::MAX).saturating_sub(self.reserved);
        by_slots
            .min(by_requests.max(usize::from(is_empty)))
            .min(by_pace)
            .min(by_memory.max(usize::from(is_empty)))
    }

    fn open_slots(&self) -> usize {
        self.circuit.slots(self.slots, self.in_flight)
    }

    /// In how long its rate limit and its circuit let another delivery be claimed; none: now.
    pub(super) fn claim_delay(&self) -> Option<Duration> {
        let by_pace =
            self.pace.as_ref().map(|pace| pace.next.saturating_duration_since(Instant::now() + PACE_HORIZON));
        by_pace.filter(|delay| !delay.is_zero()).max(self.circuit.delay())
    }

    /// Takes memory for a payload, of which so much is free; refused: the endpoint has its share in memory already.
    pub(super) fn take_memory(&mut self, kib: u32, free_kib: u32) -> bool {
        self.payload_kib = kib.max(1);
        let share_kib = SHARE_KIB_MAX.min(free_kib.saturating_sub(kib));
        let is_taken = self.memory_kib == 0 || self.memory_kib + kib <= share_kib;
        if is_taken {
            self.memory_kib += kib;
        }
        is_taken
    }

    /// There is no memory for such a payload at the moment.
    pub(super) fn want_memory(&mut self, kib: u32) {
        self.memory_wanted = kib;
    }

    pub(super) fn give_memory(&mut self, kib: u32) {
        self.memory_kib = self.memory_kib.saturating_sub(kib);
    }

    pub(super) fn push(&mut self, ready: Ready) {
        self.reserved = self.reserved.saturating_sub(1);
        self.queue.push_back(ready);
    }

    pub(super) fn can_start(&self) -> bool {
        self.is_enabled() && !self.queue.is_empty() && self.in_flight < self.open_slots()
    }

    pub(super) fn start(&mut self) -> Option<(Ready, Instant)> {
        if !self.can_start() {
            return None;
        }
        let ready = self.queue.pop_front()?;
        if self.in_flight == 0 {
            self.quiet_since = Instant::now();
        }
        self.in_flight += 1;
        self.drain.is_saturated |= self.in_flight >= self.slots;
        self.circuit.begin(ready.claimed.delivery_id);
        let start_at = self.pace.as_mut().map_or_else(Instant::now, Pace::take);
        Some((ready, start_at))
    }

    pub(super) fn finish(&mut self, payload_kib: u32) {
        self.give_memory(payload_kib);
        self.drain.is_saturated |= self.in_flight >= self.slots;
        self.in_flight = self.in_flight.saturating_sub(1);
        self.drain.ended += 1;
        self.quiet_since = Instant::now();
    }

    /// Whether it is time to ask for the right to probe: nobody takes it who has no slot for the probe.
    pub(super) fn is_probe_due(&self) -> bool {
        let is_in_time = self.pace.as_ref().is_none_or(|pace| pace.room() > 0);
        self.is_served() && self.in_flight < self.slots && is_in_time && self.circuit.is_probe_due()
    }

    /// What is queued while nothing at all ended for a window, or while nothing of it may be begun: others need the room,
    /// and may have the slots.
    pub(super) fn shed(&mut self) -> Vec<Claimed> {
        if !self.is_served() || self.circuit.is_open() {
            return self.take_queue();
        }
        let is_stuck = self.in_flight > 0
            && !self.queue.is_empty()
            // Not the drain's window, which begins anew with each look for room.
            && self.quiet_since.elapsed() >= DRAIN_WINDOW;
        if !is_stuck {
            return Vec::new();
        }
        self.is_silent = true;
        self.drain.is_saturated = true;
        self.drain.roll();
        self.take_queue()
    }

    pub(super) fn take_queue(&mut self) -> Vec<Claimed> {
        let queued: Vec<Ready> = self.queue.drain(..).collect();
        self.give_memory(queued.iter().map(|ready| ready.payload_kib).sum());
        queued.into_iter().map(|ready| ready.claimed).collect()
    }
}

impl Drain {
    fn new(max_in_flight: u32) -> Self {
        let per_second = f64::from(max_in_flight.saturating_mul(DRAIN_ASSUMED));
        Self { since: Instant::now(), ended: 0, per_second, is_saturated: false }
    }

    /// Closes a window. Where slots were free the demand was the limit, and says nothing of what the endpoint can take.
    fn roll(&mut self) {
        let elapsed = self.since.elapsed();
        if elapsed < DRAIN_WINDOW {
            return;
        }
        let measured = f64::from(self.ended) / elapsed.as_secs_f64();
        self.per_second = if self.is_saturated { measured } else { self.per_second.max(measured) };
        self.since = Instant::now();
        self.ended = 0;
        self.is_saturated = false;
    }

    fn prefetch(&self) -> usize {
        #[expect(
            clippy::as_conversions,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates"
        )]
        let prefetch = (self.per_second * PREFETCH.as_secs_f64()) as usize;
        prefetch
    }
}

impl Pace {
    /// Takes the next start.
    fn take(&mut self) -> Instant {
        let start_at = self.next.max(Instant::now());
        self.next = start_at + self.interval;
        start_at
    }

    /// How many starts lie within the horizon.
    fn room(&self) -> usize {
        let horizon = Instant::now() + PACE_HORIZON;
        let first = self.next.max(Instant::now());
        let Some(left) = horizon.checked_duration_since(first) else {
            return 0;
        };
        let more = left.as_nanos() / self.interval.as_nanos().max(1);
        usize::try_from(more).unwrap_or(usize::MAX).saturating_add(1)
    }
}
