-- does:   makes the first delivery of each lane due, if it only waited for those before it (postrider.open_lanes). A lane is that of an
--         event's key at an endpoint.
-- params: $1 event_ids bigint[], $2 endpoint_nos int[]: one entry per lane, which may be there several times. Of an event that was deleted,
--         the delivery still names the lane, unless it has left it.
-- rows:   endpoint_no: one for each delivery that is due now
-- locks:  for update on the deliveries, skipping locked ones; never waits
-- repeat: changes nothing
with asked as materialized (
    select distinct n.endpoint_no, n.key
    from (select a.endpoint_no,
                 coalesce((select o.key from postrider.outbox as o where o.id = a.event_id),
                          (select d.lane from postrider.delivery as d
                           where d.event_id = a.event_id and d.endpoint_no = a.endpoint_no)) as key
          from unnest($1::bigint[], $2::int[]) as a (event_id, endpoint_no)) as n
    where n.key is not null
)
select r.endpoint_no
from (select array_agg(a.endpoint_no) as endpoint_nos, array_agg(a.key) as keys from asked as a) as all_of_them
cross join lateral postrider.open_lanes(all_of_them.endpoint_nos, all_of_them.keys) as r
where not r.is_held_up
