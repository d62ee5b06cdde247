create or replace function postrider.lock_holders(relations regclass[], mode text) returns text
language sql stable set search_path = pg_catalog, pg_temp
return (
    select string_agg(h.who, '; ' order by h.since nulls last)
    from (
        select distinct on (l.pid, p.gid)
               case when l.pid is null then format('prepared transaction %s of %s', coalesce(quote_literal(p.gid), 'unknown'), p.owner)
                    else format('session %s (%s)', l.pid, concat_ws(', ', nullif(a.application_name, ''), a.usename, a.state,
                             'for ' || postrider.short_interval(date_trunc('second', clock_timestamp() - a.xact_start)))) end as who,
               coalesce(a.xact_start, p.prepared) as since
        from pg_locks as l
        left join pg_stat_activity as a on a.pid = l.pid
        -- A prepared transaction has no process; it also holds the lock of its own number.
        left join pg_locks as x
            on l.pid is null and x.pid is null and x.locktype = 'transactionid' and x.virtualtransaction = l.virtualtransaction
        left join pg_prepared_xacts as p on p.transaction = x.transactionid
        where l.locktype = 'relation' and l.granted and l.pid is distinct from pg_backend_pid()
          and l.database = (select d.oid from pg_database as d where d.datname = current_database())
          and l.relation = any (lock_holders.relations::oid[])
          and (lock_holders.mode = 'access exclusive' or l.mode not in ('AccessShareLock', 'RowShareLock'))
        limit 3) as h);
comment on function postrider.lock_holders(regclass[], text) is
    'Returns who holds locks of tables that keep a lock of mode from being taken: "share row exclusive" or "access exclusive"; null: nobody. '
    'Private.';
revoke all on function postrider.lock_holders(regclass[], text) from public;
grant execute on function postrider.lock_holders(regclass[], text) to postrider_dispatcher;
