-- does:   ends a transaction that begin.sql began. Revokes what default privileges, or somebody's event trigger, granted meanwhile to
--         roles other than the owner and the three roles. Grants again what an operator had granted on functions, tables and views
--         that were dropped and made anew, and what owners of attached tables need. Restores the default privileges.
-- locks:  none that others wait for
-- repeat: the same
do $$
declare
    before   constant jsonb := current_setting('postrider.before')::jsonb;
    ours     constant oid := to_regnamespace('postrider');
    stray    record;
    given    record;
begin
    for stray in
        select o.object, string_agg(distinct a.privilege_type, ', ') as privileges,
               case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as grantee
        from (
            select 'pg_namespace'::regclass::oid as class, n.oid as id, 'schema postrider' as object, n.nspowner as owner,
                   n.nspacl as acl
            from pg_namespace as n where n.oid = ours
            union all
            select 'pg_class'::regclass, c.oid, case c.relkind when 'S' then 'sequence ' else 'table ' end || c.oid::regclass,
                   c.relowner, c.relacl
            from pg_class as c where c.relnamespace = ours and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
            union all
            -- Without an entry of its own, everybody may call a function.
            select 'pg_proc'::regclass, p.oid, 'routine ' || p.oid::regprocedure, p.proowner,
                   coalesce(p.proacl, acldefault('f', p.proowner))
            from pg_proc as p where p.pronamespace = ours
            union all
            select 'pg_type'::regclass, t.oid, 'type ' || t.oid::regtype, t.typowner, t.typacl
            from pg_type as t where t.typnamespace = ours and t.typrelid = 0 and t.typcategory <> 'A'
        ) as o
        cross join lateral aclexplode(o.acl) as a
        where a.grantee <> o.owner
          and a.grantee not in (select r.oid from pg_roles as r
              where r.rolname in ('postrider_producer', 'postrider_reader', 'postrider_dispatcher'))
          -- By default everybody may use a type.
          and not (a.grantee = 0 and o.object like 'type %')
          and not exists (
              select from jsonb_array_elements(before -> 'grants') as g
              where g ->> 'object' = o.class::text || ' ' || o.id::text
                and g ->> 'grantee' = a.grantee::text and g ->> 'privilege' = a.privilege_type)
        group by o.object, a.grantee
    loop
        execute format('revoke %s on %s from %s cascade', stray.privileges, stray.object, stray.grantee);
    end loop;

    for given in
        select case o.class when 'pg_proc'::regclass then 'routine ' || o.id::regprocedure else 'table ' || o.id::regclass end as object,
               g ->> 'privilege' as privilege,
               case g ->> 'grantee' when '0' then 'public' else quote_ident(r.rolname) end as grantee,
               case when (g ->> 'may_grant')::boolean then ' with grant option' else '' end as may_grant
        from jsonb_array_elements(before -> 'grants') as g
        left join pg_roles as r on r.oid = (g ->> 'grantee')::oid
        join (
            select 'pg_proc'::regclass as class, p.oid as id, p.proname as name from pg_proc as p where p.pronamespace = ours
            union all
            select 'pg_class'::regclass, c.oid, c.relname from pg_class as c
            where c.relnamespace = ours and c.relkind in ('r', 'p', 'v', 'm')
        ) as o on o.class::oid::text = g ->> 'class' and o.name = g ->> 'name'
        where (g ->> 'grantee' = '0' or r.oid is not null)
          -- The object of the grant is gone, and this one is new.
          and not exists (select from pg_depend as d
                          where d.classid::text || ' ' || d.objid::text = g ->> 'object'
                            and d.refclassid = 'pg_namespace'::regclass and d.refobjid = ours)
          and not before -> 'objects' ? (o.class::oid::text || ' ' || o.id::text)
    loop
        execute format('grant %s on %s to %s%s', given.privilege, given.object, given.grantee, given.may_grant);
    end loop;

    for given in
        select d ->> 'place' as place, d ->> 'kind' as kind, d ->> 'privilege' as privilege, d ->> 'role' as role,
               case when (d ->> 'may_grant')::boolean then ' with grant option' else '' end as may_grant
        from jsonb_array_elements(before -> 'defaults') as d
    loop
        execute format('alter default privileges%s grant %s on %s to %I%s',
                       given.place, given.privilege, given.kind, given.role, given.may_grant);
    end loop;

    -- Not before the strays are gone: it would be taken for one of them.
    if to_regprocedure('postrider.grant_capture()') is not null then
        perform postrider.grant_capture();
    end if;
end
$$;
