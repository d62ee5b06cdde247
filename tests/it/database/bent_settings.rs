//! Settings that somebody set for the database or for a role: whatever they say, our sessions mean, show and store the same.

use std::collections::BTreeSet;

use postrider::store::{DatabaseUrl, Environment, Session};
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::database::migration_by_hand::{print, psql, with_owner};
use crate::database::schema::{CATALOG, texts};
use crate::support::{CommandOutput, Database, Dispatcher, Receiver, eventually, get};

/// Settings that may stay as somebody has bent them, by a part of their name, and why.
const HARMLESS: &[(&str, &str)] = &[
    // Not every server knows it, so the first query of a session pins it, and no session begins with it.
    ("transaction_timeout", "the first query of a session pins it"),
    // How fast something is, and how much memory it takes: the dispatcher pins which paths a plan may take.
    ("enable_", "plans"),
    ("cost", "plans, and the pace of a person's VACUUM"),
    ("geqo", "plans"),
    ("jit", "plans"),
    ("parallel", "plans"),
    ("collapse_limit", "plans"),
    ("constraint_exclusion", "plans"),
    ("cursor_tuple_fraction", "plans"),
    ("plan_cache_mode", "plans"),
    ("recursive_worktable_factor", "plans"),
    ("default_statistics_target", "plans, of a person's ANALYZE"),
    ("effective_cache_size", "plans"),
    ("io_combine_limit", "reading"),
    ("io_concurrency", "reading"),
    ("synchronize_seqscans", "the order of rows where none is asked for"),
    ("work_mem", "memory"),
    ("hash_mem_multiplier", "memory"),
    ("temp_buffers", "memory"),
    ("gin_", "indexes of a kind that we have not"),
    // Writing: when, and in which form.
    ("synchronous_commit", "the operator's choice; warned about"),
    ("commit_siblings", "writing"),
    ("flush_after", "writing"),
    ("wal_skip_threshold", "writing"),
    ("file_copy_method", "writing"),
    ("default_toast_compression", "how a value is compressed"),
    ("default_tablespace", "the operator's choice"),
    ("temp_tablespaces", "the operator's choice"),
    ("vacuum_", "a person's VACUUM"),
    // What we do not use.
    ("xml", "no XML"),
    ("lc_", "no money, no names of months"),
    ("default_text_search_config", "no text search"),
    ("timezone_abbreviations", "no abbreviations"),
    ("icu_validation_level", "no new collation"),
    ("password", "no new password"),
    ("scram_iterations", "no new password"),
    ("createrole_self_grant", "what the migrating role may do with roles that it makes"),
    ("wal_sender", "replication"),
    ("logical_decoding", "replication"),
    ("logical_replication", "replication"),
    ("stats_fetch_consistency", "statistics of the server"),
    ("local_preload_libraries", "the operator's choice"),
    ("gss_", "logging in"),
    // What the server logs, and how the driver is told.
    ("debug_", "the server's log"),
    ("trace_", "the server's log"),
    ("escape_string_warning", "a warning about texts that we do not write"),
    ("application_name", "ours has a name of its own"),
    ("client_encoding", "the driver's"),
    ("client_connection_check_interval", "when the server notices that we are gone"),
    ("tcp_", "the connection"),
    // Waited out, see docs/reference/connection.md.
    ("default_transaction_read_only", "protects a database"),
    // Of the transaction, and bent by its default alone.
    ("transaction_isolation", "by its default"),
    ("transaction_read_only", "by its default"),
    ("transaction_deferrable", "by its default"),
];

/// Bends every setting that anybody may set, as far from its value as it goes, but for what would keep a session from being or
/// fill the server's log.
const BEND: &str = r"
    create access method bent_heap type table handler heap_tableam_handler;
    do $$
    declare
        s record;
        bent text;
    begin
        for s in select * from pg_settings as p where p.context = 'user'
            and p.name !~ '^(debug_|trace_|log_|local_preload|tcp_|client_encoding|application_name|client_connection|transaction_iso|transaction_re|transaction_def|default_transaction_read_only|temp_|default_tablespace|createrole|lc_|timezone_abb|temp_buffers|restrict)'
        loop
            bent := case
                when s.name = 'default_table_access_method' then 'bent_heap'
                -- No session begins within a millisecond.
                when s.name = 'transaction_timeout' then '300ms'
                when s.name like 'plpgsql.extra%' then 'all'
                when s.name = 'search_path' then 'pg_temp'
                when s.name = 'DateStyle' then 'SQL, DMY'
                when s.name = 'TimeZone' then 'Australia/Lord_Howe'
                when s.name = 'default_text_search_config' then 'pg_catalog.simple'
                when s.name = 'default_transaction_isolation' then 'serializable'
                when s.vartype = 'bool' then case s.setting when 'on' then 'off' else 'on' end
                when s.vartype = 'enum' then (select e from unnest(s.enumvals) as e where e <> s.setting limit 1)
                when s.vartype in ('integer', 'real') and s.setting <> s.min_val then s.min_val
                when s.vartype = 'integer' then (s.min_val::bigint + 1)::text
                when s.vartype = 'real' then '1'
            end;
            if bent is not null then
                execute format('alter database %I set %I = ' || case when s.name = 'DateStyle' then '%s' else '%L' end,
                               current_database(), s.name, bent);
            end if;
        end loop;
    end
    $$";

#[tokio::test]
async fn every_setting_is_pinned_or_known_to_do_no_harm() {
    let database = Database::without_schema().await;
    let bent = Database::without_schema().await;
    bent.execute(BEND).await;

    for session in [
        Session::Dispatcher,
        Session::Listener,
        Session::Lease,
        Session::Command,
        Session::Api,
        Session::Scrape,
    ] {
        let ours = settings(&connected(&database.url, session).await).await;
        let theirs = settings(&connected(&bent.url, session).await).await;

        let moved: BTreeSet<&String> = ours.difference(&theirs).collect();
        let unknown: Vec<&&String> = moved.iter().filter(|setting| !is_harmless(setting)).collect();
        assert!(unknown.is_empty(), "{session:?}: somebody may bend {unknown:?}");
    }
    // Every setting was bent, or is known by its name: one that a later version adds is neither.
    let bent_ones =
        "select split_part(c, '=', 1) || '=' from pg_db_role_setting as s cross join unnest(s.setconfig) as c
                     where s.setdatabase = (select oid from pg_database where datname = current_database())";
    let bent_ones: BTreeSet<String> = texts(&bent, bent_ones).await.into_iter().collect();
    let all = texts(&bent, "select name || '=' from pg_settings where context = 'user'").await;
    let left: Vec<&String> = all
        .iter()
        .filter(|setting| !bent_ones.contains(*setting) && !is_harmless(setting) && !is_pinned(setting))
        .collect();
    assert!(left.is_empty(), "neither bent, nor known: {left:?}");
}

#[tokio::test]
async fn a_database_whose_every_setting_is_bent_is_migrated_and_served_as_any_other() {
    let straight = Database::new().await;
    let database = Database::without_schema().await;
    database.execute(BEND).await;
    let receiver = Receiver::start().await;

    let migrated = CommandOutput::run(&database.url, &["migrate"]).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    assert_eq!(texts(&database, CATALOG).await, texts(&straight, CATALOG).await);
    let url = receiver.url();
    let put = [
        &["endpoint", "put", "one", "--url", &url, "--allow-http", "--allow-cidr", "127.0.0.0/8"][..],
        &["--retry-schedule", "1s,2m", "--timeout", "1500ms"],
    ];
    let put = CommandOutput::run(&database.url, &put.concat()).await;
    assert_eq!(put.code, Some(0), "{}", put.stderr);
    receiver.answer_once(500, &[], b"no");
    note_transactions(&database).await;
    let dispatcher = Dispatcher::spawn(&database.url, &["--wake", "notify", "--poll-interval", "1h"]);
    database.until_bell_is_armed().await;
    let id = database.insert("order.created", "{\"n\": 1}").await;
    database.until_settled().await;
    for args in [&["status", "--json"][..], &["delivery", "list", "--json"], &["endpoint", "list", "--json"]]
    {
        let output = CommandOutput::run(&database.url, args).await;

        assert_eq!(output.code, Some(0), "{args:?}: {}", output.stderr);
        assert!(serde_json::from_str::<serde_json::Value>(&output.stdout).is_ok(), "{}", output.stdout);
    }
    let shown = CommandOutput::run(&database.url, &["event", "show", &id.to_string()]).await;

    assert!(shown.stdout.contains("complete"), "{}", shown.stdout);
    assert_eq!(receiver.count(), 2);
    assert_eq!(get(&format!("http://{}/readyz", dispatcher.api().await)).await.status().as_u16(), 200);
    let isolations: Vec<String> = texts(&database, "select distinct isolation from public.noted").await;
    assert_eq!(isolations, ["read committed off"]);
    assert!(!dispatcher.log().contains("WARN events not claimed"), "{}", dispatcher.log());
}

#[tokio::test]
async fn a_printed_schema_is_the_same_whatever_is_set_where_it_is_applied() {
    let (straight, owner) = with_owner().await;
    psql(&owner, &print(&[]).await).await;
    let (database, owner) = with_owner().await;
    let name: String = database.value("select current_database()::text").await;
    for setting in [
        "standard_conforming_strings = off",
        "quote_all_identifiers = on",
        "check_function_bodies = off",
        "default_transaction_isolation = 'serializable'",
        "datestyle = 'German'",
        "intervalstyle = 'sql_standard'",
        "timezone = 'Asia/Kathmandu'",
        "transform_null_equals = on",
        "array_nulls = off",
        "extra_float_digits = -15",
    ] {
        database.execute(&format!("alter database {name} set {setting}")).await;
    }

    let applied = psql(&owner, &print(&[]).await).await;

    assert_eq!((applied.code, applied.stderr.as_str()), (Some(0), ""));
    let (there, here) = (
        crate::database::migration_by_hand::catalog(&straight).await,
        crate::database::migration_by_hand::catalog(&database).await,
    );
    assert_eq!(here, there);
}

#[tokio::test]
async fn a_script_that_was_read_with_other_rules_for_backslashes_changes_nothing() {
    let database = Database::without_schema().await;
    let client = database.connect().await;
    client.batch_execute("set standard_conforming_strings = off").await.unwrap();

    // As one message, which the server reads before it runs the first statement.
    let fault = client.batch_execute(&print(&[]).await).await.unwrap_err();

    let fault = fault.as_db_error().unwrap();
    assert!(fault.message().contains("standard_conforming_strings"), "{fault:?}");
    client.batch_execute("rollback").await.unwrap();
    assert!(database.is("select to_regnamespace('postrider') is null").await);
}

#[tokio::test]
async fn functions_that_run_in_a_callers_session_mean_the_same_there() {
    let database = Database::new().await;
    let client = database.connect().await;
    client
        .batch_execute(
            "set standard_conforming_strings = off; set escape_string_warning = off; set datestyle = 'German';
             set intervalstyle = 'sql_standard'; set timezone = 'Asia/Kathmandu'; set extra_float_digits = -15;
             set transform_null_equals = on; set array_nulls = off; set quote_all_identifiers = on;
             set plpgsql.extra_errors = 'all'; set bytea_output = 'escape'; set search_path = pg_temp; set default_transaction_isolation = serializable",
        )
        .await
        .unwrap();

    for topics in ["{order.*}", "{order.*,a.b}"] {
        let put = format!(
            "select * from postrider.put_endpoint('one', 'https://example.com/a\\\\?x', '{topics}',
                 auth => '{{\"type\": \"bearer\", \"token\": \"hunter2\"}}', retry_schedule => '{{00:00:05,1 02:00:00}}')"
        );
        client.batch_execute(&put.replace("a\\\\?x", "a?x")).await.unwrap();
    }
    let moved = client
        .batch_execute("select postrider.put_endpoint('one', 'https://other.example/a', '{a.b}')")
        .await
        .unwrap_err();
    client
        .batch_execute("insert into postrider.outbox (topic, payload) values ('order.made', '1')")
        .await
        .unwrap();
    client.batch_execute("select postrider.cancel(1); select postrider.retry(1)").await.unwrap_err();

    assert!(moved.as_db_error().unwrap().message().contains("not taken along"), "{moved:?}");
    database
        .assert_row(
            "select retry_schedule::text as delays, topics::text as topics from postrider.endpoint",
            serde_json::json!({"delays": "{00:00:05,\"1 day 02:00:00\"}", "topics": "{order.*,a.b}"}),
        )
        .await;
    // A text in a body that is read in the caller's session has no backslash.
    let read_later = r"select p.proname::text from pg_proc as p
        where p.pronamespace = 'postrider'::regnamespace and p.prosqlbody is null and p.prosrc ~ '(^|[^eE])''[^'']*[\\]'";
    assert_eq!(texts(&database, read_later).await, Vec::<String>::new());
}

#[tokio::test]
async fn serializable_producers_are_not_failed_by_dispatchers() {
    const PRODUCERS: usize = 6;
    const EACH: usize = 80;
    let database = Database::new().await;
    let name: String = database.value("select current_database()::text").await;
    database
        .execute(&format!("alter database {name} set default_transaction_isolation = serializable"))
        .await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    let (one, two) = (Dispatcher::start(&database, &[]).await, Dispatcher::start(&database, &[]).await);

    let mut producers = JoinSet::new();
    for _ in 0..PRODUCERS {
        let client = database.connect().await;
        producers.spawn(async move {
            let mut failed = Vec::new();
            for _ in 0..EACH {
                let insert =
                    "begin; insert into postrider.outbox (topic, payload) values ('a.b', '1'); commit";
                if let Err(fault) = client.batch_execute(insert).await {
                    failed.push(fault.to_string());
                    client.batch_execute("rollback").await.unwrap();
                }
            }
            failed
        });
    }
    let failed: Vec<String> = producers.join_all().await.concat();

    assert_eq!(failed, Vec::<String>::new());
    eventually("all arrive", || async { receiver.webhook_ids().len() == PRODUCERS * EACH }).await;
    for dispatcher in [one, two] {
        assert!(!dispatcher.log().contains("could not serialize"), "{}", dispatcher.log());
    }
}

/// Each setting that anybody may set, with its value.
async fn settings(client: &Client) -> BTreeSet<String> {
    let names = "select name || '=' || setting from pg_catalog.pg_settings where context = 'user'";
    let rows = client.query(names, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn is_harmless(setting: &str) -> bool {
    let (name, _) = setting.split_once('=').unwrap();
    HARMLESS.iter().any(|(part, _)| name.contains(part))
}

/// Whether our sessions pin it although it is not bent here: the server's log would fill, or there would be no bending.
fn is_pinned(setting: &str) -> bool {
    let (name, _) = setting.split_once('=').unwrap();
    ["log_parameter_max_length_on_error", "restrict_nonsystem_relation_kind"].contains(&name)
}

/// A session of ours.
async fn connected(url: &str, session: Session) -> Client {
    let url = DatabaseUrl::parse(url, &Environment::default()).unwrap();
    let (client, connection) = url.connect(session).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "ends with its client")]
    drop(tokio::spawn(connection));
    client
}

/// Notes how isolated the transactions are that write deliveries.
async fn note_transactions(database: &Database) {
    database
        .execute(
            "create table public.noted (isolation text);
             create function public.note() returns trigger language plpgsql as $$ begin
                 insert into public.noted values (pg_catalog.concat_ws(' ', pg_catalog.current_setting('transaction_isolation'),
                     pg_catalog.current_setting('transaction_deferrable')));
                 return null;
             end $$;
             create trigger note after insert or update on postrider.delivery for each statement execute function public.note()",
        )
        .await;
}
