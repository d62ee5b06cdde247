-- does:   looks for the table that a person means. A name without a schema means the one table of that name which the role can get at,
--         whatever the search path is
-- params: $1 name text, as people write it: orders, app.orders, app."Orders"; 22023 if it is no name
-- rows:   relation text (schema and name, quoted where that is needed); tables first, then views and the like, by name; at most 5
-- locks:  none
-- repeat: the same
select format('%I.%I', n.nspname, c.relname) as relation
from (select parse_ident($1::text) as parts) as given
join pg_catalog.pg_class as c on c.relname = given.parts[cardinality(given.parts)]
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace and has_schema_privilege(n.oid, 'usage')
where case cardinality(given.parts)
          when 1 then n.nspname not in ('pg_catalog', 'information_schema', 'postrider') and n.nspname !~ '^pg_(toast|temp)'
          when 2 then n.nspname = given.parts[1]
          else false
      end
  and c.relkind in ('r', 'p', 'v', 'm', 'f')
order by c.relkind not in ('r', 'p'), 1
limit 5
