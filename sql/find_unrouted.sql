-- does:   finds the floor below which every event is routed, for good
-- params: $1 floor_xid text (an xid8), $2 floor_id bigint: an earlier answer
-- rows:   one: horizon text (an xid8: no transaction below it is still open), created_xid text and id bigint of the
--         first unrouted event at or above the floor (both null: none); served by outbox_by_transaction
-- locks:  none
-- repeat: the same or a higher answer
select pg_snapshot_xmin(pg_current_snapshot())::text as horizon, first.created_xid::text as created_xid, first.id
from (select) as one
left join lateral (
    select o.created_xid, o.id
    from postrider.outbox as o
    where (o.created_xid, o.id) >= ($1::text::xid8, $2::bigint)
      and o.status = 'pending'
    order by o.created_xid, o.id
    limit 1
) as first on true
