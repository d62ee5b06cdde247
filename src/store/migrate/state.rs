//! What a database has of a schema: the version of its tables, and which functions and views were applied.

use serde::Deserialize;

use super::schema::Schema;
use super::script::{APPLIED_BY, STAMP};
use super::{HISTORY_TABLE, MigrateError, grants, value_of};
use crate::store::statements::{
    FIND_HISTORY, FIND_TABLES, LIST_MISSING_GRANTS, LIST_OBJECTS, LIST_SILENT_TRIGGERS, READ_OWNER,
};
use tokio_postgres::Client;

/// Everything that tells whether there is something to migrate.
#[derive(Debug)]
pub(super) struct State {
    /// Of the tables; 0: there is no schema.
    pub(super) version: i32,
    objects: Vec<AppliedObject>,
    /// Rows that a migration inserts and that are missing. `None` if they are there.
    pub(super) lost: Option<Lost>,
    /// Everything that is missing beside rows. Empty if this role could not put it back.
    flaws: Vec<Flaw>,
}

/// A grant, or a trigger that fires, that a migration made and that is missing.
#[derive(Debug, Deserialize)]
struct Flaw {
    what: String,
    is_grant: bool,
}

/// The rows and marks that a copy without rows, or emptied tables, lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The history: the tables are of this version. `None` if nothing tells their version.
    History(Option<i32>),
    /// The one row of the installation.
    Installation,
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
        let mut state = Self { version, objects: Vec::new(), lost: None, flaws: Vec::new() };
        if version == 0 {
            state.lost = lost_history(client).await?;
        } else if version == schema.version() {
            let text = value_of(client, LIST_OBJECTS.sql).await?;
            state.objects = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
            let row = value_of(client, "select 1 from postrider.installation").await?;
            state.lost = row.is_none().then_some(Lost::Installation);
            state.flaws = flaws(client, schema).await?;
        }
        Ok(state)
    }

    /// Whether nothing is to be done.
    pub(super) fn is(&self, schema: &Schema) -> bool {
        self.version == schema.version()
            && self.lost.is_none()
            && self.flaws.is_empty()
            && self.differences(schema).is_empty()
    }

    /// Everything that a migration puts back, in words, one a line.
    pub(super) fn put_back(&self) -> Vec<String> {
        let rows = match self.lost {
            Some(Lost::History(_)) => Some("rows of the history and of the installation that were missing"),
            Some(Lost::Installation) => Some("the row of the installation, which was missing"),
            None => None,
        };
        let grants = self.flaws.iter().filter(|flaw| flaw.is_grant).count();
        let grants = (grants > 0).then(|| format!("grants that were missing ({grants})"));
        let triggers = self.flaws.iter().filter(|flaw| !flaw.is_grant);
        let triggers = triggers.map(|flaw| format!("trigger {}, which did not fire", flaw.what));
        rows.map(str::to_owned).into_iter().chain(grants).chain(triggers).collect()
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

/// Whether there are tables without a history, and of which version they are.
async fn lost_history(client: &Client) -> Result<Option<Lost>, MigrateError> {
    let stamp = value_of(client, FIND_TABLES.sql).await?;
    Ok(stamp.map(|stamp| {
        Lost::History(stamp.strip_prefix(STAMP).and_then(|version| version.trim().parse().ok()))
    }))
}

/// Grants and triggers that are missing, if the schema is this role's.
async fn flaws(client: &Client, schema: &Schema) -> Result<Vec<Flaw>, MigrateError> {
    if value_of(client, READ_OWNER.sql).await?.is_some() {
        return Ok(Vec::new());
    }
    let wanted = format!("$wanted${}$wanted$", grants::wanted(schema));
    let grants = LIST_MISSING_GRANTS.sql.replace("$1", &wanted);
    // A trigger that somebody dropped comes back with a migration of its own, and not here.
    let triggers = LIST_SILENT_TRIGGERS.sql;
    let query = format!(
        "select json_agg(f) from (select m.missing as what, true as is_grant from (\n{grants}\n) as m union all \
         select s.trigger, false from (\n{triggers}\n) as s where not s.is_missing \
         and (s.trigger not like 'foreign key %' \
              or (select r.rolsuper from pg_roles as r where r.rolname = current_user))) as f"
    );
    let text = value_of(client, &query).await?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
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
