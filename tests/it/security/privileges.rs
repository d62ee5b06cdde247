//! A sweep over the catalog: who was given what in the schema, to the letter, and that a function which runs with its owner's
//! rights runs nothing of its caller's.

use serde_json::json;
use tokio_postgres::error::SqlState;

use crate::support::{Database, connect};

/// Everything that was granted to $1 (a role, or `public`) in the schema, one line each.
const GRANTED: &str = "
    select format('%s on %s%s', lower(a.privilege_type), g.object,
                  ' (' || string_agg(g.column_name, ' ' order by g.column_name) || ')')
    from (
        select case c.relkind when 'S' then 'sequence ' else 'table ' end || c.relname as object, null as column_name,
               c.relacl as acl
        from pg_class as c where c.relnamespace = 'postrider'::regnamespace
        union all
        select 'table ' || c.relname, t.attname, t.attacl
        from pg_class as c join pg_attribute as t on t.attrelid = c.oid
        where c.relnamespace = 'postrider'::regnamespace
        union all
        select 'schema ' || n.nspname, null, n.nspacl from pg_namespace as n where n.nspname = 'postrider'
        union all
        select 'function ' || p.proname, null, coalesce(p.proacl, acldefault('f', p.proowner)) from pg_proc as p
        where p.pronamespace = 'postrider'::regnamespace
    ) as g
    cross join lateral aclexplode(g.acl) as a
    where a.grantee = coalesce((select r.oid from pg_roles as r where r.rolname = $1::text), 0)
    group by a.privilege_type, g.object
    order by 1";

#[tokio::test]
async fn producers_readers_and_everybody_were_granted_this_and_nothing_else() {
    let database = Database::new().await;

    for (role, granted) in [
        ("public", &[][..]),
        (
            "postrider_producer",
            &[
                "execute on function are_headers_valid",
                "execute on function bell_key",
                "execute on function event_with_key",
                "execute on function has_endpoint",
                "execute on function insert_new_event",
                "execute on function publish",
                "execute on function ring",
                "execute on function webhook_id_of",
                "insert on table new_event",
                "insert on table outbox (deliver_after destination headers idempotency_key key payload topic)",
                "select on table new_event",
                "select on table outbox (created_at id idempotency_key status)",
                "usage on schema postrider",
                "usage on sequence outbox_id_seq",
            ],
        ),
        (
            "postrider_reader",
            &[
                "execute on function capture_name",
                "execute on function child_url",
                "execute on function column_type",
                "execute on function is_endpoint_url",
                "execute on function is_template",
                "execute on function lacking_rights",
                "execute on function routed_below",
                "execute on function server_identity",
                "execute on function template_columns",
                "execute on function wanted_triggers",
                "execute on function webhook_id",
                "execute on function why_not_at_home",
                "select on table attached_table",
                "select on table attempt_log",
                "select on table backlog",
                "select on table blocked_keys",
                "select on table delivery_in_progress",
                "select on table delivery_status",
                "select on table dispatcher_status",
                "select on table endpoint_health",
                "select on table installation_status",
                "select on table outbox (cancelled_at completed_at created_at deliver_after deliveries destination failed id \
                 idempotency_key key open_deliveries payload_bytes status topic)",
                "select on table set_aside",
                "usage on schema postrider",
            ],
        ),
    ] {
        let found = database.rows(GRANTED, &[&role]).await;

        let found: Vec<String> = found.iter().map(|row| row.get(0)).collect();
        assert_eq!(found, granted, "{role}");
    }
}

#[tokio::test]
async fn nobody_may_give_on_what_was_granted_and_no_role_of_ours_is_more_than_a_name_for_grants() {
    let database = Database::new().await;

    let wrong = database
        .rows(
            "select c.relname || ': ' || a.grantee::regrole from pg_class as c cross join lateral aclexplode(c.relacl) as a
             where c.relnamespace = 'postrider'::regnamespace and a.is_grantable and a.grantee <> c.relowner
             union all
             select rolname::text from pg_roles
             where rolname in ('postrider_producer', 'postrider_reader', 'postrider_dispatcher')
               and (rolsuper or rolcreaterole or rolcreatedb or rolcanlogin or rolreplication or rolbypassrls)
             union all
             select m.member::regrole || ' is a member of ' || m.roleid::regrole from pg_auth_members as m
             where m.member::regrole::text in ('postrider_producer', 'postrider_reader', 'postrider_dispatcher')",
            &[],
        )
        .await;

    let wrong: Vec<String> = wrong.iter().map(|row| row.get(0)).collect();
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test]
async fn what_runs_with_its_owners_rights_finds_names_in_the_systems_schema_and_last_among_temporary_ones() {
    let database = Database::new().await;

    let found = database
        .rows(
            "select p.oid::regprocedure::text, p.proconfig::text, p.proowner = n.nspowner
             from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
             where n.nspname = 'postrider' and p.prosecdef",
            &[],
        )
        .await;

    assert!(found.len() >= 8, "{found:?}");
    for row in found {
        let (function, settings, is_the_schemas_owners): (String, Option<String>, bool) =
            (row.get(0), row.get(1), row.get(2));
        assert_eq!(settings.as_deref(), Some("{\"search_path=pg_catalog, pg_temp\"}"), "{function}");
        assert!(is_the_schemas_owners, "{function}");
    }
}

#[tokio::test]
async fn nothing_of_a_callers_own_schemas_is_run_by_what_it_calls() {
    let database = Database::new().await;
    let login = database.login(Some("postrider_dispatcher")).await;
    let caller = connect(&login).await;
    // Each would be found first by a name that is not qualified, and by a look-up in the caller's path.
    let trap = "raise exception 'trapped' using errcode = 'ZZ001'";
    database.execute("create schema trap; grant all on schema trap to public").await;
    caller
        .batch_execute(&format!(
            "set search_path = trap, pg_catalog, postrider;
             create function trap.spring(text, text) returns boolean language plpgsql as $$ begin {trap}; end $$;
             create operator trap.= (function = trap.spring, leftarg = text, rightarg = text);
             create operator trap.<> (function = trap.spring, leftarg = text, rightarg = text);
             create operator trap.~ (function = trap.spring, leftarg = text, rightarg = text);
             create operator trap.!~ (function = trap.spring, leftarg = text, rightarg = text);
             create function trap.now() returns timestamptz language plpgsql as $$ begin {trap}; end $$;
             create function trap.clock_timestamp() returns timestamptz language plpgsql as $$ begin {trap}; end $$;
             create function trap.octet_length(text) returns int language plpgsql as $$ begin {trap}; end $$;
             create function trap.pg_notify(text, text) returns void language plpgsql as $$ begin {trap}; end $$;
             create function trap.pg_try_advisory_xact_lock_shared(bigint) returns boolean language plpgsql as $$ begin {trap}; end $$;
             create function trap.current_setting(text, boolean) returns text language plpgsql as $$ begin {trap}; end $$;
             create temporary table endpoint (id text); create temporary table outbox (id bigint);
             create temporary table installation (code text)"
        ))
        .await
        .unwrap();
    let sprung = caller.batch_execute("select now()").await.unwrap_err();
    assert_eq!(sprung.code(), Some(&SqlState::from_code("ZZ001")), "{sprung:?}");

    for call in [
        "select postrider.put_endpoint('one', 'https://example.com/', headers => '{\"x-a\": \"b\"}')",
        "select postrider.put_endpoint('one', 'https://example.com/2', '{a.*}')",
        "select postrider.rotate_secret('one')",
        "insert into postrider.outbox (topic, payload, headers) values ('a.b', '{}', '{\"x-a\": \"b\"}')",
        "select postrider.pause_endpoint('one')",
        "select postrider.resume_endpoint('one')",
        "select postrider.replay('one', '-infinity')",
        "select postrider.retry_failed('one')",
        "select postrider.publish('a.b', '{}', headers => '{\"x-a\": \"b\"}', idempotency_key => 'c', destination => 'one')",
        "select postrider.publish('a.b', '{}', idempotency_key => 'c')",
        "insert into postrider.new_event (topic, payload, headers) values ('a.b', '{}', '{\"x-a\": \"b\"}')",
        "select postrider.cancel(1)",
        "select postrider.delete_endpoint('one')",
        "select postrider.forget_endpoints('infinity')",
        "select from postrider.delivery_status",
        "select from postrider.endpoint_health",
        "select from postrider.backlog",
    ] {
        caller.batch_execute(call).await.unwrap_or_else(|fault| panic!("{call}: {fault:?}"));
    }
    database.assert_row("select count(*) from postrider.outbox", json!({"count": 3})).await;
}
