-- The generated function of a table runs with the rights of the table's owner, so that owner needs a few of ours. Superusers have them.
-- A role that may write row_key was granted that here, because nobody else is.
create or replace function postrider.grant_capture() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    owners  oid[];
    command text;
begin
    -- Of two grants on one table at once the second fails.
    perform pg_advisory_xact_lock(hashtextextended('postrider.grant_capture', 0));
    owners := array(select o.role_id from postrider.capture_owner as o);
    for command in
        select format('grant %s on %s to %I', v.privileges, v.object, r.rolname)
        from (
            select c.grantee, c.object, string_agg(c.privilege || coalesce(' (' || c.column_name || ')', ''), ', ') as privileges
            from (select o.id as grantee, w.* from unnest(owners) as o (id) cross join postrider.capture_right as w) as c
            where not exists (
                select from postrider.capture_holder as h
                where h.grantee = c.grantee and (h.object, h.privilege) = (c.object, c.privilege)
                  and h.column_name is not distinct from c.column_name)
            group by c.grantee, c.object
        ) as v
        join pg_roles as r on r.oid = v.grantee
        union all
        select format('revoke %s on %s from %I', v.privileges, v.object, r.rolname)
        from (
            select h.grantee, h.object, string_agg(h.privilege || coalesce(' (' || h.column_name || ')', ''), ', ') as privileges
            from postrider.capture_holder as h
            where h.grantee <> all (owners)
              and h.grantee in (select w.grantee from postrider.capture_holder as w where w.column_name = 'row_key')
            group by h.grantee, h.object
        ) as v
        join pg_roles as r on r.oid = v.grantee
        union all
        -- A restore without privileges leaves the generated functions to everybody.
        select format('revoke all on function %1$s from public', p.oid::regprocedure)
               || case when k.kind <> 'capture' then format('; grant execute on function %s to postrider_dispatcher', p.oid::regprocedure)
                       else '' end
        from postrider.attachment as a
        join pg_class as c on c.oid = a.relation
        cross join unnest('{capture,backfill,write}'::text[]) as k (kind)
        join pg_proc as p on p.proname = format('postrider_%s_%s', k.kind, a.attachment_no) and p.proowner = c.relowner
        where pg_has_role(p.proowner, 'usage')
          and exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as x where x.grantee = 0)
    loop
        execute command;
    end loop;
end
$$;
comment on function postrider.grant_capture() is
    'Grants the owners of attached tables what view capture_right lists, and takes it back from roles that own none any more. Nobody '
    'else may call the generated functions. Private.';
revoke all on function postrider.grant_capture() from public;
grant execute on function postrider.grant_capture() to postrider_dispatcher;
