-- does:   lists the tables that grow, with their statistics of dead rows and vacuum
-- params: none
-- rows:   row text: a JSON object of the columns below; by name
-- locks:  none
-- repeat: the same
select to_json(r)::text as row
from (
    select c.relname as name,
           coalesce(s.n_live_tup, 0) as live,
           coalesce(s.n_dead_tup, 0) as dead,
           coalesce((select o.option_value::boolean from pg_catalog.pg_options_to_table(c.reloptions) as o
                     where o.option_name = 'autovacuum_enabled'), true) as is_autovacuum_enabled,
           greatest(s.last_vacuum, s.last_autovacuum) as last_vacuum_at
    from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    left join pg_catalog.pg_stat_all_tables as s on s.relid = c.oid
    where n.nspname = 'postrider' and c.relname in ('outbox', 'delivery', 'attempt', 'claim', 'endpoint_stat')
    order by c.relname) as r
