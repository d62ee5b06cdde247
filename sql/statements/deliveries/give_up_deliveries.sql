-- does:   gives up waiting deliveries that must not be attempted any more. Their endpoint was deleted, or their event was
--         cancelled during an attempt.
-- params: $1 delivery_ids bigint[] (other deliveries among them stay as they are)
-- rows:   one: given_up bigint
-- locks:  for update on the deliveries, then on their events, skipping locked ones; never waits
-- repeat: gives up those that were locked before
with free as materialized (
    select d.id, d.event_id, d.cancelled_at is not null as is_cancelled
    from postrider.delivery as d
    where d.id = any ($1::bigint[])
      and d.due_at is not null
      and (d.cancelled_at is not null
           or exists (select from postrider.endpoint as e where e.endpoint_no = d.endpoint_no and e.state = 'deleted'))
    for update of d skip locked
), free_event as materialized (
    select o.id
    from (select distinct f.event_id from free as f) as f
    join postrider.outbox as o on o.id = f.event_id
    for update of o skip locked
), given_up as (
    update postrider.delivery as d
    set status = 'failed',
        due_at = null,
        completed_at = clock_timestamp(),
        failed_at = clock_timestamp(),
        -- The error of the last attempt stays.
        last_error = case when f.is_cancelled then coalesce(d.last_error, 'cancelled')
                          else coalesce(d.last_error || '; then ', '') || 'the endpoint was deleted' end
    from free as f
    where d.id = f.id
      and (f.event_id in (select e.id from free_event as e)
           or not exists (select from postrider.outbox as gone where gone.id = f.event_id))
    returning d.event_id
), events as (
    update postrider.outbox as o
    set open_deliveries = o.open_deliveries - g.deliveries,
        failed = o.failed + g.deliveries,
        status = case when o.open_deliveries > g.deliveries then 'in_progress' else 'failed' end::postrider.status,
        completed_at = case when o.open_deliveries = g.deliveries then clock_timestamp() end
    from (select event_id, count(*)::int as deliveries from given_up group by event_id) as g
    where o.id = g.event_id
      -- The same rule as in settle_deliveries.
      and o.status = 'in_progress'
      and o.open_deliveries >= g.deliveries
)
select count(*) as given_up from given_up
