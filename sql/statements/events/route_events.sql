-- does:   turns events locked by claim_events or claim_keyed_events into deliveries. Claims deliveries that have a free slot at once
--         (the fast path). In a lane, a delivery behind another one is pending, and not due.
-- params: $1 dispatcher_id bigint; $2 event_ids bigint[], $3 deliveries int[]: one entry per event; $4 event_ids bigint[], $5
--         endpoint_nos int[], $6 delays_ms bigint[] (null: claimed at once), $7 in_lanes boolean[] (its endpoint is ordered, and the event has a key): one
--         per delivery
-- rows:   delivery_id, event_id, endpoint_no, claim_id, in_lane boolean of the claimed deliveries, and of those behind others (claim_id
--         null); order unspecified; served by delivery_by_lane
-- locks:  key share on the dispatcher's row; claim_events has already locked the events
-- repeat: fails on delivery_by_event: an event is routed once
with new_claim as materialized (
    select nextval('postrider.claim_id_seq') as id
), birth as materialized (
    -- The key itself never leaves the database, whose encoding may have letters that UTF-8 has not.
    select b.event_id, b.endpoint_no, b.delay_ms,
           case when b.in_lane then (select o.key from postrider.outbox as o where o.id = b.event_id) end as lane
    from unnest($4::bigint[], $5::int[], $6::bigint[], $7::boolean[]) as b (event_id, endpoint_no, delay_ms, in_lane)
), placed as (
    select b.event_id, b.endpoint_no, b.delay_ms, b.lane, null::bigint as place, false as is_behind
    from birth as b
    where b.lane is null
    union all
    -- One transaction at a time routes into lanes, so the end of a lane is known.
    select b.event_id, b.endpoint_no, b.delay_ms, b.lane,
           greatest(b.event_id, coalesce(last.place, 0) + b.nth) as place,
           last.place is not null or b.nth > 1 as is_behind
    from (select b.event_id, b.endpoint_no, b.delay_ms, b.lane,
                 row_number() over (partition by b.endpoint_no, b.lane order by b.event_id) as nth
          from birth as b
          where b.lane is not null) as b
    left join lateral (
        select d.place
        from postrider.delivery as d
        where d.endpoint_no = b.endpoint_no and d.lane = b.lane
        order by d.endpoint_no desc, d.lane desc, d.place desc
        limit 1) as last on true
), born as (
    insert into postrider.delivery (event_id, endpoint_no, lane, place, status, attempts, claim_id, due_at, created_at)
    select b.event_id,
           b.endpoint_no,
           b.lane,
           b.place,
           case when b.delay_ms is null and not b.is_behind then 'in_progress'::postrider.status else 'pending' end,
           case when b.delay_ms is null and not b.is_behind then 1 else 0 end,
           case when b.delay_ms is null and not b.is_behind then (select c.id from new_claim as c) end,
           case when not b.is_behind then clock_timestamp() + b.delay_ms * interval '1 millisecond' end,
           -- A first attempt that succeeds at once is shown with this time. The transaction may have begun before deliver_after.
           clock_timestamp()
    from placed as b
    returning id, event_id, endpoint_no, claim_id, lane is not null as in_lane,
        lane is not null and status = 'pending' and due_at is null as is_behind
), held as (
    insert into postrider.claim (id, dispatcher_id, delivery_ids) overriding system value
    select (select c.id from new_claim as c), $1::bigint, array_agg(b.id)
    from born as b
    where b.claim_id is not null
    having count(*) > 0
), started as (
    update postrider.outbox as o
    set status = case when e.deliveries > 0 then 'in_progress'::postrider.status
                      -- It was for one endpoint, and did not get there.
                      when o.destination is not null then 'failed'
                      else 'complete' end,
        deliveries = e.deliveries,
        open_deliveries = e.deliveries,
        failed = 0,
        completed_at = case when e.deliveries = 0 then clock_timestamp() end
    from unnest($2::bigint[], $3::int[]) as e (id, deliveries)
    where o.id = e.id
)
select b.id as delivery_id, b.event_id, b.endpoint_no, b.claim_id, b.in_lane
from born as b
where b.claim_id is not null or b.is_behind
