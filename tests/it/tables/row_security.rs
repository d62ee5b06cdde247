//! Row-level security that holds for the owner of a table, too (`force row level security`).

use serde_json::json;

use super::attached::attach;
use crate::support::{Database, as_role, connect, login_clause, one_endpoint};

#[tokio::test]
async fn every_change_is_heard_and_a_backfill_waits_for_the_right_to_see_every_row() {
    let (database, _receiver, _dispatcher) = one_endpoint("", &[]).await;
    let owner = hidden_from_its_owner(&database).await;
    attach(&database, "'app.job', 'a', payload => 'row', backfill => true").await;

    // The owner sees neither the row that it inserts nor the one that it has.
    let client = connect(&owner).await;
    client.batch_execute("insert into app.job values (2, 20)").await.unwrap();
    let name: String = database.value("select current_database()::text").await;
    let remedy = format!("create policy postrider on app.job to {name}_owner using (true)");
    database
        .until(&format!("select last_error like '%{remedy}%' is true and backfill_state = 'running' from postrider.attached_table"))
        .await;
    database.assert_rows("select row_key from postrider.outbox", vec![json!({"row_key": "1[\"2\"]"})]).await;
    client.batch_execute(&remedy).await.unwrap();

    database
        .until("select backfill_state = 'done' and last_error is null from postrider.attached_table")
        .await;
    database
        .assert_rows(
            "select row_key from postrider.outbox order by id",
            vec![json!({"row_key": "1[\"2\"]"}), json!({"row_key": "1[\"1\"]"})],
        )
        .await;
}

/// A table with one row that its owner does not see. Returns the URL of the owner.
async fn hidden_from_its_owner(database: &Database) -> String {
    let name: String = database.value("select current_database()::text").await;
    let owner = format!("{name}_owner");
    database
        .execute(&format!(
            "create role {owner} {login}; create schema app authorization {owner};
             set role {owner};
             create table app.job (id integer primary key, n integer);
             alter table app.job enable row level security, force row level security;
             create policy small on app.job using (n < 10) with check (true);
             reset role;
             insert into app.job values (1, 10)",
            login = login_clause(&database.url)
        ))
        .await;
    as_role(&database.url, &owner)
}
