-- does:   begins a transaction that migrates, by "migrate" and "migrate --print" alike. Unqualified names mean PostgreSQL's own, and
--         waits for locks are short. Refuses objects of the schema that another role owns. Keeps the existing objects, and what an
--         operator granted on them, in the setting postrider.before for end.sql. Makes the schema if it does not exist.
--         Settings of role and database that would bend the schema are off until the transaction ends.
-- locks:  none for long; later statements wait 200 ms for a lock, so an INSERT that queues behind one waits no longer
-- repeat: the same
set local transaction_isolation = 'read committed';
set local search_path = pg_catalog, pg_temp;
set local lock_timeout = '200ms';
-- A role or a database may have set these otherwise. Then the schema would come out different, or its making would end.
set local standard_conforming_strings = on;
set local backslash_quote = safe_encoding;
set local transform_null_equals = off;
set local array_nulls = on;
set local quote_all_identifiers = off;
set local check_function_bodies = on;
set local plpgsql.extra_errors = 'none';
set local plpgsql.extra_warnings = 'none';
set local default_table_access_method = heap;
set local datestyle = iso, mdy;
set local intervalstyle = postgres;
set local timezone = 'UTC';
set local statement_timeout = '5min';
set local idle_in_transaction_session_timeout = '5min';
set local client_min_messages = warning;
-- Shows how this script was read.
set local postrider.backslashes = '\\';
do $$
begin
    if octet_length(current_setting('postrider.backslashes')) <> 2 then
        raise exception 'this script was read with standard_conforming_strings off'
            using hint = 'Set it to on before, or apply the script with psql.';
    end if;
    if current_setting('transaction_timeout', true) is not null then
        perform set_config('transaction_timeout', '0', true);
    end if;
end
$$;
do $$
declare
    -- Goes into a setting of this transaction. Nobody else may rely on it.
    before   jsonb;
    of_ours  constant oid[] := array(select r.oid from pg_roles as r
                 where r.rolname in ('postrider_producer', 'postrider_reader', 'postrider_dispatcher'));
    me       constant oid := (select r.oid from pg_roles as r where r.rolname = current_user);
    ours     oid := to_regnamespace('postrider');
    strange  record;
    given    record;
begin
    begin
        -- A vacuum gives way to a session that waits for longer than this. Only a superuser may shorten it.
        perform set_config('deadlock_timeout', '100ms', true);
    exception when insufficient_privilege then
        null;
    end;

    -- The owner of the schema may drop objects that others make in it, and replace them. The replacement runs with the rights of
    -- its caller. The owner of a single function or table may do the same. Membership is looked up here, because PostgreSQL's
    -- own functions count a superuser as a member of every role.
    for strange in
        with recursive mine (id) as (
            select me
            union
            select m.roleid from pg_auth_members as m join mine on mine.id = m.member
        ), trusted (id) as (
            select id from mine
            union
            select 'pg_database_owner'::regrole from pg_database as d
            where d.datname = current_database() and d.datdba in (select id from mine)
        )
        select o.object, pg_get_userbyid(o.owner) as owner, o.is_schema
        from (
            select 'schema postrider' as object, n.nspowner as owner, true as is_schema,
                   r.rolsuper and (select m.rolsuper from pg_roles as m where m.oid = me) as is_trusted
            from pg_namespace as n join pg_roles as r on r.oid = n.nspowner
            where n.oid = ours
            union all
            -- pg_shdepend records no owner for objects of the first superuser.
            select pg_describe_object(d.classid, d.objid, 0), s.refobjid, false, r.rolsuper
            from pg_depend as d
            join pg_shdepend as s on s.classid = d.classid and s.objid = d.objid and s.objsubid = 0 and s.deptype = 'o'
            join pg_roles as r on r.oid = s.refobjid
            where d.refclassid = 'pg_namespace'::regclass and d.refobjid = ours
              and s.dbid = (select b.oid from pg_database as b where b.datname = current_database())
        ) as o
        where not o.is_trusted and o.owner not in (select id from trusted)
        order by not o.is_schema, o.object
        limit 1
    loop
        raise exception '% belongs to role "%", who could change what it does', strange.object, strange.owner
            using errcode = 'object_not_in_prerequisite_state',
                  hint = case when strange.is_schema
                      then format('migrate as that role, or make the schema yours: alter schema postrider owner to %I', current_user)
                      else 'drop it, or look at what it does and make it yours: alter ... owner to ' || quote_ident(current_user) end;
    end loop;

    before := jsonb_build_object(
        'objects', (
            select coalesce(jsonb_agg(d.classid::text || ' ' || d.objid::text), '[]') from pg_depend as d
            where d.refclassid = 'pg_namespace'::regclass and d.refobjid = ours),
        'grants', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'object', o.class || ' ' || o.id, 'class', o.class, 'name', o.name, 'privilege', a.privilege_type,
                'grantee', a.grantee, 'may_grant', a.is_grantable)), '[]')
            from (
                select 'pg_proc'::regclass::oid::text as class, p.oid::text as id, p.proname as name, p.proowner as owner,
                       p.proacl as acl
                from pg_proc as p where p.pronamespace = ours
                union all
                select 'pg_class'::regclass::oid::text, c.oid::text, c.relname, c.relowner, c.relacl
                from pg_class as c where c.relnamespace = ours and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
                union all
                select 'pg_type'::regclass::oid::text, t.oid::text, t.typname, t.typowner, t.typacl
                from pg_type as t where t.typnamespace = ours and t.typrelid = 0 and t.typcategory <> 'A'
                union all
                select 'pg_namespace'::regclass::oid::text, n.oid::text, n.nspname, n.nspowner, n.nspacl
                from pg_namespace as n where n.oid = ours
            ) as o
            cross join lateral aclexplode(o.acl) as a
            where a.grantee <> o.owner and a.grantee <> all (of_ours)),
        'defaults', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'place', case when f.defaclnamespace = 0 then '' else ' in schema postrider' end,
                'kind', case f.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
                                             when 'T' then 'types' else 'schemas' end,
                'privilege', a.privilege_type, 'role', pg_get_userbyid(a.grantee), 'may_grant', a.is_grantable)), '[]')
            from pg_default_acl as f
            cross join lateral aclexplode(f.defaclacl) as a
            where f.defaclrole = me and f.defaclnamespace in (0, coalesce(ours, 0)) and f.defaclobjtype in ('r', 'S', 'f', 'T', 'n')
              and a.grantee = any (of_ours)));
    perform set_config('postrider.before', before::text, true);

    -- Grants of default privileges to our own roles could not be told from grants of a migration. So these default privileges are
    -- off until this transaction ends. Other transactions see no change.
    for given in
        select d ->> 'place' as place, d ->> 'kind' as kind, d ->> 'privilege' as privilege, d ->> 'role' as role
        from jsonb_array_elements(before -> 'defaults') as d
    loop
        execute format('alter default privileges%s revoke %s on %s from %I', given.place, given.privilege, given.kind, given.role);
    end loop;

    if ours is null then
        create schema postrider;
    end if;
end
$$;
