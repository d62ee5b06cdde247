//! The SQL of one migration: the same for `migrate`, which hands it to the server, and for `migrate --print`, for people who let no
//! program change a schema.

use refinery::Migration;

use super::schema::{Schema, SchemaObject};
use super::{HISTORY_TABLE, grants};

/// Stands in front of a migration, in one transaction with it.
const BEGIN: &str = include_str!("../../../sql/migrator/begin.sql");
/// Stands behind it.
const END: &str = include_str!("../../../sql/migrator/end.sql");
/// Makes the bookkeeping of functions and views, and what applies them.
const OBJECTS: &str = include_str!("../../../sql/migrator/objects.sql");
/// Puts back what a copy without rows or privileges lacks.
const MEND: &str = include_str!("../../../sql/migrator/mend.sql");
const DROP_PROCEDURES: &str = include_str!("../../../sql/migrator/drop_procedures.sql");
const ROLES: &str = include_str!("../../../sql/schema/roles.sql");
/// The beginning of the comment that ends with the version of the tables.
pub(super) const STAMP: &str = "Applied migrations of the tables. Private. Version of the tables: ";
/// The version of Postrider that applies.
pub(super) const APPLIED_BY: &str = env!("CARGO_PKG_VERSION");

/// A transaction that makes the migrator's own table, and no more.
pub(super) fn history(queries: Vec<String>) -> Vec<String> {
    [vec![BEGIN.to_owned()], queries, vec![END.to_owned()]].concat()
}

/// A transaction that brings everything up to date: roles, and the functions that tables call, before the migrations of tables; all
/// other functions and the views after them.
pub(super) fn whole(schema: &Schema, tables: Vec<String>) -> Vec<String> {
    [vec![BEGIN.to_owned()], body(schema, tables), vec![END.to_owned()]].concat()
}

/// The migrations after a version (0: all), and all functions and views, as one transaction, which refuses a database that has
/// another version: nothing is done by half or twice.
pub(super) fn print(schema: &Schema, after: i32) -> String {
    let tables = schema.migrations().iter().filter(|migration| migration.version() > after).map(migrate);
    let body = body(schema, tables.collect());
    format!(
        "-- From schema version {after} to {version}. Apply it as the role that is to own the schema:\n\
         -- psql -v ON_ERROR_STOP=1 -f FILE; then postrider migrate --check.\n\
         -- It waits for no lock longer than 200 ms, so that no INSERT waits behind it. If it ends with \"lock timeout\", nothing\n\
         -- has changed: run it again, or end the transaction that is in the way (see pg_stat_activity).\n\
         begin;\n{BEGIN}{checks}\n{body}\n{END}\ncommit;",
        version = schema.version(),
        checks = check_version(after),
        body = body.join("\n"),
    )
}

fn body(schema: &Schema, tables: Vec<String>) -> Vec<String> {
    let mut script: Vec<String> = [ROLES, OBJECTS].map(str::to_owned).to_vec();
    script.extend(schema.foundations().iter().map(apply));
    script.extend(tables);
    script.extend(schema.objects().iter().map(apply));
    script.push(drop_others(schema));
    script.push(MEND.to_owned());
    script.push(grants::statements(schema).join(";\n") + ";\n");
    script.push(stamp(schema));
    script.push(DROP_PROCEDURES.to_owned());
    script
}

/// The version of the tables, where a copy without rows has it too.
fn stamp(schema: &Schema) -> String {
    format!("comment on table {HISTORY_TABLE} is '{STAMP}{}';\n", schema.version())
}

/// The history that a copy without rows lacks, up to a version.
pub(super) fn record(schema: &Schema, version: i32) -> String {
    let known = schema.migrations().iter().filter(|migration| migration.version() <= version);
    known.map(|migration| history_row(migration, " on conflict do nothing")).collect()
}

/// Does nothing if this very text was applied before.
fn apply(object: &SchemaObject) -> String {
    let (kind, name) = object.kind_and_name();
    let definition = object.definition();
    format!(
        "call postrider.apply_object('{kind}', '{name}', '{APPLIED_BY}', $definition${definition}$definition$);\n"
    )
}

fn drop_others(schema: &Schema) -> String {
    let kept: Vec<String> = schema.all_objects().map(|object| format!("    '{object}'")).collect();
    format!("call postrider.drop_other_objects(array[\n{}]);\n", kept.join(",\n"))
}

/// A migration as refinery applies it, with its row of the history.
fn migrate(migration: &Migration) -> String {
    let sql = migration.sql().unwrap_or_default();
    format!("\n-- {migration}\n{sql}\n{}", history_row(migration, ""))
}

fn history_row(migration: &Migration, behind: &str) -> String {
    let (version, name, checksum) = (migration.version(), migration.name(), migration.checksum());
    format!(
        "insert into {HISTORY_TABLE} (version, name, applied_on, checksum) values \
         ({version}, '{name}', to_char(now() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '{checksum}'){behind};\n"
    )
}

/// Refuses a database of another version, or one whose functions and views are a newer Postrider's.
fn check_version(after: i32) -> String {
    format!(
        "create table if not exists {HISTORY_TABLE} (\n    \
         version int4 primary key, name varchar(255), applied_on varchar(255), checksum varchar(255));\n\
         do $$\ndeclare\n    newer text;\nbegin\n    \
         if to_regclass('postrider.outbox') is not null and not exists (select from {HISTORY_TABLE}) then\n        \
         raise exception 'the tables are there, and their history is empty'\n            \
         using hint = 'Run \"postrider migrate\", which mends a copy without rows and emptied tables.';\n    end if;\n    \
         if (select coalesce(max(version), 0) from {HISTORY_TABLE}) <> {after} then\n        \
         raise exception 'database has schema version %, this script is for version {after}', \
         (select coalesce(max(version), 0) from {HISTORY_TABLE});\n    end if;\n    \
         if to_regclass('postrider.schema_object') is not null then\n        \
         select min(o.applied_by) into newer from postrider.schema_object as o\n        \
         where string_to_array(split_part(o.applied_by, '-', 1), '.')::int[]\n            \
         > string_to_array(split_part('{APPLIED_BY}', '-', 1), '.')::int[];\n        \
         if newer is not null then\n            \
         raise exception 'functions and views are of postrider %, this script is of {APPLIED_BY}', newer;\n        \
         end if;\n    end if;\nend\n$$;\n"
    )
}
