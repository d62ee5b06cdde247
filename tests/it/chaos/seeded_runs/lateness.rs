//! How long deliveries took that nothing was in the way of, while strangers were at work: from the answer to a producer's
//! commit to the first request.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::history::{Book, Touched};
use super::plan::{PROMPT, Plan};

/// Fewer say nothing.
const SAMPLES_MIN: usize = 50;
/// Who was disturbed by a fault of another sort has found back a lease and this later.
const AFTERMATH: Duration = Duration::from_secs(3);

/// The times, in order.
pub(crate) struct Lateness {
    sorted: Vec<Duration>,
}

impl Lateness {
    /// Takes the times of those endpoints that answer at once.
    pub(crate) fn of(plan: &Plan, book: &Book) -> Self {
        let mut arrivals: BTreeMap<(u64, usize), Duration> = BTreeMap::new();
        for request in &book.requests {
            arrivals.entry((request.number, request.endpoint)).or_insert(request.at);
        }
        let mut sorted = Vec::new();
        for (number, committed) in &book.commits {
            let event = plan.event(*number);
            for endpoint in PROMPT {
                let Some(arrived) = arrivals.get(&(*number, endpoint)) else { continue };
                let is_touched = book.touches.iter().any(|touch| {
                    let is_meant = match &touch.touched {
                        Touched::Events(numbers) => numbers.contains(number),
                        Touched::Topic(topic) => *topic == event.topic,
                        Touched::Endpoint(touched) => *touched == endpoint,
                    };
                    is_meant && touch.from <= *arrived && touch.to >= *committed
                });
                if event.deliver_after.is_none() && !is_touched && is_calm(plan, book, *committed, *arrived) {
                    sorted.push(arrived.saturating_sub(*committed));
                }
            }
        }
        sorted.sort_unstable();
        Self { sorted }
    }

    /// So many of a hundred took no longer; none: there are too few to say.
    pub(crate) fn percentile(&self, percent: usize) -> Option<Duration> {
        let count = self.sorted.len();
        (count >= SAMPLES_MIN).then(|| self.sorted[(count - 1) * percent / 100])
    }
}

/// Whether nothing but strangers was in the way from a commit to an arrival.
fn is_calm(plan: &Plan, book: &Book, committed: Duration, arrived: Duration) -> bool {
    let mut others = book.faults.iter().filter(|fault| !fault.kind.is_strangers());
    !others.any(|fault| fault.from <= arrived && fault.to + plan.lease + AFTERMATH >= committed)
}

impl Display for Lateness {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let count = self.sorted.len();
        match [50, 99, 100].map(|percent| self.percentile(percent)) {
            [Some(median), Some(p99), Some(longest)] => write!(
                f,
                "{count} deliveries arrived within {median:.1?} (median), {p99:.1?} (P99), {longest:.1?} (all)"
            ),
            _ => write!(f, "{count} deliveries, too few to say how late"),
        }
    }
}
