-- does:   looks at the heads of the next lanes, and finds those that are to be opened: their heads wait for nothing any more. Takes heads
--         out of lanes that they do not hold up: the endpoint is not ordered any more, it was deleted, or it goes on after a failure.
-- params: $1 lanes_max bigint 1..=10000: how many it looks at, and how many deliveries it takes out; $2 after_no int, $3 after_lane bytea
--         (in the database's encoding): where the last call ended (0 and nothing: from the first); $4 takes_out boolean (false: only looks)
-- rows:   one: shut_event_ids bigint[], shut_nos int[]: lanes to open, as open_lanes takes them; due_nos int[]: an endpoint for each
--         delivery that is due now; left bigint: deliveries that were taken out; last_no int, last_lane bytea: the next call's $2 and $3 (null: there are no more lanes); is_any boolean: there are lanes; served by
--         delivery_by_lane, one descent per lane
-- locks:  for update on the deliveries, skipping locked ones; never waits
-- repeat: goes on with the rest
with recursive head as (
    (select 1 as nth, d.id, d.event_id, d.endpoint_no, d.lane, d.status, d.due_at
     from postrider.delivery as d
     -- The name of the encoding has a collation of its own, by which no index is sorted.
     where d.lane is not null and (d.endpoint_no, d.lane) > ($2::int, convert_from($3::bytea, getdatabaseencoding()) collate "default")
     order by d.endpoint_no, d.lane, d.place
     limit 1)
    union all
    select h.nth + 1, next.id, next.event_id, next.endpoint_no, next.lane, next.status, next.due_at
    from head as h
    cross join lateral (
        select d.id, d.event_id, d.endpoint_no, d.lane, d.status, d.due_at
        from postrider.delivery as d
        where d.lane is not null and (d.endpoint_no, d.lane) > (h.endpoint_no, h.lane)
        order by d.endpoint_no, d.lane, d.place
        limit 1) as next
    where h.nth < $1::bigint
), seen as materialized (
    select h.nth, h.id, h.event_id, h.endpoint_no, h.lane, h.status, h.due_at,
           coalesce(e.state <> 'deleted' and coalesce(t.ordered, e.ordered), false) as is_ordered,
           coalesce(t.on_failed, e.on_failed) as on_failed
    from head as h
    left join postrider.endpoint as e on e.endpoint_no = h.endpoint_no
    left join postrider.endpoint as t on t.endpoint_no = e.template_no
), unordered as materialized (
    -- All of a lane at once: nothing in it waits for anything.
    select distinct s.endpoint_no from seen as s where $4::boolean and not s.is_ordered
), leaving as materialized (
    select d.id
    from (select r.id from unordered as u cross join lateral (
              select d.id from postrider.delivery as d
              where d.endpoint_no = u.endpoint_no and d.lane is not null
              order by d.endpoint_no, d.lane, d.place
              limit $1) as r
          union all
          select s.id from seen as s where $4 and s.is_ordered and s.status = 'failed' and s.on_failed = 'continue') as r
    join postrider.delivery as d on d.id = r.id
    where d.lane is not null
    limit $1
    for update of d skip locked
), gone as (
    update postrider.delivery as d
    set lane = null, place = null,
        due_at = case when d.status = 'pending' then coalesce(d.due_at, greatest(clock_timestamp(),
            (select o.deliver_after from postrider.outbox as o where o.id = d.event_id))) end
    from leaving as l
    where d.id = l.id
    returning d.endpoint_no, d.status
), shut as materialized (
    select s.event_id, s.endpoint_no
    from seen as s
    where s.is_ordered and s.status = 'pending' and s.due_at is null
)
select array(select s.event_id from shut as s order by s.event_id, s.endpoint_no) as shut_event_ids,
       array(select s.endpoint_no from shut as s order by s.event_id, s.endpoint_no) as shut_nos,
       array(select g.endpoint_no from gone as g where g.status = 'pending') as due_nos,
       (select count(*) from gone) as left,
       last.endpoint_no as last_no,
       convert_to(last.lane, getdatabaseencoding()) as last_lane,
       exists (select from postrider.delivery as d where d.lane is not null) as is_any
from (select) as one
left join seen as last on last.nth = $1
