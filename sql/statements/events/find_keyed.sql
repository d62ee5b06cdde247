-- does:   finds unrouted events with a key that came into sight since an earlier call, also those that the database refused. Together with what that call found, and what the
--         calls before it did, they are all that there are: no transaction that ended meanwhile is left out, however long it took.
-- params: $1 from_xid text (an xid8): every event below is routed; $2 seen text (a pg_snapshot: the last call's result; null: none,
--         all are looked for); $3 below_id bigint: only events with lower ids; $4 known_ids bigint[]: none of these; $5 events_max
--         bigint 1..=100000
-- rows:   one: seen text (a pg_snapshot: this call's), ids bigint[] sorted: the lowest, at most events_max; if there are as many,
--         there may be more with higher ids; served by outbox_by_transaction
-- locks:  none
-- repeat: the same, unless routed meanwhile
with ended as materialized (
    select u.xid
    from (select pg_snapshot_xip($2::text::pg_snapshot)) as u (xid)
    where pg_visible_in_snapshot(u.xid, pg_current_snapshot())
), fresh as materialized (
    select late.id
    from ended as e
    cross join lateral (
        select o.id
        from postrider.outbox as o
        where o.created_xid = e.xid and o.status = 'pending' and o.key is not null and o.id + 0 < $3::bigint
        offset 0) as late
    union all
    -- The sum keeps the planner from walking the ids instead of the transactions.
    select o.id
    from postrider.outbox as o
    where o.created_xid >= greatest($1::text::xid8, pg_snapshot_xmax($2::text::pg_snapshot))
      and o.status = 'pending' and o.key is not null and o.id + 0 < $3
)
select pg_current_snapshot()::text as seen,
       array(select f.id from fresh as f
             where f.id not in (select k.id from unnest($4::bigint[]) as k (id))
             order by f.id limit $5::bigint) as ids
