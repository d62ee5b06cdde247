//! What a seed means: what producers do, and the schedule of faults. How they meet is up to the machine.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use fastrand::Rng;

/// A run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Everything else follows from it.
    pub(crate) seed: u64,
    /// So many events at least.
    pub(crate) events: u64,
    /// Of so many keys, a few of which have most of the events.
    pub(crate) keys: u64,
    /// There is work and trouble for so long at least.
    pub(crate) lasts: Duration,
    /// How many dispatchers share the work.
    pub(crate) dispatchers: usize,
    /// Producers wait while so many events are to be delivered.
    pub(crate) backlog_max: u64,
    /// What goes wrong; nothing: nothing is sent twice.
    pub(crate) faults: &'static [Fault],
    /// How long nothing goes wrong between two faults, on average.
    pub(crate) pause: Duration,
    /// In the middle of the run the server is lost, and its standby takes its place.
    pub(crate) has_failover: bool,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL to a dispatcher, and another in its place.
    Kill,
    /// SIGTERM to a dispatcher, and another in its place.
    Terminate,
    /// A dispatcher stands still, perhaps for longer than its lease.
    Freeze,
    /// All connections of a dispatcher are reset.
    Reset,
    /// The answer to a settle is lost.
    LoseSettle,
    /// The answer to the commit of a routing is lost.
    LoseRouting,
    /// The sessions of all dispatchers are ended.
    EndSessions,
    /// A stranger holds deliveries, heads and followers.
    HoldDeliveries,
    /// A stranger holds events, routed or not.
    HoldEvents,
    /// The endpoint is paused.
    Pause,
    /// `pg_ctl stop -m fast`, and started again.
    StopServer,
    /// SIGKILL to the postmaster, and started again.
    KillServer,
}

impl Fault {
    /// All of them.
    pub(crate) const ALL: &[Self] = &[
        Self::Kill,
        Self::Terminate,
        Self::Freeze,
        Self::Reset,
        Self::LoseSettle,
        Self::LoseRouting,
        Self::EndSessions,
        Self::HoldDeliveries,
        Self::HoldEvents,
        Self::Pause,
        Self::StopServer,
        Self::KillServer,
    ];
}

/// A fault in the schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    /// Since the one before it was healed.
    pub(crate) after: Duration,
    pub(crate) fault: Fault,
    /// Which dispatcher, counted round.
    pub(crate) target: usize,
    pub(crate) lasts: Duration,
}

impl Plan {
    /// Whether a key belongs to the topic that the endpoint `few` receives, too.
    pub(crate) fn is_of_few(key: u64) -> bool {
        key.is_multiple_of(10)
    }

    /// Chance for one producer.
    pub(crate) fn chance(&self, number: u64) -> Rng {
        Rng::with_seed(Rng::with_seed(self.seed).u64(..) ^ number)
    }

    /// A number below `below` that is always the same for an attempt.
    pub(crate) fn dice(seed: u64, key: &str, number: u64, attempt: u64, below: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (seed, key, number, attempt).hash(&mut hasher);
        hasher.finish() % below
    }

    /// The faults, one after the other, without end. They are dealt like cards: each comes before one comes again.
    pub(crate) fn schedule(&self) -> impl Iterator<Item = Planned> + use<> {
        let (faults, pause) = (self.faults, self.pause);
        let mut rng = Rng::with_seed(self.seed);
        let mut deck = Vec::new();
        std::iter::from_fn(move || {
            if deck.is_empty() {
                deck = faults.to_vec();
                rng.shuffle(&mut deck);
            }
            let fault = deck.pop()?;
            let ms = match fault {
                Fault::Freeze => 300..6_000,
                Fault::HoldDeliveries | Fault::HoldEvents | Fault::Pause => 500..4_000,
                Fault::LoseSettle | Fault::LoseRouting => 300..1_000,
                Fault::Kill | Fault::Terminate | Fault::StopServer | Fault::KillServer => 0..1_000,
                Fault::Reset | Fault::EndSessions => 0..1,
            };
            Some(Planned {
                after: pause.mul_f64(0.5 + rng.f64()),
                fault,
                target: rng.usize(..1_000),
                lasts: Duration::from_millis(rng.u64(ms)),
            })
        })
    }
}
