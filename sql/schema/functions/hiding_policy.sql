-- A row that a policy hides looks like one that is gone. Policies hold for a table's owner only if they are forced.
create or replace function postrider.hiding_policy(relation regclass) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select 'row-level security may hide rows from the table''s owner: '
           || case when not coalesce(bool_or(p.is_restrictive), false)
                   then format('create policy postrider on %s to %I using (true)', c.oid::regclass, o.rolname)
                   else format('alter table %s no force row level security', c.oid::regclass) end
    from pg_class as c
    join pg_roles as o on o.oid = c.relowner and not o.rolsuper and not o.rolbypassrls
    left join lateral (
        select not p.polpermissive as is_restrictive,
               p.polpermissive and p.polcmd = '*' and pg_get_expr(p.polqual, p.polrelid) = 'true' as sees_all
        from pg_policy as p
        where p.polrelid = c.oid
          and exists (select from unnest(p.polroles) as r (id) where r.id = 0 or pg_has_role(c.relowner, r.id, 'usage'))) as p on true
    where c.oid = hiding_policy.relation and c.relrowsecurity and c.relforcerowsecurity
    group by c.oid, o.rolname
    having not coalesce(bool_or(p.sees_all), false) or bool_or(p.is_restrictive)
$$;
comment on function postrider.hiding_policy(regclass) is
    'What lets the owner of a table see all of its rows, where row-level security is forced on that role; null: it sees all. Private.';
revoke all on function postrider.hiding_policy(regclass) from public;
grant execute on function postrider.hiding_policy(regclass) to postrider_dispatcher;
