//! Functions and views: each is made again from its one file when its text is not the one that was applied, and keeps what others
//! were granted on it and have built on it.

use std::fs;
use std::path::{Path, PathBuf};

use postrider::store::{MigrateError, SCHEMA_VERSION, Schema, one_line};

use crate::database::migration_by_hand::{catalog, later, parsed, print, psql, with_owner};
use crate::database::schema::{CATALOG, texts};
use crate::support::{CommandOutput, Database};

/// Makes the database's functions and views those of some other Postrider of this version.
const ANOTHER_TEXT: &str = "
    create or replace function postrider.leader_key() returns bigint language sql immutable parallel safe return 42::bigint;
    update postrider.schema_object set digest = 'another' where name = 'leader_key'";

#[tokio::test]
async fn a_function_of_another_text_is_made_again_and_named() {
    let database = Database::new().await;
    let expected = texts(&database, CATALOG).await;
    database.execute(ANOTHER_TEXT).await;

    let migrated = CommandOutput::run(&database.url, &["migrate"]).await;

    let said = format!("applied function leader_key\nschema version {SCHEMA_VERSION}\n");
    assert_eq!((migrated.code, migrated.stdout, migrated.stderr), (Some(0), said, String::new()));
    assert_eq!(texts(&database, CATALOG).await, expected);
    let again = CommandOutput::run(&database.url, &["migrate"]).await;
    assert_eq!(again.stdout, format!("schema version {SCHEMA_VERSION}\n"));
}

#[tokio::test]
async fn a_function_or_view_that_somebody_dropped_comes_back() {
    let database = Database::new().await;
    let expected = texts(&database, CATALOG).await;
    database.execute("drop view postrider.backlog; drop function postrider.retry(bigint)").await;

    let migrated = CommandOutput::run(&database.url, &["migrate"]).await;

    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    assert_eq!(texts(&database, CATALOG).await, expected);
}

#[tokio::test]
async fn check_names_the_functions_and_views_that_differ_and_changes_nothing() {
    let database = Database::new().await;
    database.execute(ANOTHER_TEXT).await;
    database.execute("drop view postrider.backlog").await;
    let before = texts(&database, CATALOG).await;

    for args in [&["migrate", "--check"][..], &["run", "--no-migrate", "--api-listen", "127.0.0.1:0"]] {
        let ended = CommandOutput::run(&database.url, args).await;

        assert_eq!(ended.code, Some(1));
        assert_eq!(
            ended.complaint(),
            "functions and views of the schema are not this binary's (function leader_key, view backlog): run \"postrider migrate\""
        );
    }
    assert_eq!(texts(&database, CATALOG).await, before);
}

#[tokio::test]
async fn what_is_printed_for_the_version_that_the_database_has_makes_them_again_once_or_twice() {
    let (database, owner) = with_owner().await;
    psql(&owner, &print(&[]).await).await;
    let expected = texts(&database, CATALOG).await;
    database.execute(ANOTHER_TEXT).await;
    let script = print(&["--after", &SCHEMA_VERSION.to_string()]).await;

    for _ in 0..2 {
        let applied = psql(&owner, &script).await;

        assert_eq!((applied.code, applied.stderr.as_str()), (Some(0), ""));
        assert_eq!(CommandOutput::run(&owner, &["migrate", "--check"]).await.code, Some(0));
        assert_eq!(texts(&database, CATALOG).await, expected);
    }
}

#[tokio::test]
async fn a_function_and_a_view_that_have_no_file_any_more_are_dropped() {
    let database = Database::new().await;
    let expected = texts(&database, CATALOG).await;
    let more = Schema::of_this_binary()
        .with_object("view", "more", "create or replace view postrider.more as select 1 as one;")
        .with_object(
            "function",
            "still_more",
            "create or replace function postrider.still_more() returns bigint language sql stable
             begin atomic select count(*) from postrider.more; end;",
        );
    more.migrate(&parsed(&database.url)).await.unwrap();
    assert!(database.is("select postrider.still_more() = 1").await);

    let migrated = CommandOutput::run(&database.url, &["migrate"]).await;

    assert!(migrated.stdout.contains("applied function still_more\napplied view more\n"), "{migrated:?}");
    assert_eq!(texts(&database, CATALOG).await, expected);
}

#[tokio::test]
async fn a_view_of_other_columns_takes_along_ours_that_are_built_on_it_and_they_keep_what_was_granted() {
    let database = Database::new().await;
    let role: String = database.value("select current_database() || '_pg_monitor'").await;
    database.login(Some("pg_monitor")).await;
    database
        .execute(&format!("grant select on postrider.delivery_in_progress to {role} with grant option"))
        .await;
    let text = fs::read_to_string(sql_folder().join("schema/views/claimed_delivery.sql")).unwrap();
    let (text, _) = text.split_once("comment on").unwrap();
    let changed = text.replacen("select d.id, ", "select 'x'::text as first, d.id, ", 1);

    let applied = Schema::of_this_binary()
        .with_object("view", "claimed_delivery", &changed)
        .migrate(&parsed(&database.url))
        .await
        .unwrap();

    assert_eq!(applied, ["view claimed_delivery"]);
    for view in ["delivery_in_progress", "endpoint_health", "backlog"] {
        assert!(database.is(&format!("select count(*) >= 0 from postrider.{view}")).await);
    }
    for (holder, right) in [
        (role.as_str(), "select with grant option"),
        ("postrider_reader", "select"),
        ("postrider_dispatcher", "select"),
    ] {
        let may =
            format!("select has_table_privilege('{holder}', 'postrider.delivery_in_progress', '{right}')");
        assert!(database.is(&may).await, "{holder}");
    }
    CommandOutput::run(&database.url, &["migrate"]).await;
    assert!(database.is("select not exists (select from pg_attribute where attname = 'first' and attrelid = 'postrider.claimed_delivery'::regclass)").await);
}

#[tokio::test]
async fn what_somebody_has_built_on_a_view_is_never_dropped_but_named() {
    let database = Database::new().await;
    database
        .execute("create schema reports; create view reports.late as select pending from postrider.backlog")
        .await;
    let expected = texts(&database, CATALOG).await;

    let refused = later().migrate(&parsed(&database.url)).await;

    let complaint = one_line(&refused.unwrap_err());
    assert!(
        complaint.contains(
            "view reports.late is built on view postrider.backlog, which is to be dropped or made anew"
        ),
        "{complaint}"
    );
    assert_eq!(texts(&database, CATALOG).await, expected);
    assert!(database.is("select pending = 0 from reports.late").await);
    let gone =
        Schema::of_this_binary().without_object("view", "backlog").migrate(&parsed(&database.url)).await;
    assert!(one_line(&gone.unwrap_err()).contains("view reports.late is built on view postrider.backlog"));
}

#[tokio::test]
async fn a_view_that_gets_another_column_behind_the_others_keeps_what_somebody_has_built_on_it() {
    let database = Database::new().await;
    database
        .execute("create schema reports; create view reports.late as select pending from postrider.backlog")
        .await;
    let text = fs::read_to_string(sql_folder().join("schema/views/backlog.sql")).unwrap();
    let changed = text.replacen(
        "nobody.unknown_destination_24h\n",
        "nobody.unknown_destination_24h,\n       1 as more\n",
        1,
    );
    assert_ne!(changed, text);

    let applied = Schema::of_this_binary()
        .with_object("view", "backlog", &changed)
        .migrate(&parsed(&database.url))
        .await;

    assert_eq!(applied.unwrap(), ["view backlog"]);
    assert!(database.is("select more = 1 from postrider.backlog").await);
    assert!(database.is("select pending = 0 from reports.late").await);
}

#[tokio::test]
async fn a_function_of_somebody_elses_of_the_same_name_stays() {
    let database = Database::new().await;
    database
        .execute("create function postrider.retry_set_aside(xml) returns int language sql return 1")
        .await;

    later().migrate(&parsed(&database.url)).await.unwrap();

    let left = texts(
        &database,
        "select p.oid::regprocedure::text from pg_proc as p where p.proname = 'retry_set_aside' order by 1",
    )
    .await;
    assert_eq!(left, ["postrider.retry_set_aside(text,integer)", "postrider.retry_set_aside(xml)"]);
}

#[tokio::test]
async fn functions_and_views_of_a_newer_postrider_are_left_as_they_are() {
    let (database, owner) = with_owner().await;
    psql(&owner, &print(&[]).await).await;
    database.execute(ANOTHER_TEXT).await;
    database
        .execute("update postrider.schema_object set applied_by = '999.0.1' where name = 'leader_key'")
        .await;
    let before = texts(&database, CATALOG).await;

    for args in [&["migrate"][..], &["migrate", "--check"], &["run", "--api-listen", "127.0.0.1:0"]] {
        let ended = CommandOutput::run(&owner, args).await;

        let complaint = ended.complaint();
        assert!(
            complaint.starts_with("functions and views of the schema are postrider 999.0.1's"),
            "{complaint}"
        );
    }
    let applied = psql(&owner, &print(&["--after", &SCHEMA_VERSION.to_string()]).await).await;
    assert!(applied.stderr.contains("functions and views are of postrider 999.0.1"), "{}", applied.stderr);
    assert_eq!(texts(&database, CATALOG).await, before);
}

#[tokio::test]
async fn a_failed_object_takes_its_tables_migration_back() {
    let (database, owner) = with_owner().await;
    psql(&owner, &print(&[]).await).await;
    let expected = texts(&database, CATALOG).await;

    let refused =
        later().with_object("view", "broken", "create view postrider.broken as select no_such_column;");
    let refused = refused.migrate(&parsed(&owner)).await;

    assert!(matches!(refused, Err(MigrateError::Migration(_))));
    assert_eq!(texts(&database, CATALOG).await, expected);
    assert!(
        database.is(&format!("select max(version) = {SCHEMA_VERSION} from postrider.schema_history")).await
    );
}

#[tokio::test]
async fn the_files_under_sql_schema_make_the_same_schema_as_all_migrations() {
    let by_files = Database::without_schema().await;
    by_files
        .execute(
            "create schema postrider; set search_path = pg_catalog, pg_temp;
             create table postrider.schema_history (
                 version int4 primary key, name varchar(255), applied_on varchar(255), checksum varchar(255))",
        )
        .await;
    by_files.execute(include_str!("../../../sql/migrator/objects.sql")).await;
    by_files.execute(include_str!("../../../sql/migrator/drop_procedures.sql")).await;
    let mut files = files_in(&sql_folder().join("schema"));

    // In any order that works: a file that needs another one fails, and has its turn again.
    while !files.is_empty() {
        let mut left = Vec::new();
        for (path, text) in &files {
            if let Err(fault) = by_files.client.batch_execute(text).await {
                left.push((path.clone(), text.clone()));
                assert!(left.len() < files.len(), "{}: {fault:?}", path.display());
            }
        }
        files = left;
    }

    assert_eq!(catalog(&by_files).await, catalog(&Database::new().await).await);
}

/// Every SQL file below a folder.
fn files_in(folder: &Path) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let of_an_entry = |path: PathBuf| {
        if path.is_dir() { files_in(&path) } else { vec![(path.clone(), fs::read_to_string(&path).unwrap())] }
    };
    entries.flat_map(of_an_entry).collect()
}

fn sql_folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/sql"))
}
