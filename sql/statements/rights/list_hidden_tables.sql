-- does:   lists the tables of a dispatcher in which row-level security may hide rows from the current role. It is in force, and
--         either no policy shows and lets write all rows, or a restrictive policy holds some back. Our own for producers holds
--         nothing back from a dispatcher.
-- params: none
-- rows:   hidden text, a table's name; by name
-- locks:  none
-- repeat: the same
select c.relname::text as hidden
from pg_catalog.pg_namespace as n
join pg_catalog.pg_class as c on c.relnamespace = n.oid
cross join lateral (
    select count(*) filter (where p.polpermissive and p.polcmd = '*' and p.is_true) as open_policies,
           count(*) filter (where not p.polpermissive and not p.is_true) as restrictive_policies
    from (
        select y.polpermissive, y.polcmd,
               coalesce(pg_get_expr(y.polqual, y.polrelid), 'true') = 'true'
                   and coalesce(pg_get_expr(y.polwithcheck, y.polrelid), 'true') = 'true' as is_true
        from pg_catalog.pg_policy as y
        where y.polrelid = c.oid
          and not (c.relname = 'outbox' and y.polname = 'producers' and pg_has_role('postrider_dispatcher', 'usage'))
          and exists (select from unnest(y.polroles) as role (id)
                      where role.id = 0 or pg_has_role(role.id, 'usage'))
    ) as p
) as p
where n.nspname = 'postrider' and c.relkind in ('r', 'p') and row_security_active(c.oid)
  and (p.open_policies = 0 or p.restrictive_policies > 0)
order by 1
