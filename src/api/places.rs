//! Who has a place among the connections of the API. When all are taken, the one that was idle longest gives way, so that
//! whoever comes is heard, probes above all; a request that was let in keeps its place until it has an answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::rules::descriptors::Part;

/// The place of one connection.
#[derive(Clone, Debug)]
pub(super) struct ConnectionPlace(Arc<PlaceShared>);

#[derive(Debug)]
struct PlaceShared {
    state: Mutex<PlaceState>,
    leave: CancellationToken,
    _descriptor: Part,
}

#[derive(Debug)]
struct PlaceState {
    /// Requests of it that were let in and have no answer yet.
    at_work: usize,
    /// Its beginning, or when something was last asked or answered.
    idle_since: Instant,
}

impl ConnectionPlace {
    /// Waits until it has to give way.
    pub(super) async fn left(&self) {
        self.0.leave.cancelled().await;
    }

    /// Something is asked.
    pub(super) fn note_request(&self) {
        self.0.state().idle_since = Instant::now();
    }

    /// A request of it was let in, until this is dropped.
    pub(super) fn work(&self) -> AtWork {
        self.0.state().at_work += 1;
        AtWork(self.clone())
    }
}

impl PlaceShared {
    fn state(&self) -> MutexGuard<'_, PlaceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None: it has work, or leaves already.
    fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.at_work == 0 && !self.leave.is_cancelled()).then_some(state.idle_since)
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct AtWork(ConnectionPlace);

impl Drop for AtWork {
    fn drop(&mut self) {
        let mut state = self.0.0.state();
        state.at_work -= 1;
        state.idle_since = Instant::now();
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct ConnectionPlaces(Vec<Weak<PlaceShared>>);

impl ConnectionPlaces {
    /// A place for a connection, which ends when it is dropped.
    pub(super) fn take(&mut self, descriptor: Part) -> ConnectionPlace {
        // Looked through now and then, those that ended cost nothing.
        if self.0.len() == self.0.capacity() {
            self.0.retain(|place| place.strong_count() > 0);
        }
        let state = Mutex::new(PlaceState { at_work: 0, idle_since: Instant::now() });
        let place = ConnectionPlace(Arc::new(PlaceShared {
            state,
            leave: CancellationToken::new(),
            _descriptor: descriptor,
        }));
        self.0.push(Arc::downgrade(&place.0));
        place
    }

    /// Tells the connection that was idle longest to give way; false: all have work.
    pub(super) fn clear_one(&mut self) -> bool {
        self.0.retain(|place| place.strong_count() > 0);
        let places = self.0.iter().filter_map(Weak::upgrade);
        let idle = places.filter_map(|place| Some((place.idle_since()?, place)));
        let longest = idle.min_by_key(|(since, _)| *since);
        longest.inspect(|(_, place)| place.leave.cancel()).is_some()
    }
}
