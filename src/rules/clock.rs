//! The database's clock, carried forward by a clock of this machine that never goes back. It is the only source of wall time
//! here, and only for `webhook-timestamp`: SQL computes leases, due times and order.

use std::ops::Add;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Receivers refuse a `webhook-timestamp` that is five minutes off; warn long before that.
const SKEW_MAX_MS: i64 = 30_000;

/// A clock that goes on while the machine is suspended.
#[cfg(target_os = "linux")]
const AWAKE_OR_NOT: ClockId = ClockId::Boottime;
/// On other systems the monotonic clock goes on.
#[cfg(not(target_os = "linux"))]
const AWAKE_OR_NOT: ClockId = ClockId::Monotonic;

/// A moment that can be compared with times of the database. `Instant` would stand still while this machine is suspended:
/// after an hour of that, a lease of a minute would seem to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Duration);

impl Moment {
    /// The present moment.
    pub(crate) fn now() -> Self {
        Self(clock_gettime(AWAKE_OR_NOT).try_into().unwrap_or_default())
    }

    /// Time since this moment.
    pub(crate) fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0 + later)
    }
}

/// The database's time, estimated.
#[derive(Debug)]
pub struct Clock {
    anchor: Mutex<(Duration, Moment)>,
}

impl Clock {
    /// Starts from the database's time in milliseconds of the Unix epoch, as read just now.
    pub fn new(now_ms: i64) -> Self {
        Self { anchor: Mutex::new((epoch(now_ms), Moment::now())) }
    }

    /// Corrects the clock by a newer reading.
    pub fn set(&self, now_ms: i64) {
        *self.lock() = (epoch(now_ms), Moment::now());
    }

    /// Seconds of the Unix epoch.
    pub fn unix_seconds(&self) -> i64 {
        let (at, read) = *self.lock();
        i64::try_from((at + read.elapsed()).as_secs()).unwrap_or(i64::MAX)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Duration, Moment)> {
        self.anchor.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn epoch(now_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(now_ms).unwrap_or_default())
}

/// Milliseconds of the Unix epoch, by this machine's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "compared with the database's clock, which is the one that counts"
)]
pub(crate) fn machine_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// How much the database's clock differs from this machine's, in words. `None` if by little. `before_ms` and `after_ms` are this
/// machine's times before the question and after the answer. A time of the database between them counts as equal.
pub(crate) fn skew(database_ms: i64, before_ms: i64, after_ms: i64) -> Option<String> {
    let behind = before_ms.saturating_sub(database_ms);
    let ahead = database_ms.saturating_sub(after_ms);
    let (skew_ms, than) = if behind > ahead { (behind, "behind") } else { (ahead, "ahead of") };
    let skew = humantime::format_duration(Duration::from_secs(skew_ms.unsigned_abs() / 1000));
    (skew_ms > SKEW_MAX_MS).then(|| {
        format!("the database's clock is {skew} {than} this machine's, and receivers refuse timestamps that are 5m off")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_differ_by_what_the_round_trip_cannot_explain() {
        // The difference is within the time that the answer took.
        assert_eq!(skew(1_000_000, 500_000, 1_500_000), None);
        assert_eq!(skew(1_000_000, 1_030_000, 1_030_001), None);
        assert_eq!(skew(1_000_000, 969_999, 970_000), None);
        assert!(skew(1_000_000, 1_090_000, 1_090_001).is_some_and(|said| said.contains("1m 30s behind")));
        assert!(skew(1_000_000, 900_000, 910_000).is_some_and(|said| said.contains("1m 30s ahead of")));
    }
}
