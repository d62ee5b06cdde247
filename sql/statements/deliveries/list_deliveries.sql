-- does:   reads one page of deliveries, the newest first
-- params: $1 before_id bigint (exclusive); filters, each ignored if null: $2 endpoint_id text, $3 status text, $4 event_id
--         bigint, $5 topic text; $6 rows_max bigint 1..=1000, $7 scan_max bigint: the most rows to look at
-- rows:   one: deliveries text (a JSON array of rows of delivery_status, id for delivery_id), next_before bigint (null if
--         nothing is older; else the next call's $1, even if this page is empty); has_endpoint boolean, has_event boolean:
--         whether those of the filters exist, true for null (a deleted endpoint exists as long as its deliveries do); served by
--         delivery_by_event, delivery_failed_by_id, delivery_due and delivery_by_lane (read all waiting deliveries) or the primary key
-- locks:  none
-- repeat: the same
with endpoint as materialized (
    select e.endpoint_no from postrider.endpoint as e where e.id = $2::text
), looked_at as materialized (
    -- The filters choose one of these queries. It is read lazily, no further than matching goes.
    select u.id, u.endpoint_no, u.status
    from (
        (select d.id, d.endpoint_no, d.status
         from postrider.delivery as d
         where $4::bigint is not null and d.event_id = $4 and d.id < $1::bigint
         order by d.id desc limit $7::bigint)
        union all
        (select d.id, d.endpoint_no, 'failed'
         from postrider.delivery as d
         where $4 is null and $3::text = 'failed' and d.failed_at is not null and d.id < $1
         order by d.id desc limit $7)
        union all
        (select d.id, d.endpoint_no, 'pending'
         from postrider.delivery as d
         where $4 is null and $3 = 'pending' and d.due_at is not null and d.id < $1
           and ($2 is null or d.endpoint_no in (select e.endpoint_no from endpoint as e))
         order by d.id desc limit $7)
        union all
        -- Deliveries behind the head of a lane.
        (select d.id, d.endpoint_no, 'pending'
         from postrider.delivery as d
         where $4 is null and $3 = 'pending' and d.lane is not null and d.due_at is null and d.status = 'pending' and d.id < $1
           and ($2 is null or d.endpoint_no in (select e.endpoint_no from endpoint as e))
         order by d.id desc limit $7)
        union all
        (select h.id, h.endpoint_no, 'in_progress'
         from postrider.claimed_delivery as h
         where $4 is null and $3 = 'in_progress' and h.id < $1
         order by h.id desc limit $7)
        union all
        (select d.id, d.endpoint_no, d.status
         from postrider.delivery as d
         where $4 is null and coalesce($3, 'complete') = 'complete' and d.id < $1
         order by d.id desc limit $7)
    ) as u
    order by u.id desc
), matching as materialized (
    -- looked_at is in order already. An order by here would read all of it.
    select l.id
    from looked_at as l
    where ($2 is null or l.endpoint_no in (select e.endpoint_no from endpoint as e))
      and ($3 is null or l.status = $3::postrider.status)
      and ($5::text is null or $5 = (select o.topic
                                     from postrider.delivery as d
                                     join postrider.outbox as o on o.id = d.event_id
                                     where d.id = l.id))
    limit $6::bigint
)
select coalesce((
           select json_agg(postrider.readable(to_json(r)::text)::json order by r.id desc)
           from (select s.delivery_id as id, s.event_id, s.webhook_id, s.endpoint_id, s.topic, s.key, s.status, s.attempts,
                        s.next_attempt_at, s.last_status_code, s.last_error, s.created_at, s.completed_at, s.failed_at,
                        s.cancelled_at, s.waits_for, s.next_probe_at
                 from matching as m
                 join postrider.delivery_status as s on s.delivery_id = m.id) as r), '[]')::text as deliveries,
       case
           when (select count(*) from matching) = $6 then (select min(m.id) from matching as m)
           when (select count(*) from looked_at) >= $7 then (select min(l.id) from looked_at as l)
       end as next_before,
       $2 is null or exists (select from endpoint) as has_endpoint,
       -- Somebody may have deleted the event alone.
       $4 is null or exists (select from postrider.outbox as o where o.id = $4) or exists (select from looked_at) as has_event
