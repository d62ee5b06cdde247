//! What a database has of a schema: the version of its tables, and which functions and views were applied.

use serde::Deserialize;

use super::schema::Schema;
use super::script::APPLIED_BY;
use super::{HISTORY_TABLE, MigrateError, value_of};
use crate::store::statements::{FIND_HISTORY, LIST_OBJECTS};
use tokio_postgres::Client;

/// Everything that tells whether there is something to migrate.
#[derive(Debug)]
pub(super) struct State {
    /// Of the tables; 0: there is no schema.
    pub(super) version: i32,
    objects: Vec<AppliedObject>,
}

/// A function or view that is there, and what made it.
#[derive(Debug, Deserialize)]
struct AppliedObject {
    kind: String,
    name: String,
    digest: String,
    applied_by: String,
}

impl State {
    /// Reads it without a prepared statement: a pooler may stand in between. Functions and views are read only if the tables
    /// are of the schema's version.
    pub(super) async fn read(client: &Client, schema: &Schema) -> Result<Self, MigrateError> {
        let version = version_of(client).await?;
        let objects = if version == schema.version() {
            let text = value_of(client, LIST_OBJECTS.sql).await?;
            text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
        } else {
            Vec::new()
        };
        Ok(Self { version, objects })
    }

    /// Whether nothing is to be done.
    pub(super) fn is(&self, schema: &Schema) -> bool {
        self.version == schema.version() && self.differences(schema).is_empty()
    }

    /// Functions and views that are not as the schema has them: other ones, missing ones, and those that it has no more.
    pub(super) fn differences(&self, schema: &Schema) -> Vec<String> {
        let is_applied = |(kind, name): (&str, &str), digest: &str| {
            self.objects
                .iter()
                .any(|object| (&*object.kind, &*object.name, &*object.digest) == (kind, name, digest))
        };
        let missing =
            schema.all_objects().filter(|object| !is_applied(object.kind_and_name(), &object.digest()));
        let known = |object: &AppliedObject| {
            schema.all_objects().any(|wanted| wanted.kind_and_name() == (&*object.kind, &*object.name))
        };
        let gone = self.objects.iter().filter(|object| !known(object));
        missing
            .map(ToString::to_string)
            .chain(gone.map(|gone| format!("{} {}", gone.kind, gone.name)))
            .collect()
    }

    /// Refuses what a newer Postrider has made. Functions and views that are the same are nobody's in particular.
    pub(super) fn refuse_newer(&self, schema: &Schema) -> Result<(), MigrateError> {
        if self.version > schema.version() {
            return Err(MigrateError::Newer { found: self.version });
        }
        let newest = self.objects.iter().max_by_key(|object| release(&object.applied_by));
        match newest {
            Some(newest)
                if release(&newest.applied_by) > release(APPLIED_BY)
                    && !self.differences(schema).is_empty() =>
            {
                Err(MigrateError::NewerObjects { by: newest.applied_by.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// The schema version of the database; 0: no schema.
pub(super) async fn version_of(client: &Client) -> Result<i32, MigrateError> {
    // In the catalog, which everybody may read: in a schema of somebody else there may be nothing for us, and no right to look.
    // To look into what only seems to be a table would run code of its owner's.
    match value_of(client, FIND_HISTORY.sql).await?.as_deref() {
        None => return Ok(0),
        Some("") => {}
        Some(said) => return Err(MigrateError::ForeignHistory { said: said.to_owned() }),
    }
    let version = value_of(client, &format!("select max(version) from {HISTORY_TABLE}")).await?;
    Ok(version.and_then(|version| version.parse().ok()).unwrap_or_default())
}

/// A version as numbers that can be compared, without what is behind a hyphen.
fn release(version: &str) -> Vec<u64> {
    let (numbers, _) = version.split_once('-').unwrap_or((version, ""));
    numbers.split('.').map(|number| number.parse().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_their_numbers() {
        assert!(release("0.10.0") > release("0.9.12"));
        assert!(release("1.0.0-rc.1") == release("1.0.0"));
    }
}
