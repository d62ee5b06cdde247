-- does:   looks through a part of the events below the watermark for unrouted ones, and gives them the transaction of this call, so
--         that the next look finds them. They were put back from a backup while the trigger stamp_transaction was disabled.
-- params: $1 after_xid text (an xid8), $2 after_id bigint: where the last call ended; $3 watermark_xid text (an xid8);
--         $4 events_max bigint 1..=100000: how many it looks at
-- rows:   one: restamped bigint, created_xid text and id bigint of the last event that it looked at (both null if it came to the
--         watermark); served by outbox_by_transaction
-- locks:  the events that it changes, skipping locked ones; never waits
-- repeat: goes on
with seen as materialized (
    select o.created_xid, o.id, o.status
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
), restamped as (
    update postrider.outbox as o set created_xid = pg_current_xact_id()
    from lost as l
    where o.id = l.id
    returning o.id
)
select (select count(*) from restamped) as restamped,
       last.created_xid::text as created_xid,
       last.id
from (select) as one
left join lateral (
    select s.created_xid, s.id from seen as s
    where (select count(*) from seen) = $4::bigint
    order by s.created_xid desc, s.id desc
    limit 1
) as last on true
