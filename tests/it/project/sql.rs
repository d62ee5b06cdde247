//! The SQL room keeps its own rules: headers, comments, and indexes that leave the happy path to HOT updates.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use postrider::store::{STATEMENTS, Statement, session};
use tokio_postgres::Column;
use tokio_postgres::types::Type;

use crate::support::Database;

/// Columns of outbox and delivery that change between the insert of a row and its end when all goes well.
const CHANGED_ON_THE_HAPPY_PATH: &str = "{status,claim_id,attempts,completed_at,open_deliveries,failed,deliveries,last_status_code,last_error,first_duration_ms,due_at,failed_at}";

#[tokio::test]
async fn every_statement_prepares_and_takes_the_parameters_that_its_header_names() {
    let database = Database::new().await;

    for statement in all_statements() {
        let prepared = database.client.prepare(statement.sql).await;

        let prepared = prepared.unwrap_or_else(|fault| panic!("{}: {fault:?}", statement.name));
        assert_eq!(prepared.params().len(), highest_parameter(header(statement)), "{}", statement.name);
    }
}

#[test]
fn scripts_execute_statements_with_as_many_arguments_as_their_headers_name() {
    let mut judged = 0;
    for script in files_under(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts").as_ref()) {
        let Ok(text) = std::fs::read_to_string(&script) else { continue };
        // prepare NAME as $(grep -v '^--' FILE)
        for prepared in text.split("prepare ").skip(1) {
            let Some((name, rest)) = prepared.split_once(" as $(") else { continue };
            let (path, _) = rest.split_once(".sql)").unwrap();
            let file = path.rsplit('/').next().unwrap();
            let statement = all_statements().find(|statement| statement.name == file).unwrap();
            for call in text.split(&format!("execute {name}(")).skip(1) {
                let place = format!("{}: execute {name}", script.display());
                assert_eq!(arguments(call), highest_parameter(header(statement)), "{place}");
                judged += 1;
            }
        }
    }
    assert!(judged >= 2, "{judged}");
}

/// How many arguments stand before the parenthesis that ends the call.
fn arguments(call: &str) -> usize {
    let (mut depth, mut is_quoted, mut commas) = (0_u32, false, 0);
    for letter in call.chars() {
        match letter {
            '\'' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            ')' if depth == 0 => break,
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => commas += 1,
            _ => {}
        }
    }
    commas + 1
}

/// Every file, except what is built.
fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            files.push(path);
        } else if path.file_name().is_some_and(|name| name != "target") {
            files.extend(files_under(&path));
        }
    }
    files
}

#[tokio::test]
async fn every_statement_takes_and_returns_types_that_need_no_looking_up() {
    let database = Database::new().await;

    // To look up a type the driver keeps a prepared statement, which no transaction pooler bears.
    for statement in all_statements() {
        let prepared = database.client.prepare(statement.sql).await.unwrap();
        let columns = prepared.columns().iter().map(Column::type_);
        for known in prepared.params().iter().chain(columns) {
            assert!(Type::from_oid(known.oid()).is_some(), "{}: {known}", statement.name);
        }
    }
}

#[test]
fn every_statement_begins_with_its_contract() {
    for statement in all_statements() {
        let keys: Vec<&str> = header(statement)
            .lines()
            .filter_map(|line| line.strip_prefix("-- ")?.split_once(':'))
            .map(|(key, _)| key)
            .filter(|key| key.chars().all(|c| c.is_ascii_lowercase()))
            .collect();

        assert_eq!(keys, ["does", "params", "rows", "locks", "repeat"], "{}", statement.name);
    }
}

#[test]
fn every_statement_under_sql_is_compiled_in() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/statements");

    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .flat_map(|subject| std::fs::read_dir(subject.unwrap().path()).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".sql").map(str::to_owned))
        .collect();

    let compiled: BTreeSet<String> = all_statements().map(|statement| statement.name.to_owned()).collect();
    assert_eq!(files, compiled);
}

#[tokio::test]
async fn everything_in_the_schema_has_a_comment() {
    let database = Database::new().await;

    let bare = database
        .rows(
            "select kind || ' ' || name from (
                 select case c.relkind when 'v' then 'view' else 'table' end as kind, c.relname::text as name,
                        obj_description(c.oid, 'pg_class') as said
                 from pg_class as c
                 where c.relnamespace = 'postrider'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
                 union all
                 select 'column', c.relname || '.' || a.attname, col_description(c.oid, a.attnum)
                 from pg_attribute as a join pg_class as c on c.oid = a.attrelid
                 where c.relnamespace = 'postrider'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
                   and a.attnum > 0 and not a.attisdropped
                 union all
                 select 'function', p.oid::regprocedure::text, obj_description(p.oid, 'pg_proc')
                 from pg_proc as p where p.pronamespace = 'postrider'::regnamespace
                 union all
                 select 'type', t.typname, obj_description(t.oid, 'pg_type')
                 from pg_type as t where t.typnamespace = 'postrider'::regnamespace and t.typtype in ('e', 'd', 'r')
                 union all
                 select 'trigger', c.relname || '.' || g.tgname, obj_description(g.oid, 'pg_trigger')
                 from pg_trigger as g join pg_class as c on c.oid = g.tgrelid
                 where c.relnamespace = 'postrider'::regnamespace and not g.tgisinternal
             ) as object
             where coalesce(said, '') = ''
               and name !~ '^schema_history' -- The migrator's own.
             order by 1",
            &[],
        )
        .await;

    let bare: Vec<String> = bare.iter().map(|row| row.get(0)).collect();
    assert_eq!(bare, Vec::<String>::new());
}

#[tokio::test]
async fn no_function_means_something_else_under_another_search_path() {
    let database = Database::new().await;

    // A body in standard SQL is bound when it is created; a trigger's names are qualified, which a setting would cost each
    // insert.
    let loose = database
        .rows(
            "select p.oid::regprocedure::text from pg_proc as p
             where p.pronamespace = 'postrider'::regnamespace and p.prosqlbody is null
               and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)
               and p.oid not in ('postrider.ring()'::regprocedure, 'postrider.size_payload()'::regprocedure)",
            &[],
        )
        .await;

    let loose: Vec<String> = loose.iter().map(|row| row.get(0)).collect();
    assert_eq!(loose, Vec::<String>::new());
}

#[tokio::test]
async fn only_what_changes_endpoints_or_the_home_and_the_facts_of_a_view_run_with_the_rights_of_their_owner()
{
    let database = Database::new().await;

    let privileged: String = database
        .value(
            "select string_agg(proname, ' ' order by proname) from pg_proc
             where pronamespace = 'postrider'::regnamespace and prosecdef",
        )
        .await;

    assert_eq!(
        privileged,
        "adopt capture_now delete_endpoint endpoint_changed event_with_key forget_children forget_endpoints \
         forget_secrets grant_capture has_endpoint is_as_attached is_resumed lagging_sequences make_children mend_sequences \
         note_restore note_row pause_endpoint put_endpoint refuse_event require_home resume_endpoint \
         revive_children rotate_secret routed_below set_endpoint webhook_id_of why_not_at_home write_endpoint"
    );
}

#[tokio::test]
async fn producers_and_readers_may_call_only_what_their_inserts_and_views_call() {
    let database = Database::new().await;

    for (role, functions) in [
        (
            "postrider_producer",
            "{are_headers_valid,bell_key,event_with_key,has_endpoint,insert_new_event,publish,ring,webhook_id_of}",
        ),
        (
            "postrider_reader",
            "{capture_name,child_url,column_type,is_endpoint_url,is_template,lacking_rights,routed_below,\
             server_identity,template_columns,wanted_triggers,webhook_id,why_not_at_home}",
        ),
        ("public", "{}"),
    ] {
        let may = database
            .rows(
                "select coalesce(array_agg(proname::text order by proname), '{}')::text from pg_proc
                 where pronamespace = 'postrider'::regnamespace and has_function_privilege($1, oid, 'execute')",
                &[&role],
            )
            .await;

        assert_eq!(may[0].get::<_, &str>(0), functions, "{role}");
    }
}

#[tokio::test]
async fn no_index_mentions_a_column_that_changes_on_the_happy_path() {
    let database = Database::new().await;

    // due_at and failed_at stay null there, so a partial index on what is not null never sees such a row.
    let touched = database
        .rows(
            "select i.indexrelid::regclass || ': ' || a.attname
             from pg_index as i
             join pg_attribute as a on a.attrelid = i.indrelid and a.attname = any ($1::text::name[])
             where i.indrelid in ('postrider.outbox'::regclass, 'postrider.delivery'::regclass)
               and (a.attnum = any (i.indkey::smallint[]) or exists (
                   select from pg_depend as d
                   where d.classid = 'pg_class'::regclass and d.objid = i.indexrelid
                     and d.refobjid = i.indrelid and d.refobjsubid = a.attnum))
               and not (a.attname in ('due_at', 'failed_at')
                   and pg_get_expr(i.indpred, i.indrelid) like format('%%(%I IS NOT NULL)%%', a.attname)
                   and pg_get_expr(i.indpred, i.indrelid) not like '% OR %')
             order by 1",
            &[&CHANGED_ON_THE_HAPPY_PATH],
        )
        .await;

    let touched: Vec<String> = touched.iter().map(|row| row.get(0)).collect();
    assert_eq!(touched, Vec::<String>::new());
}

#[test]
fn attempts_are_never_updated() {
    for statement in all_statements() {
        let text = statement.sql.to_ascii_lowercase();

        assert!(!text.contains("update postrider.attempt"), "{}", statement.name);
    }
}

fn all_statements() -> impl Iterator<Item = &'static Statement> {
    const SESSION: [&Statement; 4] =
        [&session::ARM_BELL, &session::DISARM_BELL, &session::RING, &session::TAKE_LEADERSHIP];
    STATEMENTS.iter().chain(SESSION)
}

/// The comment that a statement begins with.
fn header(statement: &Statement) -> &'static str {
    let sql = statement.sql;
    let end = sql.split_inclusive('\n').take_while(|line| line.starts_with("--")).map(str::len).sum();
    &sql[..end]
}

/// The highest `$n` of the part of a header that describes the parameters.
fn highest_parameter(header: &str) -> usize {
    let (_, rest) = header.split_once("-- params:").unwrap();
    let (params, _) = rest.split_once("-- rows:").unwrap();
    params
        .split('$')
        .skip(1)
        .filter_map(|text| {
            let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse().ok()
        })
        .max()
        .unwrap_or(0)
}
