-- does:   lists the endpoints with blocked keys (postrider.blocked_keys), and of each the key that is blocked for longest
-- params: $1 rows_max bigint 1..=1000
-- rows:   row text: a JSON object of the columns below: endpoint_id, keys (how many are blocked), failed (how many of them wait for
--         somebody, because their delivery has no attempts left); key, delivery_id, status, last_error, since: of the key that is blocked for
--         longest. Those with the most blocked keys come first, at most $1
-- locks:  none
-- repeat: looks again
with blocked as materialized (
    select b.endpoint_id, b.key, b.delivery_id, b.status, b.last_error, b.since from postrider.blocked_keys as b
), counted as materialized (
    select b.endpoint_id, count(*) as keys, count(*) filter (where b.status = 'failed') as failed
    from blocked as b
    group by b.endpoint_id
    -- No index serves this: it sorts one row per endpoint.
    order by keys desc, b.endpoint_id
    limit $1::bigint
), longest as (
    select distinct on (b.endpoint_id) b.endpoint_id, b.key, b.delivery_id, b.status, b.last_error, b.since
    from blocked as b
    where b.endpoint_id in (select c.endpoint_id from counted as c)
    order by b.endpoint_id, b.since, b.delivery_id
)
select postrider.readable(to_json(r)::text) as row
from (select c.endpoint_id, c.keys, c.failed, l.key, l.delivery_id, l.status, l.last_error, l.since
      from counted as c
      join longest as l on l.endpoint_id = c.endpoint_id
      order by c.keys desc, c.endpoint_id) as r
