//! `migrate --print`, for those who let no program change a schema: what it prints goes through psql, by the role that owns the
//! schema, and is then as if Postrider had migrated.

use postrider::store::{DatabaseUrl, Environment, MigrateError, SCHEMA_VERSION, Schema};
use tokio::process::Command;

use crate::database::schema::{CATALOG, HISTORY, texts};
use crate::support::{CommandOutput, Database, Dispatcher, Receiver, connect};

#[tokio::test]
async fn what_is_printed_makes_a_schema_that_works_when_its_owner_gives_it_to_psql() {
    let (database, owner) = with_owner().await;
    let receiver = Receiver::start().await;

    let applied = psql(&owner, &print(&[]).await).await;

    assert_eq!((applied.code, applied.stderr.as_str()), (Some(0), ""));
    let checked = CommandOutput::run(&owner, &["migrate", "--check"]).await;
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    let login = database.login(Some("postrider_dispatcher")).await;
    let dispatcher = Dispatcher::spawn(&login, &["--no-migrate"]);
    let producer = connect(&database.login(Some("postrider_producer")).await).await;
    let insert = "insert into postrider.outbox (topic, payload) values ('order.created', '{}')";
    producer.execute(insert, &[]).await.unwrap();
    receiver.next().await.verify();
    database.until_settled().await;
    assert!(dispatcher.terminate().await.success());
}

#[tokio::test]
async fn a_later_migrate_finds_nothing_to_do() {
    let (database, owner) = with_owner().await;
    psql(&owner, &print(&[]).await).await;
    let before = (texts(&database, HISTORY).await, texts(&database, CATALOG).await);

    for url in [&owner, &database.url] {
        let migrated = CommandOutput::run(url, &["migrate"]).await;

        assert_eq!(migrated.stdout, format!("schema version {SCHEMA_VERSION}\n"), "{}", migrated.stderr);
    }

    assert_eq!((texts(&database, HISTORY).await, texts(&database, CATALOG).await), before);
}

#[tokio::test]
async fn a_schema_made_by_hand_is_migrated_on_by_either_way() {
    for by_hand in [true, false] {
        let (database, owner) = with_owner().await;
        psql(&owner, &print(&[]).await).await;
        let older = later().check(&parsed(&owner)).await;
        assert!(matches!(older, Err(MigrateError::Older { found: SCHEMA_VERSION })), "{older:?}");

        if by_hand {
            let rest = psql(&owner, &later().print(SCHEMA_VERSION)).await;
            assert_eq!((rest.code, rest.stderr.as_str()), (Some(0), ""));
        } else {
            later().migrate(&parsed(&owner)).await.unwrap();
        }

        assert_eq!(catalog(&database).await, catalog_of_later().await, "by hand: {by_hand}");
        let versions: i64 = database.value("select count(*) from postrider.schema_history").await;
        assert_eq!(versions, i64::from(SCHEMA_VERSION + 1));
    }
}

#[tokio::test]
async fn what_does_not_fit_the_database_changes_nothing_however_careless_psql_is() {
    let (database, owner) = with_owner().await;
    let after = SCHEMA_VERSION.to_string();
    let empty = psql(&owner, &print(&["--after", &after]).await).await;
    let expected = format!("database has schema version 0, this script is for version {after}");
    assert!(empty.stderr.contains(&expected), "{}", empty.stderr);
    assert!(database.is("select to_regnamespace('postrider') is null").await);
    psql(&owner, &print(&[]).await).await;
    let before = (texts(&database, HISTORY).await, texts(&database, CATALOG).await);

    for script in [print(&[]).await, later().print(SCHEMA_VERSION + 1)] {
        let again = psql(&owner, &script).await;

        assert!(
            again.stderr.contains(&format!("database has schema version {SCHEMA_VERSION}")),
            "{}",
            again.stderr
        );
        assert_eq!((texts(&database, HISTORY).await, texts(&database, CATALOG).await), before);
    }
}

#[tokio::test]
async fn a_version_that_is_none_is_refused() {
    for after in ["", "-1", "twelve", &(SCHEMA_VERSION + 1).to_string()] {
        let output = CommandOutput::run("", &["migrate", "--print", &format!("--after={after}")]).await;

        assert_eq!((output.code, output.stdout.as_str()), (Some(64), ""), "{after}");
        assert!(output.complaint().starts_with("after: needs a schema version, 0 to "), "{}", output.stderr);
    }
}

/// An empty database, and the URL of a role that may create a schema in it and nothing else.
pub(crate) async fn with_owner() -> (Database, String) {
    // The roles belong to the cluster: with them, the owner needs no right to create any.
    drop(Database::new().await);
    let database = Database::without_schema().await;
    let name: String = database.value("select current_database()::text").await;
    let owner = database.login(None).await;
    database.execute(&format!("grant create on database {name} to {name}_nobody")).await;
    (database, owner)
}

pub(crate) async fn print(flags: &[&str]) -> String {
    let output = CommandOutput::run("", &[&["migrate", "--print"], flags].concat()).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    output.stdout
}

/// The schema of a later Postrider: a migration of a table in use, a function with another argument, a view with other columns.
pub(crate) fn later() -> Schema {
    Schema::of_this_binary()
        .with_migration(
            &format!("V{}__later", SCHEMA_VERSION + 1),
            "alter table postrider.outbox drop constraint finished_has_a_time,
             add constraint finished_has_a_time check ((status in ('complete', 'failed')) = (completed_at is not null)) not valid;",
        )
        .with_object(
            "function",
            "retry_set_aside",
            "create or replace function postrider.retry_set_aside(stage text default null, up_to integer default 10) returns bigint
             language sql volatile set search_path = pg_catalog, pg_temp return 42;
             revoke all on function postrider.retry_set_aside(text, integer) from public;",
        )
        .with_object(
            "view",
            "backlog",
            "create or replace view postrider.backlog as select 'later'::text as pending, 1 as more;
             revoke all on postrider.backlog from public;
             grant select on postrider.backlog to postrider_reader;",
        )
}

/// Parsed as the command line does it.
pub(crate) fn parsed(url: &str) -> DatabaseUrl {
    DatabaseUrl::parse(url, &Environment::default()).unwrap()
}

/// Without `ON_ERROR_STOP`: goes on after an error, as it does when nobody tells it otherwise.
pub(crate) async fn psql(url: &str, script: &str) -> CommandOutput {
    let root = env!("CARGO_MANIFEST_DIR");
    let found = Command::new(format!("{root}/scripts/postgres")).arg("--psql").output().await.unwrap();
    let path = String::from_utf8(found.stdout).unwrap();
    let mut psql = Command::new(path.trim());
    psql.args(["--no-psqlrc", "--quiet", "--file", "-", url])
        .env("PGOPTIONS", "-c client_min_messages=warning");
    CommandOutput::with_input(psql, script.as_bytes()).await
}

/// As a later Postrider makes it in an empty database.
async fn catalog_of_later() -> Vec<String> {
    let (database, owner) = with_owner().await;
    later().migrate(&parsed(&owner)).await.unwrap();
    catalog(&database).await
}

/// Whatever the owner's name is, and without the migrator's own table.
pub(crate) async fn catalog(database: &Database) -> Vec<String> {
    let name: String = database.value("select current_database()::text").await;
    let lines = texts(database, CATALOG).await.into_iter().filter(|line| !line.contains("schema_history"));
    lines.map(|line| line.replace(&name, "")).collect()
}
