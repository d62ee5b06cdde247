//! The kinds of faults, by what they disturb.

use std::fmt::{self, Debug, Formatter};
use std::time::Duration;

use fastrand::Rng;

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Process(Process),
    Server(Restart),
    Session(Session),
    Network(Network),
    Stranger(Stranger),
}

/// What becomes of a dispatcher's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    /// SIGKILL, and another in its place.
    Kill,
    /// SIGTERM, and another in its place.
    Terminate,
    /// SIGSTOP for less than the lease.
    Freeze,
    /// SIGSTOP for longer than the lease.
    FreezeBeyondLease,
}

/// How the server is taken away before it is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    /// `pg_ctl stop -m fast`.
    StopFast,
    /// `pg_ctl stop -m immediate`.
    StopImmediate,
    /// SIGKILL to the postmaster.
    KillServer,
}

/// What happens inside the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    /// Listening connections are ended.
    EndListeners,
    /// Connections that claim and settle are.
    EndClaimers,
    /// Everything that touches deliveries waits for a lock.
    LockTable,
    /// Dispatchers may not update deliveries.
    Revoke,
    /// An endpoint is paused.
    Pause,
    /// The answer to a producer's commit is lost.
    LoseProducersCommit,
}

/// What is wrong with the way from a dispatcher to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// Slow and shaking.
    Slow,
    /// Narrow, and cut into slices.
    Narrow,
    /// Nothing passes in either direction.
    Hole,
    /// Requests arrive, answers do not.
    HoleDown,
    /// All connections are reset.
    Resets,
    /// All connections are reset, and so is each new one.
    ShutOut,
    /// Connections are reset after some thousand bytes.
    CutMidway,
    /// The answer to the commit of a routing is lost.
    LoseCommit,
    /// The answer to a settle is lost.
    LoseSettle,
    /// Notifications are eaten.
    Deafen,
}

/// What a stranger does in the database, without harm to anybody but those whose rows it touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// Its transaction holds a few deliveries.
    HoldDeliveries,
    /// Its transaction holds a few events.
    HoldEvents,
    /// Its transaction holds an endpoint.
    HoldEndpoint,
    /// Its transaction holds the one row of the installation.
    HoldInstallation,
    /// It has put an endpoint, and does not commit.
    OpenPut,
    /// It has paused an endpoint, and does not commit.
    OpenPause,
    /// Its trigger raises for some deliveries to one endpoint.
    RefuseDeliveries,
    /// Its trigger raises for some events of one topic.
    RefuseEvents,
    /// Its payloads are stored small, and are too large to be sent.
    Swell,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: &[Self] = &[
        Self::Process(Process::Kill),
        Self::Process(Process::Terminate),
        Self::Process(Process::Freeze),
        Self::Process(Process::FreezeBeyondLease),
        Self::Server(Restart::StopFast),
        Self::Server(Restart::StopImmediate),
        Self::Server(Restart::KillServer),
        Self::Session(Session::EndListeners),
        Self::Session(Session::EndClaimers),
        Self::Session(Session::LockTable),
        Self::Session(Session::Revoke),
        Self::Session(Session::Pause),
        Self::Session(Session::LoseProducersCommit),
        Self::Network(Network::Slow),
        Self::Network(Network::Narrow),
        Self::Network(Network::Hole),
        Self::Network(Network::HoleDown),
        Self::Network(Network::Resets),
        Self::Network(Network::ShutOut),
        Self::Network(Network::CutMidway),
        Self::Network(Network::LoseCommit),
        Self::Network(Network::LoseSettle),
        Self::Network(Network::Deafen),
        Self::Stranger(Stranger::HoldDeliveries),
        Self::Stranger(Stranger::HoldEvents),
        Self::Stranger(Stranger::HoldEndpoint),
        Self::Stranger(Stranger::HoldInstallation),
        Self::Stranger(Stranger::OpenPut),
        Self::Stranger(Stranger::OpenPause),
        Self::Stranger(Stranger::RefuseDeliveries),
        Self::Stranger(Stranger::RefuseEvents),
        Self::Stranger(Stranger::Swell),
    ];

    /// Whether it is a stranger's, which costs nobody else anything.
    pub(crate) fn is_strangers(self) -> bool {
        matches!(self, Self::Stranger(_))
    }

    /// Whether an outcome can be lost by it, and a request be made again. A connection that ends, an answer that is
    /// lost, a statement that waits or is refused are no excuse: who made the request is there to write it again.
    pub(crate) fn explains_duplicates(self) -> bool {
        match self {
            Self::Process(_) | Self::Server(_) => true,
            Self::Session(_) | Self::Stranger(_) => false,
            Self::Network(network) => match network {
                Network::Narrow
                | Network::Hole
                | Network::HoleDown
                | Network::ShutOut
                | Network::CutMidway => true,
                Network::Slow
                | Network::Resets
                | Network::LoseCommit
                | Network::LoseSettle
                | Network::Deafen => false,
            },
        }
    }

    /// Whether a request that was begun before it can arrive after the lease.
    pub(crate) fn explains_zombies(self) -> bool {
        matches!(self, Self::Process(Process::Freeze | Process::FreezeBeyondLease))
    }

    /// Whether it makes no sense to end it before its time.
    pub(crate) fn is_whole(self) -> bool {
        self == Self::Process(Process::FreezeBeyondLease)
    }

    /// How long it lasts.
    pub(super) fn lasts(self, rng: &mut Rng) -> Duration {
        let ms = match self {
            Self::Process(Process::Kill | Process::Terminate) => 0..=1_000,
            Self::Process(Process::Freeze) => 300..=2_500,
            Self::Process(Process::FreezeBeyondLease) => 5_000..=9_000,
            Self::Server(_) => 0..=3_000,
            Self::Session(session) => match session {
                Session::EndListeners | Session::EndClaimers => 0..=0,
                Session::LockTable | Session::Revoke => 500..=3_000,
                Session::Pause => 1_000..=5_000,
                Session::LoseProducersCommit => 1_000..=1_000,
            },
            Self::Network(network) => match network {
                Network::Resets => 0..=0,
                Network::LoseCommit | Network::LoseSettle => 1_000..=1_000,
                Network::Slow | Network::Narrow | Network::CutMidway | Network::Deafen => 1_000..=5_000,
                Network::Hole | Network::HoleDown | Network::ShutOut => 1_000..=8_000,
            },
            Self::Stranger(Stranger::Swell) => 0..=0,
            Self::Stranger(_) => 1_000..=30_000,
        };
        Duration::from_millis(rng.u64(ms))
    }
}

impl Debug for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(kind) => kind.fmt(f),
            Self::Server(kind) => kind.fmt(f),
            Self::Session(kind) => kind.fmt(f),
            Self::Network(kind) => kind.fmt(f),
            Self::Stranger(kind) => kind.fmt(f),
        }
    }
}
