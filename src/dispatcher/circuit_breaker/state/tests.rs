//! One breaker by itself.

use super::*;

const ONE: DeliveryId = DeliveryId::new(1);

fn note(circuit: &mut CircuitBreaker, health: Health) {
    let is_answer = health != Health::Unwell;
    circuit.note(&Observation {
        delivery_id: ONE,
        begun: Instant::now(),
        health,
        is_answer,
        is_paced: false,
        retry_after: None,
        error: None,
    });
}

fn fail(circuit: &mut CircuitBreaker, times: u32) {
    for _ in 0..times {
        note(circuit, Health::Unwell);
    }
}

#[test]
fn ten_failures_in_a_row_leave_no_slot() {
    let mut circuit = CircuitBreaker::new();

    fail(&mut circuit, OPEN_AFTER - 1);
    let before = circuit.open_slots(64, 0);
    fail(&mut circuit, 1);

    assert_eq!((before, circuit.open_slots(64, 0)), (64, 0));
}

#[test]
fn an_answer_or_a_success_between_failures_begins_the_count_anew() {
    for between in [Health::Answers, Health::Well] {
        let mut circuit = CircuitBreaker::new();

        fail(&mut circuit, OPEN_AFTER - 1);
        note(&mut circuit, between);
        fail(&mut circuit, OPEN_AFTER - 1);

        assert_eq!(circuit.open_slots(64, 0), 64, "{between:?}");
    }
}

#[test]
fn a_probe_has_one_slot_until_it_begins() {
    let mut circuit = CircuitBreaker::new();
    fail(&mut circuit, OPEN_AFTER);

    circuit.start_probing(0, Instant::now() + Duration::from_mins(1));
    // Attempts from before it opened are still under way.
    let before = circuit.open_slots(64, 5);
    circuit.begin(ONE);

    assert_eq!((before, circuit.open_slots(64, 6)), (6, 6));
}

#[test]
fn slots_double_with_every_round_of_successes_after_a_recovery() {
    let mut circuit = CircuitBreaker::new();
    fail(&mut circuit, OPEN_AFTER);
    circuit.start_probing(0, Instant::now() + Duration::from_mins(1));
    note(&mut circuit, Health::Well);
    assert!(circuit.take_unrecorded().unwrap().has_succeeded);
    circuit.recorded(None, DispatcherId::new(1));

    let mut slots = Vec::new();
    for _ in 0..4 {
        slots.push(circuit.open_slots(6, 0));
        for _ in 0..circuit.open_slots(6, 0) {
            note(&mut circuit, Health::Well);
        }
    }

    assert_eq!(slots, [1, 2, 4, 6]);
}

#[test]
fn successes_of_an_endpoint_that_is_well_are_not_recorded() {
    let mut circuit = CircuitBreaker::new();

    note(&mut circuit, Health::Well);

    assert!(circuit.take_unrecorded().is_none());
}

#[test]
fn an_endpoint_that_takes_every_other_delivery_is_written_now_and_then() {
    let mut circuit = CircuitBreaker::new();
    let on_record = OnRecord {
        state: CircuitState::Closed,
        failures: 1,
        failed_probes: 0,
        probe_in: Duration::ZERO,
        probe_by: None,
        failing_for: Some(Duration::ZERO),
        held_for: Duration::ZERO,
    };

    let mut writes = 0;
    for _ in 0..100 {
        fail(&mut circuit, 1);
        note(&mut circuit, Health::Well);
        fail(&mut circuit, 1);
        if circuit.take_unrecorded().is_some() {
            writes += 1;
            circuit.recorded(Some(&on_record), DispatcherId::new(1));
        }
    }

    assert_eq!(writes, 1);
}

#[test]
fn failures_that_could_not_be_written_are_not_lost_to_newer_ones() {
    let mut circuit = CircuitBreaker::new();
    fail(&mut circuit, 3);
    let unrecorded = circuit.take_unrecorded().unwrap();
    fail(&mut circuit, 4);

    circuit.restore(unrecorded);

    assert_eq!(circuit.take_unrecorded().unwrap().failures(Duration::ZERO).unwrap().count, 7);
}
