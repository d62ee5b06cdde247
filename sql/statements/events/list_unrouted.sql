-- does:   finds the first unrouted events at or above the watermark that nobody has locked. Does not read their payloads.
-- params: $1 watermark_xid text (an xid8), $2 watermark_id bigint, $3 events_max bigint 1..=1000
-- rows:   created_xid text, id; in order of (created_xid, id), at most events_max; served by outbox_by_transaction
-- locks:  for update on the events, skipping locked ones; never waits
-- repeat: the same rows, unless routed meanwhile
select o.created_xid::text as created_xid, o.id
from postrider.outbox as o
where (o.created_xid, o.id) >= ($1::text::xid8, $2::bigint)
  and o.status = 'pending'
  and not exists (select from postrider.refused as r where r.stage = 'route' and r.id = o.id)
order by o.created_xid, o.id
limit $3::bigint
for update skip locked
