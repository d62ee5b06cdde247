-- does:   sums up what settled batches left for endpoint_health, by endpoint and hour
-- params: $1 rows_max bigint 1..=10000
-- rows:   one: summed bigint (as many as rows_max: go again)
-- locks:  for update on the rows taken, skipping locked ones; the hours they go to
-- repeat: goes on with what is left
with taken as materialized (
    select t.ctid as place from postrider.tally as t limit $1 for update skip locked
), gone as (
    delete from postrider.tally as t using taken where t.ctid = taken.place
    returning t.endpoint_no, t.at, t.complete, t.failed, t.last_success_at, t.last_failure_at
), hours as (
    insert into postrider.hourly_tally as h (endpoint_no, hour, complete, failed, last_success_at, last_failure_at)
    select g.endpoint_no, date_trunc('hour', g.at), sum(g.complete), sum(g.failed), max(g.last_success_at), max(g.last_failure_at)
    from gone as g
    join postrider.endpoint as e on e.no = g.endpoint_no
    group by 1, 2
    order by 1, 2
    on conflict (endpoint_no, hour) do update
    set complete = h.complete + excluded.complete,
        failed = h.failed + excluded.failed,
        last_success_at = greatest(h.last_success_at, excluded.last_success_at),
        last_failure_at = greatest(h.last_failure_at, excluded.last_failure_at)
)
select count(*) as summed from gone
