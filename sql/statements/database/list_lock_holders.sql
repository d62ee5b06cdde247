-- does:   lists sessions that have held locks on tables of the schema for longer than a moment. A migration would wait for them
--         in vain.
-- params: none
-- rows:   row text: a JSON object of the columns below, at most 3, the oldest first; age and state of other roles' sessions
--         only if the role may see them (pg_read_all_stats)
-- locks:  none
-- repeat: the same
select to_json(r)::text as row
from (
    select h.kind, h.name, concat_ws(', ', nullif(h.who, ''), 'holds ' || string_agg(h.relation, ' ' order by h.relation)) as says,
           h.age_ms
    from (
        select distinct
               case when l.pid is null then 'prepared transaction'
                    when a.usesysid is null then 'process'
                    else 'session' end as kind,
               coalesce(l.pid::text, p.gid, 'unknown') as name,
               case when l.pid is null then p.owner
                    when a.usesysid is null then 'vacuum perhaps'
                    else concat_ws(', ', nullif(a.application_name, ''), a.usename, a.state) end as who,
               (extract(epoch from clock_timestamp() - coalesce(a.xact_start, p.prepared)) * 1000)::bigint as age_ms,
               c.relname::text as relation
        from pg_catalog.pg_locks as l
        join pg_catalog.pg_class as c on c.oid = l.relation
        join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
        left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
        -- A prepared transaction has no process; it also holds the lock of its own number.
        left join pg_catalog.pg_locks as x
            on l.pid is null and x.pid is null and x.locktype = 'transactionid' and x.virtualtransaction = l.virtualtransaction
        left join pg_catalog.pg_prepared_xacts as p on p.transaction = x.transactionid
        where l.locktype = 'relation' and l.granted and l.pid is distinct from pg_backend_pid()
          and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
          and n.nspname = 'postrider' and c.relkind in ('r', 'p', 'v', 'm')
    ) as h
    where h.age_ms >= 100 or h.age_ms is null
    group by h.kind, h.name, h.who, h.age_ms
    order by h.age_ms desc nulls last, h.kind, h.name
    limit 3
) as r
