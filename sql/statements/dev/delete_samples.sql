-- does:   deletes events that postrider dev inserted for its endpoint, with their deliveries and attempts
-- params: $1 endpoint_id text, which exists; $2 topic text; $3 key_prefix text, of their idempotency keys; $4 rows_max bigint
--         1..=10000
-- rows:   one: left_over bigint: samples that stay, because somebody has locked a row of them, or because there are more than
--         rows_max; their inserts are found by time, served by outbox_by_time
-- locks:  for update on deliveries, then on attempts, then on events, skipping locked ones; never waits
-- repeat: goes on with the rest
with sample as materialized (
    select o.id
    from postrider.endpoint as e
    join postrider.outbox as o on o.created_at >= e.created_at
    where e.id = $1 and e.state <> 'deleted'
      and o.destination = $1 and o.topic = $2 and starts_with(o.idempotency_key, $3)
), held as materialized (
    select d.id, d.event_id
    from (select s.id from sample as s limit $4) as s
    join postrider.delivery as d on d.event_id = s.id
    for update of d skip locked
), tried as materialized (
    select a.delivery_id, a.attempt
    from held as h
    join postrider.attempt as a on a.delivery_id = h.id
    for update of a skip locked
), free as materialized (
    select o.id
    from sample as s
    join postrider.outbox as o on o.id = s.id
    -- An event that is routed meanwhile has more deliveries than are held.
    where coalesce(o.deliveries, 0) = (select count(*) from held as h where h.event_id = o.id)
      and not exists (select from held as h
                      join postrider.attempt as a on a.delivery_id = h.id
                      where h.event_id = o.id and (a.delivery_id, a.attempt) not in (select t.delivery_id, t.attempt from tried as t))
    limit $4
    for update of o skip locked
), attempts as (
    delete from postrider.attempt as a
    using held as h
    where a.delivery_id = h.id and h.event_id in (select f.id from free as f)
), refused as (
    delete from postrider.refused as r
    where r.id in (select f.id from free as f) and r.stage in ('route', 'delete')
), deliveries as (
    delete from postrider.delivery as d using free as f where d.event_id = f.id
), events as (
    delete from postrider.outbox as o using free as f where o.id = f.id
)
select (select count(*) from sample) - (select count(*) from free) as left_over
