//! The judge of order sees what it is there to see.

use crate::support::{Lanes, Rules};

/// Requests of key `a` that come and are answered one after the other.
fn judged(rules: Rules, requests: &[(u64, bool)], count: u64) -> Vec<String> {
    let mut lanes = Lanes::new(rules);
    for (number, is_accepted) in requests {
        lanes.begin("a", *number);
        lanes.end("a", *number, *is_accepted);
    }
    lanes.expect("a", count);
    lanes.breaches()
}

#[test]
fn requests_that_come_in_order_are_fine_and_so_is_what_was_refused_before() {
    let requests = [(1, true), (2, false), (2, false), (2, true), (3, true)];

    assert_eq!(judged(Rules::STRICT, &requests, 3), Vec::<String>::new());
}

#[test]
fn a_follower_before_its_head_is_a_breach_whatever_the_faults() {
    for rules in [Rules::STRICT, Rules::AFTER_FAULTS] {
        let breaches = judged(rules, &[(1, true), (2, false), (3, true), (2, true)], 3);

        assert_eq!(breaches, ["a: 3 came before 2 was accepted"]);
    }
}

#[test]
fn an_event_that_comes_again_is_a_breach_without_a_fault() {
    let requests = [(1, true), (2, true), (1, true), (3, true)];

    assert_eq!(judged(Rules::STRICT, &requests, 3), ["a: 1 came again, and there was no fault"]);
    assert_eq!(judged(Rules::AFTER_FAULTS, &requests, 3), Vec::<String>::new());
}

#[test]
fn two_requests_at_once_are_a_breach_without_a_fault() {
    let breaches = [Rules::STRICT, Rules::AFTER_FAULTS].map(|rules| {
        let mut lanes = Lanes::new(rules);
        lanes.begin("a", 1);
        lanes.begin("b", 1);
        lanes.begin("a", 1);
        lanes.breaches()
    });

    assert_eq!(breaches[0], ["a: 1 came while [1] was under way"]);
    assert_eq!(breaches[1], Vec::<String>::new());
}

#[test]
fn a_follower_that_comes_while_its_head_is_under_way_is_a_breach_whatever_the_faults() {
    let mut lanes = Lanes::new(Rules::AFTER_FAULTS);
    lanes.begin("a", 1);
    lanes.begin("a", 2);

    assert_eq!(lanes.breaches(), ["a: 2 came before 1 was accepted"]);
}

#[test]
fn what_does_not_come_is_lost() {
    let lost = "a: 2 of 3 is the first that was not accepted";

    assert_eq!(judged(Rules::STRICT, &[(1, true)], 3), [lost]);
    assert_eq!(judged(Rules::AFTER_FAULTS, &[(1, true), (2, false)], 3), [lost]);
    assert_eq!(judged(Rules::STRICT, &[], 1), ["a: 1 of 1 is the first that was not accepted"]);
}

#[test]
fn a_doomed_event_may_be_passed_once_it_was_tried_often_enough() {
    let rules = Rules { is_doomed: |_, number| number == 2, tries_min: 2, has_faults: false };

    let passed = judged(rules, &[(1, true), (2, false), (2, false), (3, true)], 3);
    let too_soon = judged(rules, &[(1, true), (2, false), (3, true), (2, false), (3, true)], 3);
    let last = judged(rules, &[(1, true), (2, false), (2, false)], 2);

    assert_eq!(passed, Vec::<String>::new());
    assert_eq!(too_soon, ["a: 3 came before 2 was accepted"]);
    assert_eq!(last, Vec::<String>::new());
}
