-- does:   finds the watermark below which every event is routed for good, or recorded as refused
-- params: $1 watermark_xid text (an xid8), $2 watermark_id bigint: an earlier result
-- rows:   one: horizon text (an xid8: no transaction below it is still open); created_xid text and id bigint of the first
--         unrouted event at or above the watermark, refused ones left out (both null if there is none); has_refused boolean:
--         some were refused; is_retry_due boolean: one of them is due for another try; served by outbox_by_transaction
-- locks:  none
-- repeat: the same or a higher result
select pg_snapshot_xmin(pg_current_snapshot())::text as horizon,
       first.created_xid::text as created_xid,
       first.id,
       exists (select from postrider.refused as r where r.stage = 'route') as has_refused,
       exists (select from postrider.refused as r where r.stage = 'route' and r.retry_at <= clock_timestamp()) as is_retry_due
from (select) as one
left join lateral (
    select o.created_xid, o.id
    from postrider.outbox as o
    where (o.created_xid, o.id) >= ($1::text::xid8, $2::bigint)
      and o.status = 'pending'
      and not exists (select from postrider.refused as r where r.stage = 'route' and r.id = o.id)
    order by o.created_xid, o.id
    limit 1
) as first on true
