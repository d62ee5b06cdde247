-- does:   finds out whether there are tables of ours although their history may be empty, and what the history's comment says of
--         their version
-- params: none
-- rows:   stamp text, empty if there is no comment; no row if there are no tables
-- locks:  none
-- repeat: the same
select coalesce(obj_description(h.oid, 'pg_class'), '') as stamp
from pg_catalog.pg_namespace as n
join pg_catalog.pg_class as c on c.relnamespace = n.oid and c.relname = 'outbox' and c.relkind = 'r'
left join pg_catalog.pg_class as h on h.relnamespace = n.oid and h.relname = 'schema_history'
where n.nspname = 'postrider'
