//! Migrations as text, for people who let no program change a schema.

use super::apply::{BEGIN, END};
use super::{HISTORY_TABLE, SCHEMA_VERSION, embedded};

/// The migrations after a version (0: all) as SQL, with the history that `--no-migrate` and later versions go by, for people
/// who apply it by hand. One transaction, which refuses a database that has another version: nothing is done by half or twice.
pub fn print_migrations(after: i32) -> String {
    let mut migrations: Vec<refinery::Migration> = embedded::migrations::runner().get_migrations().clone();
    migrations.retain(|migration| migration.version() > after);
    migrations.sort_by_key(refinery::Migration::version);
    let head = format!(
        "-- From schema version {after} to {SCHEMA_VERSION}. Apply it as the role that is to own the schema:\n\
         -- psql -v ON_ERROR_STOP=1 -f FILE; then postrider migrate --check.\n\
         -- It waits for no lock longer than 200 ms, so that no INSERT waits behind it. If it ends with \"lock timeout\", nothing\n\
         -- has changed: run it again, or end the transaction that is in the way (see pg_stat_activity).\n\
         begin;\n\
         {BEGIN}\
         create table if not exists {HISTORY_TABLE} (\n    \
         version int4 primary key, name varchar(255), applied_on varchar(255), checksum varchar(255));\n\
         do $$\nbegin\n    \
         if (select coalesce(max(version), 0) from {HISTORY_TABLE}) <> {after} then\n        \
         raise exception 'database has schema version %, this script is for version {after}', \
         (select coalesce(max(version), 0) from {HISTORY_TABLE});\n    end if;\nend\n$$;\n"
    );
    let script = |migration: &refinery::Migration| {
        let (version, name, checksum) = (migration.version(), migration.name(), migration.checksum());
        let sql = migration.sql().unwrap_or_default();
        format!(
            "\n-- {migration}\n{sql}\ninsert into {HISTORY_TABLE} (version, name, applied_on, checksum) values \
             ({version}, '{name}', to_char(now() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '{checksum}');\n"
        )
    };
    let end = format!("\n{END}\ncommit;");
    std::iter::once(head).chain(migrations.iter().map(script)).chain(std::iter::once(end)).collect()
}
