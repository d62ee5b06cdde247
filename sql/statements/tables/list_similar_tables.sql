-- does:   lists tables with names about as long as a misspelt one, for a guess at which one was meant
-- params: $1 name text, without a schema; $2 tables_max bigint 1..=10000
-- rows:   name text, relation text (schema and name, quoted where that is needed), at most tables_max, by name; no index serves the
--         lengths
-- locks:  none
-- repeat: the same
select c.relname::text as name, format('%I.%I', n.nspname, c.relname) as relation
from pg_catalog.pg_class as c
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace and has_schema_privilege(n.oid, 'usage')
where c.relkind in ('r', 'p')
  and n.nspname not in ('pg_catalog', 'information_schema', 'postrider') and n.nspname !~ '^pg_(toast|temp)'
  and abs(char_length(c.relname) - char_length($1::text)) <= greatest(char_length($1) / 4, 1)
order by c.relname, n.nspname
limit $2::bigint
