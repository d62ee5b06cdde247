-- does:   makes one row per hour of the counts of events that no endpoint got, and forgets those older than a day
-- params: $1 rows_max bigint 1..=10000; $2 rows_min bigint: does nothing with fewer rows
-- rows:   one: looked_at bigint (if it equals rows_max, call again)
-- locks:  for update on the rows taken, skipping locked ones; never waits
-- repeat: makes one row per hour again
with taken as materialized (
    select r.ctid as place
    from postrider.reached_nobody as r
    where (select count(*) from (select from postrider.reached_nobody limit $2::bigint) as first) >= $2
    limit $1
    for update skip locked
), gone as (
    delete from postrider.reached_nobody as r
    using taken as t
    where r.ctid = t.place
    returning r.hour, r.destination, r.topic
), hours as (
    insert into postrider.reached_nobody (hour, destination, topic)
    select g.hour, sum(g.destination), sum(g.topic)
    from gone as g
    where g.hour > now() - interval '25 hours'
    group by g.hour
)
select count(*) as looked_at from taken
