//! The invariants (numbered as in the research), judged from what producers, receivers and the database say.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::history::{Answer, Book, Fate, Injected, Request};
use super::kind::Kind;
use super::lateness::Lateness;
use super::plan::{CANARY, ENDPOINTS, Plan, STRICT, is_refused, is_swollen, receivers};
use super::rows::Rows;
use super::slot::Slot;
use super::stage::PASSWORD;
use crate::support::SECRET;

/// Of each kind of breach so many are told.
const TOLD_MAX: usize = 8;
/// Settings of these runs: claims and settles 6, lease 1, listener 1, API 4, metrics 1.
const CONNECTIONS_MAX: i64 = 13;
const MEMORY_KIB_MAX: u64 = 300 * 1024;
const DESCRIPTORS_MAX: usize = 1_200;
/// When connections break everything notices at once, and first tries again soon.
const BURST: f64 = 20.0;

/// Judges a run.
pub(crate) struct Check<'a> {
    plan: &'a Plan,
    book: &'a Book,
    rows: &'a Rows,
    /// Requests of each delivery, in order of arrival.
    requests: BTreeMap<(u64, usize), Vec<&'a Request>>,
    breaches: Vec<String>,
    /// Deliveries that were never made, and committed events that are not there.
    pub(crate) lost: usize,
    /// Requests for what was never committed.
    pub(crate) phantom: usize,
    /// Duplicates by what explains them.
    pub(crate) duplicates: BTreeMap<String, usize>,
    /// Attempts without a row by what explains them.
    pub(crate) unrecorded: BTreeMap<String, usize>,
}

impl<'a> Check<'a> {
    /// Judges nothing yet.
    pub(crate) fn new(plan: &'a Plan, book: &'a Book, rows: &'a Rows) -> Self {
        let mut requests: BTreeMap<_, Vec<&Request>> = BTreeMap::new();
        for request in &book.requests {
            requests.entry((request.number, request.endpoint)).or_default().push(request);
        }
        let (duplicates, unrecorded) = (BTreeMap::new(), BTreeMap::new());
        let breaches = book.breaches.clone();
        Self { plan, book, rows, requests, breaches, lost: 0, phantom: 0, duplicates, unrecorded }
    }

    /// All breaches; none: every invariant held.
    pub(crate) fn breaches(mut self, slots: &[Slot]) -> (Self, Vec<String>) {
        self.check_fates();
        self.check_deliveries();
        self.check_identity();
        self.check_duplicates();
        self.check_attempts();
        self.check_bounds();
        self.check_lateness();
        self.check_logs(slots);
        let mut counts: HashMap<String, usize> = HashMap::new();
        let mut told = std::mem::take(&mut self.breaches);
        told.retain(|what| {
            let kind = what.split(':').next().unwrap_or_default().to_owned();
            let count = counts.entry(kind).or_default();
            *count += 1;
            *count <= TOLD_MAX
        });
        let more = counts.iter().filter(|(_, count)| **count > TOLD_MAX);
        told.extend(more.map(|(kind, count)| format!("{kind}: {count} in all")));
        (self, told)
    }

    fn breach(&mut self, what: String) {
        self.breaches.push(what);
    }

    /// I1, I2: what was committed is there once, what was rolled back is not.
    fn check_fates(&mut self) {
        for (number, fate) in &self.book.fates {
            let count = self.rows.events.get(number).map_or(0, Vec::len);
            let is_right = match fate {
                Fate::Committed => count == 1,
                Fate::RolledBack => count == 0,
                Fate::Indeterminate => count <= 1,
            };
            if !is_right {
                self.lost += usize::from(count == 0);
                self.breach(format!("I1: event {number} was {fate:?} and is there {count} times"));
            }
        }
        for request in &self.book.requests {
            let number = request.number;
            if !self.rows.events.contains_key(&number) {
                let (id, _) = ENDPOINTS[request.endpoint];
                self.phantom += 1;
                self.breach(format!("I2: {id} received event {number}, which was never committed"));
            }
        }
    }

    /// I1, I3: each event has its deliveries, all are settled, and what is complete was answered with 2xx.
    fn check_deliveries(&mut self) {
        for (number, statuses) in &self.rows.events {
            if statuses.iter().any(|status| status != "complete" && status != "failed") {
                self.breach(format!("I1: event {number} is {statuses:?}"));
            }
            let expected: BTreeSet<usize> = receivers(&self.plan.event(*number)).into_iter().collect();
            let range = (*number, 0)..=(*number, ENDPOINTS.len());
            let found: BTreeSet<usize> = self.rows.deliveries.range(range).map(|((_, no), _)| *no).collect();
            if expected != found {
                self.lost += expected.difference(&found).count();
                self.breach(format!("I1: event {number} is for {expected:?} and went to {found:?}"));
            }
        }
        for ((number, endpoint), status) in &self.rows.deliveries {
            let requests = self.requests.get(&(*number, *endpoint)).map_or(&[][..], Vec::as_slice);
            let is_answered = requests.iter().any(|request| request.answered.is_success());
            let (id, _) = ENDPOINTS[*endpoint];
            match status.as_str() {
                "failed" if is_swollen(*number) && requests.is_empty() => {}
                "complete" if is_answered => {}
                // It gives up soon, and may have answered in vain.
                "failed" if *endpoint == STRICT && (is_refused(*number) || self.plan.is_hostile) => {}
                "failed" if *endpoint == STRICT && !self.plan.kinds.is_empty() => {}
                _ => {
                    self.lost += 1;
                    self.breach(format!(
                    "I3: event {number} for {id} is {status}; {} requests, answered with 2xx: {is_answered}",
                    requests.len()
                ));
                }
            }
        }
    }

    /// I5: one `webhook-id` per event, one event per `webhook-id`. (Bodies and signatures were judged on arrival.)
    fn check_identity(&mut self) {
        let pairs: BTreeSet<(u64, &str)> =
            self.book.requests.iter().map(|request| (request.number, request.webhook_id.as_str())).collect();
        let numbers: BTreeSet<u64> = pairs.iter().map(|(number, _)| *number).collect();
        let ids: BTreeSet<&str> = pairs.iter().map(|(_, id)| *id).collect();
        if numbers.len() != pairs.len() || ids.len() != pairs.len() {
            let text = format!("I5: {} events, {} ids, {} pairs", numbers.len(), ids.len(), pairs.len());
            self.breach(text);
        }
    }

    /// I4: a request after one that was answered with 2xx is a duplicate, and something explains it.
    fn check_duplicates(&mut self) {
        for ((number, endpoint), requests) in &self.requests.clone() {
            let Some(first) = requests.iter().position(|request| request.answered.is_success()) else {
                continue;
            };
            let mut answered = requests[first];
            for again in &requests[first + 1..] {
                let why = self.explain(answered, again);
                if why.is_none() {
                    let (id, _) = ENDPOINTS[*endpoint];
                    self.breach(format!(
                        "I4: {id} answered attempt {} of event {number} with {:?} at {:?} and got attempt {} at {:?}",
                        answered.attempt, answered.answered, answered.at, again.attempt, again.at
                    ));
                }
                *self.duplicates.entry(why.unwrap_or_else(|| "UNEXPLAINED".to_owned())).or_default() += 1;
                if again.answered.is_success() {
                    answered = again;
                }
            }
        }
    }

    fn explain(&self, answered: &Request, again: &Request) -> Option<String> {
        if again.attempt == answered.attempt && matches!(answered.answered, Answer::Doubtful(_)) {
            return Some("its connection ended as it was used again".to_owned());
        }
        let recorded = self.rows.attempts.get(&(answered.number, answered.endpoint, answered.attempt));
        match recorded {
            Some(attempt) if attempt.outcome != "complete" => {
                let error = attempt.error.as_deref().unwrap_or_default();
                if matches!(answered.answered, Answer::Doubtful(_)) {
                    return Some("the receiver's 2xx came late or broken".to_owned());
                }
                if error.starts_with("timeout") {
                    return Some("the 2xx was not read within the timeout".to_owned());
                }
                self.fault_between(answered.at, again.at, Kind::explains_duplicates)
                    .map(|fault| format!("{:?}, {error}", fault.kind))
            }
            // Its outcome is written, and yet a request came: one that had begun before the claim was lost.
            Some(_) => {
                let fault = self.fault_between(answered.at, again.at, Kind::explains_zombies)?;
                (again.attempt < answered.attempt).then(|| format!("{:?}, begun before it", fault.kind))
            }
            None => self
                .fault_between(answered.at, again.at, Kind::explains_duplicates)
                .map(|fault| format!("{:?}", fault.kind)),
        }
    }

    /// A fault that may cost an outcome and overlaps a time. Its effect lasts a lease longer than itself: so long may
    /// who was disturbed take to find back. Of several the one that began nearest to the request.
    fn fault_between(
        &self,
        from: Duration,
        to: Duration,
        explains: fn(Kind) -> bool,
    ) -> Option<&'a Injected> {
        let overlaps = |fault: &&Injected| fault.from <= to && fault.to + self.plan.lease >= from;
        let faults = self.book.faults.iter().filter(|fault| explains(fault.kind));
        faults.filter(overlaps).min_by_key(|fault| fault.from.abs_diff(from))
    }

    /// I6: attempt numbers grow, but for an attempt whose connection ended; what is recorded was sent, and what was sent is recorded.
    fn check_attempts(&mut self) {
        for ((number, endpoint), requests) in &self.requests.clone() {
            for pair in requests.windows(2) {
                let (one, two) = (pair[0], pair[1]);
                let is_zombie = one.attempt > two.attempt
                    && self.fault_between(one.at, two.at, Kind::explains_zombies).is_some();
                if one.attempt >= two.attempt && !is_zombie && !is_resend(requests, one, two) {
                    self.breach(format!(
                        "I6: event {number} for {}: attempt {} at {:?}, then {} at {:?}",
                        ENDPOINTS[*endpoint].0, one.attempt, one.at, two.attempt, two.at
                    ));
                }
            }
            for request in requests {
                self.check_recorded(request);
            }
        }
        for ((number, endpoint, attempt), row) in &self.rows.attempts {
            let Some(code) = row.status_code else { continue };
            let requests = self.requests.get(&(*number, *endpoint)).map_or(&[][..], Vec::as_slice);
            let said = [Answer::Clear(code), Answer::Doubtful(code)];
            if !requests.iter().any(|r| r.attempt == *attempt && said.contains(&r.answered)) {
                self.breaches.push(format!(
                    "I6: attempt {attempt} of event {number} records {code}, which nobody said"
                ));
            }
        }
    }

    fn check_recorded(&mut self, request: &Request) {
        if self.rows.attempts.contains_key(&(request.number, request.endpoint, request.attempt)) {
            return;
        }
        let why = self
            .fault_between(request.at, self.written_by(request.at), Kind::explains_duplicates)
            .map(|fault| format!("{:?}", fault.kind));
        if why.is_none() {
            let (number, attempt, at) = (request.number, request.attempt, request.at);
            self.breach(format!("I6: attempt {attempt} of event {number} at {at:?} is not recorded"));
        }
        *self.unrecorded.entry(why.unwrap_or_else(|| "UNEXPLAINED".to_owned())).or_default() += 1;
    }

    /// When the outcome of a request is written, unless somebody loses it. As long as a stranger is in the way, it is kept.
    fn written_by(&self, at: Duration) -> Duration {
        let in_the_way =
            self.book.touches.iter().filter(|touch| touch.from <= at + self.plan.lease && touch.to >= at);
        let gone = in_the_way.map(|touch| touch.to).max().unwrap_or(at);
        gone.max(at) + self.plan.lease
    }

    /// I17: a stranger costs those whose rows it touches, and nobody else.
    fn check_lateness(&mut self) {
        let lateness = Lateness::of(self.plan, self.book);
        if lateness.percentile(99).is_some_and(|p99| p99 > self.plan.lateness_max) {
            self.breach(format!("I17: beside strangers {lateness}"));
        }
    }

    /// I7, I12, I16.
    fn check_bounds(&mut self) {
        let peaks = self.book.peaks;
        if self.rows.claims > 0 {
            self.breach(format!("I7: {} claims are left", self.rows.claims));
        }
        let connections_max = CONNECTIONS_MAX * i64::try_from(self.plan.dispatchers).unwrap();
        if self.rows.connections > connections_max {
            self.breach(format!("I12: {} connections of dispatchers", self.rows.connections));
        }
        if peaks.memory_kib > MEMORY_KIB_MAX || peaks.descriptors > DESCRIPTORS_MAX {
            self.breach(format!("I12: {peaks:?}"));
        }
        // Twice a second, and housekeeping, which with so short a lease comes that often.
        let per_second = 2.0 + 4.0 / self.plan.lease.as_secs_f64();
        for outage in &self.book.outages {
            let count = u32::try_from(outage.connections.max(outage.log_lines)).unwrap();
            if f64::from(count) > BURST + per_second * outage.lasted.as_secs_f64() {
                self.breach(format!("I16: {outage:?}"));
            }
        }
    }

    /// I14, I15.
    fn check_logs(&mut self, slots: &[Slot]) {
        for (slot, log) in slots.iter().map(|slot| (slot.number, slot.log())) {
            for secret in [SECRET, CANARY, PASSWORD] {
                if log.contains(secret) {
                    self.breach(format!("I14: \"{secret}\" in the log of slot {slot}"));
                }
            }
            for line in
                log.lines().filter(|line| line.contains("panicked") || line.contains("internal error"))
            {
                self.breach(format!("I15: slot {slot}: {line}"));
            }
        }
    }
}

/// Whether one attempt was sent twice: its connection ended without a whole answer as it was used again. No attempt is sent a third time.
fn is_resend(requests: &[&Request], one: &Request, two: &Request) -> bool {
    let of_attempt = requests.iter().filter(|request| request.attempt == one.attempt).count();
    one.attempt == two.attempt && of_attempt == 2 && !matches!(one.answered, Answer::Clear(_))
}
