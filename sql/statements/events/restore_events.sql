-- does:   repairs events that are routed but that somebody made pending by hand. They get the state that their deliveries have.
-- params: $1 event_ids bigint[]
-- rows:   id bigint, one per event; order unspecified
-- locks:  the events, then their deliveries; leaves an event if any of these rows is locked; never waits
-- repeat: no rows, because the events are not pending any more
with free as materialized (
    select o.id
    from postrider.outbox as o
    where o.id = any ($1::bigint[]) and o.status = 'pending'
    for update skip locked
), held as materialized (
    select d.id, d.event_id, d.status
    from free as f
    join postrider.delivery as d on d.event_id = f.id
    for update of d skip locked
), counted as materialized (
    select h.event_id,
           count(*)::int as deliveries,
           (count(*) filter (where h.status in ('pending', 'in_progress')))::int as open_deliveries,
           (count(*) filter (where h.status = 'failed'))::int as failed
    from held as h
    group by h.event_id
)
update postrider.outbox as o
set status = case when c.open_deliveries > 0 then 'in_progress'::postrider.status when c.failed > 0 then 'failed' else 'complete' end,
    deliveries = c.deliveries,
    open_deliveries = c.open_deliveries,
    failed = c.failed,
    completed_at = case when c.open_deliveries = 0 then clock_timestamp() end
from counted as c
where o.id = c.event_id
  and c.deliveries = (select count(*) from postrider.delivery as d where d.event_id = c.event_id)
returning o.id
