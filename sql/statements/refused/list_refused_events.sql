-- does:   finds events whose routing was refused and is due for another try
-- params: $1 events_max bigint 1..=1000
-- rows:   created_xid text, id; at most events_max, in no order
-- locks:  none
-- repeat: the same
select o.created_xid::text as created_xid, o.id
from postrider.refused as r
join postrider.outbox as o on o.id = r.id and o.status = 'pending'
where r.stage = 'route' and r.retry_at <= clock_timestamp()
limit $1::bigint
