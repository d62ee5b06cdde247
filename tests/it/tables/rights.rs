//! Who may attach, with whose rights a condition runs, what is granted to whom, and what is taken back.

use serde_json::json;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::cli::doctor::doctor;
use crate::database::schema::texts;
use crate::support::{Database, as_role, connect, login_clause};

/// What somebody holds in the schema of Postrider, one line each; `$1` is a role.
const HELD: &str = "
    select format('%s on %s', a.privilege_type, o.name)
    from (select nspname::text as name, nspacl as acl from pg_namespace where nspname = 'postrider'
          union all select relname, relacl from pg_class where relnamespace = 'postrider'::regnamespace
          union all select c.relname || '.' || t.attname, t.attacl from pg_attribute as t join pg_class as c on c.oid = t.attrelid
                    where c.relnamespace = 'postrider'::regnamespace
          union all select proname, proacl from pg_proc where pronamespace = 'postrider'::regnamespace) as o
    cross join lateral aclexplode(o.acl) as a
    where a.grantee = to_regrole('ROLE')
    order by 1";

/// A role that owns a table `app.orders`, with a schema of its own; it is a member of `postrider_dispatcher`.
struct Owner {
    database: Database,
    name: String,
    client: Client,
}

impl Owner {
    async fn new() -> Self {
        let database = Database::new().await;
        let (name, client) = login(&database, "owner", "postrider_dispatcher").await;
        database.execute(&format!("create schema app authorization {name}")).await;
        client.batch_execute("create table app.orders (id int primary key, status text)").await.unwrap();
        Self { database, name, client }
    }

    async fn attach(&self, more: &str) {
        let sql = format!("select postrider.attach_table('app.orders', topic => 'order.{{op}}'{more})");
        self.client.batch_execute(&sql).await.unwrap();
    }

    async fn held(&self) -> Vec<String> {
        texts(&self.database, &HELD.replace("ROLE", &self.name)).await
    }
}

#[tokio::test]
async fn an_owner_attaches_and_whoever_may_write_to_the_table_sends_events() {
    let owner = Owner::new().await;
    let (writer, client) = login(&owner.database, "writer", "pg_monitor").await;
    owner
        .database
        .execute(&format!("grant usage on schema app to {writer}; grant all on app.orders to {writer}"))
        .await;
    owner.attach(", status => 'status', key => 'status', destination => 'a/{id}', payload => 'change'").await;

    client
        .batch_execute(
            "insert into app.orders values (1, 'x'), (2, 'y'); update app.orders set status = 'z' where id = 1; delete from app.orders where id = 2",
        )
        .await
        .unwrap();

    owner
        .database
        .assert_rows(
            "select topic, key, row_key, destination from postrider.outbox order by id",
            vec![
                json!({"topic": "order.insert", "key": "x", "row_key": "1[\"1\"]", "destination": "a/1"}),
                json!({"topic": "order.insert", "key": "y", "row_key": "1[\"2\"]", "destination": "a/2"}),
                json!({"topic": "order.update", "key": "z", "row_key": "1[\"1\"]", "destination": "a/1"}),
                json!({"topic": "order.delete", "key": "y", "row_key": "1[\"2\"]", "destination": "a/2"}),
            ],
        )
        .await;
}

#[tokio::test]
async fn what_an_owner_is_granted_is_no_strangers_right_and_goes_with_its_last_table() {
    let owner = Owner::new().await;
    owner.client.batch_execute("create table app.others (id int primary key)").await.unwrap();
    assert_eq!(owner.held().await, Vec::<String>::new());

    owner.attach("").await;
    let held = owner.held().await;
    owner.client.batch_execute("select postrider.attach_table('app.others', topic => 'a')").await.unwrap();
    let two = owner.held().await;
    let doctor = doctor(&owner.database.url, &[]).await;
    owner.client.batch_execute("select postrider.detach_table('app.orders')").await.unwrap();
    let one = owner.held().await;
    owner.client.batch_execute("select postrider.detach_table('app.others')").await.unwrap();

    for right in [
        "USAGE on postrider",
        "INSERT on outbox.row_key",
        "SELECT on attachment.state",
        "EXECUTE on bell_key",
    ] {
        assert!(held.contains(&right.to_owned()), "{right}: {held:?}");
    }
    assert!(
        !held.iter().any(|right| right.starts_with("SELECT on outbox") || right.starts_with("UPDATE")),
        "{held:?}"
    );
    assert!(!doctor.stdout.contains("\"rights\""), "{}", doctor.stdout);
    assert_eq!((&two, &one), (&held, &held));
    assert_eq!(owner.held().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_right_beyond_what_is_needed_is_told_also_of_an_owner() {
    let owner = Owner::new().await;
    owner.attach("").await;
    owner.database.execute(&format!("grant select on postrider.endpoint to {}", owner.name)).await;

    let told = doctor(&owner.database.url, &[]).await;

    assert!(
        told.stdout.contains(&format!("select on table postrider.endpoint, to {}", owner.name)),
        "{}",
        told.stdout
    );
    assert!(!told.stdout.contains("insert (row_key)"), "{}", told.stdout);
}

#[tokio::test]
async fn what_others_were_granted_stays_when_a_table_is_detached() {
    let owner = Owner::new().await;
    let (operator, _) = login(&owner.database, "operator", "pg_monitor").await;
    let grant = format!(
        "grant usage on schema postrider to {operator}; grant insert (topic, payload) on postrider.outbox to {operator}"
    );
    owner.database.execute(&grant).await;

    owner.attach("").await;
    owner.client.batch_execute("select postrider.detach_table('app.orders')").await.unwrap();

    let held = texts(&owner.database, &HELD.replace("ROLE", &operator)).await;
    assert_eq!(held, ["INSERT on outbox.payload", "INSERT on outbox.topic", "USAGE on postrider"]);
}

#[tokio::test]
async fn nobody_attaches_the_table_of_somebody_else() {
    let owner = Owner::new().await;
    let (_, stranger) = login(&owner.database, "stranger", "postrider_dispatcher").await;
    owner.database.execute("grant usage on schema app to public; grant all on app.orders to public").await;
    let attach = "select postrider.attach_table('app.orders', topic => 'a')";

    let refused = refusal(&stranger, attach).await;
    assert_eq!(refused.0, SqlState::INSUFFICIENT_PRIVILEGE);
    assert_eq!(refused.1, format!("app.orders belongs to role {}", owner.name));
    owner.attach("").await;
    for sql in [
        attach,
        "select postrider.detach_table('app.orders')",
        "select postrider.attachment_ddl('app.orders', '{\"topic\": \"a\"}')",
        // Past the functions.
        "insert into postrider.attachment (relation, topic, payload, write_back, on_ops, key_columns, known_columns)
         values ('app.orders', 'a', 'row', 'none', '{insert}', '{id}', '[]')",
        "insert into postrider.attachment (relation, topic, payload, write_back, on_ops, key_columns, known_columns)
         values ('pg_catalog.pg_authid', 'a', 'row', 'none', '{insert}', '{oid}', '[]')",
        "update postrider.attachment set status_column = 'id', write_back = 'all'",
        "update postrider.attachment set relation = 'pg_catalog.pg_authid'",
        "update postrider.attachment set key_columns = '{status}'",
        "delete from postrider.attachment",
    ] {
        assert_eq!(refusal(&stranger, sql).await.0, SqlState::INSUFFICIENT_PRIVILEGE, "{sql}");
    }
    // An operator may stop what floods, whoever owns it.
    stranger
        .batch_execute(
            "select postrider.pause_table('app.orders'); select postrider.resume_table('app.orders')",
        )
        .await
        .unwrap();
    let refused = refusal(&stranger, "select postrider.resume_table('app.orders', backfill => true)").await;
    assert_eq!(refused.0, SqlState::INSUFFICIENT_PRIVILEGE);
}

#[tokio::test]
async fn an_owner_who_is_no_dispatcher_attaches_nothing() {
    let database = Database::new().await;
    let (name, client) = login(&database, "owner", "postrider_producer").await;
    database.execute(&format!("create schema app authorization {name}")).await;
    client.batch_execute("create table app.orders (id int primary key)").await.unwrap();

    let refused = refusal(&client, "select postrider.attach_table('app.orders', topic => 'a')").await;

    assert_eq!(refused.0, SqlState::INSUFFICIENT_PRIVILEGE);
    assert!(refused.1.contains("permission denied for function attach_table"), "{}", refused.1);
}

#[tokio::test]
async fn a_member_of_the_owner_attaches_and_the_function_is_the_owners() {
    let owner = Owner::new().await;
    let (_, member) = login(&owner.database, "member", &owner.name).await;

    member.batch_execute("select postrider.attach_table('app.orders', topic => 'a')").await.unwrap();
    owner.client.batch_execute("insert into app.orders values (1)").await.unwrap();
    let again =
        texts_of(&owner.client, "select result from postrider.attach_table('app.orders', topic => 'a')")
            .await;

    let facts = "select p.proowner::regrole::text || ' ' || p.prosecdef || ' ' || has_function_privilege('public', p.oid, 'execute')
                 from pg_proc as p where p.proname = 'postrider_capture_1'";
    assert_eq!(texts(&owner.database, facts).await, [format!("{} true false", owner.name)]);
    assert_eq!(again, ["unchanged"]);
    owner.database.assert_row("select count(*) from postrider.outbox", json!({"count": 1})).await;
}

#[tokio::test]
async fn a_condition_runs_with_the_rights_of_the_tables_owner_and_never_with_others() {
    let owner = Owner::new().await;
    // Notes who it runs as, and whether it can become somebody else.
    owner
        .client
        .batch_execute(
            "create table app.ran (place text, role text, could_change boolean);
             grant usage on schema app to public; grant all on app.ran to public;
             create function app.noted(place text) returns bool language plpgsql as $$
             declare
                 role text := current_user;
             begin
                 begin
                     reset role;
                     insert into app.ran values (place, role, true);
                 exception when others then
                     insert into app.ran values (place, role, false);
                 end;
                 return true;
             end $$;
             create domain app.word as text check (app.noted('domain'));
             alter table app.orders add column state app.word",
        )
        .await
        .unwrap();
    let ran = "select distinct place, role, could_change from app.ran";
    let as_owner = |place: &str| vec![json!({"place": place, "role": owner.name, "could_change": false})];

    // A superuser attaches the table, and writes to it.
    owner
        .database
        .execute(
            "select postrider.attach_table('app.orders', topic => 'a', status => 'state', when_sql => 'app.noted(''condition'')')",
        )
        .await;
    let tried = owner.database.json_rows(ran).await;
    owner.database.execute("delete from app.ran; insert into app.orders (id) values (1)").await;

    assert_eq!(tried, as_owner("domain"));
    owner.database.assert_rows(&format!("{ran} where place = 'condition'"), as_owner("condition")).await;
    owner.database.assert_row("select count(*) from postrider.outbox", json!({"count": 1})).await;
}

#[tokio::test]
async fn an_owner_who_may_not_create_functions_beside_the_table_is_told_what_to_grant() {
    let owner = Owner::new().await;
    owner
        .database
        .execute(&format!(
            "alter schema app owner to current_user; grant usage on schema app to {}",
            owner.name
        ))
        .await;

    let refused = refusal(&owner.client, "select postrider.attach_table('app.orders', topic => 'a')").await;

    assert_eq!(refused.0, SqlState::INSUFFICIENT_PRIVILEGE);
    assert!(refused.1.ends_with("may not create functions in schema app"), "{}", refused.1);
}

#[tokio::test]
async fn a_dispatcher_is_granted_two_functions_and_nothing_on_the_table() {
    let owner = Owner::new().await;
    let granted = "select o.name
                   from (select proname::text as name, proacl as acl from pg_proc where pronamespace = 'app'::regnamespace
                         union all select relname, relacl from pg_class where relnamespace = 'app'::regnamespace
                         union all select 'a column', attacl from pg_attribute where attrelid = 'app.orders'::regclass
                         union all select nspname, nspacl from pg_namespace where nspname = 'app') as o
                   cross join lateral aclexplode(o.acl) as a
                   where a.grantee = 'postrider_dispatcher'::regrole order by 1";

    owner.attach(", status => 'status'").await;
    let attached = texts(&owner.database, granted).await;
    owner
        .client
        .batch_execute(
            "alter table app.orders rename to renamed; select postrider.detach_table('app.renamed')",
        )
        .await
        .unwrap();
    owner.client.batch_execute("alter table app.renamed rename to orders").await.unwrap();

    assert_eq!(attached, ["app", "postrider_backfill_1", "postrider_write_1"]);
    // Somebody else may have granted it, too.
    assert_eq!(texts(&owner.database, granted).await, ["app"]);
}

#[tokio::test]
async fn a_right_that_an_owner_may_not_grant_is_asked_for_by_name() {
    let owner = Owner::new().await;
    owner
        .database
        .execute(&format!(
            "alter schema app owner to current_user; grant usage, create on schema app to {}",
            owner.name
        ))
        .await;

    let attached = texts_of(
        &owner.client,
        "select missing_grants::text from postrider.attach_table('app.orders', topic => 'a', status => 'status')",
    )
    .await;
    let shown = "select state, last_error from postrider.attached_table";
    let before = owner.database.json_rows(shown).await;
    owner.database.execute("grant usage on schema app to postrider_dispatcher").await;

    let asked_for = "grant usage on schema app to postrider_dispatcher";
    assert_eq!(attached, [format!("{{\"{asked_for}\"}}")]);
    assert_eq!(before, [json!({"state": "active", "last_error": asked_for})]);
    owner.database.assert_row(shown, json!({"state": "active", "last_error": null})).await;
}

#[tokio::test]
async fn a_reader_sees_attached_tables() {
    let owner = Owner::new().await;
    owner.attach(", status => 'status'").await;
    owner.database.execute("insert into app.orders values (1)").await;
    let (_, reader) = login(&owner.database, "reader", "postrider_reader").await;

    let seen = texts_of(&reader, "select state || events from postrider.attached_table").await;

    assert_eq!(seen, ["active1"]);
}

/// A new login role that is a member of another one, and a connection of it.
async fn login(database: &Database, name: &str, member_of: &str) -> (String, Client) {
    let prefix: String = database.value("select current_database()::text").await;
    let role = format!("{prefix}_{name}");
    database
        .execute(&format!("create role {role} {}; grant {member_of} to {role}", login_clause(&database.url)))
        .await;
    let client = connect(&as_role(&database.url, &role)).await;
    (role, client)
}

async fn refusal(client: &Client, sql: &str) -> (SqlState, String) {
    let fault = client.batch_execute(sql).await.expect_err(sql);
    let refused = fault.as_db_error().unwrap();
    (refused.code().clone(), refused.message().to_owned())
}

async fn texts_of(client: &Client, sql: &str) -> Vec<String> {
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}
