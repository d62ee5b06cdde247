//! Attaches a table, and tells what was done and how the table is now.

use serde::Serialize;
use utoipa::ToSchema;

use super::find_table::TableError;
use crate::store::{AttachedTableRow, CheckedTable, PutResult, Store, WrittenTable};

/// A table after it was attached.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PutTable {
    /// The table as it is now.
    #[serde(flatten)]
    pub table: AttachedTableRow,
    /// The result of the request.
    pub result: PutResult,
    /// A line for each setting that was changed.
    #[schema(example = json!(["topic: order.changed -> order.{op}"]))]
    pub changes: Vec<String>,
    /// What was granted now, so that the status can be written.
    #[schema(example = json!(["usage on schema app to postrider_dispatcher"]))]
    pub granted: Vec<String>,
    /// What whoever attaches it should know, as that there is no such endpoint.
    #[schema(example = json!(["there is no endpoint \"devices\" yet: until there is, its events fail"]))]
    pub notes: Vec<String>,
}

/// Attaches a table, or changes how it is attached. `relation` is a name as `find_table` returns it.
///
/// # Errors
/// [`TableError`].
pub(crate) async fn put_table(
    store: &Store,
    relation: &str,
    table: &CheckedTable,
) -> Result<PutTable, TableError> {
    let WrittenTable { result, changes, granted, notes, .. } = store.attach_table(relation, table).await?;
    let row = store.read_attached_table(relation).await?;
    let row = row.ok_or_else(|| TableError::NotAttached(relation.to_owned()))?;
    Ok(PutTable { table: row, result, changes, granted, notes })
}
