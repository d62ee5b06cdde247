//! A row or a table that cannot be written is named, tried as long as it takes, and delays no other.

use serde_json::json;

use super::attached::{
    ALL_WRITTEN, CONFIGURATION_UPDATE, all_are, attach, dispatched, insert_pending, one_endpoint,
};
use crate::support::{Database, Dispatcher, Receiver, soon};

/// What is said of the one attached table whose status is not written.
async fn trouble(database: &Database) -> String {
    let said = "select last_error from postrider.attachment where last_error is not null";
    database.until(&format!("select exists ({said})")).await;
    let said: String = database.value(said).await;
    said.strip_prefix("status not written: ").unwrap_or_else(|| panic!("{said}")).to_owned()
}

/// Everything is written, and nothing is said any more.
async fn is_over(database: &Database) {
    database.until(ALL_WRITTEN).await;
    database.until("select bool_and(last_error is null) from postrider.attachment").await;
}

/// Time passes for rows that were put off.
async fn make_rows_due(database: &Database) {
    database.execute("update postrider.row_due set due_at = clock_timestamp()").await;
}

/// Two attached tables, and a dispatcher with a login of its own. The first table belongs to a role that has taken all rights on it from
/// itself, and dispatchers may neither use its schema nor call its function.
async fn without_grants(write_back: &str) -> (Database, Receiver, Dispatcher, String) {
    let (database, receiver) = one_endpoint("").await;
    let owner = database.login(Some("pg_monitor")).await;
    let owner = owner.split(['/', ':', '@']).nth(3).unwrap().to_owned();
    database
        .execute(&format!(
            "create schema app authorization {owner}; create type app.kind as enum ('pending', 'in_progress', 'complete', 'failed');
             create table app.job (id int primary key, status app.kind); create table task (id int primary key, status text);
             alter table app.job owner to {owner}"
        ))
        .await;
    attach(&database, &format!("'app.job', 'a', {write_back}, on_ops => '{{insert}}'")).await;
    attach(&database, "'task', 'a', status => 'status', on_ops => '{insert}'").await;
    // Whoever attaches it grants what is needed.
    let revoked = format!(
        "revoke usage on schema app from postrider_dispatcher; revoke all on table app.job from {owner};
         revoke execute on function app.postrider_write_1 from postrider_dispatcher"
    );
    database.execute(&revoked).await;
    let login = database.login(Some("postrider_dispatcher")).await;
    let dispatcher = Dispatcher::spawn(&login, &[]);
    database.execute("insert into app.job select generate_series(1, 10); insert into task values (1)").await;
    (database, receiver, dispatcher, owner)
}

#[tokio::test]
async fn a_grant_that_is_missing_is_named_and_all_is_written_once_it_is_made() {
    let (database, _receiver, dispatcher, owner) = without_grants("status => 'status'").await;

    let grants = trouble(&database).await;
    database.until("select status is not distinct from 'complete' from task").await;

    assert_eq!(
        grants,
        format!(
            "grant usage on schema app to postrider_dispatcher; \
             grant select (id, status) on table app.job to {owner}; \
             grant update (status) on table app.job to {owner}; \
             grant execute on function app.postrider_write_1(text[],text[]) to postrider_dispatcher"
        )
    );
    assert!(dispatcher.log().contains(&grants), "{}", dispatcher.log());
    database.execute(&grants).await;
    is_over(&database).await;
    assert!(database.is("select bool_and(status = 'complete') from app.job").await);
    dispatcher.logged("the status of rows of app.job is written again").await;
}

#[tokio::test]
async fn the_grants_for_rows_that_are_deleted_are_named_and_enough() {
    let (database, _receiver, _dispatcher, owner) = without_grants("write_back => 'delete'").await;

    let grants = trouble(&database).await;
    database.execute(&grants).await;

    assert!(grants.contains(&format!("grant delete on table app.job to {owner};")), "{grants}");
    is_over(&database).await;
    database.assert_row("select count(*) as rows from app.job", json!({"rows": 0})).await;
}

#[tokio::test]
async fn rows_that_a_policy_hides_are_not_taken_for_gone_nor_passed_over() {
    for (policies, remedy) in [
        ("", "create policy postrider on app.job to"),
        (
            "create policy few on app.job as restrictive using (id < 5)",
            "alter table app.job no force row level security",
        ),
    ] {
        let (database, _receiver) = one_endpoint("").await;
        let owner = database.login(Some("pg_monitor")).await;
        let owner = owner.split(['/', ':', '@']).nth(3).unwrap().to_owned();
        database
            .execute(&format!(
                "create schema app authorization {owner}; set role {owner};
                 create table app.job (id int primary key, status text); insert into app.job values (0);
                 alter table app.job enable row level security; {policies}; reset role"
            ))
            .await;
        attach(&database, "'app.job', 'a', status => 'status', on_ops => '{insert}', backfill => true").await;
        // As long as they are not forced, they do not hold for the table's owner.
        let _dispatcher = Dispatcher::spawn(&database.login(Some("postrider_dispatcher")).await, &[]);
        is_over(&database).await;
        database.until("select backfill_state = 'done' from postrider.attached_table").await;
        database.until("select bool_and(status is not distinct from 'complete') from app.job").await;

        database
            .execute(
                "alter table app.job force row level security; insert into app.job select generate_series(1, 10);
                 select postrider.resume_table('app.job', true)",
            )
            .await;
        let said = trouble(&database).await;
        let (_, named) = said.split_once(": ").unwrap_or_else(|| panic!("{said}"));
        assert!(named.starts_with(remedy), "{said}");
        database.execute(named).await;

        is_over(&database).await;
        database.until("select backfill_state = 'done' from postrider.attached_table").await;
        assert!(database.is("select bool_and(status = 'complete') from app.job").await);
    }
}

#[tokio::test]
async fn a_row_that_is_refused_is_set_aside_and_the_others_are_written() {
    let (database, _receiver) = one_endpoint("").await;
    database.execute("create table job (id int primary key, status text, check (id % 10 <> 4 or status <> 'complete'))").await;
    attach(&database, "'job', 'a', status => 'status', on_ops => '{insert}'").await;
    let dispatcher = Dispatcher::start(&database, &[]).await;

    database.execute("insert into job select generate_series(1, 100)").await;

    soon(&database, &dispatcher, "select count(*) = 90 from job where status = 'complete'").await;
    assert!(trouble(&database).await.contains("violates check constraint"));
    database.execute("alter table job drop constraint job_check").await;
    make_rows_due(&database).await;
    is_over(&database).await;
    assert!(database.is("select bool_and(status = 'complete') from job").await);
}

#[tokio::test]
async fn a_trigger_of_the_owner_that_raises_keeps_back_its_rows_alone() {
    let (database, _receiver, dispatcher) = dispatched("").await;
    database
        .execute(
            "create function refuse() returns trigger language plpgsql as
             $$ begin if new.id % 10 = 0 and new.status = 'complete' then raise exception 'not this one'; end if; return new; end $$;
             create trigger refuse before update on configuration_update for each row execute function refuse()",
        )
        .await;

    insert_pending(&database, 50).await;

    soon(&database, &dispatcher, "select count(*) = 45 from configuration_update where status = 'complete'")
        .await;
    assert!(trouble(&database).await.contains("not this one"));
    database.execute("drop function refuse() cascade").await;
    // One of them is tried, and then the others are tried at once.
    database.execute("update postrider.row_due set due_at = clock_timestamp() where id = (select min(id) from postrider.row_due)").await;
    is_over(&database).await;
    assert!(database.is(&all_are("complete")).await);
}

#[tokio::test]
async fn a_trigger_that_raises_when_the_transaction_ends_keeps_back_its_row_alone() {
    let (database, _receiver, dispatcher) = dispatched("").await;
    database
        .execute(
            "create function refuse() returns trigger language plpgsql as
             $$ begin raise exception 'not this one' using errcode = '40P01'; end $$;
             create constraint trigger refuse after update on configuration_update deferrable initially deferred
             for each row when (new.id = 7 and new.status = 'complete') execute function refuse()",
        )
        .await;

    insert_pending(&database, 20).await;

    soon(&database, &dispatcher, "select count(*) = 19 from configuration_update where status = 'complete'")
        .await;
}

#[tokio::test]
async fn a_table_whose_every_row_is_refused_delays_no_other() {
    let (database, _receiver, dispatcher) = dispatched("").await;
    database
        .execute(
            "create table job (id int primary key, status text);
             create function refuse() returns trigger language plpgsql as
             $$ begin perform 1 / 0; return new; end $$;
             create trigger refuse before update on job for each row execute function refuse()",
        )
        .await;
    attach(&database, "'job', 'a', status => 'status', on_ops => '{insert}'").await;
    database.execute("insert into job select generate_series(1, 1000)").await;
    // The others do not wait for deliveries.
    let settled =
        "select not exists (select from postrider.outbox where status in ('pending', 'in_progress'))";
    database.until(settled).await;

    for _ in 0..10 {
        insert_pending(&database, 5).await;
        soon(&database, &dispatcher, &all_are("complete")).await;
    }
}

#[tokio::test]
async fn a_status_column_that_is_gone_is_named_and_loses_nothing() {
    let (database, _receiver, dispatcher) = dispatched("").await;
    database.execute("create table job (id int primary key, status text)").await;
    attach(&database, "'job', 'a', status => 'status', on_ops => '{insert}'").await;
    database.execute("alter table job rename column status to state; insert into job values (1)").await;

    let said = trouble(&database).await;
    insert_pending(&database, 5).await;
    soon(&database, &dispatcher, &all_are("complete")).await;

    assert_eq!(said, "column status is gone");
    database.execute("alter table job rename column state to status").await;
    is_over(&database).await;
    assert!(database.is("select status is not distinct from 'complete' from job").await);
}

#[tokio::test]
async fn a_word_that_does_not_fit_is_refused_and_not_cut_off() {
    let (database, _receiver) = one_endpoint("").await;
    database
        .execute(&CONFIGURATION_UPDATE.replace("status configuration_update_status", "status varchar(8)"))
        .await;
    attach(
        &database,
        "'configuration_update', 'a', status => 'status', write_back => 'final', on_ops => '{insert}'",
    )
    .await;
    database.execute("alter table configuration_update alter column status type varchar(7)").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;
    insert_pending(&database, 1).await;

    assert!(trouble(&database).await.contains("value too long"));
    assert!(database.is(&all_are("pending")).await);
    database.execute("alter table configuration_update alter column status type varchar(8)").await;
    make_rows_due(&database).await;

    is_over(&database).await;
    assert!(database.is(&all_are("complete")).await);
}
