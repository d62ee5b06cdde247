//! The log has a line about an endpoint at the first failure after a success, then at 10, 100, 1,000 failed attempts, and one when
//! the endpoint is healthy again.
//!
//! The counts stand in the database, so several dispatchers tell each of these once, and a restart repeats none. Two bounds
//! keep the log readable. An endpoint that fails and recovers again and again is told ever more rarely. And however many
//! endpoints fail at once, only so many lines are written; one line counts those that were left out.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::{Duration, Instant};
use tracing::{info, warn};

use crate::model::endpoint::{CircuitState, EndpointHealth, EndpointNo};
use crate::rules::printable::printable;
use crate::store::{ClosedCircuit, NotedFailures};

/// Lines that may be written at once.
const LINES_MAX: u32 = 100;
/// After each such time one more.
const LINE_EVERY: Duration = Duration::from_secs(3);
/// An endpoint that was told of is told of again after this time, or when it fails ten times as often.
const QUIET_FIRST: Duration = Duration::from_mins(1);
/// Each further line doubles that time, up to this.
const QUIET_MAX: Duration = Duration::from_hours(1);
/// Lines that were left out are counted in one line after this time.
const COUNT_AFTER: Duration = Duration::from_secs(5);
/// The log remembers so many endpoints before it forgets old ones.
const TOLD_MIN: usize = 1_024;
/// Characters of an error that stand in a line.
const ERROR_CHARS_MAX: usize = 200;

/// Decides which lines are written, and writes them.
#[derive(Debug)]
pub(in crate::dispatcher) struct HealthLog(Mutex<Bounds>);

/// The endpoint that a line is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    /// Short key.
    pub no: EndpointNo,
    /// The id that its owner chose.
    pub id: &'a str,
}

impl HealthLog {
    /// Nothing is told yet.
    pub(in crate::dispatcher) fn new() -> Self {
        Self(Mutex::new(Bounds::new()))
    }

    /// Attempts failed and are recorded, `added` of them by the last record.
    pub(super) fn failed(&self, of: Named<'_>, noted: &NotedFailures, added: u32, error: &str) {
        let Named { no, id } = of;
        let NotedFailures { circuit, failed_attempts: count, .. } = noted;
        let has_opened =
            noted.is_changed && circuit.state == CircuitState::Open && circuit.failed_probes == 0;
        let Some(magnitude) = magnitude(count.saturating_sub(added.into()), *count, has_opened) else {
            return;
        };
        if !self.with(|bounds| bounds.admit_failure(no, magnitude, Instant::now())) {
            return;
        }
        let (health, wait) = match circuit.state {
            CircuitState::Closed => (EndpointHealth::Failing, String::new()),
            CircuitState::Open | CircuitState::HalfOpen => {
                let wait = format!("; its deliveries wait for a probe, in {:.1?}", circuit.probe_in);
                (EndpointHealth::Down, wait)
            }
        };
        warn!(
            endpoint.id = id,
            endpoint.health = health.as_str(),
            "endpoint {id} is {health}: {} ({count} failed in a row{}){wait}",
            excerpt(error),
            over(circuit.failing_for.unwrap_or_default()),
        );
    }

    /// An attempt got through, and the record of failures is deleted.
    pub(super) fn recovered(&self, of: Named<'_>, was: &ClosedCircuit) {
        let Named { no, id } = of;
        // Before this dispatcher started, another may have told that the endpoint fails.
        let is_grave = was.state != CircuitState::Closed || was.failed_attempts >= 10;
        if self.with(|bounds| bounds.admit_recovery(no, is_grave, Instant::now())) {
            let health = EndpointHealth::Healthy;
            info!(
                endpoint.id = id,
                endpoint.health = health.as_str(),
                "endpoint {id} answers again and is {health}, after {} failed in a row{}",
                was.failed_attempts,
                over(was.failing_for.unwrap_or_default()),
            );
        }
    }

    /// A probe was answered, but not by a success.
    pub(super) fn answered(&self, of: Named<'_>, error: &str) {
        let Named { no, id } = of;
        if self.with(|bounds| bounds.admit_failure(no, u32::MAX, Instant::now())) {
            let health = EndpointHealth::Failing;
            warn!(
                endpoint.id = id,
                endpoint.health = health.as_str(),
                "endpoint {id} answers again, but is {health}: {}",
                excerpt(error),
            );
        }
    }

    /// Tells how many lines were left out, if it is time.
    pub(super) fn count_left_out(&self) {
        if let Some(count) = self.with(|bounds| bounds.take_left_out(Instant::now())) {
            warn!(
                "{count} more lines about endpoints are left out: see postrider status, or postrider.endpoint_health"
            );
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Bounds) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The highest power of ten that the count has reached by its last step, as an exponent; at least 1 if the circuit has opened.
fn magnitude(before: u64, now: u64, has_opened: bool) -> Option<u32> {
    let reached = now.checked_ilog10().filter(|exponent| 10_u64.pow(*exponent) > before);
    if has_opened { Some(reached.unwrap_or_default().max(1)) } else { reached }
}

fn excerpt(error: &str) -> String {
    printable(&error.chars().take(ERROR_CHARS_MAX).collect::<String>())
}

/// A time that is worth telling.
fn over(time: Duration) -> String {
    match time.as_secs() {
        0 => String::new(),
        seconds => format!(", for {}", humantime::format_duration(Duration::from_secs(seconds))),
    }
}

/// The lines that were written, and how many more may be.
#[derive(Debug)]
struct Bounds {
    told: HashMap<EndpointNo, Told>,
    /// The old ones are forgotten at so many.
    told_max: usize,
    lines: u32,
    filled_at: Instant,
    left_out: u64,
    left_out_since: Option<Instant>,
}

/// The last line about an endpoint's failures.
#[derive(Debug)]
struct Told {
    at: Instant,
    quiet: Duration,
    magnitude: u32,
    /// Whether its recovery is to be told.
    is_failing: bool,
}

impl Bounds {
    fn new() -> Self {
        Self {
            told: HashMap::new(),
            told_max: TOLD_MIN,
            lines: LINES_MAX,
            filled_at: Instant::now(),
            left_out: 0,
            left_out_since: None,
        }
    }

    fn admit_failure(&mut self, no: EndpointNo, magnitude: u32, now: Instant) -> bool {
        let before = self.told.get(&no);
        let quiet = match before {
            Some(told) if (now - told.at) < told.quiet => {
                if magnitude <= told.magnitude {
                    return false;
                }
                told.quiet
            }
            Some(told) if (now - told.at) < told.quiet * 2 => (told.quiet * 2).min(QUIET_MAX),
            Some(_) | None => QUIET_FIRST,
        };
        let is_admitted = self.take_line(now);
        if is_admitted {
            self.forget_old(now);
            self.told.insert(no, Told { at: now, quiet, magnitude, is_failing: true });
        }
        is_admitted
    }

    /// No line is held back any more because of these. Endpoints that were deleted are among them.
    fn forget_old(&mut self, now: Instant) {
        if self.told.len() >= self.told_max {
            self.told.retain(|_, told| (now - told.at) < QUIET_MAX * 2);
            self.told_max = (self.told.len() * 2).max(TOLD_MIN);
        }
    }

    fn admit_recovery(&mut self, no: EndpointNo, is_grave: bool, now: Instant) -> bool {
        let is_told = match self.told.get_mut(&no) {
            Some(told) => std::mem::take(&mut told.is_failing),
            None => is_grave,
        };
        is_told && self.take_line(now)
    }

    fn take_line(&mut self, now: Instant) -> bool {
        let every = LINE_EVERY.as_millis();
        let more = u32::try_from((now - self.filled_at).as_millis() / every).unwrap_or(u32::MAX);
        if more > 0 {
            self.lines = self.lines.saturating_add(more).min(LINES_MAX);
            self.filled_at = now;
        }
        let is_left = self.lines > 0;
        self.lines = self.lines.saturating_sub(1);
        if !is_left {
            self.left_out += 1;
            self.left_out_since.get_or_insert(now);
        }
        is_left
    }

    fn take_left_out(&mut self, now: Instant) -> Option<u64> {
        self.left_out_since.take_if(|since| (now - *since) >= COUNT_AFTER)?;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: EndpointNo = EndpointNo::new(1);

    #[test]
    fn the_first_failure_and_every_power_of_ten_is_told_once() {
        let told: Vec<u64> =
            (1..=1_000).filter(|count| magnitude(count - 1, *count, false).is_some()).collect();

        assert_eq!(told, [1, 10, 100, 1_000]);
    }

    #[test]
    fn a_batch_of_failures_is_told_by_the_highest_power_in_it() {
        assert_eq!(magnitude(0, 7, false), Some(0));
        assert_eq!(magnitude(7, 250, false), Some(2));
        assert_eq!(magnitude(250, 990, false), None);
        assert_eq!(magnitude(11, 12, true), Some(1));
    }

    #[test]
    fn an_endpoint_that_fails_every_other_time_is_told_ever_more_rarely() {
        let mut bounds = Bounds::new();
        let (start, mut told) = (Instant::now(), Vec::new());

        for second in 0..7_200 {
            let now = start + Duration::from_secs(second);
            if bounds.admit_failure(ONE, 0, now) {
                told.push(second);
            }
            bounds.admit_recovery(ONE, false, now);
        }

        assert_eq!(told, [0, 60, 180, 420, 900, 1_860, 3_780]);
    }

    #[test]
    fn a_recovery_is_told_if_the_failure_was() {
        let (mut bounds, now) = (Bounds::new(), Instant::now());

        assert!(bounds.admit_failure(ONE, 0, now) && bounds.admit_recovery(ONE, false, now));
        assert!(!bounds.admit_failure(ONE, 0, now) && !bounds.admit_recovery(ONE, false, now));
        assert!(bounds.admit_failure(ONE, 1, now) && bounds.admit_recovery(ONE, false, now));
    }

    #[test]
    fn lines_beyond_a_hundred_are_counted() {
        let (mut bounds, now) = (Bounds::new(), Instant::now());

        let told = (0..10_000).filter(|no| bounds.admit_failure(EndpointNo::new(*no), 0, now)).count();
        let at_once = bounds.take_left_out(now);
        let soon = bounds.take_left_out(now + COUNT_AFTER);

        assert_eq!((told, at_once, soon), (100, None, Some(9_900)));
        assert_eq!(bounds.take_left_out(now + COUNT_AFTER * 2), None);
    }

    #[test]
    fn endpoints_that_failed_long_ago_are_forgotten() {
        let mut bounds = Bounds::new();
        let start = Instant::now();

        for no in 0..10_000 {
            let minute = Duration::from_mins(u64::try_from(no).unwrap());
            assert!(bounds.admit_failure(EndpointNo::new(no), 0, start + minute));
        }

        assert!(bounds.told.len() <= TOLD_MIN, "{}", bounds.told.len());
    }
}
