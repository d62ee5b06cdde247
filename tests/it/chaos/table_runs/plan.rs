//! What a seed means: what sessions do, and the schedule of faults. How their statements meet is up to the machine.

use std::time::Duration;

use fastrand::Rng;

/// A run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Everything else follows from it.
    pub(crate) seed: u64,
    /// How long there is work and trouble.
    pub(crate) lasts: Duration,
    /// And both go on until so many transactions of users are done.
    pub(crate) transactions: u64,
    /// How many dispatchers share the work.
    pub(crate) dispatchers: usize,
    /// Sessions that change rows whose changes are decoded, too.
    pub(crate) writers: u64,
    /// Sessions that lock and change rows that get the status of their events.
    pub(crate) users: u64,
    /// What goes wrong.
    pub(crate) faults: &'static [Fault],
    /// How long nothing goes wrong between two faults, on average.
    pub(crate) pause: Duration,
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
    /// The sessions of all dispatchers are ended.
    EndSessions,
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
        Self::EndSessions,
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
    /// Chance for one session.
    pub(crate) fn chance(&self, role: u64, number: u64) -> Rng {
        let mixed = Rng::with_seed(self.seed ^ (role << 32)).u64(..);
        Rng::with_seed(mixed ^ number)
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
