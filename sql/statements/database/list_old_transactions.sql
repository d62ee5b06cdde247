-- does:   lists sessions in a transaction, prepared transactions and replication slots that are old. They keep dead rows from
--         vacuum, or new events from being counted as routed.
-- params: $1 older_than_ms bigint
-- rows:   row text: a JSON object of the columns below, at most 20, the oldest first; sessions of other roles only if the role
--         may see them (pg_read_all_stats); a slot has no age
-- locks:  none
-- repeat: the same
select to_json(r)::text as row
from (
    select o.kind, o.name, o.says, o.age_ms
    from (
        select 'session' as kind,
               a.pid::text as name,
               concat_ws(', ', nullif(a.application_name, ''), a.usename, a.datname, a.state) as says,
               (extract(epoch from clock_timestamp() - a.xact_start) * 1000)::bigint as age_ms
        from pg_catalog.pg_stat_activity as a
        where a.xact_start < clock_timestamp() - $1::bigint * interval '1 millisecond'
          -- A snapshot holds back vacuum in its own database. An open writer holds back the watermark of every database.
          and (a.backend_xid is not null or (a.backend_xmin is not null and a.datname = current_database()))
          and a.backend_type = 'client backend'
        union all
        select 'prepared transaction', p.gid, concat_ws(', ', p.owner, p.database),
               (extract(epoch from clock_timestamp() - p.prepared) * 1000)::bigint
        from pg_catalog.pg_prepared_xacts as p
        where p.prepared < clock_timestamp() - $1::bigint * interval '1 millisecond'
        union all
        select 'replication slot', s.slot_name::text, case when s.active then 'active' else 'inactive' end, null
        from pg_catalog.pg_replication_slots as s
        where s.xmin is not null and not s.active
    ) as o
    order by o.age_ms desc nulls last, o.kind, o.name
    limit 20
) as r
