//! Statements of `postrider doctor` about strangers in the schema: names, owners, rights, roles, locks. They read PostgreSQL's
//! own catalogs.

use super::migrate::Schema;
use super::row::Row;
use super::statements::{
    LIST_BELL_HOLDERS, LIST_FOREIGN_NAMES, LIST_FOREIGN_RIGHTS, LIST_MISSING_GRANTS,
    LIST_REFUSING_PUBLICATIONS, LIST_SHARING_DATABASES, LIST_SILENT_TRIGGERS, LIST_STRANGE_OWNERS,
    READ_OUTBOX_SECURITY, READ_OWNER,
};
use super::{Store, StoreError};

/// Something of the schema that depends on something outside of it, and of PostgreSQL.
#[derive(Clone, Debug)]
pub struct ForeignName {
    /// The object that depends, in words.
    pub object: String,
    /// The object that it depends on.
    pub depends_on: String,
    /// The owner of that. `None` if it has no owner, or is the first superuser's.
    pub owner: Option<String>,
    /// Whether somebody added it: a trigger, a policy or an operator class.
    pub is_added: bool,
}

/// Something in the schema that is not its owner's.
#[derive(Clone, Debug)]
pub struct StrangeOwner {
    /// The object, in words.
    pub object: String,
    /// Its owner.
    pub owner: String,
}

/// A right in the schema that belongs to neither its owner nor one of our roles.
#[derive(Clone, Debug)]
pub struct ForeignRight {
    /// The right, the object and the role, in words.
    pub held: String,
    /// The command that ends it.
    pub take_back: String,
}

/// A database in which our roles may do something.
#[derive(Clone, Debug)]
pub struct SharingDatabase {
    /// Its name.
    pub name: String,
    /// Whether it is the database that was asked.
    pub is_this: bool,
    /// Whether every role may connect to it.
    pub is_open: bool,
}

/// A session that holds a lock of ours, although it is not a dispatcher.
#[derive(Clone, Debug)]
pub struct BellHolder {
    /// `bell` or `leadership`.
    pub what: String,
    /// Its process id.
    pub pid: i32,
    /// Its role.
    pub role: String,
    /// Its application name. May be empty.
    pub application: String,
}

/// A trigger of ours that does not fire, or not in every session.
#[derive(Clone, Debug)]
pub struct SilentTrigger {
    /// The trigger and its table.
    pub trigger: String,
    /// Whether somebody dropped it.
    pub is_missing: bool,
}

/// A table of ours that a publication keeps from being updated or deleted from, or would keep.
#[derive(Clone, Debug)]
pub struct RefusingPublication {
    /// The table.
    pub table: String,
    /// The publication. `None` if nobody publishes the table yet.
    pub publication: Option<String>,
    /// `identity`, `columns` or `filter`.
    pub reason: String,
}

/// The two guards that keep producers from seeing rows of others in the outbox.
#[derive(Clone, Copy, Debug)]
pub struct OutboxSecurity {
    /// Whether the outbox has row-level security.
    pub is_on: bool,
    /// Whether the policy for producers is there.
    pub has_policy: bool,
}

impl Store {
    /// `sql/statements/rights/read_outbox_security.sql`. `None` if there is no outbox.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_outbox_security(&self) -> Result<Option<OutboxSecurity>, StoreError> {
        let row = self.query_opt(&READ_OUTBOX_SECURITY, &[]).await?;
        row.map(|row| Ok(OutboxSecurity { is_on: row.get("is_on")?, has_policy: row.get("has_policy")? }))
            .transpose()
    }

    /// `sql/statements/rights/list_missing_grants.sql`, compared with the schema of this binary: in words.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_missing_grants(&self) -> Result<Vec<String>, StoreError> {
        let wanted = Schema::of_this_binary().wanted_grants();
        let rows = self.query(&LIST_MISSING_GRANTS, &[&wanted]).await?;
        rows.iter().map(|row| row.get("missing")).collect()
    }

    /// `sql/statements/database/list_silent_triggers.sql`
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_silent_triggers(&self) -> Result<Vec<SilentTrigger>, StoreError> {
        let rows = self.query(&LIST_SILENT_TRIGGERS, &[]).await?;
        let silent = |row: &Row| {
            Ok(SilentTrigger { trigger: row.get("trigger")?, is_missing: row.get("is_missing")? })
        };
        rows.iter().map(silent).collect()
    }

    /// `sql/statements/database/list_refusing_publications.sql`
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_refusing_publications(&self) -> Result<Vec<RefusingPublication>, StoreError> {
        let rows = self.query(&LIST_REFUSING_PUBLICATIONS, &[]).await?;
        let refusing = |row: &Row| {
            Ok(RefusingPublication {
                table: row.get("table_name")?,
                publication: row.get("publication")?,
                reason: row.get("reason")?,
            })
        };
        rows.iter().map(refusing).collect()
    }

    /// `sql/statements/rights/read_owner.sql`
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_owner(&self) -> Result<Option<String>, StoreError> {
        let row = self.query_opt(&READ_OWNER, &[]).await?;
        row.map(|row| row.get("owner")).transpose()
    }

    /// `sql/statements/rights/list_foreign_names.sql`
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_foreign_names(&self) -> Result<Vec<ForeignName>, StoreError> {
        let rows = self.query(&LIST_FOREIGN_NAMES, &[]).await?;
        let name = |row: &Row| {
            Ok(ForeignName {
                object: row.get("object")?,
                depends_on: row.get("depends_on")?,
                owner: row.get("owner")?,
                is_added: row.get("is_added")?,
            })
        };
        rows.iter().map(name).collect()
    }

    /// `sql/statements/rights/list_strange_owners.sql`
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_strange_owners(&self) -> Result<Vec<StrangeOwner>, StoreError> {
        let rows = self.query(&LIST_STRANGE_OWNERS, &[]).await?;
        let owner = |row: &Row| Ok(StrangeOwner { object: row.get("object")?, owner: row.get("owner")? });
        rows.iter().map(owner).collect()
    }

    /// `sql/statements/rights/list_foreign_rights.sql`
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_foreign_rights(&self) -> Result<Vec<ForeignRight>, StoreError> {
        let rows = self.query(&LIST_FOREIGN_RIGHTS, &[]).await?;
        let right = |row: &Row| Ok(ForeignRight { held: row.get("held")?, take_back: row.get("take_back")? });
        rows.iter().map(right).collect()
    }

    /// `sql/statements/database/list_sharing_databases.sql`
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_sharing_databases(&self) -> Result<Vec<SharingDatabase>, StoreError> {
        let rows = self.query(&LIST_SHARING_DATABASES, &[]).await?;
        let database = |row: &Row| {
            Ok(SharingDatabase {
                name: row.get("database")?,
                is_this: row.get("is_this")?,
                is_open: row.get("is_open")?,
            })
        };
        rows.iter().map(database).collect()
    }

    /// `sql/statements/bell/list_bell_holders.sql`
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_bell_holders(&self) -> Result<Vec<BellHolder>, StoreError> {
        let rows = self.query(&LIST_BELL_HOLDERS, &[]).await?;
        let holder = |row: &Row| {
            Ok(BellHolder {
                what: row.get("what")?,
                pid: row.get("pid")?,
                role: row.get("role")?,
                application: row.get("application")?,
            })
        };
        rows.iter().map(holder).collect()
    }
}
