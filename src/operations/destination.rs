//! Refuses an event for an endpoint that does not exist, before it is inserted. The outbox itself takes it: an INSERT of a producer
//! never fails for that. Then it is routed to nobody, is failed, and is counted (`postrider.backlog`).

use thiserror::Error;

use crate::model::endpoint::template_of;
use crate::rules::did_you_mean::nearest;
use crate::store::{NewEvent, Store, StoreError};

/// Endpoints that a guess looks at.
const GUESSES_MAX: i64 = 10_000;

/// Why the destination of an event is refused.
#[derive(Debug, Error)]
pub enum DestinationError {
    /// There is no such endpoint.
    #[error("endpoint \"{id}\" does not exist{}", did_you_mean(.meant.as_deref()))]
    Unknown {
        /// As it was given.
        id: String,
        /// The endpoint that was meant, perhaps.
        meant: Option<String>,
    },
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
        _ => DestinationError::Unknown { id: id.to_owned(), meant: guess_endpoint(store, id).await },
    }
}

/// Whether an event of this idempotency key is known.
async fn is_repeat(store: &Store, event: &NewEvent) -> bool {
    let Some(key) = &event.idempotency_key else { return false };
    store.has_event(key).await.unwrap_or(false)
}

/// The endpoint that was meant by an id that does not exist. `None` too for a producer, who may not read the endpoints.
pub(crate) async fn guess_endpoint(store: &Store, id: &str) -> Option<String> {
    let known = store.list_similar_endpoints(id, GUESSES_MAX).await.ok()?;
    nearest_id(id, &known).map(str::to_owned)
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
