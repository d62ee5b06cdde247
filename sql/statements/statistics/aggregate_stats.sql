-- does:   aggregates the rows that settled batches left (endpoint_stat) into one row per endpoint and hour
-- params: $1 rows_max bigint 1..=10000; $2 but int[]: endpoints to leave out (busy of earlier calls); $3 only int[]: only these
--         endpoints (null: all)
-- rows:   one: aggregated bigint, looked_at bigint (if it equals rows_max, call again); busy int[]: endpoints that were left
--         because somebody has locked one of their hours
-- locks:  for update on the rows taken and on the hours they go to, skipping locked ones
-- repeat: goes on with the rest
with taken as materialized (
    select t.ctid as place, t.endpoint_no, date_trunc('hour', t.at) as hour
    from postrider.endpoint_stat as t
    where t.endpoint_no <> all ($2::int[])
      and ($3::int[] is null or t.endpoint_no = any ($3))
    limit $1
    for update skip locked
), wanted as materialized (
    select distinct t.endpoint_no, t.hour from taken as t
), free as materialized (
    select h.endpoint_no, h.hour
    from wanted as w
    join postrider.endpoint_stat_hourly as h on h.endpoint_no = w.endpoint_no and h.hour = w.hour
    for update of h skip locked
), busy as materialized (
    select distinct h.endpoint_no
    from wanted as w
    join postrider.endpoint_stat_hourly as h on h.endpoint_no = w.endpoint_no and h.hour = w.hour
    where (h.endpoint_no, h.hour) not in (select f.endpoint_no, f.hour from free as f)
), gone as (
    delete from postrider.endpoint_stat as t
    using taken
    where t.ctid = taken.place and taken.endpoint_no not in (select b.endpoint_no from busy as b)
    returning t.endpoint_no, t.at, t.complete, t.failed, t.last_success_at, t.last_failure_at, t.failed_attempts
), hours as (
    insert into postrider.endpoint_stat_hourly as h (endpoint_no, hour, complete, failed, last_success_at, last_failure_at,
        failed_attempts)
    select g.endpoint_no, date_trunc('hour', g.at), sum(g.complete), sum(g.failed), max(g.last_success_at), max(g.last_failure_at),
           sum(g.failed_attempts)
    from gone as g
    -- A plan that begins with all endpoints would compare each of them with each row.
    cross join lateral (select from postrider.endpoint as e where e.endpoint_no = g.endpoint_no limit 1) as e
    group by 1, 2
    order by 1, 2
    on conflict (endpoint_no, hour) do update
    set complete = h.complete + excluded.complete,
        failed = h.failed + excluded.failed,
        last_success_at = greatest(h.last_success_at, excluded.last_success_at),
        last_failure_at = greatest(h.last_failure_at, excluded.last_failure_at),
        failed_attempts = h.failed_attempts + excluded.failed_attempts
)
select (select count(*) from gone) as aggregated,
       (select count(*) from taken) as looked_at,
       coalesce((select array_agg(b.endpoint_no) from busy as b), '{}') as busy
