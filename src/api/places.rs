//! Places for connections of the API. When all are taken, the connection that was idle longest gives way, so that new
//! clients, health probes above all, are heard. A request that was let in keeps its place until it has its response.

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
    /// Requests that were let in and have no response yet.
    at_work: usize,
    /// When the connection began, or when a request or a response last passed.
    idle_since: Instant,
}

impl ConnectionPlace {
    /// Waits until the connection has to give way.
    pub(super) async fn left(&self) {
        self.0.leave.cancelled().await;
    }

    /// Notes that a request came.
    pub(super) fn note_request(&self) {
        self.0.state().idle_since = Instant::now();
    }

    /// Notes that a request was let in, until this is dropped.
    pub(super) fn work(&self) -> AtWork {
        self.0.state().at_work += 1;
        AtWork(self.clone())
    }
}

impl PlaceShared {
    fn state(&self) -> MutexGuard<'_, PlaceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` if the connection has work, or gives way already.
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

/// The places of all connections.
#[derive(Debug, Default)]
pub(super) struct ConnectionPlaces(Vec<Weak<PlaceShared>>);

impl ConnectionPlaces {
    /// Gives a connection a place, until that is dropped.
    pub(super) fn take(&mut self, descriptor: Part) -> ConnectionPlace {
        // Only when the list would grow: then ended connections cost nothing.
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

    /// Tells the connection that was idle longest to give way. `false` if all have work.
    pub(super) fn clear_one(&mut self) -> bool {
        self.0.retain(|place| place.strong_count() > 0);
        let places = self.0.iter().filter_map(Weak::upgrade);
        let idle = places.filter_map(|place| Some((place.idle_since()?, place)));
        let longest = idle.min_by_key(|(since, _)| *since);
        longest.inspect(|(_, place)| place.leave.cancel()).is_some()
    }
}
