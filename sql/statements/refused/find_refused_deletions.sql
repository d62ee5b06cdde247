-- does:   finds events whose deletion was refused and is due for another try
-- params: $1 events_max bigint 1..=100
-- rows:   created_xid text, id bigint; the longest waiting first
-- locks:  none
-- repeat: the same, until they are tried
select o.created_xid::text as created_xid, o.id
from (select r.id, r.retry_at from postrider.refused as r
      where r.stage = 'delete' and r.retry_at <= clock_timestamp()
      order by r.retry_at
      limit $1) as r
cross join lateral (select e.created_xid, e.id from postrider.outbox as e where e.id = r.id) as o
order by r.retry_at
