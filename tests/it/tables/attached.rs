//! Attached tables for tests.

use crate::support::{Database, Dispatcher, Receiver};

/// The table that Postrider was made for.
pub(super) const CONFIGURATION_UPDATE: &str =
    "create type configuration_update_status as enum ('pending', 'in_progress', 'complete', 'failed');
     create table configuration_update (id serial primary key, content jsonb, status configuration_update_status, destination inet)";

/// Attaches it, so that rows that are pending are sent.
pub(super) const ATTACHED: &str = "'configuration_update', 'configuration.updated', status => 'status', when_sql => 'new.status = ''pending'''";

/// Nothing is waiting to be written, and every event is finished.
pub(super) const ALL_WRITTEN: &str = "select not exists (select from postrider.row_due)
    and not exists (select from postrider.outbox where status in ('pending', 'in_progress'))";

/// A database with that table, attached, and an endpoint `one` that gets every event.
pub(super) async fn configuration_update(more: &str) -> (Database, Receiver) {
    let (database, receiver) = one_endpoint(more).await;
    database.execute(CONFIGURATION_UPDATE).await;
    attach(&database, ATTACHED).await;
    (database, receiver)
}

/// The same with a dispatcher.
pub(super) async fn dispatched(more: &str) -> (Database, Receiver, Dispatcher) {
    let (database, receiver) = configuration_update(more).await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    (database, receiver, dispatcher)
}

/// A database with an endpoint `one` that gets every event; `more` as in [`Database::put_endpoint`].
pub(super) async fn one_endpoint(more: &str) -> (Database, Receiver) {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", more).await;
    (database, receiver)
}

/// Attaches a table; `arguments` are those of `attach_table`.
pub(super) async fn attach(database: &Database, arguments: &str) {
    database.execute(&format!("select postrider.attach_table({arguments})")).await;
}

/// Inserts pending rows into `configuration_update`, and returns the id of the first.
pub(super) async fn insert_pending(database: &Database, count: usize) -> i32 {
    let insert = format!(
        "with row as (insert into configuration_update (content, status)
                      select '{{}}', 'pending' from generate_series(1, {count}) returning id)
         select min(id) from row"
    );
    database.value(&insert).await
}

/// Whether every row of `configuration_update` has a status.
pub(super) fn all_are(status: &str) -> String {
    format!("select bool_and(status = '{status}') from configuration_update")
}
