//! Refuses an event for an endpoint that does not exist, before it is inserted. The outbox itself takes it: an INSERT of a producer
//! never fails for that. Then it is routed to nobody, is failed, and is counted (`postrider.backlog`).

use thiserror::Error;

use super::lookup::UnknownEndpoint;
use crate::store::{NewEvent, Store, StoreError};

/// Why the destination of an event is refused.
#[derive(Debug, Error)]
pub enum DestinationError {
    /// There is no such endpoint.
    #[error(transparent)]
    Unknown(#[from] UnknownEndpoint),
    /// The database did not say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks that the endpoint exists that an event is for, if it names one. A repeat of an event that was taken before is let through.
///
/// # Errors
/// [`DestinationError`].
pub(crate) async fn check_destination(store: &Store, event: &NewEvent) -> Result<(), DestinationError> {
    let Some(id) = &event.destination else { return Ok(()) };
    if store.find_endpoint(id).await? || is_repeat(store, event).await {
        return Ok(());
    }
    Err(UnknownEndpoint::new(store, id).await.into())
}

/// Whether an event of this idempotency key is known.
async fn is_repeat(store: &Store, event: &NewEvent) -> bool {
    let Some(key) = &event.idempotency_key else { return false };
    store.has_event(key).await.unwrap_or(false)
}
