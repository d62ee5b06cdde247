-- does:   finds out whether there is a history of migrations, and whether it is safe to read: a table as we make it, of the
--         schema's owner, of a member of that role or of a superuser
-- params: none
-- rows:   owner text: empty if it is safe; none: there is no history
-- locks:  none
-- repeat: the same
select case when c.relkind = 'r' and not c.relrowsecurity and pg_has_role(c.relowner, n.nspowner, 'member') then ''
            else pg_get_userbyid(c.relowner)::text end as owner
from pg_catalog.pg_namespace as n
join pg_catalog.pg_class as c on c.relnamespace = n.oid
where n.nspname = 'postrider' and c.relname = 'schema_history'
