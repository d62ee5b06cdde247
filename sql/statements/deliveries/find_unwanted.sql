-- does:   finds waiting deliveries that must not be attempted any more. Their endpoint was deleted, or their event was
--         cancelled during an attempt.
-- params: $1 deliveries_max bigint 1..=1000 (of each kind)
-- rows:   delivery_id, some twice
-- locks:  for update on the deliveries, skipping locked ones; never waits
-- repeat: the same
with cancelled as materialized (
    select d.id
    from postrider.delivery as d
    where d.cancelled_at is not null and d.due_at is not null
      and not exists (select from postrider.refused as r
                      where r.stage = 'give_up' and r.id = d.id and r.retry_at > (select clock_timestamp()))
    limit $1
    for update skip locked
), cancelled_in_lane as materialized (
    -- Deliveries behind the head of a lane are not due.
    select d.id
    from postrider.delivery as d
    where d.cancelled_at is not null and d.lane is not null and d.due_at is null and d.status = 'pending'
      and not exists (select from postrider.refused as r
                      where r.stage = 'give_up' and r.id = d.id and r.retry_at > (select clock_timestamp()))
    limit $1
    for update skip locked
), orphaned as materialized (
    select waiting.id
    from postrider.endpoint as e
    cross join lateral (
        select d.id
        from postrider.delivery as d
        where d.endpoint_no = e.endpoint_no and d.due_at is not null
          and not exists (select from postrider.refused as r
                          where r.stage = 'give_up' and r.id = d.id and r.retry_at > (select clock_timestamp()))
        limit $1
        for update skip locked) as waiting
    where e.state = 'deleted'
      -- One that was forgotten comes back (postrider.revive_children).
      and (e.template_no is null or e.reason is distinct from 'idle')
    limit $1
), orphaned_in_lane as materialized (
    select waiting.id
    from postrider.endpoint as e
    cross join lateral (
        select d.id
        from postrider.delivery as d
        where d.endpoint_no = e.endpoint_no and d.lane is not null and d.due_at is null and d.status = 'pending'
          and not exists (select from postrider.refused as r
                          where r.stage = 'give_up' and r.id = d.id and r.retry_at > (select clock_timestamp()))
        limit $1
        for update skip locked) as waiting
    where e.state = 'deleted'
      and (e.template_no is null or e.reason is distinct from 'idle')
    limit $1
)
select c.id as delivery_id from cancelled as c
union all
select c.id from cancelled_in_lane as c
union all
select o.id from orphaned as o
union all
select o.id from orphaned_in_lane as o
