-- A row that a policy hides looks like one that is gone, and its status would be forgotten.
create or replace function postrider.hiding_policy(relation regclass, grantee name) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format('row-level security may hide rows: create policy postrider on %s to %I using (true)', relation, grantee)
    where row_security_active(relation::oid)
      and not exists (
          select from pg_policy as p
          where p.polrelid = relation and p.polpermissive and p.polcmd = '*' and pg_get_expr(p.polqual, p.polrelid) = 'true'
            and exists (select from unnest(p.polroles) as r (id) where r.id = 0 or pg_has_role(r.id, 'usage')))
$$;
comment on function postrider.hiding_policy(regclass, name) is
    'What lets a role see all rows of a table, where row-level security may hide some from the current role; null: it sees all. Private.';
revoke all on function postrider.hiding_policy(regclass, name) from public;
grant execute on function postrider.hiding_policy(regclass, name) to postrider_dispatcher;
