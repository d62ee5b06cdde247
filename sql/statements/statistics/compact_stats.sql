-- does:   compacts the hours of an endpoint that are older than a day into one row
-- params: $1 rows_max bigint 1..=10000; $2 but int[]: endpoints to leave out (busy of earlier calls); $3 only int[]: only these
--         endpoints (null: all)
-- rows:   one: compacted bigint, looked_at bigint (if it equals rows_max, call again); busy int[]: endpoints that were left
--         because somebody has locked their one row
-- locks:  for update on the rows taken and on those they go to, skipping locked ones
-- repeat: goes on with the rest
with taken as materialized (
    select h.endpoint_no, h.hour
    from postrider.endpoint_stat_hourly as h
    where h.hour > '-infinity' and h.hour < now() - interval '25 hours'
      and h.endpoint_no <> all ($2::int[])
      and ($3::int[] is null or h.endpoint_no = any ($3))
    limit $1
    for update skip locked
), wanted as materialized (
    select distinct t.endpoint_no from taken as t
), free as materialized (
    select h.endpoint_no
    from wanted as w
    join postrider.endpoint_stat_hourly as h on h.endpoint_no = w.endpoint_no and h.hour = '-infinity'
    for update of h skip locked
), busy as materialized (
    select h.endpoint_no
    from wanted as w
    join postrider.endpoint_stat_hourly as h on h.endpoint_no = w.endpoint_no and h.hour = '-infinity'
    where h.endpoint_no not in (select f.endpoint_no from free as f)
), gone as (
    delete from postrider.endpoint_stat_hourly as h
    using taken as t
    where h.endpoint_no = t.endpoint_no and h.hour = t.hour and t.endpoint_no not in (select b.endpoint_no from busy as b)
    returning h.endpoint_no, h.complete, h.failed, h.last_success_at, h.last_failure_at, h.failed_attempts
), before as (
    insert into postrider.endpoint_stat_hourly as h (endpoint_no, hour, complete, failed, last_success_at, last_failure_at,
        failed_attempts)
    select g.endpoint_no, '-infinity', sum(g.complete), sum(g.failed), max(g.last_success_at), max(g.last_failure_at),
           sum(g.failed_attempts)
    from gone as g
    group by 1
    order by 1
    on conflict (endpoint_no, hour) do update
    set complete = h.complete + excluded.complete,
        failed = h.failed + excluded.failed,
        last_success_at = greatest(h.last_success_at, excluded.last_success_at),
        last_failure_at = greatest(h.last_failure_at, excluded.last_failure_at),
        failed_attempts = h.failed_attempts + excluded.failed_attempts
)
select (select count(*) from gone) as compacted,
       (select count(*) from taken) as looked_at,
       coalesce((select array_agg(b.endpoint_no) from busy as b), '{}') as busy
