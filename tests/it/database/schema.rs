//! The schema comes, stays and is refused by its version.

use postrider::store::SCHEMA_VERSION;

use crate::support::{CommandOutput, Database};

/// What was applied, one line each.
pub(crate) const HISTORY: &str =
    "select format('%s %s %s', version, name, applied_on) from postrider.schema_history order by 1";

/// Everything that a schema consists of, one line each.
pub(crate) const CATALOG: &str = "
    select format('%s %s', c.relkind, c.oid::regclass) from pg_class as c where c.relnamespace = 'postrider'::regnamespace
    union all
    select format('column %s.%s %s %s %s %s', c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                  a.attidentity, pg_get_expr(d.adbin, d.adrelid))
    from pg_class as c
    join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0
    left join pg_attrdef as d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relnamespace = 'postrider'::regnamespace
    union all
    select format('options %s %s', c.oid::regclass, c.reloptions) from pg_class as c
    where c.relnamespace = 'postrider'::regnamespace
    union all
    select format('acl %s %s', c.oid::regclass, c.relacl) from pg_class as c where c.relnamespace = 'postrider'::regnamespace
    union all
    select format('acl %s %s', p.oid::regprocedure, p.proacl) from pg_proc as p where p.pronamespace = 'postrider'::regnamespace
    union all
    select format('index %s', pg_get_indexdef(i.indexrelid)) from pg_index as i
    join pg_class as c on c.oid = i.indexrelid where c.relnamespace = 'postrider'::regnamespace
    union all
    select format('view %s %s', c.oid::regclass, pg_get_viewdef(c.oid)) from pg_class as c
    where c.relnamespace = 'postrider'::regnamespace and c.relkind = 'v'
    union all
    select pg_get_functiondef(p.oid) from pg_proc as p where p.pronamespace = 'postrider'::regnamespace
    union all
    select format('constraint %s %s %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid)) from pg_constraint as k
    where k.connamespace = 'postrider'::regnamespace
    union all
    select pg_get_triggerdef(t.oid) from pg_trigger as t join pg_class as c on c.oid = t.tgrelid
    where c.relnamespace = 'postrider'::regnamespace and not t.tgisinternal
    union all
    select format('enum %s %s', e.enumtypid::regtype, e.enumlabel) from pg_enum as e
    join pg_type as t on t.oid = e.enumtypid where t.typnamespace = 'postrider'::regnamespace
    union all
    select format('comment %s %s', pg_describe_object(d.classoid, d.objoid, d.objsubid), d.description) from pg_description as d
    where pg_describe_object(d.classoid, d.objoid, d.objsubid) ~ 'postrider'
    order by 1";

#[tokio::test]
async fn migrating_a_migrated_database_changes_nothing() {
    let database = Database::without_schema().await;
    let first = CommandOutput::run(&database.url, &["migrate"]).await;
    let (history, catalog) = (texts(&database, HISTORY).await, texts(&database, CATALOG).await);

    let second = CommandOutput::run(&database.url, &["migrate"]).await;

    assert_eq!((first.code, second.code), (Some(0), Some(0)));
    assert_eq!(second.stdout, format!("schema version {SCHEMA_VERSION}\n"));
    assert_eq!(texts(&database, HISTORY).await, history);
    assert_eq!(texts(&database, CATALOG).await, catalog);
}

#[tokio::test]
async fn migrators_that_meet_all_succeed() {
    let database = Database::without_schema().await;
    let migrate = || CommandOutput::run(&database.url, &["migrate"]);

    let (one, two, three) = tokio::join!(migrate(), migrate(), migrate());

    assert_eq!([one.code, two.code, three.code], [Some(0); 3]);
    let applied: i64 = database.value("select count(*) from postrider.schema_history").await;
    assert_eq!(applied, i64::from(SCHEMA_VERSION));
}

#[tokio::test]
async fn a_migration_is_applied_by_one_of_the_migrators_that_meet() {
    let database = Database::without_schema().await;
    let migrate = || CommandOutput::run(&database.url, &["migrate"]);

    let (one, two) = tokio::join!(migrate(), migrate());

    let said = one.stdout + &two.stdout;
    assert_eq!(said.matches("applied V1__").count(), 1, "{said}");
}

#[tokio::test]
async fn check_refuses_an_empty_database_and_names_both_versions() {
    let database = Database::without_schema().await;

    let output = CommandOutput::run(&database.url, &["migrate", "--check"]).await;

    assert_eq!(output.code, Some(1));
    assert_eq!(
        output.complaint(),
        format!(
            "database has schema version 0, this binary needs {SCHEMA_VERSION}: run \"postrider migrate\""
        )
    );
}

#[tokio::test]
async fn check_creates_nothing_in_an_empty_database() {
    let database = Database::without_schema().await;

    CommandOutput::run(&database.url, &["migrate", "--check"]).await;

    assert!(database.is("select to_regnamespace('postrider') is null").await);
}

#[tokio::test]
async fn check_accepts_the_version_of_this_binary() {
    let database = Database::new().await;

    let output = CommandOutput::run(&database.url, &["migrate", "--check"]).await;

    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_newer_database_is_refused_by_every_command_that_needs_its_schema() {
    let database = newer_database().await;

    for args in [
        &["migrate", "--check"][..],
        &["migrate"],
        &["run", "--api-listen", "127.0.0.1:0"],
        &["run", "--no-migrate", "--api-listen", "127.0.0.1:0"],
    ] {
        let output = CommandOutput::run(&database.url, args).await;

        assert_eq!(output.code, Some(1), "{args:?}");
        assert_eq!(
            output.complaint(),
            format!(
                "database has schema version {}, newer than this binary's {SCHEMA_VERSION}: use a newer postrider",
                SCHEMA_VERSION + 1
            ),
            "{args:?}"
        );
    }
}

#[tokio::test]
async fn a_newer_database_is_left_as_it_is() {
    let database = newer_database().await;
    let (history, catalog) = (texts(&database, HISTORY).await, texts(&database, CATALOG).await);

    CommandOutput::run(&database.url, &["migrate"]).await;

    assert_eq!(texts(&database, HISTORY).await, history);
    assert_eq!(texts(&database, CATALOG).await, catalog);
}

#[tokio::test]
async fn a_dispatcher_that_may_not_migrate_refuses_an_older_database() {
    let database = Database::without_schema().await;

    let output =
        CommandOutput::run(&database.url, &["run", "--no-migrate", "--api-listen", "127.0.0.1:0"]).await;

    assert_eq!(output.code, Some(1));
    assert_eq!(
        output.complaint(),
        format!(
            "database has schema version 0, this binary needs {SCHEMA_VERSION}: run \"postrider migrate\""
        )
    );
}

#[tokio::test]
async fn what_migrate_prints_is_what_it_applies() {
    let (printed, migrated) = (Database::without_schema().await, Database::new().await);
    let output = CommandOutput::run("", &["migrate", "--print"]).await;

    printed.execute(&output.stdout).await;

    let ours = |line: &String| !line.contains("schema_history");
    let [printed, migrated] = [texts(&printed, CATALOG).await, texts(&migrated, CATALOG).await];
    assert_eq!(
        printed.into_iter().filter(ours).collect::<Vec<_>>(),
        migrated.into_iter().filter(ours).collect::<Vec<_>>()
    );
}

/// One that a later Postrider migrated.
async fn newer_database() -> Database {
    let database = Database::new().await;
    database
        .execute(&format!(
            "insert into postrider.schema_history (version, name, applied_on, checksum)
             select {}, 'later', applied_on, checksum from postrider.schema_history where version = 1",
            SCHEMA_VERSION + 1
        ))
        .await;
    database
}

pub(crate) async fn texts(database: &Database, sql: &str) -> Vec<String> {
    let rows = database.rows(sql, &[]).await;
    rows.iter().map(|row| row.get(0)).collect()
}
