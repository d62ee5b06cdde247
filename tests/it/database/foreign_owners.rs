//! A schema `postrider`, or something in it, that somebody else owns: it is not migrated into, and the owner is named.

use postrider::store::SCHEMA_VERSION;

use crate::cli::doctor::{doctor, found, text};
use crate::database::migration_by_hand::{print, psql, with_owner};
use crate::support::{CommandOutput, Database, connect};

#[tokio::test]
async fn a_schema_of_somebody_else_is_refused_by_everything_that_would_use_it_and_its_owner_is_named() {
    let (database, owner) = with_owner().await;
    let (stranger, role) = stranger(&database).await;
    stranger.batch_execute("create schema postrider").await.unwrap();
    let message = format!("schema postrider belongs to role \"{role}\"");

    for url in [&database.url, &owner] {
        for args in [
            &["migrate"][..],
            &["migrate", "--check"],
            &["run", "--api-listen", "127.0.0.1:0"],
            &["run", "--no-migrate", "--api-listen", "127.0.0.1:0"],
        ] {
            let output = CommandOutput::run(url, args).await;

            assert_eq!(output.code, Some(1), "{args:?}");
            assert!(output.complaint().starts_with(&message), "{args:?}: {}", output.stderr);
        }
        let applied = psql(url, &print(&[]).await).await;
        assert!(applied.stderr.contains(&message), "{}", applied.stderr);
        let schema = found(&doctor(url, &[]).await, "schema");
        assert!(text(&schema, "message").starts_with(&message), "{schema}");
    }
    assert!(
        database
            .is("select not exists (select from pg_class where relnamespace = 'postrider'::regnamespace)")
            .await
    );
}

#[tokio::test]
async fn an_object_of_somebody_else_in_a_schema_of_ones_own_is_refused() {
    for (object, create) in [
        ("table postrider.schema_history", "create table postrider.schema_history (version int)"),
        ("function postrider.ring()", "create function postrider.ring() returns int language sql return 1"),
        ("type postrider.status", "create type postrider.status as enum ('a')"),
        (
            "operator postrider.<<<(integer,integer)",
            "create operator postrider.<<< (function = pg_catalog.int4pl, leftarg = int, rightarg = int)",
        ),
        ("view postrider.backlog", "create view postrider.backlog as select 1 as one"),
    ] {
        let (database, owner) = with_owner().await;
        let (stranger, role) = stranger(&database).await;
        let owners = connect(&owner).await;
        owners
            .batch_execute(&format!("create schema postrider; grant all on schema postrider to {role}"))
            .await
            .unwrap();
        stranger.batch_execute(create).await.unwrap();

        let migrated = CommandOutput::run(&owner, &["migrate"]).await;
        let applied = psql(&owner, &print(&[]).await).await;

        for said in [&migrated.stderr, &applied.stderr] {
            assert!(said.contains(&format!("{object} belongs to role \"{role}\"")), "{said}");
        }
        assert_eq!(migrated.code, Some(1));
    }
}

#[tokio::test]
async fn a_history_that_is_no_table_of_the_schemas_owner_is_not_looked_into() {
    let (database, owner) = with_owner().await;
    let (stranger, role) = stranger(&database).await;
    let owners = connect(&owner).await;
    owners
        .batch_execute(&format!("create schema postrider; grant all on schema postrider to {role}"))
        .await
        .unwrap();
    stranger
        .batch_execute(
            "create function postrider.run() returns int language plpgsql as $$ begin raise exception 'it ran'; end $$;
             create view postrider.schema_history as select postrider.run() as version;
             grant all on postrider.schema_history to public; grant usage on schema postrider to public",
        )
        .await
        .unwrap();

    for url in [&database.url, &owner] {
        for args in [&["migrate"][..], &["migrate", "--check"], &["run", "--api-listen", "127.0.0.1:0"]] {
            let output = CommandOutput::run(url, args).await;

            let complaint = output.complaint();
            assert!(
                complaint.starts_with(&format!("table postrider.schema_history belongs to role \"{role}\"")),
                "{complaint}"
            );
        }
    }
}

#[tokio::test]
async fn a_schema_that_its_owner_or_a_member_of_it_made_before_is_migrated_into() {
    for through_a_group in [false, true] {
        let (database, owner) = with_owner().await;
        let name: String = database.value("select current_database()::text").await;
        let of = if through_a_group { "group" } else { "nobody" };
        if through_a_group {
            database
                .execute(&format!(
                    "create role {name}_group; grant {name}_group to {name}_nobody;
                                   grant create on database {name} to {name}_group"
                ))
                .await;
        }
        database.execute(&format!("create schema postrider authorization {name}_{of}")).await;

        let migrated = CommandOutput::run(&owner, &["migrate"]).await;

        assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
        assert!(migrated.stdout.ends_with(&format!("schema version {SCHEMA_VERSION}\n")));
    }
}

#[tokio::test]
async fn what_somebody_put_into_the_schema_since_stops_an_upgrade_and_fails_the_doctor() {
    let (database, owner) = with_owner().await;
    psql(&owner, &print(&[]).await).await;
    database.execute("update postrider.schema_object set digest = 'another' where name = 'backlog'").await;
    let (stranger, role) = stranger(&database).await;
    connect(&owner).await.batch_execute(&format!("grant all on schema postrider to {role}")).await.unwrap();
    stranger
        .batch_execute("create function postrider.webhook_id(text, int, timestamptz) returns text language sql return 'evil'")
        .await
        .unwrap();
    let object = "function postrider.webhook_id(text,integer,timestamp with time zone)";

    let migrated = CommandOutput::run(&owner, &["migrate"]).await;
    assert!(
        migrated.complaint().starts_with(&format!("{object} belongs to role \"{role}\"")),
        "{}",
        migrated.stderr
    );
    connect(&owner)
        .await
        .batch_execute("drop function postrider.webhook_id(text, int, timestamptz)")
        .await
        .unwrap();
    assert_eq!(CommandOutput::run(&owner, &["migrate"]).await.code, Some(0));
    stranger.batch_execute("create table postrider.mine ()").await.unwrap();

    let check = found(&doctor(&database.url, &[]).await, "owners");

    assert_eq!(check["result"], "fail");
    assert!(text(&check, "message").contains(&format!("table postrider.mine ({role})")), "{check}");
}

#[tokio::test]
async fn a_superuser_is_told_whose_functions_run_with_all_its_rights() {
    let (database, owner) = with_owner().await;
    assert_eq!(CommandOutput::run(&owner, &["migrate"]).await.code, Some(0));
    let name: String = database.value("select current_database()::text").await;

    let superusers = found(&doctor(&database.url, &[]).await, "owners");
    let owners = doctor(&owner, &[]).await;
    let checked = CommandOutput::run(&database.url, &["migrate", "--check"]).await;

    assert_eq!(superusers["result"], "warn");
    let whose = format!("belongs to role \"{name}_nobody\"");
    assert!(text(&superusers, "message").contains(&whose), "{superusers}");
    assert!(!owners.stdout.contains("\"owners\""), "{}", owners.stdout);
    assert!(checked.stdout.contains(&whose), "{}", checked.stdout);
}

/// A session of another role that may create schemas, and the role's name.
async fn stranger(database: &Database) -> (tokio_postgres::Client, String) {
    let name: String = database.value("select current_database()::text").await;
    let url = database.login(Some("pg_monitor")).await;
    let role = format!("{name}_pg_monitor");
    database.execute(&format!("grant create on database {name} to {role}")).await;
    (connect(&url).await, role)
}
