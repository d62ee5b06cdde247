//! The promise of order, judged request by request: of each key the first successful requests come in order, one at a time. It keeps
//! a few numbers for each key, however many events there are.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

/// So many breaches are told in full.
const TOLD_MAX: usize = 20;

/// What is judged, and how strictly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Whether an event is refused for good. What follows it may come once it was tried often enough.
    pub(crate) is_doomed: fn(key: &str, number: u64) -> bool,
    /// So often at least.
    pub(crate) tries_min: u64,
    /// There are faults, after which an event may come twice, even while another request of its key is under way.
    pub(crate) has_faults: bool,
}

impl Rules {
    /// Nothing is refused for good, and there are no faults.
    pub(crate) const STRICT: Self = Self { is_doomed: |_, _| false, tries_min: 1, has_faults: false };
    /// Nothing is refused for good.
    pub(crate) const AFTER_FAULTS: Self = Self { has_faults: true, ..Self::STRICT };
}

/// The judge. Events of each key are numbered from 1, in the order of their producers.
#[derive(Debug)]
pub(crate) struct Lanes {
    rules: Rules,
    by_key: HashMap<String, Lane>,
    sums: Sums,
    breaches: Vec<String>,
    breach_count: usize,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) requests: u64,
    /// Events that were accepted, each counted once.
    pub(crate) accepted: u64,
    /// Requests of events that had been accepted before.
    pub(crate) duplicates: u64,
    /// Events that others have passed because they were refused for good.
    pub(crate) given_up: u64,
}

#[derive(Debug, Default)]
struct Lane {
    /// The first number that was not accepted.
    next: u64,
    /// How often that was tried.
    tries: u64,
    /// What was accepted before its turn, which is a breach each.
    ahead: BTreeSet<u64>,
    under_way: Vec<u64>,
}

impl Lanes {
    pub(crate) fn new(rules: Rules) -> Self {
        let (by_key, breaches) = (HashMap::new(), Vec::new());
        Self { rules, by_key, sums: Sums::default(), breaches, breach_count: 0 }
    }

    /// A request has arrived.
    pub(crate) fn begin(&mut self, key: &str, number: u64) {
        self.sums.requests += 1;
        if !self.by_key.contains_key(key) {
            self.by_key.insert(key.to_owned(), Lane { next: 1, ..Lane::default() });
        }
        let lane = self.by_key.get_mut(key).unwrap();
        let mut wrong = Vec::new();
        while lane.next < number
            && (self.rules.is_doomed)(key, lane.next)
            && lane.tries >= self.rules.tries_min
            && !lane.under_way.contains(&lane.next)
        {
            (lane.next, lane.tries) = (lane.next + 1, 0);
            self.sums.given_up += 1;
        }
        match number.cmp(&lane.next) {
            Ordering::Greater => {
                wrong.push(format!("{key}: {number} came before {} was accepted", lane.next));
            }
            Ordering::Equal => lane.tries += 1,
            Ordering::Less => {
                self.sums.duplicates += 1;
                if !self.rules.has_faults {
                    wrong.push(format!("{key}: {number} came again, and there was no fault"));
                }
            }
        }
        if !lane.under_way.is_empty() && !self.rules.has_faults {
            wrong.push(format!("{key}: {number} came while {:?} was under way", lane.under_way));
        }
        lane.under_way.push(number);
        for what in wrong {
            self.breach(what);
        }
    }

    /// It is answered, or nobody waits for the answer any more.
    pub(crate) fn end(&mut self, key: &str, number: u64, is_accepted: bool) {
        let lane = self.by_key.get_mut(key).unwrap();
        let at = lane.under_way.iter().position(|other| *other == number).unwrap();
        lane.under_way.swap_remove(at);
        if is_accepted && number >= lane.next && lane.ahead.insert(number) {
            self.sums.accepted += 1;
        }
        while lane.ahead.remove(&lane.next) {
            (lane.next, lane.tries) = (lane.next + 1, 0);
        }
    }

    /// There are no more events than these of a key: what is missing is lost. The last one may be doomed.
    pub(crate) fn expect(&mut self, key: &str, count: u64) {
        let (mut next, tries) = self.by_key.get(key).map_or((1, 0), |lane| (lane.next, lane.tries));
        if next <= count && (self.rules.is_doomed)(key, next) && tries >= self.rules.tries_min {
            next += 1;
        }
        if next != count + 1 {
            self.breach(format!("{key}: {next} of {count} is the first that was not accepted"));
        }
    }

    /// How many requests of a key wait for their answer.
    pub(crate) fn under_way(&self, key: &str) -> usize {
        self.by_key.get(key).map_or(0, |lane| lane.under_way.len())
    }

    /// Whether something was wrong.
    pub(crate) fn is_broken(&self) -> bool {
        self.breach_count > 0
    }

    pub(crate) fn sums(&self) -> Sums {
        self.sums
    }

    /// What was wrong, the first ones in full; none: order was kept.
    pub(crate) fn breaches(&self) -> Vec<String> {
        let mut told = self.breaches.clone();
        if self.breach_count > told.len() {
            told.push(format!("… {} in all", self.breach_count));
        }
        told
    }

    fn breach(&mut self, what: String) {
        self.breach_count += 1;
        if self.breaches.len() < TOLD_MAX {
            self.breaches.push(what);
        }
    }
}
