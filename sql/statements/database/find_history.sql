-- does:   finds out whether there is a history of migrations, and whether it is safe to read. Safe means that its tables have
--         the form that Postrider gives them. Their owner must be the schema's owner, a member of that role or a superuser.
-- params: none
-- rows:   unsafe text: the first unsafe table and its owner; empty if all are safe; no row if there is no history
-- locks:  none
-- repeat: the same
select case when c.relkind = 'r' and not c.relrowsecurity and pg_has_role(c.relowner, n.nspowner, 'member') then ''
            else format('table postrider.%s belongs to role "%s"', c.relname, pg_get_userbyid(c.relowner)) end as unsafe
from pg_catalog.pg_namespace as n
join pg_catalog.pg_class as c on c.relnamespace = n.oid
where n.nspname = 'postrider' and c.relname in ('schema_history', 'schema_object')
order by unsafe desc
limit 1
