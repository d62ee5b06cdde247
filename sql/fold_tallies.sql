-- does:   folds hours that are older than a day into one row per endpoint
-- params: $1 rows_max bigint 1..=10000
-- rows:   one: folded bigint (as many as rows_max: go again)
-- locks:  for update on the rows taken, skipping locked ones; the rows they go to
-- repeat: goes on with what is left
with taken as materialized (
    select h.endpoint_no, h.hour
    from postrider.hourly_tally as h
    where h.hour > '-infinity' and h.hour < now() - interval '25 hours'
    limit $1
    for update skip locked
), gone as (
    delete from postrider.hourly_tally as h using taken as t where h.endpoint_no = t.endpoint_no and h.hour = t.hour
    returning h.endpoint_no, h.complete, h.failed, h.last_success_at, h.last_failure_at
), before as (
    insert into postrider.hourly_tally as h (endpoint_no, hour, complete, failed, last_success_at, last_failure_at)
    select g.endpoint_no, '-infinity', sum(g.complete), sum(g.failed), max(g.last_success_at), max(g.last_failure_at)
    from gone as g
    group by 1
    order by 1
    on conflict (endpoint_no, hour) do update
    set complete = h.complete + excluded.complete,
        failed = h.failed + excluded.failed,
        last_success_at = greatest(h.last_success_at, excluded.last_success_at),
        last_failure_at = greatest(h.last_failure_at, excluded.last_failure_at)
)
select count(*) as folded from gone
