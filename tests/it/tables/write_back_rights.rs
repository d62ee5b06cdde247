//! A status is written with the rights of the table's owner, and never with those of the dispatcher.

use serde_json::json;
use tokio_postgres::error::SqlState;

use super::attached::{ALL_WRITTEN, attach, one_endpoint};
use crate::support::{Database, Dispatcher, Receiver, connect};

/// Triggers that note who they run as, and whether they can become somebody else: one for each row, and one that is deferred.
const NOTING: &str = "
    create table app.ran (place text, role text, could_change boolean);
    grant usage on schema app to public;
    grant insert on app.ran to public;
    create function app.note() returns trigger language plpgsql as $$
    declare
        role text := current_user;
        could_change boolean := false;
    begin
        begin reset role; could_change := true; exception when others then null; end;
        begin set role postrider_dispatcher; could_change := true; exception when others then null; end;
        insert into app.ran values (tg_argv[0], role, could_change);
        return new;
    end $$;
    create trigger each_row before update on app.job for each row execute function app.note('row');
    create constraint trigger deferred after update on app.job deferrable initially deferred
        for each row execute function app.note('deferred');";

/// An endpoint, and a table `app.job` that belongs to a role of its own, as its schema does. Nobody was granted anything there.
struct Owned {
    database: Database,
    owner: String,
    _receiver: Receiver,
}

impl Owned {
    async fn new() -> Self {
        let (database, receiver) = one_endpoint("").await;
        let owner = name_of(&database.login(Some("pg_monitor")).await);
        database
            .execute(&format!(
                "create schema app authorization {owner}; set role {owner};
                 create table app.job (id int primary key, status text); reset role"
            ))
            .await;
        Self { database, owner, _receiver: receiver }
    }

    /// Executes as the owner.
    async fn execute(&self, sql: &str) {
        self.database.execute(&format!("set role {}; {sql}; reset role", self.owner)).await;
    }

    async fn attach(&self, more: &str) {
        attach(&self.database, &format!("'app.job', 'a', on_ops => '{{insert}}'{more}")).await;
    }

    /// Whether each row is written.
    async fn is_written(&self) {
        self.database.until(ALL_WRITTEN).await;
        self.database
            .assert_row(
                "select count(*) as rows from app.job where status is distinct from 'complete'",
                json!({"rows": 0}),
            )
            .await;
    }
}

#[tokio::test]
async fn triggers_of_the_owner_run_with_its_rights_and_cannot_become_a_dispatcher_that_is_superuser() {
    let owned = Owned::new().await;
    owned.execute(NOTING).await;
    owned.attach(", status => 'status'").await;
    let _dispatcher = Dispatcher::start(&owned.database, &[]).await;

    owned.database.execute("insert into app.job select generate_series(1, 5)").await;

    owned.is_written().await;
    let as_owner = |place: &str| json!({"place": place, "role": owned.owner, "could_change": false});
    owned
        .database
        .assert_rows(
            "select distinct place, role, could_change from app.ran order by 1",
            vec![as_owner("deferred"), as_owner("row")],
        )
        .await;
}

#[tokio::test]
async fn a_dispatcher_that_was_granted_nothing_on_the_table_writes_the_status() {
    let owned = Owned::new().await;
    owned.execute(NOTING).await;
    owned.attach(", status => 'status'").await;
    let login = owned.database.login(Some("postrider_dispatcher")).await;
    let _dispatcher = Dispatcher::spawn(&login, &[]);

    owned.database.execute("insert into app.job select generate_series(1, 5)").await;

    owned.is_written().await;
    owned
        .database
        .assert_rows(
            "select distinct role, could_change from app.ran",
            vec![json!({"role": owned.owner, "could_change": false})],
        )
        .await;
    let holds = format!(
        "select has_any_column_privilege('{}', 'app.job', 'select, insert, update, references')
                or has_table_privilege('{0}', 'app.job', 'delete')",
        name_of(&login)
    );
    assert!(!owned.database.is(&holds).await);
}

#[tokio::test]
async fn rows_are_deleted_with_the_owners_rights_too() {
    let owned = Owned::new().await;
    owned.execute(&NOTING.replace("update on", "delete on").replace("return new", "return old")).await;
    owned.attach(", write_back => 'delete'").await;
    let _dispatcher = Dispatcher::start(&owned.database, &[]).await;

    owned.database.execute("insert into app.job select generate_series(1, 5)").await;

    owned.database.until("select not exists (select from app.job)").await;
    owned
        .database
        .assert_rows(
            "select role, could_change, count(*) from app.ran group by 1, 2",
            vec![json!({"role": owned.owner, "could_change": false, "count": 10})],
        )
        .await;
}

#[tokio::test]
async fn triggers_find_the_path_of_the_owners_sessions_and_leave_none_behind() {
    let owned = Owned::new().await;
    owned
        .execute(
            "create table app.noted (id int);
             create function app.note() returns trigger language plpgsql as $$
             begin insert into noted values (new.id); perform set_config('search_path', 'app', new.id <> 3); return new; end $$;
             create trigger note before update on app.job for each row execute function app.note()",
        )
        .await;
    owned.database.execute(&format!("alter role {} set search_path = app, public", owned.owner)).await;
    owned.attach(", status => 'status', write_back => 'final'").await;
    let _dispatcher = Dispatcher::start(&owned.database, &[]).await;

    owned.database.execute("insert into app.job values (1), (2)").await;
    owned.is_written().await;
    // This one would have the dispatcher itself look names up in the owner's schema.
    owned.database.execute("insert into app.job values (3)").await;

    let said = "select last_error from postrider.attachment where last_error is not null";
    owned.database.until(&format!("select exists ({said})")).await;
    let said: String = owned.database.value(said).await;
    assert!(said.contains("a trigger of the table has set search_path for the session"), "{said}");
    owned
        .database
        .assert_rows("select id from app.noted order by 1", vec![json!({"id": 1}), json!({"id": 2})])
        .await;
    owned.execute("drop trigger note on app.job").await;
    owned.is_written().await;
}

#[tokio::test]
async fn a_function_that_would_run_with_the_callers_rights_is_not_called() {
    let owned = Owned::new().await;
    owned.execute(NOTING).await;
    owned.attach(", status => 'status'").await;
    let _dispatcher = Dispatcher::start(&owned.database, &[]).await;
    owned.execute("alter function app.postrider_write_1 security invoker").await;

    owned.database.execute("insert into app.job values (1)").await;

    owned
        .database
        .until("select exists (select from postrider.attachment where last_error is not null)")
        .await;
    let reason = format!(
        "function postrider_write_1 is gone, or does not run with the rights of role {}: attach it again",
        owned.owner
    );
    let shown = "select state, last_error from postrider.attached_table";
    owned.database.assert_row(shown, json!({"state": "broken", "last_error": reason})).await;
    owned.database.assert_rows("select role from app.ran", vec![]).await;
    owned.attach(", status => 'status'").await;
    owned.is_written().await;
}

#[tokio::test]
async fn a_function_that_alters_itself_is_not_called_again() {
    let owned = Owned::new().await;
    owned.attach(", status => 'status'").await;
    owned
        .execute(
            "create table app.ran (role text);
             create or replace function app.postrider_write_1(row_keys text[], words text[], out held bigint[], out busy text[], out written integer)
             language plpgsql security definer as $$
             begin
                 insert into app.ran values (current_user);
                 held := array[1];
                 alter function app.postrider_write_1 security invoker;
             end $$",
        )
        .await;
    let _dispatcher = Dispatcher::start(&owned.database, &[]).await;

    owned.database.execute("insert into app.job values (1)").await;

    let said = "select last_error from postrider.attachment where last_error is not null";
    owned.database.until(&format!("select exists ({said}) or exists (select from app.ran)")).await;
    // What the first call did is undone with the rest.
    owned.database.assert_rows("select role from app.ran", vec![]).await;
    let said: String = owned.database.value(said).await;
    assert!(
        said.contains("function postrider_write_1 is gone, or not the one of the table's owner"),
        "{said}"
    );
}

#[tokio::test]
async fn nobody_but_dispatchers_may_call_what_writes_and_everybody_is_named_who_may() {
    let owned = Owned::new().await;
    owned.attach(", status => 'status'").await;
    let stranger = connect(&owned.database.login(Some("postrider_producer")).await).await;
    owned.database.execute("grant usage on schema app to public").await;
    let call = "select app.postrider_write_1(array['1[\"1\"]'], array['complete'])";

    let refused = stranger.batch_execute(call).await.expect_err(call);
    owned.database.execute("grant execute on function app.postrider_write_1 to public").await;

    assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    let reason = "everybody may call function app.postrider_write_1(text[],text[]): attach it again";
    let shown = "select state, last_error from postrider.attached_table";
    owned.database.assert_row(shown, json!({"state": "broken", "last_error": reason})).await;
    owned.attach(", status => 'status'").await;
    owned.database.assert_row(shown, json!({"state": "active", "last_error": null})).await;
    assert!(stranger.batch_execute(call).await.is_err());
}

#[tokio::test]
async fn the_function_is_there_as_long_as_a_status_is_wanted() {
    let owned = Owned::new().await;
    let there = "select proowner::regrole::text || ' ' || prosecdef as made from pg_proc where proname = 'postrider_write_1'";
    let made = || vec![json!({"made": format!("{} true", owned.owner)})];

    for (more, functions) in [
        ("", vec![]),
        (", status => 'status'", made()),
        (", status => 'status', write_back => 'none'", vec![]),
        (", write_back => 'delete'", made()),
    ] {
        owned.attach(more).await;
        owned.database.assert_rows(there, functions).await;
    }
    owned.database.execute("select postrider.detach_table('app.job')").await;
    owned.database.assert_rows(there, vec![]).await;
}

/// The role of a URL that [`Database::login`] returned.
fn name_of(url: &str) -> String {
    let (_, rest) = url.split_once("//").unwrap();
    rest.split([':', '@', '/']).next().unwrap().to_owned()
}
