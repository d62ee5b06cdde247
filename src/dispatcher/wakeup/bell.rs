//! The bell: wake-ups without a NOTIFY per commit. One advisory lock says whether somebody sleeps.
//!
//! A producer's trigger tries to lock it in shared mode:
//! - It gets the lock: a dispatcher is awake, and will look again after that transaction. Nothing is sent.
//! - It is refused: the leader sleeps with the bell armed. The producer rings (NOTIFY).
//!
//! A leader that found nothing tries to lock it exclusively:
//! - It is refused: a producer that did not ring is still in flight. The leader naps and looks again.
//! - It gets the lock: it looks **once more**, and only then sleeps.
//!
//! PostgreSQL makes a commit visible before it releases the transaction's locks. So a leader that holds the bell sees every row
//! of every producer that did not ring. `tests/it/events/bell_model.rs` searches all interleavings: without the second look, or
//! without the lock check, a wake-up is lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_postgres::{Client, Statement as Prepared};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::store::{WakeMode, WakeState, session};

/// The listening connection is given up when it does not answer within this.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// The dispatcher's half of the bell, and the signal "look now".
#[derive(Debug)]
pub struct Bell {
    look: watch::Sender<u64>,
    state: Mutex<BellState>,
    /// Notified when the wake mode, the leadership, or the dispatchers beside this one change.
    changed: Notify,
}

#[derive(Debug)]
struct BellState {
    session: Option<Arc<ListenSession>>,
    wake: WakeState,
}

/// The listening connection while it is proven to work: session locks end with it.
#[derive(Debug)]
pub struct ListenSession {
    client: Client,
    statements: Statements,
    is_leader: AtomicBool,
    /// Cancelled when the connection does not answer any more.
    broken: CancellationToken,
}

/// The statements of the listening connection, prepared once.
#[derive(Debug)]
struct Statements {
    take_leadership: Prepared,
    arm_bell: Prepared,
    disarm_bell: Prepared,
    ring: Prepared,
}

/// Whether this dispatcher may sleep until it is rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Armed {
    /// It may, after it has looked once more: producers ring from now on.
    Yes,
    /// A producer that did not ring is in flight: nap and look again.
    ProducersInFlight,
    /// Another dispatcher leads, or there is no listening connection: sleep until rung or until the poll.
    NotOurs,
}

impl Bell {
    /// A bell without a listening connection: nothing rings yet.
    pub fn new(wake: WakeState) -> Self {
        Self {
            look: watch::Sender::new(0),
            state: Mutex::new(BellState { session: None, wake }),
            changed: Notify::new(),
        }
    }

    /// Says "look now" to this dispatcher; kept until it looks.
    pub fn look_now(&self) {
        self.look.send_modify(|times| *times = times.wrapping_add(1));
    }

    /// Hears "look now".
    pub fn looks(&self) -> watch::Receiver<u64> {
        self.look.subscribe()
    }

    /// How this dispatcher is woken at the moment.
    pub fn wake_state(&self) -> WakeState {
        self.lock().wake.clone()
    }

    /// Whether this dispatcher arms the bell.
    pub fn is_leader(&self) -> bool {
        self.session().is_some_and(|session| session.is_leader.load(Ordering::Relaxed))
    }

    /// A listening connection is proven to work.
    pub fn connect(&self, session: Arc<ListenSession>) {
        let mut state = self.lock();
        state.session = Some(session);
        state.wake = WakeState { mode: WakeMode::Notify, reason: None };
        drop(state);
        self.changed.notify_one();
        // After LISTEN, not before: a row in between would be missed.
        self.look_now();
    }

    /// The listening connection is gone, and its locks with it.
    pub fn disconnect(&self, reason: &str) {
        let mut state = self.lock();
        state.session = None;
        state.wake = WakeState { mode: WakeMode::Poll, reason: Some(reason.to_owned()) };
        drop(state);
        self.changed.notify_one();
    }

    /// The dispatchers beside this one may be others than before.
    pub fn count_again(&self) {
        self.changed.notify_one();
    }

    /// Waits until the wake mode, the leadership, or maybe the number of dispatchers changed since the last wait.
    ///
    /// # Cancel safety
    /// A change is kept for the next call.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Tries to become the leader, unless it is.
    pub async fn seek_leadership(&self) {
        let Some(session) = self.session() else { return };
        if !session.is_leader.load(Ordering::Relaxed)
            && session.ask(&session.statements.take_leadership).await == Some(true)
        {
            session.is_leader.store(true, Ordering::Relaxed);
            self.changed.notify_one();
            // A dispatcher that went to sleep before it led did not arm the bell.
            self.look_now();
            info!("leading: this dispatcher arms the bell");
        }
    }

    /// Tries to arm the bell. After [`Armed::Yes`] the caller looks once more before it sleeps, and disarms on waking.
    pub async fn arm(&self) -> Armed {
        let Some(session) = self.session() else {
            return Armed::NotOurs;
        };
        if !session.is_leader.load(Ordering::Relaxed) {
            return Armed::NotOurs;
        }
        match session.ask(&session.statements.arm_bell).await {
            Some(true) => Armed::Yes,
            Some(false) => Armed::ProducersInFlight,
            None => Armed::NotOurs,
        }
    }

    /// Disarms the bell: beside the first look on waking. If that fails the connection ends, and its locks with it.
    pub async fn disarm(&self) {
        if let Some(session) = self.session() {
            session.ask(&session.statements.disarm_bell).await;
        }
    }

    /// Wakes the other dispatchers. While the leader is awake producers are silent, so idle siblings hear of work only from the
    /// leader, or from a dispatcher that leaves deliveries to them. Returns whether it rang.
    pub async fn ring(&self) -> bool {
        let Some(session) = self.session() else { return false };
        session.ask(&session.statements.ring).await.is_some()
    }

    fn session(&self) -> Option<Arc<ListenSession>> {
        self.lock().session.clone()
    }

    fn lock(&self) -> MutexGuard<'_, BellState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ListenSession {
    /// Wraps a listening connection; `broken` is cancelled when it stops answering.
    ///
    /// # Errors
    /// When a statement cannot be prepared.
    pub async fn new(client: Client, broken: CancellationToken) -> Result<Self, tokio_postgres::Error> {
        let statements = Statements {
            take_leadership: client.prepare(session::TAKE_LEADERSHIP.sql).await?,
            arm_bell: client.prepare(session::ARM_BELL.sql).await?,
            disarm_bell: client.prepare(session::DISARM_BELL.sql).await?,
            ring: client.prepare(session::RING.sql).await?,
        };
        Ok(Self { client, statements, is_leader: AtomicBool::new(false), broken })
    }

    /// Whether the server still answers.
    pub async fn is_alive(&self) -> bool {
        let check = tokio::time::timeout(ANSWER_DEADLINE, self.client.check_connection()).await;
        matches!(check, Ok(Ok(())))
    }

    /// Runs a statement whose first column says yes or no. `None` if the connection is broken.
    async fn ask(&self, statement: &Prepared) -> Option<bool> {
        let rows = tokio::time::timeout(ANSWER_DEADLINE, self.client.query(statement, &[])).await;
        let Ok(Ok(rows)) = rows else {
            self.broken.cancel();
            return None;
        };
        Some(rows.first().and_then(|row| row.try_get::<_, bool>(0).ok()).unwrap_or(true))
    }
}
