//! The claimed deliveries of one endpoint that wait for a slot: first in, first out.
//!
//! Of a lane, one delivery at a time is here or under way. What this dispatcher holds behind it comes along, and takes its turn when it
//! has ended.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::{Duration, Instant};

use crate::model::delivery::Claimed;
use crate::model::endpoint::Endpoint;
use crate::model::event::Event;

/// A claimed delivery with everything that its attempt needs.
#[derive(Debug)]
pub struct Ready {
    /// The right to attempt it.
    pub claimed: Claimed,
    /// The event to send. `None` if it was deleted.
    pub event: Option<Arc<Event>>,
    /// The size of its payload in memory.
    pub payload_kib: u32,
    /// What follows it in its lane, in order: attempted after it, and only if it succeeds.
    pub behind: VecDeque<Ready>,
}

impl Ready {
    /// This delivery and those behind it, as they are released: with the memory of their payloads.
    pub(super) fn into_released(self) -> impl Iterator<Item = (Claimed, u32)> {
        let first = (self.claimed, self.payload_kib);
        std::iter::once(first).chain(self.behind.into_iter().map(|ready| (ready.claimed, ready.payload_kib)))
    }
}

/// The next attempt to make.
#[derive(Debug)]
pub struct Next {
    /// The delivery.
    pub ready: Ready,
    /// Its endpoint as it is now.
    pub endpoint: Arc<Endpoint>,
    /// The endpoint's rate limit and its pace let the attempt start then.
    pub start_at: Instant,
    /// Whether there is work for another runner, which is already counted as running.
    pub has_more: bool,
}

/// An endpoint after an attempt.
#[derive(Debug, Default)]
pub struct EndpointNow {
    /// Its settings. `None` if it is deleted.
    pub endpoint: Option<Arc<Endpoint>>,
    /// How long the endpoint has taken nothing.
    pub failing_for: Duration,
    /// How long the endpoint is left alone from now on, because it asked for that.
    pub held_for: Duration,
}

/// One endpoint's queue, and the places in it that are reserved for deliveries about to be claimed.
#[derive(Debug, Default)]
pub(super) struct ReadyQueue {
    ready: VecDeque<Ready>,
    reserved: usize,
}

impl ReadyQueue {
    /// Queued and reserved.
    pub(super) fn len(&self) -> usize {
        self.ready.len() + self.reserved
    }

    pub(super) fn reserved(&self) -> usize {
        self.reserved
    }

    /// Whether a delivery is queued.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn reserve(&mut self, count: usize) {
        self.reserved += count;
    }

    pub(super) fn unreserve(&mut self, count: usize) {
        self.reserved = self.reserved.saturating_sub(count);
    }

    /// Queues a delivery in a reserved place.
    pub(super) fn push(&mut self, ready: Ready) {
        self.unreserve(1);
        self.ready.push_back(ready);
    }

    /// Queues a delivery that another one of its lane was attempted before.
    pub(super) fn push_next(&mut self, ready: Ready) {
        self.ready.push_back(ready);
    }

    /// The next delivery to attempt.
    pub(super) fn pop(&mut self) -> Option<Ready> {
        self.ready.pop_front()
    }

    /// Empties the queue; reservations stay.
    pub(super) fn take_all(&mut self) -> Vec<Ready> {
        self.ready.drain(..).collect()
    }
}
