-- does:   gives up waiting deliveries that nobody wants any more: their endpoint was deleted, or their event cancelled
--         while an attempt was under way
-- params: $1 deliveries_max bigint 1..=1000 (of either kind)
-- rows:   one: given_up bigint (at least deliveries_max: go again)
-- locks:  for update on the deliveries, skipping locked ones; then their events in order of id, may wait for a settle of
--         the same event
-- repeat: nothing is left to give up
with cancelled as materialized (
    select d.id
    from postrider.delivery as d
    where d.cancelled_at is not null and d.due_at is not null
    limit $1
    for update skip locked
), orphaned as materialized (
    select waiting.id
    from postrider.endpoint as e
    cross join lateral (
        select d.id
        from postrider.delivery as d
        where d.endpoint_no = e.no and d.due_at is not null
        limit $1
        for update skip locked) as waiting
    where e.state = 'deleted'
    limit $1
), given_up as (
    update postrider.delivery as d
    set status = 'failed',
        due_at = null,
        completed_at = clock_timestamp(),
        failed_at = clock_timestamp(),
        last_error = u.error
    from (select c.id, 'cancelled' as error from cancelled as c
          union
          select o.id, 'the endpoint was deleted' from orphaned as o
          where not exists (select from cancelled as c where c.id = o.id)) as u
    where d.id = u.id
    returning d.event_id
), events as (
    update postrider.outbox as o
    set unsettled = o.unsettled - g.deliveries,
        failed = o.failed + g.deliveries,
        status = case when o.unsettled > g.deliveries then 'in_progress' else 'failed' end::postrider.status,
        completed_at = case when o.unsettled = g.deliveries then clock_timestamp() end
    from (select event_id, count(*)::int as deliveries from given_up group by event_id order by event_id) as g
    where o.id = g.event_id
      -- As in settle_deliveries.
      and o.status = 'in_progress'
      and o.unsettled >= g.deliveries
)
select count(*) as given_up from given_up
