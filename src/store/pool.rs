//! The pool of connections that statements run on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, RecycleError, RecycleResult, Timeouts};
use deadpool_postgres::ClientWrapper;

use super::{ConnectError, DatabaseUrl, Session};

pub(super) type Pool = managed::Pool<Opener>;
pub(super) type PoolError = managed::PoolError<ConnectError>;

/// Opens connections, one at a time (see `connect/throttle.rs`), and gives up those that are closed.
#[derive(Debug)]
pub(super) struct Opener {
    url: DatabaseUrl,
    session: Session,
    /// What each transaction begins with behind a transaction pooler.
    beginning: Arc<str>,
    opened: AtomicU64,
}

impl Opener {
    /// What each transaction begins with behind a transaction pooler.
    pub(super) fn beginning(&self) -> Arc<str> {
        Arc::clone(&self.beginning)
    }

    /// How many connections were opened so far.
    pub(super) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Acquire)
    }
}

/// A pool of at most `connections_max` connections. It opens its first connection later.
///
/// # Errors
/// When it cannot be built.
pub(super) fn pool(
    url: &DatabaseUrl,
    session: Session,
    connections_max: usize,
) -> Result<Pool, managed::BuildError> {
    // `create` has no timeout here: `DatabaseUrl::open` has a deadline of its own.
    let timeouts = Timeouts { wait: Some(session.deadline()), create: None, recycle: None };
    let beginning = url.beginning(session).into();
    Pool::builder(Opener { url: url.clone(), session, beginning, opened: AtomicU64::new(0) })
        .max_size(connections_max)
        .timeouts(timeouts)
        .runtime(Runtime::Tokio1)
        .build()
}

impl managed::Manager for Opener {
    type Type = ClientWrapper;
    type Error = ConnectError;

    async fn create(&self) -> Result<ClientWrapper, ConnectError> {
        // Boxed: a handshake is much larger than the statement that waits for it.
        let client = Box::pin(self.url.open(self.session)).await?;
        self.opened.fetch_add(1, Ordering::AcqRel);
        Ok(client)
    }

    async fn recycle(&self, client: &mut ClientWrapper, _: &Metrics) -> RecycleResult<ConnectError> {
        if client.is_closed() { Err(RecycleError::message("closed")) } else { Ok(()) }
    }
}
