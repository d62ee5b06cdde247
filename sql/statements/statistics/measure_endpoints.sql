-- does:   measures the endpoints with the most pending deliveries, and counts all by their health
-- params: $1 endpoints_max bigint, 1..=1000
-- rows:   endpoint_no integer, endpoint_id, is_enabled boolean, health text, pending, failed_24h, failed_attempts_24h,
--         oldest_pending_age_ms bigint (since it was routed; 0 if nothing is pending), omitted bigint (endpoints beyond $1);
--         healthy, failing, down, paused, disabled bigint (of all endpoints). The last six are the same in each row. Order
--         unspecified.
-- locks:  none
-- repeat: measures again
with waiting as (
    -- One walk of delivery_due, and one of delivery_by_lane. The lowest id was routed first.
    select d.endpoint_no, count(*) as pending, min(d.id) as oldest_id
    from postrider.waiting_delivery as d
    group by d.endpoint_no
),
chosen as (
    -- No index serves this: it sorts one row per endpoint.
    select e.endpoint_no, e.id, e.state, e.health, e.failed_attempts_24h, coalesce(w.pending, 0) as pending, w.oldest_id,
           count(*) over () as endpoints,
           count(*) filter (where e.health = 'healthy') over () as healthy,
           count(*) filter (where e.health = 'failing') over () as failing,
           count(*) filter (where e.health = 'down') over () as down,
           count(*) filter (where e.health = 'paused') over () as paused,
           count(*) filter (where e.health = 'disabled') over () as disabled
    from postrider.endpoint_condition as e
    left join waiting as w on w.endpoint_no = e.endpoint_no
    order by pending desc, e.endpoint_no
    limit $1
)
select c.endpoint_no, c.id as endpoint_id, c.state = 'enabled' as is_enabled, c.health, c.pending, c.failed_attempts_24h,
       (select count(*) from postrider.delivery as d
        where d.endpoint_no = c.endpoint_no and d.failed_at > now() - interval '24 hours') as failed_24h,
       coalesce(greatest(extract(epoch from clock_timestamp() - oldest.created_at) * 1000, 0), 0)::bigint
           as oldest_pending_age_ms,
       c.endpoints - count(*) over () as omitted,
       c.healthy, c.failing, c.down, c.paused, c.disabled
from chosen as c
left join postrider.delivery as oldest on oldest.id = c.oldest_id
