//! `migrate --print`, for those who let no program change a schema: what it prints goes through psql, by the role that owns the
//! schema, and is then as if Postrider had migrated.

use postrider::store::SCHEMA_VERSION;
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
    let older = SCHEMA_VERSION - 2;
    for by_hand in [true, false] {
        let (database, owner) = with_owner().await;
        psql(&owner, &up_to(older, &print(&[]).await)).await;
        let checked = CommandOutput::run(&owner, &["migrate", "--check"]).await;
        assert!(checked.complaint().contains(&format!("schema version {older}, ")), "{}", checked.stderr);

        let rest = if by_hand {
            psql(&owner, &print(&["--after", &older.to_string()]).await).await
        } else {
            CommandOutput::run(&owner, &["migrate"]).await
        };

        assert_eq!(rest.code, Some(0), "{}", rest.stderr);
        assert_eq!(catalog(&database).await, whole_catalog().await, "by hand: {by_hand}");
        let versions: i64 = database.value("select count(*) from postrider.schema_history").await;
        assert_eq!(versions, i64::from(SCHEMA_VERSION));
    }
}

#[tokio::test]
async fn what_does_not_fit_the_database_changes_nothing_however_careless_psql_is() {
    let (database, owner) = with_owner().await;
    let empty = psql(&owner, &print(&["--after", "3"]).await).await;
    assert!(
        empty.stderr.contains("database has schema version 0, this script is for version 3"),
        "{}",
        empty.stderr
    );
    assert!(database.is("select to_regnamespace('postrider') is null").await);
    psql(&owner, &print(&[]).await).await;
    let before = (texts(&database, HISTORY).await, texts(&database, CATALOG).await);

    for args in [&[][..], &["--after", "3"]] {
        let again = psql(&owner, &print(args).await).await;

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

/// What a printed script does up to a version, as a script of its own.
pub(crate) fn up_to(version: i32, script: &str) -> String {
    let (begun, _) = script.split_once(&format!("\n-- V{}__", version + 1)).unwrap();
    format!("{begun}\ncommit;\n")
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

/// As Postrider makes it.
async fn whole_catalog() -> Vec<String> {
    let (database, owner) = with_owner().await;
    let migrated = CommandOutput::run(&owner, &["migrate"]).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    catalog(&database).await
}

/// Whatever the owner's name is, and without the migrator's own table.
async fn catalog(database: &Database) -> Vec<String> {
    let name: String = database.value("select current_database()::text").await;
    let lines = texts(database, CATALOG).await.into_iter().filter(|line| !line.contains("schema_history"));
    lines.map(|line| line.replace(&name, "")).collect()
}
