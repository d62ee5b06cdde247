-- does:   reads what keeps producers from seeing rows of others in the outbox: row-level security, and the policy for producers
-- params: none
-- rows:   at most one: is_on boolean; has_policy boolean (the policy "producers" is there, restricts what they read, and is not
--         true for every row)
-- locks:  none
-- repeat: the same
select c.relrowsecurity as is_on,
       exists (select from pg_catalog.pg_policy as y
               where y.polrelid = c.oid and y.polname = 'producers' and not y.polpermissive and y.polcmd in ('r', '*')
                 and coalesce(pg_get_expr(y.polqual, y.polrelid), 'true') <> 'true'
                 and exists (select from unnest(y.polroles) as role (id)
                             where role.id = 0 or role.id = to_regrole('postrider_producer')::oid)) as has_policy
from pg_catalog.pg_class as c
where c.oid = to_regclass('postrider.outbox')
