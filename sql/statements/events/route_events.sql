-- does:   turns events locked by claim_events into deliveries. Claims deliveries that have a free slot at once (the fast path).
-- params: $1 dispatcher_id bigint; $2 event_ids bigint[], $3 deliveries int[]: one entry per event; $4 event_ids bigint[], $5
--         endpoint_nos int[], $6 delays_ms bigint[] (null: claimed at once): one per delivery
-- rows:   delivery_id, event_id, endpoint_no, claim_id of the claimed deliveries; order unspecified
-- locks:  key share on the dispatcher's row; claim_events has already locked the events
-- repeat: fails on delivery_by_event: an event is routed once
with new_claim as materialized (
    select nextval('postrider.claim_id_seq') as id
), born as (
    insert into postrider.delivery (event_id, endpoint_no, status, attempts, claim_id, due_at, created_at)
    select b.event_id,
           b.endpoint_no,
           case when b.delay_ms is null then 'in_progress'::postrider.status else 'pending' end,
           case when b.delay_ms is null then 1 else 0 end,
           case when b.delay_ms is null then (select c.id from new_claim as c) end,
           clock_timestamp() + b.delay_ms * interval '1 millisecond',
           -- A first attempt that succeeds at once is shown with this time. The transaction may have begun before deliver_after.
           clock_timestamp()
    from unnest($4::bigint[], $5::int[], $6::bigint[]) as b (event_id, endpoint_no, delay_ms)
    returning id, event_id, endpoint_no, claim_id
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
select b.id as delivery_id, b.event_id, b.endpoint_no, b.claim_id
from born as b
where b.claim_id is not null
