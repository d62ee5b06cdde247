//! Refuses an event for an endpoint that does not exist, before it is inserted. The outbox itself takes it: an INSERT of a producer
//! never fails for that. Then it is routed to nobody, is failed, and is counted (`postrider.backlog`).

use thiserror::Error;

use super::lookup::UnknownEndpoint;
use crate::model::endpoint::template_of;
use crate::store::{NewEvent, Store, StoreError};

/// Why the destination of an event is refused.
#[derive(Debug, Error)]
pub enum DestinationError {
    /// There is no such endpoint.
    #[error(transparent)]
    Unknown(#[from] UnknownEndpoint),
    /// It is a template, and an event needs one of its endpoints.
    #[error("endpoint \"{0}\" is a template: an event needs a value for it, as {0}/VALUE")]
    Template(String),
    /// There is the template, and the value does not fit.
    #[error(
        "endpoint \"{id}\" cannot be made: its value does not fit into the url of template \"{template}\""
    )]
    Misfit {
        /// As it was given.
        id: String,
        /// The template.
        template: String,
    },
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
    Err(why_not(store, id).await)
}

/// Why there is no such endpoint. A producer, who may not read the endpoints, learns only that there is none.
async fn why_not(store: &Store, id: &str) -> DestinationError {
    let name = template_of(id).unwrap_or(id);
    let row = store.read_endpoint(name).await.ok().flatten();
    let is_template = row.is_some_and(|row| row.children.is_some());
    match template_of(id) {
        Some(template) if is_template => {
            DestinationError::Misfit { id: id.to_owned(), template: template.to_owned() }
        }
        None if is_template => DestinationError::Template(id.to_owned()),
        _ => UnknownEndpoint::new(store, id).await.into(),
    }
}

/// Whether an event of this idempotency key is known.
async fn is_repeat(store: &Store, event: &NewEvent) -> bool {
    let Some(key) = &event.idempotency_key else { return false };
    store.has_event(key).await.unwrap_or(false)
}
