-- does:   gives events that are routed, and that somebody made pending by hand, the state that their deliveries are in
-- params: $1 event_ids bigint[]
-- rows:   id bigint, one per event; order unspecified
-- locks:  the deliveries in order of id, then the events; may wait for a settle of the same ones
-- repeat: no rows: they are not pending any more
with held as materialized (
    select d.id, d.event_id, d.status
    from postrider.delivery as d
    where d.event_id = any ($1::bigint[])
    order by d.id
    for update
), counted as materialized (
    select h.event_id,
           count(*)::int as deliveries,
           (count(*) filter (where h.status in ('pending', 'in_progress')))::int as unsettled,
           (count(*) filter (where h.status = 'failed'))::int as failed
    from held as h
    group by h.event_id
    order by h.event_id
)
update postrider.outbox as o
set status = case when c.unsettled > 0 then 'in_progress'::postrider.status when c.failed > 0 then 'failed' else 'complete' end,
    deliveries = c.deliveries,
    unsettled = c.unsettled,
    failed = c.failed,
    completed_at = case when c.unsettled = 0 then clock_timestamp() end
from counted as c
where o.id = c.event_id
  and o.status = 'pending'
returning o.id
