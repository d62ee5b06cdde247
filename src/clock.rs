//! The database's clock, carried forward by the monotonic one: the only source of wall time (for
//! `webhook-timestamp`; leases, due times and order are computed in SQL).

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// What time it is in the database.
#[derive(Debug)]
pub struct Clock {
    anchor: Mutex<(Duration, Instant)>,
}

impl Clock {
    /// Starts from the database's time in milliseconds of the Unix epoch, as read just now.
    pub fn new(now_ms: i64) -> Self {
        Self { anchor: Mutex::new((epoch(now_ms), Instant::now())) }
    }

    /// Corrects itself by a newer reading.
    pub fn set(&self, now_ms: i64) {
        *self.lock() = (epoch(now_ms), Instant::now());
    }

    /// Seconds of the Unix epoch.
    pub fn unix_seconds(&self) -> i64 {
        let (at, read) = *self.lock();
        i64::try_from((at + read.elapsed()).as_secs()).unwrap_or(i64::MAX)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Duration, Instant)> {
        self.anchor.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn epoch(now_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(now_ms).unwrap_or_default())
}
