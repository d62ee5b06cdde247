-- does:   deletes old finished events among the next events in order of (created_xid, id), with their deliveries and attempts
-- params: $1 after_xid text (an xid8), $2 after_id bigint: where the last call ended (0, 0: from the first); $3 rows_max bigint
--         1..=10000: the most events, and the most deliveries unless one event alone has more; $4 retain_complete_ms bigint, $5
--         retain_failed_ms bigint; $6 young_ms bigint: the call ends at the first younger event; $7 until_xid text (an xid8) or
--         null: up to this transaction, younger events are passed over instead (null: up to the last one of this server)
-- rows:   one: looked_at bigint, deleted bigint; last_xid text, last_id bigint: the next call's $1 and $2 (null if no event was
--         looked at); kept_xid text, kept_id bigint: the first event that was looked at and stays (null if none stays); is_end
--         boolean: the following events are too young, or there are none; served by outbox_by_transaction
-- locks:  for update on the deliveries and attempts, then on the events it deletes, skipping locked ones. An event stays if any
--         of its rows is locked. Never waits for these rows. If a user's own tables refer to ours, the delete may wait for
--         them, 50 ms at most.
-- repeat: goes on with the rest
--
--         (after_xid, after_id)                  last_xid, last_id
--                 |                                      |
--    -------------+--D--D--s--D--D--L--D--D--D--s--D--D--+--D--D--D--+--y--y-->  in order of (created_xid, id)
--                 |        |                             |           |
--                 |       kept_xid, kept_id              |           the first young event (y) ends it
--                 +-------------- looked_at -------------+
--                 +------------------- ahead: rows_max events -------+
--
--    D  old enough: its deliveries are locked (held), then their attempts (tried), then the event (old); all of it is deleted
--    s  not finished, or finished too recently: it stays; the first such event is kept_xid, kept_id
--    L  somebody has locked one of its deliveries or attempts, or one that failed holds up its key (busy): it stays
--    looked_at ends before the events ahead do, if their deliveries would be more than rows_max
with patience as materialized (
    select set_config('lock_timeout', '50ms', true) as set_to
), ahead as materialized (
    select o.id,
           o.created_xid,
           o.is_old,
           o.deliveries as born,
           row_number() over in_order as place,
           bool_or(o.is_young) over in_order as is_young,
           sum(case when o.is_old then o.deliveries end) over in_order as deliveries
    from (select o.id,
                 o.created_xid,
                 o.deliveries,
                 $7::text is null and o.created_at > now() - $6::bigint * interval '1 millisecond' as is_young,
                 ((o.status = 'complete' and o.completed_at < now() - $4::bigint * interval '1 millisecond')
                  or (o.status = 'failed' and o.completed_at < now() - $5::bigint * interval '1 millisecond'))
                 -- An event whose deletion was refused is tried alone, at its retry_at.
                 and o.id not in (select r.id from postrider.refused as r
                                  where r.stage = 'delete' and ($3::bigint > 1 or r.retry_at > clock_timestamp())) as is_old
          from postrider.outbox as o
          where (o.created_xid, o.id) > ($1::text::xid8, $2::bigint)
            -- Later events were restored, not inserted here. They are no younger than the newest events now.
            and o.created_xid < coalesce($7::text::xid8, pg_snapshot_xmax(pg_current_snapshot()))
            and (select p.set_to is not null from patience as p)
          order by o.created_xid, o.id
          limit $3) as o
    window in_order as (order by o.created_xid, o.id rows unbounded preceding)
), looked_at as materialized (
    select a.id, a.created_xid, a.place, a.is_old, a.born
    from ahead as a
    where not a.is_young
      and (a.place = 1 or coalesce(a.deliveries, 0) <= $3)
), held as materialized (
    -- A plain delivery's row tells everything about its one attempt, so there is no row of attempt to look for.
    select d.id, d.event_id, d.lane, d.attempts > 1 or d.first_duration_ms is null as has_attempts
    from looked_at as l
    join postrider.delivery as d on d.event_id = l.id
    where l.is_old
    for update of d skip locked
), tried as materialized (
    select a.delivery_id, a.attempt
    from held as h
    join postrider.attempt as a on a.delivery_id = h.id
    where h.has_attempts
    for update of a skip locked
), busy as materialized (
    -- Events with a locked delivery or attempt. The rest have as many locked rows as they should have.
    select d.event_id
    from looked_at as l
    join postrider.delivery as d on d.event_id = l.id
    where l.is_old
      and (l.id, l.born) not in (select h.event_id, count(*) from held as h group by h.event_id)
      and d.id not in (select h.id from held as h)
    union all
    -- Without the delivery that holds it up, a key would go on, and nobody would know why.
    select h.event_id
    from held as h
    where h.lane is not null
    union all
    select h.event_id
    from held as h
    join postrider.attempt as a on a.delivery_id = h.id
    where h.has_attempts
      and (a.delivery_id, a.attempt) not in (select t.delivery_id, t.attempt from tried as t)
), old as materialized (
    select o.id
    from looked_at as l
    join postrider.outbox as o on o.id = l.id
    where l.is_old
      and l.id not in (select b.event_id from busy as b)
      -- Checked again, because the event may have changed before it was locked.
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
