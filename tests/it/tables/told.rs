//! What attached tables tell: a helper of the tests of this folder.

use crate::support::Database;

/// A database with tables, one of which is attached; `settings` are arguments of `postrider.attach_table`, as
/// `'thing', topic => 'thing.{op}'`.
pub(super) async fn attached(tables: &str, settings: &str) -> Database {
    let database = Database::new().await;
    database.execute(tables).await;
    attach(&database, settings).await;
    database
}

/// Attaches a table.
pub(super) async fn attach(database: &Database, settings: &str) {
    database.execute(&format!("select postrider.attach_table({settings})")).await;
}

/// Takes the events out of the outbox, in its order: topic and payload of each.
pub(super) async fn told(database: &Database) -> Vec<String> {
    told_as(database, "concat_ws(' ', topic, payload)").await
}

/// The same, as an expression over the outbox shows them.
pub(super) async fn told_as(database: &Database, shown: &str) -> Vec<String> {
    let query = format!(
        "with gone as (delete from postrider.outbox returning *)
         select (select {shown} from (select g.*) as outbox) as shown from gone as g order by g.id"
    );
    database
        .rows(&query, &[])
        .await
        .iter()
        .map(|row| row.get::<_, Option<String>>(0).unwrap_or_default())
        .collect()
}

/// The same, sorted: where the order of the events of one statement is left open.
pub(super) async fn told_sorted(database: &Database) -> Vec<String> {
    let mut told = told(database).await;
    told.sort();
    told
}

/// The server's major version.
pub(super) async fn server_major(database: &Database) -> i32 {
    database.value("select current_setting('server_version_num')::int / 10000").await
}
