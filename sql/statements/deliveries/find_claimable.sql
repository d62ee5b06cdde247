-- does:   finds the delivery of an endpoint that a claim of one would take. Changes nothing.
-- params: $1 endpoint_no int, $2 dispatcher_id bigint
-- rows:   delivery_id; at most one; served by delivery_due
-- locks:  for update on the delivery, skipping locked ones; never waits
-- repeat: the same
with probed as materialized (
    select from postrider.circuit as c
    where c.endpoint_no = $1::int and c.state <> 'closed' and c.probe_by = $2::bigint
), in_turn as materialized (
    select d.id
    from postrider.delivery as d
    where d.endpoint_no = $1
      and d.due_at <= (select clock_timestamp())
      and d.cancelled_at is null
      and not exists (select from postrider.refused as r
                      where r.stage = 'claim' and r.id = d.id and r.retry_at > (select clock_timestamp()))
      and not exists (select from probed)
    order by d.due_at, d.id
    limit 1
    for update skip locked
), probe as materialized (
    select d.id
    from postrider.delivery as d
    where d.endpoint_no = $1
      and d.due_at <= (select clock_timestamp())
      and d.cancelled_at is null
      and not exists (select from postrider.refused as r
                      where r.stage = 'claim' and r.id = d.id and r.retry_at > (select clock_timestamp()))
      and exists (select from probed)
    order by d.due_at desc, d.id desc
    limit 1
    for update skip locked
)
select t.id as delivery_id from in_turn as t
union all
select p.id from probe as p
