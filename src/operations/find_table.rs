//! Finds the table that somebody means: with or without its schema, and with a guess where there is none.

use thiserror::Error;

use crate::rules::did_you_mean::nearest;
use crate::store::{AttachedTableRow, Store, StoreError};

/// Tables that a guess looks at.
const GUESSES_MAX: i64 = 10_000;

/// Why a name means no table.
#[derive(Debug, Error)]
pub enum TableError {
    /// There is no such table, or the role may not look into its schema.
    #[error("table \"{name}\" does not exist{}", did_you_mean(.meant.as_deref()))]
    Unknown {
        /// As it was given.
        name: String,
        /// The table that was meant, perhaps.
        meant: Option<String>,
    },
    /// Tables of several schemas have that name.
    #[error("table \"{name}\" stands in several schemas: name one of {}", .tables.join(", "))]
    Several {
        /// As it was given.
        name: String,
        /// The first of them, with their schemas.
        tables: Vec<String>,
    },
    /// The table is there, and not attached.
    #[error("table {0} is not attached")]
    NotAttached(String),
    /// The database did not say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Finds a table by its name, `orders` or `app.orders`. Returns schema and name, as the store takes them.
///
/// # Errors
/// [`TableError`].
pub(crate) async fn find_table(store: &Store, name: &str) -> Result<String, TableError> {
    let mut tables = store.resolve_table(name).await?;
    match (tables.pop(), tables.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            tables.push(last);
            Err(TableError::Several { name: name.to_owned(), tables })
        }
        (None, _) => Err(TableError::Unknown { name: name.to_owned(), meant: guess(store, name).await }),
    }
}

/// Finds an attached table by its name.
///
/// # Errors
/// [`TableError`].
pub(crate) async fn find_attached_table(store: &Store, name: &str) -> Result<AttachedTableRow, TableError> {
    let relation = find_table(store, name).await?;
    let row = store.read_attached_table(&relation).await?;
    row.ok_or(TableError::NotAttached(relation))
}

async fn guess(store: &Store, name: &str) -> Option<String> {
    let bare = name.rsplit_once('.').map_or(name, |(_, bare)| bare);
    let known = store.list_similar_tables(bare, GUESSES_MAX).await.ok()?;
    let meant = nearest(bare, known.iter().map(|(name, _)| name.as_str()))?;
    known.iter().find(|(name, _)| name == meant).map(|(_, relation)| relation.clone())
}

fn did_you_mean(meant: Option<&str>) -> String {
    meant.map(|meant| format!(", did you mean {meant}?")).unwrap_or_default()
}
