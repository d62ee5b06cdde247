-- does:   looks through a part of the events below the watermark for two kinds, and gives them the transaction of this call, so that
--         the next look finds them. Unrouted ones were put back from a backup while the trigger stamp_transaction was disabled.
--         An event in progress without any delivery has lost its deliveries: somebody emptied postrider.delivery, or a restore left it
--         out. Such an event becomes unrouted again, or failed if it was cancelled.
-- params: $1 after_xid text (an xid8), $2 after_id bigint: where the last call ended; $3 watermark_xid text (an xid8);
--         $4 events_max bigint 1..=100000: how many it looks at
-- rows:   one: restamped bigint (of the first kind), emptied bigint (of the second); created_xid text and id bigint of the last
--         event that it looked at (both null if it came to the watermark); served by outbox_by_transaction, delivery_by_event
-- locks:  the events that it changes, skipping locked ones; never waits
-- repeat: goes on
with seen as materialized (
    select o.created_xid, o.id, o.status, o.deliveries, o.open_deliveries
    from postrider.outbox as o
    where (o.created_xid, o.id) > ($1::text::xid8, $2::bigint) and o.created_xid < $3::text::xid8
    order by o.created_xid, o.id
    limit $4::bigint
), lost as materialized (
    select o.id
    from seen as s
    join postrider.outbox as o on o.id = s.id
    where s.status = 'pending' and o.status = 'pending'
      and not exists (select from postrider.refused as r where r.stage = 'route' and r.id = s.id)
    for update of o skip locked
), empty as materialized (
    -- The limit keeps the planner from reading all deliveries for it.
    select s.id, s.deliveries, s.open_deliveries
    from seen as s
    left join lateral (select true as is_there from postrider.delivery as d where d.event_id = s.id limit 1) as d on true
    where s.status = 'in_progress' and d.is_there is null
), emptied as materialized (
    -- A replay that has added a delivery meanwhile has changed the counts.
    select o.id
    from empty as e
    join postrider.outbox as o on o.id = e.id
    where o.status = 'in_progress' and o.deliveries = e.deliveries and o.open_deliveries = e.open_deliveries
    for update of o skip locked
), restamped as (
    update postrider.outbox as o set created_xid = pg_current_xact_id()
    from lost as l
    where o.id = l.id
    returning o.id
), begun_anew as (
    update postrider.outbox as o
    set created_xid = pg_current_xact_id(),
        status = case when o.cancelled_at is null then 'pending' else 'failed' end::postrider.status,
        deliveries = case when o.cancelled_at is not null then 0 end,
        open_deliveries = case when o.cancelled_at is not null then 0 end,
        failed = case when o.cancelled_at is not null then 0 end,
        completed_at = case when o.cancelled_at is not null then clock_timestamp() end
    from emptied as e
    where o.id = e.id
    returning o.id
)
select (select count(*) from restamped) as restamped,
       (select count(*) from begun_anew) as emptied,
       last.created_xid::text as created_xid,
       last.id
from (select) as one
left join lateral (
    select s.created_xid, s.id from seen as s
    where (select count(*) from seen) = $4::bigint
    order by s.created_xid desc, s.id desc
    limit 1
) as last on true
