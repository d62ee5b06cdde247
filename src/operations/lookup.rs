//! Says of an id that nothing has it, in the same words for command line and API; proposes the nearest endpoint.

use thiserror::Error;

use crate::rules::did_you_mean::nearest;
use crate::store::{DatabaseRefusal, DeliveryFilter, DeliveryPage, EndpointRow, Store, StoreError, refusal};
use crate::validation::shorten;

/// Endpoints that a guess looks at.
const GUESSES_MAX: i64 = 10_000;

/// An endpoint that does not exist.
#[derive(Debug, Error)]
#[error("endpoint \"{}\" does not exist{}", shorten(.id), did_you_mean(.meant.as_deref()))]
pub struct UnknownEndpoint {
    /// The id that the caller gave.
    id: String,
    /// The endpoint that was meant, perhaps.
    meant: Option<String>,
}

impl UnknownEndpoint {
    /// Guesses which one was meant. A producer may not read the endpoints, so it gets no guess.
    pub(crate) async fn new(store: &Store, id: &str) -> Self {
        let known = store.list_similar_endpoints(id, GUESSES_MAX).await.unwrap_or_default();
        Self { id: id.to_owned(), meant: nearest_id(id, &known).map(str::to_owned) }
    }
}

/// Why nothing was done or shown for an id.
#[derive(Debug, Error)]
pub enum LookupError {
    /// There is no such endpoint.
    #[error(transparent)]
    Endpoint(#[from] UnknownEndpoint),
    /// There is no such event.
    #[error("event {0} does not exist")]
    Event(i64),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Passes on what the database did to an endpoint. If it does not know the endpoint, the error proposes the nearest id.
///
/// # Errors
/// [`LookupError`].
pub(crate) async fn known<T>(store: &Store, id: &str, done: Result<T, StoreError>) -> Result<T, LookupError> {
    match done {
        Err(fault) if refusal(&fault) == Some(DatabaseRefusal::Unknown) => {
            Err(UnknownEndpoint::new(store, id).await.into())
        }
        done => Ok(done?),
    }
}

/// Reads an endpoint that is expected to exist.
///
/// # Errors
/// [`LookupError`].
pub(crate) async fn existing_endpoint(store: &Store, id: &str) -> Result<EndpointRow, LookupError> {
    match store.read_endpoint(id).await? {
        Some(row) => Ok(row),
        None => Err(UnknownEndpoint::new(store, id).await.into()),
    }
}

/// Reads a page of deliveries. An endpoint or an event that does not exist is no empty page. A deleted endpoint exists as long as
/// its deliveries.
///
/// # Errors
/// [`LookupError`].
pub(crate) async fn list_deliveries(
    store: &Store,
    filter: &DeliveryFilter,
    rows_max: i64,
) -> Result<DeliveryPage, LookupError> {
    let page = store.list_deliveries(filter, rows_max).await?;
    if let Some(id) = &filter.endpoint_id
        && !page.has_endpoint
    {
        return Err(UnknownEndpoint::new(store, id).await.into());
    }
    match filter.event_id {
        Some(id) if !page.has_event => Err(LookupError::Event(id)),
        _ => Ok(page),
    }
}

fn nearest_id<'a>(given: &str, known: &'a [String]) -> Option<&'a str> {
    let known = || known.iter().map(String::as_str);
    known().find(|id| id.eq_ignore_ascii_case(given)).or_else(|| nearest(given, known()))
}

fn did_you_mean(meant: Option<&str>) -> String {
    meant.map(|meant| format!(", did you mean \"{meant}\"?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_id_is_one_of_the_same_letters_or_of_one_other_letter() {
        let known = ["billing".to_owned(), "orders".to_owned(), "orders-eu".to_owned()];

        for (given, meant) in [
            ("orderz", Some("orders")),
            ("ORDERS", Some("orders")),
            ("Orders-EU", Some("orders-eu")),
            ("biling", Some("billing")),
            ("customers", None),
        ] {
            assert_eq!(nearest_id(given, &known), meant, "{given}");
        }
    }
}
