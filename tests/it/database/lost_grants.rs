//! Grants and revokes that a restore without privileges, or a person, has lost: `migrate` puts them back whenever it runs, and `doctor`
//! names them, whoever asks. Hints about rights can be followed.

use crate::cli::doctor::{doctor, found, text};
use crate::database::emptied_tables::pg_dump;
use crate::database::migration_by_hand::psql;
use crate::database::schema::{CATALOG, texts};
use crate::support::{CommandOutput, Database, Dispatcher, Receiver, Server, connect, one_endpoint};

#[tokio::test]
async fn after_a_restore_without_privileges_a_migration_puts_all_of_them_back() {
    let original = Database::new().await;
    let copy = Database::without_schema().await;
    let Some(script) = pg_dump(&original.url, &["--no-privileges", "--no-owner"]).await else { return };
    psql(&copy.url, &script).await;
    let dispatchers = copy.login(Some("postrider_dispatcher")).await;
    // What an operator would give back by hand.
    copy.execute(
        "grant usage on schema postrider to postrider_producer; grant insert on postrider.outbox to postrider_producer",
    )
    .await;
    let producer = connect(&copy.login(Some("postrider_producer")).await).await;
    producer.batch_execute("select postrider.put_endpoint('evil', 'https://example.com/')").await.unwrap();

    for (url, result) in [(&copy.url, "warn"), (&dispatchers, "fail")] {
        let checks = doctor(url, &[]).await;
        let grants = found(&checks, "grants");
        assert_eq!(grants["result"], result);
        assert!(text(&grants, "message").contains("restored without privileges?"), "{grants}");
        assert!(text(&grants, "remedy").starts_with("postrider migrate"), "{grants}");
    }
    let refused = CommandOutput::run(&dispatchers, &["status"]).await;
    assert!(refused.complaint().contains("which puts lost grants back"), "{}", refused.stderr);
    let migrated = CommandOutput::run(&copy.url, &["migrate"]).await;

    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    assert!(migrated.stdout.contains("again: grants that were missing"), "{}", migrated.stdout);
    // What the operator gave stays.
    copy.execute("revoke insert on postrider.outbox from postrider_producer").await;
    CommandOutput::run(&copy.url, &["migrate"]).await;
    assert_eq!(acls(&copy).await, acls(&original).await);
    let fault = producer
        .batch_execute("select postrider.put_endpoint('evil', 'https://example.com/')")
        .await
        .unwrap_err();
    assert!(fault.as_db_error().unwrap().message().contains("permission denied for function"), "{fault:?}");
}

#[tokio::test]
async fn each_grant_that_somebody_took_back_is_named_and_comes_back() {
    let database = Database::new().await;
    let before = acls(&database).await;
    for (taken, named) in [
        (
            "revoke usage on schema postrider from postrider_reader",
            "usage on schema postrider to postrider_reader",
        ),
        (
            "revoke insert (topic) on postrider.outbox from postrider_producer",
            "insert (topic) on table postrider.outbox to postrider_producer",
        ),
        (
            "revoke select on postrider.backlog from postrider_reader",
            "select on table postrider.backlog to postrider_reader",
        ),
        (
            "revoke execute on function postrider.retry(bigint) from postrider_dispatcher",
            "execute on function postrider.retry(bigint) to postrider_dispatcher",
        ),
        (
            "revoke usage on sequence postrider.outbox_id_seq from postrider_producer",
            "usage on sequence postrider.outbox_id_seq to postrider_producer",
        ),
    ] {
        database.execute(taken).await;

        let checks = doctor(&database.url, &[]).await;
        let migrated = CommandOutput::run(&database.url, &["migrate"]).await;

        assert!(text(&found(&checks, "grants"), "message").contains(named), "{taken}: {}", checks.stdout);
        assert_eq!(migrated.code, Some(0), "{taken}: {}", migrated.stderr);
        assert_eq!(acls(&database).await, before, "{taken}");
    }
}

#[tokio::test]
async fn a_dispatcher_that_only_runs_leaves_grants_alone_and_starts() {
    let (database, receiver, first) = one_endpoint("", &[]).await;
    first.terminate().await;
    database.execute("revoke select on postrider.backlog from postrider_reader").await;
    let login = database.login(Some("postrider_dispatcher")).await;

    let _dispatcher = Dispatcher::spawn(&login, &[]);
    database.insert("order.created", "1").await;

    assert_eq!(receiver.next().await.text(), "1");
}

#[tokio::test]
async fn an_owner_who_may_not_create_roles_is_told_how_to_get_them_and_goes_on() {
    let server = Server::start().await;
    let admin = Database::at(server.url()).await;
    let owner = admin.login(None).await;
    let role: String = admin.value("select current_database() || '_nobody'").await;
    admin.execute(&format!("grant create on database postgres to {role}")).await;

    let refused = CommandOutput::run(&owner, &["migrate"]).await;
    assert_eq!(refused.code, Some(1));
    let complaint = refused.complaint();
    let (_, rest) = complaint.split_once("makes them once: ").unwrap_or_else(|| panic!("{complaint}"));
    let (roles, _) = rest.split_once("; then").unwrap();
    admin.execute(roles).await;
    let migrated = CommandOutput::run(&owner, &["migrate"]).await;

    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    let receiver = Receiver::start().await;
    admin.put_endpoint("one", &receiver.url(), "**", "").await;
    let _dispatcher = Dispatcher::spawn(&owner, &[]);
    admin.insert("order.created", "1").await;
    assert_eq!(receiver.next().await.text(), "1");
}

#[tokio::test]
async fn an_event_trigger_that_relies_on_a_search_path_is_named_as_what_has_to_change() {
    let database = Database::without_schema().await;
    database
        .execute(
            "create table public.ddl_audit (tag text);
             create function public.audit_ddl() returns event_trigger language plpgsql as $$ begin
                 insert into ddl_audit values (tg_tag);
             end $$;
             create event trigger audit_ddl on ddl_command_end execute function public.audit_ddl()",
        )
        .await;

    let refused = CommandOutput::run(&database.url, &["migrate"]).await;
    let complaint = refused.complaint();
    assert!(complaint.contains("(in function public.audit_ddl() line 2 at SQL statement)"), "{complaint}");
    assert!(
        complaint.contains("not Postrider's") && complaint.contains("a search_path of its own"),
        "{complaint}"
    );
    assert!(!complaint.contains("postrider migrate"), "{complaint}");
    database.execute("alter function public.audit_ddl() set search_path = public").await;

    assert_eq!(CommandOutput::run(&database.url, &["migrate"]).await.code, Some(0));
}

async fn acls(database: &Database) -> Vec<String> {
    let mut lines = texts(database, CATALOG).await;
    lines.retain(|line| line.starts_with("acl "));
    // The order of the entries tells nothing.
    for line in &mut lines {
        let mut entries: Vec<&str> = line.split([',', '{', '}']).collect();
        entries.sort_unstable();
        *line = entries.join(",");
    }
    lines.sort_unstable();
    lines
}
