//! How a batch of events is routed: which endpoints get each, and which of the deliveries are claimed at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::{DELIVERIES_MAX, PATIENCE, Router};
use crate::dispatcher::scheduler::Origin;
use crate::dispatcher::subscriptions::Subscriptions;
use crate::model::endpoint::EndpointNo;
use crate::model::event::EventId;
use crate::store::{Birth, InitialState, Position, RoutePlan, UnroutedEvent};

/// How a batch of events is routed.
pub(super) struct Plan {
    pub(super) rows: RoutePlan,
    pub(super) reserved: Vec<EndpointNo>,
    pub(super) waiting: Vec<EndpointNo>,
    /// Whether it leaves deliveries pending for which siblings may have slots, now or when they are due.
    pub(super) leaves_some: bool,
    /// Size of each claimed event's payload.
    pub(super) payload_bytes: HashMap<EventId, u64>,
    /// The endpoint of the first event for which the scheduler has no room, though the endpoint would take it.
    pub(super) backpressured: Option<EndpointNo>,
    pub(super) last: Position,
}

impl Router {
    pub(super) fn plan(&self, events: &[UnroutedEvent], subscriptions: &mut Subscriptions) -> Plan {
        let mut plan = Plan {
            rows: RoutePlan::default(),
            reserved: Vec::new(),
            waiting: Vec::new(),
            leaves_some: false,
            payload_bytes: HashMap::new(),
            backpressured: None,
            last: Position::default(),
        };
        let mut lanes: HashSet<(EndpointNo, i64)> = HashSet::new();
        let may_wait = self.backpressured.is_none_or(|(_, since)| since.elapsed() < PATIENCE);
        for event in events {
            if plan.rows.births.len() >= DELIVERIES_MAX {
                break;
            }
            let receivers: Arc<[EndpointNo]> = match &event.destination {
                Some(id) => subscriptions.destination(id).into_iter().collect(),
                None => subscriptions.receivers(&event.topic),
            };
            let first = receivers.first().copied();
            if let Some(no) = first.filter(|no| self.is_backpressured(event, *no, receivers.len())) {
                plan.backpressured = Some(no);
                if may_wait && !plan.rows.events.is_empty() {
                    break;
                }
            }
            if receivers.is_empty() {
                let nobody = &mut plan.rows.reached_nobody;
                let why =
                    if event.destination.is_some() { &mut nobody.destination } else { &mut nobody.topic };
                *why += 1;
            }
            plan.payload_bytes.insert(event.id, event.payload_bytes);
            plan.rows.events.push((event.id, receivers.len()));
            for no in receivers.iter() {
                let lane = self.lane(subscriptions, *no, event);
                // Of a lane, only the first of a batch may be its head.
                let is_behind = lane.is_some_and(|key_hash| !lanes.insert((*no, key_hash)));
                let state = match event.delay {
                    None if is_behind => InitialState::Pending(Duration::ZERO),
                    _ => self.initial_state(event, *no, &mut plan),
                };
                let in_lane = lane.is_some();
                plan.rows.births.push(Birth { event_id: event.id, endpoint_no: *no, state, in_lane });
            }
            plan.last = event.place;
        }
        plan
    }

    /// The hash of the key in whose lane an event goes to an endpoint. A dispatcher that serves one endpoint alone knows no lanes.
    fn lane(&self, subscriptions: &Subscriptions, no: EndpointNo, event: &UnroutedEvent) -> Option<i64> {
        event.key_hash.filter(|_| self.context.only_endpoint.is_none() && subscriptions.is_ordered(no))
    }

    /// Whether the scheduler has no room for an event at the moment, though its endpoint would take it.
    fn is_backpressured(&self, event: &UnroutedEvent, first: EndpointNo, receivers: usize) -> bool {
        let scheduler = &self.context.scheduler;
        let is_too_full = |left| left == 0 || scheduler.room() < receivers;
        event.delay.is_none() && scheduler.room_under_backpressure(first).is_some_and(is_too_full)
    }

    /// Claimed, if there is room for it; otherwise pending.
    fn initial_state(&self, event: &UnroutedEvent, no: EndpointNo, plan: &mut Plan) -> InitialState {
        if let Some(delay) = event.delay {
            plan.leaves_some |= self.context.scheduler.is_enabled(no);
            return InitialState::Pending(delay);
        }
        if plan.reserved.len() < DELIVERIES_MAX && self.context.scheduler.reserve(no, 1, Origin::New) == 1 {
            plan.reserved.push(no);
            return InitialState::Claimed;
        }
        plan.waiting.push(no);
        plan.leaves_some |= self.context.scheduler.is_enabled(no);
        InitialState::Pending(Duration::ZERO)
    }
}
