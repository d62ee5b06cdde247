//! The files that make up the schema, compiled in, and the order in which they are applied: those under `sql/schema/`, and later
//! versioned migrations.
//!
//! ```text
//! roles ──> functions that tables call ──> tables: migrations, once each ──> functions and views
//!           └──────────────── made again when their text changes ───────────────────┘
//! ```

use std::borrow::Cow;
use std::fmt;

use refinery::Migration;
use ring::digest::{SHA256, digest};

/// The schema version that this binary was written for.
pub const SCHEMA_VERSION: i32 = 1;

/// The first migration: tables, types and their grants, by subject. Until the first release a change of a table is made there;
/// afterwards by a file of its own under `sql/migrations/`, which follows here.
const TABLES: &str = concat!(
    include_str!("../../../sql/schema/types.sql"),
    "\n",
    include_str!("../../../sql/schema/installation.sql"),
    "\n",
    include_str!("../../../sql/schema/outbox.sql"),
    "\n",
    include_str!("../../../sql/schema/endpoint.sql"),
    "\n",
    include_str!("../../../sql/schema/dispatcher.sql"),
    "\n",
    include_str!("../../../sql/schema/delivery.sql"),
    "\n",
    include_str!("../../../sql/schema/circuit.sql"),
    "\n",
    include_str!("../../../sql/schema/statistics.sql"),
    "\n",
    include_str!("../../../sql/schema/attachment.sql"),
);

/// Versioned migrations: applied once, in this order, and never edited once they are released.
const MIGRATIONS: [(&str, &str); 1] = [("V1__schema", TABLES)];

macro_rules! objects {
    ($($kind:ident $name:literal)*) => {
        &[$((
            stringify!($kind),
            $name,
            include_str!(concat!("../../../sql/schema/", stringify!($kind), "s/", $name, ".sql")),
        )),*]
    };
}

/// A kind, a name, and the text of a file.
type File = (&'static str, &'static str, &'static str);

/// Functions that CHECKs, triggers and defaults of tables call. They are made before the tables, so they need none to be made.
const FOUNDATIONS: &[File] = objects! {
    function "are_headers_valid"
    function "are_topic_patterns"
    function "is_retry_schedule"
    function "is_sealed"
    function "is_signing_secret"
    function "is_signing_key"
    function "is_auth"
    function "is_pem"
    function "is_template"
    function "is_endpoint_url"
    function "bell_key"
    function "ring"
    function "size_payload"
    function "stamp_transaction"
    function "endpoint_changed"
    function "forget_circuit"
    function "note_row"
    function "judge_attachment"
    function "attachment_changed"
    function "server_identity"
};

/// The other functions and the views. One that is built on another comes after it.
const OBJECTS: &[File] = objects! {
    function "leader_key"
    function "readable"
    function "is_payload_small"
    function "payload_size"
    function "webhook_id"
    function "random_secret"
    function "existing_endpoint"
    function "short_interval"
    function "changed_settings"
    function "is_host_open"
    function "write_endpoint"
    function "put_endpoint"
    function "set_endpoint"
    function "pause_endpoint"
    function "resume_endpoint"
    function "delete_endpoint"
    function "rotate_secret"
    function "forget_endpoints"
    function "child_url"
    function "make_children"
    function "forget_secrets"
    function "topic_regex"
    function "order_key"
    function "open_lanes"
    function "make_pending"
    function "retry"
    function "check_up_to"
    function "retry_failed"
    function "replay"
    function "cancel"
    function "give_up_deliveries"
    function "skip_deliveries"
    function "skip"
    function "skip_key"
    function "retry_set_aside"
    function "webhook_id_of"
    function "event_with_key"
    function "publish"
    function "insert_new_event"
    function "has_endpoint"
    function "routed_below"
    function "note_restore"
    function "why_not_at_home"
    function "take_home"
    function "require_home"
    function "forsake_work"
    function "adopt"
    function "expect_move"
    function "lagging_sequences"
    function "mend_sequences"
    function "base_type"
    function "is_as_attached"
    function "foreign_actions"
    function "is_resumed"
    function "refuse_event"
    function "captured_columns"
    function "captured_place"
    function "captured_row"
    function "captured_nulls"
    function "captured_key"
    function "captured_text"
    function "captured_template"
    function "captured_record"
    function "captured_payload"
    function "captured_told"
    function "captured_filter"
    function "captured_last"
    function "captured_values"
    function "captured_present"
    function "capture_pairs"
    function "capture_event"
    function "capture_now"
    function "captured_here"
    function "capture_one_by_one"
    function "capture_branch"
    function "capture_truncate"
    function "capture_name"
    function "capture_code"
    function "wanted_triggers"
    function "capture_triggers"
    function "unwanted_triggers"
    function "start_backfill"
    function "is_backfill_ahead"
    function "is_row_fault"
    function "owners_function"
    function "require_same_path"
    function "hiding_policy"
    function "send_backfilled"
    function "make_backfill_batch"
    function "note_backfill_fault"
    function "step_backfill"
    function "backfill_code"
    function "grant_capture"
    function "nearest_name"
    function "column_type"
    function "template_columns"
    function "check_column"
    function "require_owner"
    function "check_attachable"
    function "plan_attachment"
    function "try_attachment"
    function "existing_attachment"
    function "changed_attachment"
    function "attachment_notes"
    function "lacking_rights"
    function "grant_lacking"
    function "write_code"
    function "attachment_script"
    function "attachment_ddl"
    function "drop_capture"
    function "lock_holders"
    function "lock_table"
    function "lock_attachment"
    function "write_attachment"
    function "attach_table"
    function "detach_table"
    function "pause_table"
    function "resume_table"
    function "count_rows_to_send"
    function "row_access"
    function "write_obstacle"
    function "write_back"
    view "claimed_delivery"
    view "waiting_delivery"
    function "forget_children"
    function "revive_children"
    view "live_endpoint"
    view "full_endpoint"
    view "overdue"
    view "endpoint_condition"
    view "delivery_status"
    view "delivery_in_progress"
    view "attempt_log"
    view "endpoint_health"
    view "backlog"
    view "dispatcher_status"
    view "set_aside"
    view "blocked_keys"
    view "new_event"
    view "endpoint_version"
    view "installation_status"
    view "backfill_progress"
    view "capture_right"
    view "capture_holder"
    view "capture_owner"
    view "attachment_problem"
    view "attached_table"
};

/// A function or a view, and the text that makes it.
#[derive(Debug, Clone)]
pub struct SchemaObject {
    /// `function` or `view`.
    kind: &'static str,
    /// Its name in the schema, and its file's.
    name: Cow<'static, str>,
    text: Cow<'static, str>,
}

impl SchemaObject {
    /// `create or replace …`, with comments and grants, as it is handed to the server.
    pub(super) fn definition(&self) -> String {
        format!("\n{}\n", self.text.trim())
    }

    /// SHA-256 of the definition, as `apply_object` notes it.
    pub(super) fn digest(&self) -> String {
        let digest = digest(&SHA256, self.definition().as_bytes());
        digest.as_ref().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
    }

    pub(super) fn kind_and_name(&self) -> (&str, &str) {
        (self.kind, &self.name)
    }

    fn is(&self, kind: &str, name: &str) -> bool {
        self.kind == kind && self.name == name
    }
}

impl fmt::Display for SchemaObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// A whole schema: what a database should have.
#[derive(Debug, Clone)]
pub struct Schema {
    migrations: Vec<Migration>,
    foundations: Vec<SchemaObject>,
    objects: Vec<SchemaObject>,
}

impl Schema {
    /// The schema that this binary works with.
    pub fn of_this_binary() -> Self {
        let made = |files: &[File]| {
            let object =
                |&(kind, name, text): &File| SchemaObject { kind, name: name.into(), text: text.into() };
            files.iter().map(object).collect()
        };
        let none = Self { migrations: Vec::new(), foundations: made(FOUNDATIONS), objects: made(OBJECTS) };
        MIGRATIONS.iter().fold(none, |schema, (name, sql)| schema.with_migration(name, sql))
    }

    /// The same with one more migration, as a later version has: `V2__noun` and its text. A name that is none adds nothing.
    #[must_use]
    pub fn with_migration(mut self, name: &str, sql: &str) -> Self {
        self.migrations.extend(Migration::unapplied(name, sql));
        self
    }

    /// The same with another text for a function or view, or with one more at the end of the list.
    #[must_use]
    pub fn with_object(mut self, kind: &'static str, name: &str, text: &str) -> Self {
        let object = SchemaObject { kind, name: name.to_owned().into(), text: text.to_owned().into() };
        let mut all = self.foundations.iter_mut().chain(&mut self.objects);
        match all.find(|known| known.is(kind, name)) {
            Some(known) => *known = object,
            None => self.objects.push(object),
        }
        self
    }

    /// The same without a function or view.
    #[must_use]
    pub fn without_object(mut self, kind: &str, name: &str) -> Self {
        self.foundations.retain(|object| !object.is(kind, name));
        self.objects.retain(|object| !object.is(kind, name));
        self
    }

    /// Its version: the last migration's.
    pub fn version(&self) -> i32 {
        self.migrations.iter().map(Migration::version).max().unwrap_or_default()
    }

    pub(super) fn migrations(&self) -> &[Migration] {
        &self.migrations
    }

    /// Made before the tables.
    pub(super) fn foundations(&self) -> &[SchemaObject] {
        &self.foundations
    }

    /// Made after the tables.
    pub(super) fn objects(&self) -> &[SchemaObject] {
        &self.objects
    }

    /// Every function and view, in the order in which they are made.
    pub(super) fn all_objects(&self) -> impl Iterator<Item = &SchemaObject> {
        self.foundations.iter().chain(&self.objects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_has_a_name_and_the_last_one_the_version_of_the_schema() {
        let schema = Schema::of_this_binary();

        assert_eq!(schema.migrations.len(), MIGRATIONS.len());
        assert_eq!(schema.version(), SCHEMA_VERSION);
    }
}
