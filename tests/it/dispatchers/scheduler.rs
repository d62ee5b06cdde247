//! Who gets the requests and the room of a dispatcher when there are not enough for all. No socket, no database.

use std::collections::VecDeque;
use std::sync::Arc;

use postrider::dispatcher::scheduler::{Limits, Next, Origin, Partition, Ready, Scheduler};
use postrider::model::delivery::{ClaimId, Claimed, DeliveryId, DispatcherId};
use postrider::model::endpoint::{
    CircuitState, Credentials, Destination, Endpoint, EndpointNo, EndpointState, Format, Narrowing,
    WebhookDestination,
};
use postrider::model::event::EventId;
use postrider::model::outcome::{AttemptResult, Outcome, ResponseCode};
use postrider::rules::retry::DeliveryVerdict;
use postrider::store::{Circuit, CircuitRow};
use reqwest::header::HeaderMap;
use tokio::time::{Duration, Instant};

use crate::support::SECRET;

#[tokio::test]
async fn endpoints_that_end_nothing_leave_requests_to_one_that_comes_later() {
    for hanging in [1, 8, 99] {
        let desk = desk(512, hanging + 1);
        for no in 1..=hanging {
            queue(&desk, no, 2000 / usize::try_from(hanging).unwrap());
        }
        let under_way = start_all(&desk).len();

        queue(&desk, hanging + 1, 500);
        let late = start_all(&desk);

        assert!(
            late.iter().any(|next| next.endpoint.no == no(hanging + 1)),
            "{hanging} hang with {under_way}"
        );
    }
}

#[tokio::test]
async fn an_endpoint_that_answers_goes_on_while_others_hang() {
    let desk = desk(512, 100);
    queue(&desk, 100, 500);
    for no in 1..100 {
        queue(&desk, no, 500);
    }
    let is_last = |next: &Next| next.endpoint.no == no(100);
    let mut under_way: Vec<Next> = start_all(&desk).into_iter().filter(is_last).collect();

    let mut answered = 0;
    while let Some(next) = under_way.pop() {
        answer(&desk, &next);
        answered += 1;
        queue(&desk, 100, 1);
        if answered < 1000 {
            under_way.extend(start_all(&desk).into_iter().filter(is_last));
        }
    }

    assert!(answered >= 1000, "stuck after {answered}");
}

#[tokio::test]
async fn an_endpoint_that_answers_may_have_all_requests_but_an_eighth() {
    let desk = desk(64, 1);
    queue(&desk, 1, 256);

    let first = start_all(&desk);
    let before = first.len();
    answer(&desk, &first[0]);
    let after = before - 1 + start_all(&desk).len();

    assert_eq!((before, after), (32, 56));
}

#[tokio::test]
async fn endpoints_that_end_nothing_leave_room_to_one_that_comes_later() {
    for hanging in [1, 2, 5] {
        let desk = desk(512, hanging + 1);
        for no in 1..=hanging {
            queue(&desk, no, 10_000);
        }

        let room = reserve(&desk, hanging + 1, 10_000);

        assert!(room >= 10, "{hanging} leave {room}");
    }
}

#[tokio::test]
async fn what_is_queued_for_an_endpoint_that_others_have_the_only_slot_for_is_given_back() {
    let desk = desk_with_one_slot();
    queue(&desk, 1, 5);
    let queued = desk.load().held - 1;
    let under_way = start_all(&desk);

    desk.set_partition(WITHOUT_THE_SLOT);
    answer(&desk, &under_way[0]);
    let given_back = desk.take_stalled();

    assert!(queued > 0);
    assert_eq!((start_all(&desk).len(), given_back.len()), (0, queued));
}

#[tokio::test]
async fn nobody_asks_to_probe_an_endpoint_without_a_slot_for_it() {
    let desk = desk_with_one_slot();
    let circuit = Circuit {
        state: CircuitState::Open,
        failures: 10,
        failed_probes: 0,
        probe_in: Duration::ZERO,
        probe_by: None,
        failing_for: Some(Duration::ZERO),
        held_for: Duration::ZERO,
    };
    let open = CircuitRow { endpoint_no: no(1), circuit };
    desk.set_circuits(&[open], DispatcherId::new(1), Instant::now());

    let with_slot = desk.is_probe_due(no(1));
    desk.set_partition(WITHOUT_THE_SLOT);
    let without = desk.is_probe_due(no(1));

    assert_eq!((with_slot, without), (true, false));
}

#[tokio::test]
async fn new_events_wait_for_room_if_the_desk_is_in_the_way_and_not_if_their_endpoint_is() {
    let fast = desk(64, 1);
    reserve(&fast, 1, 10_000);
    let slow = desk_with_one_slot();
    reserve(&slow, 1, 10_000);

    assert_eq!(fast.room_under_backpressure(no(1)), Some(0));
    assert_eq!(slow.room_under_backpressure(no(1)), None);
}

#[tokio::test]
async fn an_endpoint_that_was_read_again_while_it_was_being_disabled_is_believed() {
    let desk = desk(64, 2);
    let as_of = desk.endpoints_version();
    desk.set_disabled(no(1), as_of);
    // Somebody resumes the second before this dispatcher hears that it is disabled.
    drop(desk.set_endpoints((1..=2).map(|no| Arc::new(endpoint(no)))));
    desk.set_disabled(no(2), as_of);

    assert!(desk.is_enabled(no(2)));

    desk.set_disabled(no(1), desk.endpoints_version());
    assert!(!desk.is_enabled(no(1)));
}

/// Of two dispatchers the one that has nothing of endpoint 1, if that has one slot.
const WITHOUT_THE_SLOT: Partition = Partition { index: 0, count: 2 };

fn desk_with_one_slot() -> Scheduler {
    let desk = Scheduler::new(Limits::for_in_flight(64));
    drop(desk.set_endpoints(std::iter::once(Arc::new(Endpoint { max_in_flight: 1, ..endpoint(1) }))));
    desk
}

/// A desk with endpoints 1 to `endpoints`, each with as many slots as there are.
fn desk(in_flight_max: usize, endpoints: i32) -> Scheduler {
    let desk = Scheduler::new(Limits::for_in_flight(in_flight_max));
    drop(desk.set_endpoints((1..=endpoints).map(|no| Arc::new(endpoint(no)))));
    desk
}

fn no(no: i32) -> EndpointNo {
    EndpointNo::new(no)
}

fn endpoint(number: i32) -> Endpoint {
    Endpoint {
        no: no(number),
        id: number.to_string(),
        destination: Ok(Destination::Webhook(WebhookDestination {
            url: Err("nobody calls it".to_owned()),
            headers: Ok(HeaderMap::new()),
            format: Format::Webhook,
            credentials: Credentials {
                secret: SECRET.parse().unwrap(),
                old_secrets: Vec::new(),
                signing_key: Ok(None),
                auth: Ok(None),
                tls: Ok(None),
            },
            narrowing: Narrowing::default(),
        })),
        topics: Vec::new(),
        max_in_flight: 10_000,
        rate_limit: None,
        timeout: None,
        retry_schedule: None,
        order: None,
        state: EndpointState::Enabled,
        template: None,
    }
}

/// Reserves one by one, as routing does.
fn reserve(desk: &Scheduler, number: i32, wanted: usize) -> usize {
    (0..wanted).take_while(|_| desk.reserve(no(number), 1, Origin::New) == 1).count()
}

/// Queues as many deliveries for an endpoint as it finds room for.
fn queue(desk: &Scheduler, number: i32, wanted: usize) {
    let reserved = reserve(desk, number, wanted);
    let ready = (0..reserved).map(|n| Ready {
        claimed: Claimed {
            delivery_id: DeliveryId::new(i64::from(number) * 1_000_000 + i64::try_from(n).unwrap()),
            claim_id: ClaimId::new(1),
            held_by: DispatcherId::new(1),
            event_id: EventId::new(1),
            endpoint_no: no(number),
            attempt: 1,
            attempts_before: 0,
            paced: 0,
            is_newborn: true,
            in_lane: false,
        },
        event: None,
        payload_kib: 1,
        behind: VecDeque::new(),
    });
    desk.enqueue(ready.collect());
}

/// Begins all that may be begun.
fn start_all(desk: &Scheduler) -> Vec<Next> {
    std::iter::from_fn(|| desk.next()).collect()
}

/// An attempt ends with 200, and is settled.
fn answer(desk: &Scheduler, next: &Next) {
    let claimed = &next.ready.claimed;
    desk.finish(claimed, false, Duration::ZERO);
    let outcome = Outcome {
        result: AttemptResult::Delivered,
        code: Some(ResponseCode::new(200)),
        duration: Duration::ZERO,
        response_excerpt: None,
    };
    desk.note_outcome(claimed, &outcome, Instant::now(), |_| DeliveryVerdict::Complete);
    desk.settled(&[claimed.claim_id]);
}
