-- does:   deletes what is old enough of the next events in order of (created_xid, id), with its deliveries and attempts
-- params: $1 after_xid text (an xid8), $2 after_id bigint: where the last call ended (0, 0: from the first);
--         $3 rows_max bigint 1..=10000: at most so many events, and so many deliveries unless one event alone has more;
--         $4 retain_complete_ms bigint, $5 retain_failed_ms bigint; $6 young_ms bigint: ends at the first younger event
-- rows:   one: looked_at bigint, deleted bigint; last_xid text, last_id bigint (null: none looked at): the next call goes on behind it;
--         kept_xid text, kept_id bigint (null: none): the first that was looked at and stays; is_end boolean: what follows is too
--         young, or there is nothing; served by outbox_by_transaction
-- locks:  for update on the events it deletes, skipping locked ones; their deliveries and attempts
-- repeat: goes on with what is left
with ahead as materialized (
    select o.id,
           o.created_xid,
           o.is_old,
           row_number() over in_order as place,
           bool_or(o.is_young) over in_order as is_young,
           sum(case when o.is_old then o.deliveries end) over in_order as deliveries
    from (select o.id,
                 o.created_xid,
                 o.deliveries,
                 o.created_at > now() - $6::bigint * interval '1 millisecond' as is_young,
                 (o.status = 'complete' and o.completed_at < now() - $4::bigint * interval '1 millisecond')
                 or (o.status = 'failed' and o.completed_at < now() - $5::bigint * interval '1 millisecond') as is_old
          from postrider.outbox as o
          where (o.created_xid, o.id) > ($1::text::xid8, $2::bigint)
          order by o.created_xid, o.id
          limit $3) as o
    window in_order as (order by o.created_xid, o.id rows unbounded preceding)
), looked_at as materialized (
    select a.id, a.created_xid, a.place, a.is_old
    from ahead as a
    where not a.is_young
      and (a.place = 1 or coalesce(a.deliveries, 0) <= $3)
), old as materialized (
    select o.id
    from looked_at as l
    join postrider.outbox as o on o.id = l.id
    where l.is_old
      -- Again: what changes until it is locked is looked at once more.
      and ((o.status = 'complete' and o.completed_at < now() - $4::bigint * interval '1 millisecond')
           or (o.status = 'failed' and o.completed_at < now() - $5::bigint * interval '1 millisecond'))
    for update of o skip locked
), deliveries as (
    delete from postrider.delivery as d using old where d.event_id = old.id returning d.id
), attempts as (
    delete from postrider.attempt as a using deliveries as d where a.delivery_id = d.id
), events as (
    delete from postrider.outbox as o using old where o.id = old.id
), counted as (
    select (select count(*) from looked_at) as looked_at,
           (select count(*) from old) as deleted,
           (select min(l.place) from looked_at as l where l.id not in (select old.id from old)) as kept_place,
           count(*) filter (where not a.is_young) as old_enough,
           count(*) < $3 or bool_or(a.is_young) as is_all
    from ahead as a
)
select c.looked_at,
       c.deleted,
       last.created_xid::text as last_xid,
       last.id as last_id,
       kept.created_xid::text as kept_xid,
       kept.id as kept_id,
       c.is_all and c.looked_at = c.old_enough as is_end
from counted as c
left join looked_at as last on last.place = c.looked_at
left join looked_at as kept on kept.place = c.kept_place
