//! What a limit allows: how late events are if the sender knows it, and wastes nothing of it.

use std::time::Duration;

/// How late each event is, by the times of commit in order, if so many are taken in each window. The first window begins at zero.
pub(crate) fn ideal(committed: &[Duration], limit: usize, window: Duration) -> Vec<Duration> {
    let (mut begins, mut taken) = (Duration::ZERO, 0);
    let mut late = Vec::with_capacity(committed.len());
    for at in committed {
        if taken == limit {
            (begins, taken) = (begins + window, 0);
        }
        if begins + window <= *at {
            let windows = at.as_nanos() / window.as_nanos();
            (begins, taken) = (window * u32::try_from(windows).unwrap(), 0);
        }
        taken += 1;
        late.push(begins.saturating_sub(*at));
    }
    late
}

/// How late so many are, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lateness {
    /// All together, divided by their number.
    pub(crate) mean: f64,
    pub(crate) median: f64,
    pub(crate) p99: f64,
    pub(crate) longest: f64,
}

impl Lateness {
    pub(crate) fn of(mut late: Vec<Duration>) -> Self {
        late.sort();
        let seconds = |percent: usize| {
            let place = (late.len() * percent).div_ceil(100).max(1) - 1;
            late.get(place).copied().unwrap_or_default().as_secs_f64()
        };
        let sum: f64 = late.iter().map(Duration::as_secs_f64).sum();
        let count = f64::from(u32::try_from(late.len().max(1)).unwrap());
        Self { mean: sum / count, median: seconds(50), p99: seconds(99), longest: seconds(100) }
    }

    /// Whether it is so many seconds more at most.
    pub(crate) fn is_within(&self, allowed: &Self, seconds: f64) -> bool {
        let pairs = [(self.mean, allowed.mean), (self.median, allowed.median), (self.p99, allowed.p99)];
        pairs.iter().all(|(late, allowed)| *late <= allowed + seconds)
    }
}
